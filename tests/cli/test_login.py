"""``gatepass login`` and ``logout``: what is stored, where it goes, and that it is gone."""

from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from gatepass.sandbox.provider import CLIENT_ID, SERVICE_ID, SERVICE_SECRET
from tests.support.echo import Answer, Echo, Seen, echo
from tests.support.faulty_provider import Fault, FaultyProvider
from tests.support.home import Home, ended, screen
from tests.support.logins import SERVER, USERS, Office, profile
from tests.support.peers.ca import CertificateAuthority

OLD_SERVICE = "ansys-openapi-common-oidc"

BASIC = """\
[profiles.prod]
url = "https://mi.example.com/mi"
[profiles.prod.auth]
scheme = "basic"
user_name = "alice"
password = {password}
"""


@pytest.fixture
def desk_office(desk: Home, tmp_path: Path) -> Office:
    """The same with a keyring."""
    return Office.furnished(desk, tmp_path)


def _records(office: Office) -> list[Path]:
    return sorted(office.vault.glob("*.token"))


# ---------------------------------------------------------------- whom the provider must convince


def test_each_command_that_asks_an_unproven_provider_says_so(
    office: Office, ca: CertificateAuthority
) -> None:
    """And ``tls.verify = false`` alone lets none of them ask it: that is about the server."""
    certificate = (ca.server.chain, ca.server.key)
    with FaultyProvider(users=USERS, auto_login="alice", certificate=certificate) as idp:
        public = profile(idp.issuer)
        secret = 'flow = "client_credentials"\nclient_secret = "env:S"\nscopes = ["api"]\n'
        service = public.replace(f'"{CLIENT_ID}"', f'"{SERVICE_ID}"') + secret
        home = office.home.having(S=SERVICE_SECRET)
        for verb, text in (("token", service), ("login", public)):
            home.user(text.replace("retries = 0\n", "retries = 0\ntls = { verify = false }\n"))
            done = home.run(verb, "nightly")
            assert done.returncode == 5, done.stderr
            assert "auth.tls = { ca_file" in done.stderr
        assert idp.requests == ()

        browser_trusts = home.having(
            SSL_CERT_FILE=str(ca.ca_file),
            PYTHONWARNINGS="error,ignore:Unverified HTTPS request",  # of urllib3, beside ours
        )
        for verb, text in (("token", service), ("login", public)):
            home.user(f"{text}tls = {{ verify = false }}\n")
            done = browser_trusts.run(verb, "nightly")
            assert done.returncode == 0, done.stderr
            assert f"auth.tls.verify = false: nothing proves that {idp.issuer} " in done.stderr


# ---------------------------------------------------------------- login at a provider


def test_after_one_login_a_later_run_needs_nobody(office: Office, idp: FaultyProvider) -> None:
    """Also where the profile forbids runs to log in: this command is what it waits for."""
    office.home.user(profile(idp.issuer, "use_stored_token = true\n"))

    done = office.home.run("login", "nightly")
    later = office.empty_office.run("token", "nightly")

    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.splitlines()[-1] == (
        f"logged in as alice at {idp.issuer}; "
        "the token is renewed by itself as long as the provider allows"
    )
    assert later.returncode == 0
    assert idp.counts.logins == 1


def test_a_login_may_happen_on_another_device(office: Office, idp: FaultyProvider) -> None:
    office.home.user(profile(idp.issuer))
    with office.home.sit("login", "nightly", "--device") as child:
        child.expect("([A-Z]{4}-[A-Z]{4})")
        idp.approve(child.match.group(1))
        assert ended(child) == 0

    assert idp.counts.token_requests.keys() == {"urn:ietf:params:oauth:grant-type:device_code"}
    assert office.empty_office.run("status", "nightly").returncode == 0


def test_where_nobody_is_it_says_so_at_once_and_asks_nobody(
    office: Office, idp: FaultyProvider
) -> None:
    office.home.user(profile(idp.issuer))

    done = office.empty_office.run("login", "nightly")

    assert done.returncode == 3
    assert "a person must log in, and GATEPASS_NO_INPUT forbids asking" in done.stderr
    assert "gatepass login" not in done.stderr, "it would lead in a circle"
    assert idp.requests == ()


def test_a_vault_that_cannot_be_used_is_told_before_the_login(
    office: Office, idp: FaultyProvider
) -> None:
    office.home.user(profile(idp.issuer))

    done = office.home.having(GATEPASS_VAULT_KEY="env:NOT_SET").run("login", "nightly")

    assert done.returncode == 3
    assert "the vault's key cannot be read" in done.stderr
    assert done.stderr.count("gatepass secret new-key") == 1
    assert "env:NAME" not in done.stderr, "which is for the secrets of profiles"
    assert idp.requests == ()


def test_a_login_that_cannot_be_renewed_is_stored_until_it_ends(
    office: Office, idp: FaultyProvider
) -> None:
    idp.inject(Fault.NO_REFRESH_TOKEN)
    office.home.user(profile(idp.issuer))

    done = office.home.run("login", "nightly")

    assert done.returncode == 0, done.stderr
    assert "offline_access" in done.stderr
    assert "and cannot be renewed" in done.stderr.splitlines()[-1]
    assert office.empty_office.run("token", "nightly").returncode == 0


def test_a_second_login_makes_the_first_one_no_worse(office: Office, idp: FaultyProvider) -> None:
    office.home.user(profile(idp.issuer))
    assert office.home.run("login", "nightly").returncode == 0
    idp.inject(Fault.NO_REFRESH_TOKEN)

    done = office.home.run("login", "nightly")

    assert done.returncode == 0, done.stderr
    assert "renewed by itself" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("option", [[], ["--no-store"]], ids=str)
@pytest.mark.parametrize("verb", ["token", "check"])
def test_a_login_that_another_verb_needs_is_stored_and_told_unless_it_must_not(
    office: Office, idp: FaultyProvider, verb: str, option: list[str]
) -> None:
    office.home.user(profile(idp.issuer).replace(SERVER, idp.issuer))

    done = office.home.run(verb, "nightly", *option)

    assert ("The login is stored" in done.stderr) is not bool(option), done.stderr
    assert len(_records(office)) == (0 if option else 1)
    assert idp.counts.logins == 1


def test_ctrl_c_ends_the_wait_and_stores_nothing(office: Office) -> None:
    with FaultyProvider(users=USERS) as idp:  # shows a form that nobody fills in
        office.home.user(profile(idp.issuer))
        with office.home.sit("login", "nightly") as child:
            child.expect("Waiting for")
            child.sendintr()

            assert ended(child) == 130
    assert _records(office) == []


@pytest.mark.parametrize("by", ["client_secret", "client_key", "client_assertion"])
def test_a_client_that_proves_itself_needs_no_login(
    office: Office, idp: FaultyProvider, by: str
) -> None:
    more = f'flow = "client_credentials"\n{by} = "env:NOT_SET"\n'
    office.home.user(profile(idp.issuer, more))

    done = office.empty_office.run("login", "nightly")

    assert done.returncode == 0
    assert f"by {by}: there is nothing to log in" in done.stderr
    assert idp.requests == ()


@pytest.mark.parametrize("option", ["--device", "--adopt"])
def test_options_of_oidc_are_refused_elsewhere(home: Home, option: str) -> None:
    home.user(BASIC.format(password='"keyring:"'))

    done = home.run("login", "prod", option)

    assert done.returncode == 2
    assert "prod uses basic" in done.stderr


def test_a_login_is_new_or_taken_over_but_not_both(home: Home) -> None:
    assert home.run("login", "prod", "--device", "--adopt").returncode == 2


# ---------------------------------------------------------------- taking over


def _old_entry(office: Office, account: str, value: str | None = None) -> str:
    """Write an entry of ansys-openapi-common, or return it."""
    action = (
        f"print(keyring.get_password({OLD_SERVICE!r}, {account!r}) or '')"
        if value is None
        else f"keyring.set_password({OLD_SERVICE!r}, {account!r}, {value!r})"
    )
    done = office.home.python(f"import keyring; {action}")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("below", ["", "/", "/Health/v2.svc"])
def test_the_token_of_ansys_openapi_common_is_taken_over_and_removed_there(
    desk_office: Office, idp: FaultyProvider, below: str
) -> None:
    """A profile that names the provider has agreed to it, so nobody need be there.

    The last one is where PyGranta's clients look.
    """
    token = idp.issue()["refresh_token"]
    _old_entry(desk_office, SERVER + below, token)
    desk_office.home.user(profile(idp.issuer))

    done = desk_office.empty_office.run("login", "nightly", "--adopt")

    assert done.returncode == 0, done.stderr
    assert idp.issuer in done.stderr
    assert token not in done.stderr
    assert "is renewed by itself" in done.stderr.splitlines()[-1]
    assert _old_entry(desk_office, SERVER + below) == ""
    assert idp.counts.rotations == 1
    assert desk_office.empty_office.run("token", "nightly").returncode == 0


@pytest.mark.parametrize("stored", [False, True], ids=["nothing is stored", "a login is stored"])
def test_a_failed_takeover_loses_neither_the_old_token_nor_a_stored_login(
    desk_office: Office, idp: FaultyProvider, stored: bool
) -> None:
    """As where the profile names another provider than the token's."""
    with FaultyProvider(users=USERS) as other:
        token = other.issue("alice")["refresh_token"]
        desk_office.home.user(profile(idp.issuer))
        if stored:
            assert desk_office.home.run("login", "nightly").returncode == 0
        before = [path.read_bytes() for path in _records(desk_office)]
        _old_entry(desk_office, SERVER, token)

        done = desk_office.empty_office.run("login", "nightly", "--adopt")

        assert done.returncode == 3, done.stderr
        assert "gatepass login nightly" in done.stderr
        assert _old_entry(desk_office, SERVER) == token
        assert [path.read_bytes() for path in _records(desk_office)] == before
        desk_office.home.user(profile(other.issuer))
        assert desk_office.empty_office.run("login", "nightly", "--adopt").returncode == 0
        assert _old_entry(desk_office, SERVER) == ""


def _granta(idp: FaultyProvider) -> AbstractContextManager[Echo]:
    """A server that names the provider, as Granta does."""

    def answer(_seen: Seen) -> Answer:
        challenge = (
            f'Bearer authority="{idp.issuer}", clientid="gatepass", '
            'redirecturi="http://127.0.0.1/callback", scope="openid offline_access"'
        )
        return Answer(401, [("WWW-Authenticate", challenge)])

    return echo(answer)


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 1)])
def test_a_provider_that_only_the_server_names_is_shown_and_confirmed(
    desk_office: Office, idp: FaultyProvider, answer: str, code: int
) -> None:
    token = idp.issue()["refresh_token"]
    with _granta(idp) as granta:
        _old_entry(desk_office, granta.url, token)
        desk_office.home.user(
            f'[profiles.nightly]\nurl = "{granta.url}"\nauth = {{ scheme = "oidc" }}\n'
        )
        with desk_office.home.sit("login", "nightly", "--adopt") as child:
            child.expect("take it over")
            assert idp.issuer in screen(child)
            child.sendline(answer)

            assert ended(child) == code
        left = _old_entry(desk_office, granta.url)

    assert left == ("" if code == 0 else token)
    assert idp.counts.refreshes == (1 if code == 0 else 0)
    assert len(_records(desk_office)) == (1 if code == 0 else 0)


def test_where_nobody_can_confirm_it_yes_must_be_said(
    desk_office: Office, idp: FaultyProvider
) -> None:
    with _granta(idp) as granta:
        _old_entry(desk_office, granta.url, idp.issue()["refresh_token"])
        desk_office.home.user(
            f'[profiles.nightly]\nurl = "{granta.url}"\nauth = {{ scheme = "oidc" }}\n'
        )
        refused = desk_office.empty_office.run("login", "nightly", "--adopt")
        before = idp.counts.refreshes
        agreed = desk_office.empty_office.run("login", "nightly", "--adopt", "--yes")

    assert refused.returncode == 3
    assert "--adopt --yes" in refused.stderr
    assert before == 0
    assert agreed.returncode == 0, agreed.stderr


def test_without_an_entry_there_is_nothing_to_take_over(
    desk_office: Office, idp: FaultyProvider
) -> None:
    desk_office.home.user(profile(idp.issuer))

    done = desk_office.home.run("login", "nightly", "--adopt")

    assert done.returncode == 3
    assert f"holds no entry {OLD_SERVICE}" in done.stderr


# ---------------------------------------------------------------- logout at a provider


def test_logout_revokes_the_login_and_deletes_it(office: Office, idp: FaultyProvider) -> None:
    office.home.user(profile(idp.issuer))
    assert office.home.run("login", "nightly").returncode == 0

    done = office.empty_office.run("logout", "nightly")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "logged out\n")
    assert idp.families[-1].revoked
    assert _records(office) == []


def test_logout_of_nobody_is_fine(office: Office, idp: FaultyProvider) -> None:
    office.home.user(profile(idp.issuer))

    done = office.empty_office.run("logout", "nightly")

    assert (done.returncode, done.stderr) == (0, "nobody was logged in\n")


def test_logout_deletes_also_where_the_provider_is_away(office: Office) -> None:
    with FaultyProvider(users=USERS, auto_login="alice") as idp:
        office.home.user(profile(idp.issuer))
        assert office.home.run("login", "nightly").returncode == 0

    done = office.empty_office.run("logout", "nightly")

    assert done.returncode == 0
    assert "the provider was not told" in done.stderr
    assert _records(office) == []


def test_logout_deletes_also_a_record_that_cannot_be_read(
    office: Office, idp: FaultyProvider
) -> None:
    office.home.user(profile(idp.issuer))
    assert office.home.run("login", "nightly").returncode == 0
    (record,) = _records(office)
    record.write_bytes(record.read_bytes()[:-1])

    done = office.empty_office.run("logout", "nightly")

    assert done.returncode == 0, done.stderr
    assert "the provider was not told" in done.stderr
    assert _records(office) == []


def test_logout_deletes_also_where_the_clients_secret_is_missing(
    office: Office, idp: FaultyProvider
) -> None:
    text = profile(idp.issuer, 'client_secret = "env:CLIENT_SECRET"\n')
    office.home.user(text.replace('client_id = "gatepass"', f'client_id = "{SERVICE_ID}"'))
    logged_in = office.home.having(CLIENT_SECRET=SERVICE_SECRET).run("login", "nightly")
    assert logged_in.returncode == 0, logged_in.stderr

    done = office.empty_office.run("logout", "nightly")

    assert done.returncode == 0
    assert "CLIENT_SECRET is not set" in done.stderr
    assert _records(office) == []


# ---------------------------------------------------------------- passwords in the keyring


def test_login_stores_a_password_and_logout_deletes_it(desk: Home) -> None:
    desk.user(BASIC.format(password='["env:MI_PASSWORD", "keyring:"]'))
    with desk.sit("login", "prod") as child:
        child.expect("password .*: ")
        child.sendline("sesame")
        assert ended(child) == 0
        shown = screen(child)
    listed = desk.run("secret", "list", "prod")
    gone, again = desk.run("logout", "prod"), desk.run("logout", "prod")

    assert "sesame" not in shown
    assert "gatepass check prod" in shown
    assert "answers" in listed.stdout
    assert (gone.returncode, again.returncode) == (0, 0)
    assert "deleted: entry alice of service gatepass:https://mi.example.com" in gone.stderr
    assert "nobody was logged in" in again.stderr


def test_logout_keeps_an_entry_that_others_may_use(desk: Home) -> None:
    desk.user(BASIC.format(password='"keyring:team/shared"'))
    assert desk.run("login", "prod", stdin="sesame").returncode == 0

    done = desk.run("logout", "prod")

    assert done.returncode == 0
    assert "nothing was deleted: password comes from keyring:team/shared, which" in done.stderr
    assert "answers" in desk.run("secret", "list", "prod").stdout


def test_a_token_is_stored_under_its_own_name(desk: Home) -> None:
    desk.user(
        '[profiles.api]\nurl = "https://mi.example.com"\n'
        'auth = { scheme = "bearer", token = "keyring:" }\n'
    )

    done = desk.run("login", "api", stdin="some-token")
    gone = desk.run("logout", "api")

    assert done.returncode == 0
    assert "entry token of service gatepass:https://mi.example.com" in done.stderr
    assert "deleted: entry token" in gone.stderr


def test_without_a_keyring_reference_it_tells_the_line_to_write(home: Home) -> None:
    home.user(BASIC.format(password='"env:MI_PASSWORD"'))

    done = home.run("login", "prod", stdin="x")

    assert done.returncode == 2
    assert 'password = ["env:MI_PASSWORD", "keyring:"]' in done.stderr


@pytest.mark.parametrize("scheme", ["anonymous", "autologon"])
@pytest.mark.parametrize("verb", ["login", "logout"])
def test_schemes_without_a_secret_have_nothing_to_log_in(
    home: Home, scheme: str, verb: str
) -> None:
    home.user(f'[profiles.dev]\nurl = "https://x.y/"\nauth = {{ scheme = "{scheme}" }}\n')

    done = home.run(verb, "dev")

    assert (done.returncode, done.stdout) == (0, "")
    assert "there is nothing to log" in done.stderr


# ---------------------------------------------------------------- the key file


def test_a_new_key_is_for_its_owner_alone_and_not_shown(home: Home, tmp_path: Path) -> None:
    key = tmp_path / "a key"

    done = home.run("secret", "new-key", str(key))

    assert (done.returncode, done.stdout) == (0, "")
    assert key.stat().st_mode & 0o777 == 0o600
    assert f'vault_key = "file:{key}"' in done.stderr
    assert f"GATEPASS_VAULT_KEY='file:{key}'" in done.stderr
    assert key.read_text().strip() not in done.stderr


def test_a_key_is_never_replaced(home: Home, tmp_path: Path) -> None:
    key = tmp_path / "key"
    assert home.run("secret", "new-key", str(key)).returncode == 0
    before = key.read_bytes()

    done = home.run("secret", "new-key", str(key))

    assert done.returncode == 3
    assert "never replaced" in done.stderr
    assert key.read_bytes() == before


def test_the_line_that_it_tells_works(home: Home, tmp_path: Path, idp: FaultyProvider) -> None:
    office = Office.furnished(home, tmp_path)
    printed = home.run("secret", "new-key", str(tmp_path / "other key")).stderr.splitlines()
    (line,) = [line for line in printed if "vault_key = " in line]
    environ = {name: value for name, value in office.home.environ.items() if "_KEY" not in name}
    there = Home(environ, home.work)
    there.user(line.strip() + "\n" + profile(idp.issuer))

    done = there.run("login", "nightly")

    assert done.returncode == 0, done.stderr
