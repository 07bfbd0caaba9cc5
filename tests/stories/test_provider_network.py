"""The way to the identity provider is its own: whom it trusts, which proxy it takes, what it shows.

The server's ``tls`` and ``proxy`` are the server's alone. All providers and servers here speak
TLS, with certificates of authorities that no system knows.
"""

import dataclasses
import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from gatepass._config.profile import MachineSettings
from gatepass._session.exceptions import TLSFailed
from gatepass._session.session import Session
from gatepass._system.context import RunContext
from gatepass._system.terminal import Terminal
from gatepass.auth._oidc.http import NoResponse
from gatepass.auth._oidc.login import OidcLogin
from gatepass.auth._oidc.status import create_vault_key
from gatepass.errors import GatepassError, GatepassWarning, ProfileError, SecretUnavailable
from gatepass.sandbox.provider import CLIENT_ID, SERVICE_ID, SERVICE_SECRET
from gatepass.secrets import Secret, ref
from tests.net.test_tls import server_side
from tests.support.echo import Answer, Echo, Seen, echo
from tests.support.faulty_provider import FaultyProvider
from tests.support.peers import ca as ca_peer
from tests.support.peers.ca import CLIENT_NAME, CertificateAuthority
from tests.support.peers.squid import USERS as PROXY_USERS
from tests.support.peers.squid import Squid
from tests.support.peers.waiting import free_port
from tests.support.sessions import profile_for

pytestmark = [
    pytest.mark.filterwarnings("ignore:the identity provider gave no refresh token"),
    pytest.mark.filterwarnings("ignore:Unverified HTTPS request"),
]


@pytest.fixture
def ca_of_provider(tmp_path: Path) -> CertificateAuthority:
    return ca_peer.make(tmp_path / "ca-of-provider")


@pytest.fixture
def idp(ca_of_provider: CertificateAuthority) -> Iterator[FaultyProvider]:
    """A provider with an authority of its own, whose access tokens end at once."""
    certificate = (ca_of_provider.server.chain, ca_of_provider.server.key)
    with FaultyProvider(
        users={"alice": "pw"}, certificate=certificate, access_token_seconds=0
    ) as running:
        yield running


@pytest.fixture
def api(ca: CertificateAuthority, idp: FaultyProvider) -> Iterator[Echo]:
    """A server with another authority; who brings no token is told the provider."""
    challenge = (
        f'Bearer authority="{idp.issuer}", clientid="{CLIENT_ID}", '
        'redirecturi="http://127.0.0.1/callback", scope="openid offline_access"'
    )

    def answers(seen: Seen) -> Answer:
        if seen.authorization:
            return Answer()
        return Answer(401, [("WWW-Authenticate", challenge)])

    with echo(answers, tls=server_side(ca.server, ca.ca_file)) as running:
        yield running


class Desk:
    """Builds sessions for the server, with one vault."""

    def __init__(self, api: Echo, idp: FaultyProvider, folder: Path) -> None:
        self.api, self.idp, self.folder = api, idp, folder
        create_vault_key(folder / "key")

    def session(self, environ: dict[str, str] | None = None, **keys: Any) -> Session:
        """Return a session; ``auth`` adds to a public client at the provider."""
        auth = {"issuer": self.idp.issuer, "client_id": CLIENT_ID, **keys.pop("auth", {})}
        auth = {name: value for name, value in auth.items() if value is not None}
        profile = profile_for(self.api.url, "oidc", auth=auth, **{"retries": 0, **keys})
        machine = MachineSettings(
            vault=str(self.folder / "vault"), vault_key=ref(f"file:{self.folder / 'key'}")
        )
        return Session._from_checked(
            dataclasses.replace(profile, machine=machine),
            RunContext.of(environ=environ or {}, terminal=Terminal({}, interactive=False)),
        )


@pytest.fixture
def desk(api: Echo, idp: FaultyProvider, tmp_path: Path) -> Desk:
    return Desk(api, idp, tmp_path)


SERVICE = {
    "flow": "client_credentials",
    "client_id": SERVICE_ID,
    "client_secret": Secret(SERVICE_SECRET),
    "scopes": ["api"],
}


def login_of(session: Session) -> OidcLogin:
    authenticator = session._login.authenticator
    assert isinstance(authenticator, OidcLogin)
    return authenticator


def _carried(idp: FaultyProvider) -> dict[str, Any]:
    return {"refresh_token": idp.issue()["refresh_token"]}


# ------------------------------------------------------------- whom it trusts

ServerKeys = Callable[[CertificateAuthority, CertificateAuthority], dict[str, Any]]
SERVERS: dict[str, ServerKeys] = {
    "anybody is the server": lambda _, __: {"verify": False},
    "the provider's authority is the server's": lambda _, other: {"ca_file": str(other.ca_file)},
}


@pytest.mark.parametrize("of_server", SERVERS.values(), ids=SERVERS)
def test_what_the_server_is_trusted_by_says_nothing_about_the_provider(
    desk: Desk,
    ca: CertificateAuthority,
    ca_of_provider: CertificateAuthority,
    of_server: ServerKeys,
) -> None:
    """No secret, not even a question, reaches a provider that is not proven."""
    for auth in (SERVICE, _carried(desk.idp)):
        mi = desk.session(tls=of_server(ca, ca_of_provider), auth=auth)
        with pytest.raises(NoResponse, match="unknown authority") as caught:
            mi.get("x")
        assert 'auth.tls = { ca_file = "company-ca.pem" }' in caught.value.hint

    assert desk.idp.requests == ()


def test_a_provider_that_an_unverified_server_names_must_prove_itself(desk: Desk) -> None:
    auth = {**_carried(desk.idp), "issuer": None, "client_id": None}
    mi = desk.session(tls={"verify": False}, auth=auth)

    with pytest.raises(NoResponse, match="unknown authority"):
        mi.get("x")

    assert len(desk.api.seen) == 1
    assert desk.idp.requests == ()


def test_a_stored_login_is_neither_renewed_nor_revoked_at_an_unverified_provider(
    desk: Desk, ca_of_provider: CertificateAuthority
) -> None:
    """These requests need no discovery: the addresses lie in the vault."""
    trusting = {"tls": {"ca_file": str(ca_of_provider.ca_file)}}
    first = desk.session(tls={"verify": False}, auth={**_carried(desk.idp), **trusting})
    first.persist_oidc_token()
    before = len(desk.idp.requests)

    mi = desk.session(tls={"verify": False})
    with pytest.raises(NoResponse, match="unknown authority"):
        mi.get("x")
    assert login_of(mi).logout() == "logged out here; the provider was not told"

    assert len(desk.idp.requests) == before


def test_server_and_provider_have_each_their_authority(
    desk: Desk, ca: CertificateAuthority, ca_of_provider: CertificateAuthority
) -> None:
    own = {"tls": {"ca_file": str(ca_of_provider.ca_file)}}
    mi = desk.session(tls={"ca_file": str(ca.ca_file)}, auth={**SERVICE, **own})

    assert mi.get("x").ok

    other_way_round = desk.session(
        tls={"ca_file": str(ca_of_provider.ca_file)},
        auth={**SERVICE, "tls": {"ca_file": str(ca_of_provider.ca_file)}},
    )
    with pytest.raises(TLSFailed) as caught:
        other_way_round.get("x")
    # It is the server that is not proven.
    assert caught.value.hint.startswith("trusted are only those of tls.ca_file of the profile")


def test_without_its_own_the_bundle_of_the_environment_proves_the_provider(
    desk: Desk, ca: CertificateAuthority, ca_of_provider: CertificateAuthority
) -> None:
    environ = {"REQUESTS_CA_BUNDLE": str(ca_of_provider.ca_file)}

    assert desk.session(environ, tls={"ca_file": str(ca.ca_file)}, auth=SERVICE).get("x").ok


def test_auth_tls_verify_false_is_about_the_provider_alone(
    desk: Desk, ca: CertificateAuthority
) -> None:
    anybody = {"tls": {"verify": False}}
    assert desk.session(tls={"ca_file": str(ca.ca_file)}, auth={**SERVICE, **anybody}).get("x").ok

    with pytest.raises(TLSFailed):
        desk.session(auth={**SERVICE, **anybody}).get("x")
    assert len(desk.api.seen) == 1


def test_each_warning_names_the_side_that_is_not_proven() -> None:
    auth = {"scheme": "oidc", "issuer": "https://login.example.com:8443/realm", "client_id": "c"}
    anybody = {"tls": {"verify": False}}

    def warnings_of(**overrides: Any) -> list[str]:
        environ = {"GATEPASS_PROFILES__P__URL": "https://mi.example.com/mi"}
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            Session.from_profile("p", overrides=overrides, environ=environ)
        assert {each.category for each in caught} <= {GatepassWarning}
        assert {each.filename for each in caught} <= {__file__}
        return [str(each.message) for each in caught]

    server = "tls.verify = false: nothing proves that https://mi.example.com is the right server"
    provider = "auth.tls.verify = false: nothing proves that {} is the right identity provider"
    written = provider.format("https://login.example.com:8443")
    for _ in range(2):  # each time
        assert warnings_of(auth=auth, **anybody) == [server]
        assert warnings_of(auth={**auth, **anybody}) == [written]
    assert warnings_of(auth={**auth, **anybody}, **anybody) == [server, written]
    learnt = {"scheme": "oidc", **anybody}
    assert warnings_of(auth=learnt) == [provider.format("who is named by https://mi.example.com")]


def test_an_id_token_without_keys_is_not_believed_where_anybody_may_be_the_provider(
    desk: Desk, ca_of_provider: CertificateAuthority
) -> None:
    """OpenID Connect Core 3.1.3.7 (6): TLS takes the place of the signature."""
    metadata = {name: value for name, value in desk.idp.metadata.items() if name != "jwks_uri"}

    def login(tls: dict[str, Any]) -> Secret:
        desk.idp.answer_once("metadata", json.dumps(metadata).encode())
        auth = {**_carried(desk.idp), "tls": tls}
        return login_of(desk.session(tls={"verify": False}, auth=auth)).access_token()

    assert login({"ca_file": str(ca_of_provider.ca_file)}).reveal()
    with pytest.raises(GatepassError, match="publishes no keys"):
        login({"verify": False})


@pytest.mark.parametrize(
    ("issuer", "hint"),
    [
        ("http://localhost:{port}", "check the port in auth.issuer"),
        ("https://nowhere.invalid", "check the spelling in auth.issuer"),
        (None, "check the port in what the server names as its identity provider"),
    ],
)
def test_a_provider_that_does_not_answer_is_looked_for_where_it_was_named(
    ca: CertificateAuthority, desk: Desk, issuer: str | None, hint: str
) -> None:
    port = free_port()
    challenge = f'Bearer authority="http://localhost:{port}", clientid="{CLIENT_ID}"'
    auth = SERVICE if issuer else {**_carried(desk.idp), "client_id": None}
    auth = {**auth, "issuer": issuer and issuer.format(port=port)}

    asks = Answer(401, [("WWW-Authenticate", challenge)])

    with echo(lambda _: asks, tls=server_side(ca.server)) as api:
        desk.api = api
        mi = desk.session(tls={"ca_file": str(ca.ca_file)}, auth=auth)
        with pytest.raises(NoResponse) as caught:
            mi.get("x")

    assert hint in caught.value.hint


# ------------------------------------------------------------- the provider is the server


@contextmanager
def _in_one(ca: CertificateAuthority) -> Iterator[Echo]:
    """A server that is its own identity provider."""

    def answers(seen: Seen) -> Answer:
        issuer = f"{running.root}/idp"
        if seen.path.endswith("/openid-configuration"):
            found = {"issuer": issuer, "token_endpoint": f"{issuer}/token"}
            return Answer(body=json.dumps(found).encode())
        if seen.path == "/idp/token":
            body = b'{"access_token": "t", "token_type": "Bearer", "expires_in": 60}'
            return Answer(headers=[("Content-Type", "application/json")], body=body)
        return Answer()

    with echo(answers, tls=server_side(ca.server, ca.ca_file)) as running:
        yield running


def test_a_provider_at_the_profiles_origin_is_the_server(ca: CertificateAuthority) -> None:
    """Then the profile's ``tls`` and ``proxy`` count, and those of ``auth`` do not."""
    nobody = {"tls": {"verify": True}, "proxy": "http://localhost:1"}
    with _in_one(ca) as both:
        auth = {**SERVICE, **nobody, "issuer": f"{both.root}/idp"}
        tls = {"ca_file": str(ca.ca_file)}
        profile = profile_for(both.url, "oidc", auth=auth, tls=tls, retries=0)
        assert Session._from_checked(profile, RunContext.of(environ={})).get("x").ok
        assert both.paths[-2:] == ["/idp/token", "/mi/x"]

        both.seen.clear()
        auth["tls"] = {"verify": False}
        profile = profile_for(both.url, "oidc", auth=auth, retries=0)
        with pytest.raises(NoResponse, match="unknown authority") as caught:
            Session._from_checked(profile, RunContext.of(environ={})).get("x")
        assert "   tls = {" in caught.value.hint
        assert both.seen == []


def test_a_redirect_from_the_server_leads_to_the_other_way_and_back(
    ca: CertificateAuthority,
) -> None:
    """Whoever asks for a scheme, each hop is trusted as the one it reaches."""
    tls = server_side(ca.server)
    with (
        echo(lambda _: Answer(302, [("Location", f"{home.root}/end")]), tls) as other,
        echo(lambda seen: _away(seen, other), tls) as home,
    ):
        server_only = profile_for(home.url, "oidc", tls={"verify": False})
        with (
            Session._from_checked(server_only, RunContext.of(environ={})) as mi,
            pytest.raises(TLSFailed) as caught,
        ):
            mi._http().get(f"{home.root}/away")
        assert other.root.removeprefix("https://") in str(caught.value)
        assert other.seen == []

        both = profile_for(
            home.url, "oidc", tls={"verify": False}, auth={"tls": {"ca_file": str(ca.ca_file)}}
        )
        with Session._from_checked(both, RunContext.of(environ={})) as mi:
            assert mi._http().get(f"{home.root}/away").ok
        assert (other.paths, home.paths[-1]) == (["/there"], "/end")


def _away(seen: Seen, other: Echo) -> Answer:
    if seen.path == "/away":
        return Answer(302, [("Location", f"{other.root}/there")])
    return Answer()


def test_the_usual_port_may_be_written_or_left_out() -> None:
    profile = profile_for("https://mi.example.com/mi", "oidc")
    http = Session._from_checked(profile, RunContext.of(environ={}))._http()

    home = http.get_adapter("https://mi.example.com/idp")
    assert http.get_adapter("https://MI.example.com:443/idp") is home
    for other in (
        "https://mi.example.com:8443/",
        "http://mi.example.com/",
        "https://mi.example.com.evil.test/",
        "https://mi.example.com@evil.test/",
    ):
        assert http.get_adapter(other) is not home


# ------------------------------------------------------------- what it shows


def test_a_clients_certificate_goes_to_its_own_side_only(ca: CertificateAuthority) -> None:
    def shown(http: Any, url: str, server: Echo) -> str:
        assert http.get(url).ok
        return server.seen[-1].client

    trusting = {"ca_file": str(ca.ca_file)}
    with_certificate = {
        **trusting,
        "client_cert": str(ca.encrypted_client.chain),
        "client_key": str(ca.encrypted_client.key),
        "client_key_password": Secret(ca_peer.PASSPHRASE),
    }
    tls = server_side(ca.server, ca.ca_file)
    with echo(tls=tls) as server, echo(tls=tls) as provider:
        of_server = Session._from_checked(
            profile_for(server.url, "oidc", tls=with_certificate, auth={"tls": trusting}),
            RunContext.of(environ={}),
        )
        assert shown(of_server._http(), provider.url, provider) == ""

        of_provider = Session._from_checked(
            profile_for(server.url, "oidc", tls=trusting, auth={"tls": with_certificate}),
            RunContext.of(environ={}),
        )
        assert shown(of_provider._http(), provider.url, provider) == CLIENT_NAME
        assert shown(of_provider._http(), server.url, server) == ""
        with_token = of_provider.get("x", headers={"Authorization": "Bearer own"})
        assert (with_token.ok, server.seen[-1].client) == (True, "")


def test_a_mistake_in_the_providers_certificates_shows_when_the_session_is_built(
    tmp_path: Path, ca: CertificateAuthority
) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"ca_file": str(tmp_path / "none.pem")}, "auth.tls.ca_file"),
        (
            {
                "client_cert": str(ca.encrypted_client.chain),
                "client_key": str(ca.encrypted_client.key),
                "client_key_password": Secret("wrong"),
            },
            "auth.tls.client_key_password",
        ),
        (
            {
                "client_cert": str(ca.encrypted_client.chain),
                "client_key": str(ca.encrypted_client.key),
            },
            "to the table auth.tls",
        ),
    ]
    for tls, named in cases:
        profile = profile_for("https://mi.example.com", "oidc", auth={"tls": tls})
        with pytest.raises(ProfileError) as caught:
            Session._from_checked(profile, RunContext.of(environ={}))
        assert named in caught.value.hint


# ------------------------------------------------------------- which proxy it takes


def _by(squid: Squid, user: str) -> dict[str, Any]:
    return {"url": squid.url, "user_name": user, "password": ref(f"env:{user.upper()}")}


def _targets(squid: Squid, mark: Any, count: int) -> set[tuple[str, str]]:
    lines = squid.wait_for_lines(mark, count)
    return {(line.user, line.target.rpartition(":")[2]) for line in lines}


def test_server_and_provider_have_each_their_proxy_and_its_login(
    desk: Desk, squid: Squid, ca: CertificateAuthority, ca_of_provider: CertificateAuthority
) -> None:
    environ = {user.upper(): password for user, password in PROXY_USERS.items()}
    tls = {"ca_file": str(ca.ca_file)}
    own_tls = {"tls": {"ca_file": str(ca_of_provider.ca_file)}}
    to_server = str(urlsplit(desk.api.url).port)
    to_provider = str(urlsplit(desk.idp.issuer).port)
    petra, paul = _by(squid, "petra"), _by(squid, "paul")
    cases: list[tuple[Any, Any, set[tuple[str, str]]]] = [
        (petra, None, {("petra", to_server)}),
        (None, paul, {("paul", to_provider)}),
        (petra, paul, {("petra", to_server), ("paul", to_provider)}),
    ]
    for of_server, of_provider, expected in cases:
        mark = squid.mark()
        keys = {"proxy": of_server} if of_server else {}
        more = {"proxy": of_provider} if of_provider else {}
        with desk.session(environ, tls=tls, auth={**SERVICE, **own_tls, **more}, **keys) as mi:
            assert mi.get("x").ok
        assert _targets(squid, mark, len(expected)) == expected


def test_the_proxy_of_the_environment_is_each_sides_default(
    desk: Desk, squid: Squid, ca: CertificateAuthority, ca_of_provider: CertificateAuthority
) -> None:
    environ = {"HTTPS_PROXY": squid.url_for("paul")}
    tls = {"ca_file": str(ca.ca_file)}
    own_tls = {"tls": {"ca_file": str(ca_of_provider.ca_file)}}
    to_server = str(urlsplit(desk.api.url).port)
    to_provider = str(urlsplit(desk.idp.issuer).port)

    mark = squid.mark()
    with desk.session(environ, tls=tls, proxy="none", auth={**SERVICE, **own_tls}) as mi:
        assert mi.get("x").ok
    assert _targets(squid, mark, 1) == {("paul", to_provider)}

    mark = squid.mark()
    direct = {**SERVICE, **own_tls, "proxy": "none"}
    with desk.session(environ, tls=tls, auth=direct) as mi:
        assert mi.get("x").ok
    assert _targets(squid, mark, 1) == {("paul", to_server)}


def test_a_proxy_that_refuses_the_provider_is_told_by_its_own_key(
    desk: Desk, squid: Squid, ca: CertificateAuthority
) -> None:
    """The login of the server's proxy does not help, although it is the same proxy."""
    environ = {"PAUL": PROXY_USERS["paul"]}
    for proxy, words in ((squid.url, "asks for a login"), ("http://localhost:1", "no way through")):
        mi = desk.session(
            environ,
            tls={"ca_file": str(ca.ca_file)},
            proxy=_by(squid, "paul"),
            auth={**SERVICE, "proxy": proxy},
        )
        with pytest.raises(NoResponse, match=words) as caught:
            mi.get("x")
        assert "auth.proxy" in caught.value.hint

    assert desk.idp.requests == ()


def test_a_secret_of_the_way_that_is_missing_is_told_when_the_session_is_built() -> None:
    auth = {
        "proxy": {"url": "http://p:1", "user_name": "me", "password": ref("env:NO_PROXY_PW")},
        "tls": {"client_cert": "c.pem", "client_key_password": ref("env:NO_KEY_PW")},
    }
    profile = profile_for("https://mi.example.com", "oidc", auth=auth)

    with pytest.raises(SecretUnavailable) as caught:
        Session._from_checked(profile, RunContext.of(environ={}))

    assert "auth.proxy.password: " in caught.value.message
    assert "auth.tls.client_key_password: " in caught.value.message


def test_the_keyword_tls_is_about_the_server(desk: Desk) -> None:
    token = desk.idp.issue()["refresh_token"]
    keys: dict[str, Any] = {"oidc": True, "refresh_token": token, "retries": 0}
    with pytest.warns(GatepassWarning, match=r"^tls\.verify = false.*localhost.* right server"):
        mi = Session(desk.api.url, tls={"verify": False}, environ={}, **keys)
    with pytest.raises(NoResponse, match="unknown authority"):
        mi.get("x")
    assert desk.idp.requests == ()
