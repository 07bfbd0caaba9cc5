"""The token that ansys-openapi-common uses, before and after it is taken over."""

from pathlib import Path

from gatepass.sandbox import IdentityProvider
from tests.cli.conftest import make_home
from tests.support.logins import Office
from tests.support.service_layer import service_layer

# pyparsing warns of the way in which ansys-openapi-common 2.4 names a part of its grammar.
OLD_WAY = """\
import sys, warnings
warnings.filterwarnings("ignore", message="warn_multiple_tokens_in_named_alternation")
from ansys.grantami.recordlists import Connection
client = Connection(sys.argv[1]).with_oidc().with_stored_token().connect()
print([each.name for each in client.get_all_lists()])
"""
NEW_WAY = """\
from ansys.grantami.recordlists import Connection
from gatepass.integrations.pygranta import connect
print([each.name for each in connect(Connection, "nightly").get_all_lists()])
"""


def test_one_stored_token_serves_the_old_way_until_it_is_taken_over(
    unlocked_keyring: dict[str, str], tmp_path: Path
) -> None:
    """With a provider that keeps its tokens; where it replaces them, the old way works once."""
    office = Office.furnished(make_home(unlocked_keyring, tmp_path / "work"), tmp_path)
    with (
        IdentityProvider(users={"alice": "pw"}, rotation=False, id_token=False) as idp,
        service_layer("oidc", provider=idp) as server,
    ):
        url, token = server.url.rstrip("/"), idp.issue()["refresh_token"]
        service, account = "ansys-openapi-common-oidc", f"{url}/Health/v2.svc"
        stored = office.home.python(
            f"import keyring; keyring.set_password({service!r}, {account!r}, {token!r})"
        )
        office.home.user(f'[profiles.nightly]\nurl = "{url}"\nauth = {{ scheme = "oidc" }}\n')
        old = OLD_WAY.replace("sys.argv[1]", repr(url))

        before = office.home.python(old)
        adopted = office.empty_office.run("login", "nightly", "--adopt", "--yes")
        after = office.home.python(old)
        now = office.empty_office.python(NEW_WAY)

    assert stored.returncode == 0, stored.stderr
    assert before.stdout == "['steels']\n", before.stderr
    assert adopted.returncode == 0, adopted.stderr
    assert "No stored credentials found" in after.stderr
    assert now.stdout == "['steels']\n", now.stderr
    assert token not in adopted.stdout + adopted.stderr + now.stderr
