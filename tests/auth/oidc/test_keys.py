"""What the keys must be, and who gets a client's secret: the issuer that the profile names."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gatepass._config.load import load_profile
from gatepass._config.locations import Locations
from gatepass._config.profile import Profile
from gatepass._session.resolve import ResolvedSecrets
from gatepass._system.context import RunContext
from gatepass.auth._oidc.keys import OidcKeys
from gatepass.errors import GatepassError, ProfileError, SecretUnavailable
from gatepass.sandbox.provider import IdentityProvider
from tests.stories.test_named_by_servers import CLIENT, FLOWS, SECRET, person, talk
from tests.support.echo import Answer, Echo, echo, refused

pytestmark = pytest.mark.filterwarnings("ignore:the identity provider gave no refresh token")


@pytest.fixture
def providers() -> Iterator[tuple[IdentityProvider, IdentityProvider]]:
    """Two that know the client and its secret: ours, and the one that the server names."""
    keys: dict[str, Any] = {
        "users": {"alice": "pw"},
        "clients": {CLIENT: SECRET},
        "auto_login": "alice",
        "device_interval": 0.0,
    }
    with IdentityProvider(**keys) as ours, IdentityProvider(**keys) as theirs:
        yield ours, theirs


@pytest.fixture
def api(providers: tuple[IdentityProvider, IdentityProvider]) -> Iterator[Echo]:
    """A server that names the second provider to whoever brings no token."""
    challenge = (
        f'Bearer authority="{providers[1].issuer}", clientid="{CLIENT}", '
        'redirecturi="http://127.0.0.1/callback", scope="openid"'
    )
    with echo(lambda seen: Answer() if seen.authorization else refused(challenge)) as running:
        yield running


def written(
    locations: Locations,
    url: str,
    flow: str,
    more: str = "",
    *,
    secret: str = 'client_secret = "env:SECRET"\n',
    overrides: dict[str, Any] | None = None,
) -> Profile:
    """Load a profile with the client's secret from the user's file."""
    locations.user.parent.mkdir(parents=True, exist_ok=True)
    locations.user.write_text(
        f'[profiles.p]\nurl = "{url}"\n[profiles.p.auth]\nscheme = "oidc"\nflow = "{flow}"\n'
        f'{secret}client_id = "{CLIENT}"\n{more}'
    )
    return load_profile("p", locations=locations, environ={}, overrides=overrides)


@pytest.mark.parametrize("flow", FLOWS)
def test_a_clients_secret_goes_to_no_provider_that_only_the_server_names(
    flow: str,
    locations: Locations,
    api: Echo,
    providers: tuple[IdentityProvider, IdentityProvider],
) -> None:
    with pytest.raises(ProfileError, match="client_secret: needs issuer") as caught:
        talk(written(locations, api.url, flow), person(providers[1]), {"SECRET": SECRET})

    (problem,) = caught.value.problems
    assert problem.place == f"{locations.user}:6:1"
    assert "issuer = " in problem.hint
    assert providers[1].requests == ()
    assert api.seen == []


@pytest.mark.parametrize("auth", [{}, {"issuer": ""}, {"issuer": None}])
def test_nor_does_one_that_is_given_in_python(
    auth: dict[str, Any],
    locations: Locations,
    api: Echo,
    providers: tuple[IdentityProvider, IdentityProvider],
) -> None:
    """Not without an issuer, and not where Python clears the written one."""
    issuer = f'issuer = "{providers[0].issuer}"' if auth else ""
    overrides = {"auth": {"client_secret": SECRET, **auth}}

    with pytest.raises(ProfileError, match=r"overrides: auth\.client_secret: needs") as caught:
        written(locations, api.url, "browser", issuer, secret="", overrides=overrides)

    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("flow", FLOWS)
def test_a_clients_secret_goes_to_the_written_issuer_whatever_the_server_names(
    flow: str,
    locations: Locations,
    api: Echo,
    providers: tuple[IdentityProvider, IdentityProvider],
) -> None:
    ours, theirs = providers
    profile = written(locations, api.url, flow, f'issuer = "{ours.issuer}"')

    assert talk(profile, person(ours), {"SECRET": SECRET}).ok

    assert "basic" in [request.client_secret_by for request in ours.requests]
    assert theirs.requests == ()


# ---------------------------------------------------------------- what no provider can take

_CLIENT = 'issuer = "https://idp.example.com"\nclient_id = "c"\n'
_FLOW = f'{_CLIENT}flow = "client_credentials"\n'
_SECRET = 'client_secret = "env:SECRET"\n'


@pytest.mark.parametrize(
    ("keys", "refused", "hint"),
    [
        # The issuer is a name to the letter, and an address below which the metadata lies.
        *(
            (f'issuer = "{issuer}"', "issuer: ", hint)
            for issuer, hint in {
                "login.example.com/x": "https://login.example.com",
                "http://login.example.com": "",
                "https://": "",
                "": "",
                "https://a b/": "",
                "https://user@idp": "",
                "https://idp:0": "",
                "https://idp..example.com": "",
                "https://idp/%zz": "",
                "https://idp:99999": "",
                "https://idp/?tenant=1": "",
                "https://idp/#x": "",
                "ftp://idp/": "",
                "https://idp|x": "",
                "https://login.microsoftonline.com/{tenantid}/v2.0": "tenant's own",
                "https://idp/<tenant>/": "tenant's own",
                "https://idp/.well-known/openid-configuration": "metadata_url",
                "https://idp/.well-known/oauth-authorization-server/x": "metadata_url",
            }.items()
        ),
        ('metadata_url = "https://idp/m"', "metadata_url: needs issuer", ""),
        (f'{_CLIENT}metadata_url = "idp/m"', "metadata_url: ", ""),
        (f'{_CLIENT}metadata_url = "http://idp/m"', "metadata_url: it must begin with https", ""),
        # The code of a login comes to this computer, over http.
        *(
            (f'redirect_uri = "{uri}"', f"redirect_uri: cannot be listened on: .*{why}", "register")
            for uri, why in {
                "https://localhost:8400/cb": "not http",
                "http://example.com/cb": "host",
                "http://127.0.0.2/cb": "host",
                "http://0.0.0.0/cb": "host",
                "http://localhost:99999/cb": "host",
                "http://localhost/cb?x=1": "query",
                "http://localhost/cb#": "fragment",
                "http://me@localhost/cb": "user name",
                "http://localhost/a b": "not escaped",
                "urn:ietf:wg:oauth:2.0:oob": "host",
                "localhost:8400/cb": "host",
                "": "host",
            }.items()
        ),
        ('client_id = " "', "client_id: should be 1 to 512 plain", ""),
        ('extra_params = { " state" = "b" }', "extra_params: .*with blanks around", ""),
        ('client_id = ""', "client_id: should be 1 to 512 plain", ""),
        ('client_id = "größe"', "client_id: should be", ""),
        ('audience = ""', "audience: is empty", "leave"),
        *(
            (f'{key} = "{text}"', f"{key}: takes the text itself, env:NAME or file:PATH", "")
            for key in ("client_id", "audience")
            for text in ("keyring:", "prompt:Client", "$CLIENT", "${CLIENT}", "%CLIENT%")
        ),
        ('client_id = ["env:A", "env:B"]', "client_id: takes a string, env:NAME or file", ""),
        ('scopes = ["openid profile"]', "scopes: .*'openid profile'", "entry of its own"),
        ('scopes = ["openid", ""]', "scopes: .*''", "entry of its own"),
        ("login_timeout = 0", "login_timeout: should be seconds", ""),
        ("login_timeout = nan", "login_timeout: should be seconds", ""),
        # gatepass sets these itself: another value would break a login, or what protects it.
        *(
            (f'extra_params = {{ {name} = "x" }}', f"extra_params: cannot set {name}", hint)
            for name, hint in {
                "client_id": "client_id = ",
                "client_secret": "client_secret = ",
                "code_challenge": "",
                "nonce": "",
                "redirect_uri": "redirect_uri = ",
                "response_mode": "",
                "response_type": "",
                "scope": "scopes = ",
                "state": "",
            }.items()
        ),
        *(
            (f'token_params = {{ {name} = "x" }}', f"token_params: cannot set {name}", "")
            for name in ("grant_type", "client_secret", "scope", "code", "refresh_token")
        ),
        ('audience = "a"\nextra_params = { audience = "b" }', "extra_params: sets audience", ""),
        ('audience = "a"\ntoken_params = { audience = "b" }', "token_params: sets audience", ""),
        ('extra_params = { "" = "b" }', "extra_params: .*without a name", ""),
        # Proofs of a client.
        (f'{_CLIENT}client_auth = "post"', "client_auth: says how client_secret", ""),
        (f'{_CLIENT}client_auth = "jwt"', "client_auth: ", ""),
        (f'{_CLIENT}{_SECRET}client_key = "env:K"', "client_key: goes not together", "keep"),
        ('client_assertion = "file:/t"', "client_assertion: needs issuer", "issuer = "),
        ('client_key = "file:/t"', "client_key: needs issuer", "issuer = "),
        # A client that logs in for itself stores nothing, and no person takes part.
        (_FLOW, "flow: client_credentials needs issuer, client_id and client_secret", ""),
        ('flow = "client_credentials"', "flow: client_credentials needs", ""),
        (f"{_FLOW}{_SECRET}use_stored_token = true", "use_stored_token: ", ""),
        (f'{_FLOW}{_SECRET}refresh_token = "env:T"', "refresh_token: ", ""),
        (f'{_FLOW}{_SECRET}extra_params = {{ a = "b" }}', "extra_params: ", "token_params"),
    ],
)
def test_what_can_never_work_is_refused_before_anything_is_asked(
    keys: str, refused: str, hint: str, locations: Locations
) -> None:
    with pytest.raises(ProfileError, match=rf"profiles\.p\.auth\.{refused}") as caught:
        with_keys(locations, keys)

    key = refused.partition(":")[0]
    problem = next(each for each in caught.value.problems if each.key.endswith(key))
    line = int(problem.place.rsplit(":", 2)[1])
    assert locations.user.read_text("utf-8").splitlines()[line - 1].startswith(key)
    assert hint in problem.hint


def with_keys(locations: Locations, keys: str) -> Profile:
    locations.user.parent.mkdir(parents=True, exist_ok=True)
    head = '[profiles.p]\nurl = "https://mi.example.com"\n[profiles.p.auth]\nscheme = "oidc"\n'
    locations.user.write_text(head + keys, encoding="utf-8")
    return load_profile("p", locations=locations, environ={})


def test_all_of_them_are_told_at_once(locations: Locations) -> None:
    keys = ('issuer = "idp"', 'redirect_uri = "https://localhost"', 'scopes = ["a b"]')
    with pytest.raises(ProfileError) as caught:
        with_keys(locations, "\n".join(keys))

    assert [each.place.rsplit(":", 2)[1] for each in caught.value.problems] == ["5", "6", "7"]


@pytest.mark.parametrize(
    "keys",
    [
        'issuer = "https://idp.example.com/"',
        'issuer = "http://localhost:8080/realms/x"',
        'issuer = "http://[::1]:8080"',
        f'{_CLIENT}metadata_url = "https://elsewhere.example.com/.well-known/openid-configuration"',
        'redirect_uri = "http://localhost:8400/cb"',
        'redirect_uri = "http://[::1]"',
        "scopes = []",
        'client_id = "env:CLIENT_ID"\naudience = "file:/etc/audience"',
        'client_id = "api://1-2"\naudience = "https://mi.example.com"',
        'client_id = "file://x"\naudience = "100%"',
        f'{_FLOW}{_SECRET}client_auth = "post"\ntoken_params = {{ resource = "https://api" }}',
        f'{_FLOW}client_assertion = "file:/run/token"',
        f'{_FLOW}client_key = "file:/run/key.pem"',
        'extra_params = { organization = "o", prompt = "login" }',
    ],
)
def test_what_may_work_is_taken(keys: str, locations: Locations) -> None:
    assert with_keys(locations, keys).scheme == "oidc"


@pytest.mark.parametrize("key", ["client_secret", "refresh_token"])
def test_a_secret_with_a_line_break_is_refused_and_not_shown(
    key: str, locations: Locations
) -> None:
    with_keys(locations, _CLIENT)
    with pytest.raises(ProfileError, match=rf"{key}: holds a control character") as caught:
        load_profile("p", locations=locations, environ={}, overrides={"auth": {key: f"{SECRET}\n"}})

    assert SECRET not in str(caught.value)


def test_names_that_people_keep_in_variables_are_looked_up_and_find_the_same_login(
    locations: Locations, tmp_path: Path
) -> None:
    (tmp_path / "audience").write_text("api\n")
    keys = f'client_id = "env:CLIENT_ID"\naudience = "file:{tmp_path / "audience"}"'
    profile = with_keys(locations, keys)
    written = with_keys(locations, 'client_id = "us"\naudience = "api"')
    scheme, plain = profile.auth, written.auth
    assert isinstance(scheme, OidcKeys)
    assert isinstance(plain, OidcKeys)

    run = RunContext.of(environ={"CLIENT_ID": "us"}, interactive=False)
    named = scheme.with_names(ResolvedSecrets(profile, run))
    assert named.identity("https://mi") == plain.identity("https://mi")

    for value, kind in ({}, SecretUnavailable), ({"CLIENT_ID": "us\n"}, GatepassError):
        run = RunContext.of(environ=value, interactive=False)
        with pytest.raises(kind, match="client_id") as caught:
            scheme.with_names(ResolvedSecrets(profile, run))
        assert caught.value.exit_code == (1 if value else 3)
