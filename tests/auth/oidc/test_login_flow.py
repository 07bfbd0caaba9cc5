"""A login by each flow, and the provider to which it goes."""

import re
from collections.abc import Callable
from dataclasses import replace
from threading import Thread

import pytest
import requests

from gatepass._session.exceptions import LoginRefused
from gatepass._session.session import Session
from gatepass._system.context import RunContext
from gatepass._system.terminal import Terminal
from gatepass.auth._oidc.login import OidcLogin
from gatepass.errors import GatepassError, LoginRequired
from tests.auth.test_oidc import CLIENT, World, login_of
from tests.auth.test_oidc import make as make  # noqa: PLC0414 - a fixture
from tests.support.echo import Answer, echo
from tests.support.faulty_provider import FaultyProvider
from tests.support.sessions import profile_for

pytestmark = pytest.mark.filterwarnings("ignore:the identity provider gave no refresh token")


def test_the_page_says_success_only_when_the_login_is_complete(
    make: Callable[..., World],
) -> None:
    """With an ID token for somebody else's login, the browser must not be told that all is well."""
    world = make()
    pages: list[str] = []
    mi = world.session(person=True)

    def browse(url: str) -> None:
        address = world.idp.sign_in(url, "alice").replace("code=", "code=x")
        Thread(target=lambda: pages.append(requests.get(address, timeout=30).text)).start()

    login_of(mi)._context.terminal._open_url = browse
    with pytest.raises(GatepassError):
        mi.get("x")

    assert "success" not in "".join(pages).lower()


def test_a_spoofed_challenge_gets_no_stored_token(make: Callable[..., World]) -> None:
    """A hostile API names its own authority; the stored token goes to the pinned one or nowhere."""
    world = make()
    mi = world.logged_in()
    with FaultyProvider(users={"eve": "pw"}, clients={CLIENT: None}) as evil:
        challenge = (
            f'Bearer authority="{evil.issuer}", clientid="{CLIENT}", '
            'redirecturi="http://127.0.0.1/callback", scope="openid", error="invalid_token"'
        )
        world.api.answers = lambda _: Answer(401, [("WWW-Authenticate", challenge)])
        with pytest.raises(LoginRefused):
            mi.get("x")
        world.idp.revoke("alice")
        for person in (False, True):
            with pytest.raises(GatepassError):
                world.session(person=person, login_timeout=5.0).get("x")
        assert evil.requests == ()


@pytest.mark.parametrize("other", ["authority", "clientid"])
def test_another_provider_than_the_stored_logins_is_not_even_asked(
    make: Callable[..., World], other: str
) -> None:
    """Nor is the right one, for a client that is not ours."""
    world = make()
    world.logged_in()
    world.idp.revoke("alice")
    with echo() as evil:
        named = {"authority": world.idp.issuer, "clientid": CLIENT}
        named[other] = evil.root
        challenge = ", ".join(f'{name}="{value}"' for name, value in named.items())
        world.api.answers = lambda _: Answer(401, [("WWW-Authenticate", f"Bearer {challenge}")])
        mi = world.session(person=True, login_timeout=5.0)
        with pytest.raises(LoginRequired):  # the provider says that the login has ended
            world.session().get("x")
        asked = len(world.idp.requests)
        with pytest.raises(GatepassError, match=f"(?s)now names .*{evil.root}.*gatepass logout"):
            mi.login()

        assert evil.connections == 0
        assert len(world.idp.requests) == asked


def test_a_carried_token_goes_nowhere_that_is_learnt_over_http(make: Callable[..., World]) -> None:
    """Also where the profile allows http: anybody on the way could name the identity provider."""
    world = make()
    keys = {"proxy": world.api.root, "allow_http": True}
    profile = profile_for("http://mi.test/mi", "oidc", auth={"refresh_token": "rt"}, **keys)

    with pytest.raises(GatepassError, match=r"refresh_token .* is refused: it must begin with ht"):
        Session._from_checked(profile, RunContext.of(environ={}, interactive=False)).get("x")

    assert world.api.seen == []


def test_a_client_with_a_secret_logs_on_by_itself(make: Callable[..., World]) -> None:
    world = make()
    with FaultyProvider(
        users={}, clients={"svc": "se:c%41r+t /&=?~"}, access_token_seconds=3600
    ) as idp:
        mi = world.session(
            flow="client_credentials",
            issuer=idp.issuer,
            client_id="svc",
            client_secret="se:c%41r+t /&=?~",
        )
        assert mi.get("x").ok
        assert mi.get("y").ok

        assert idp.counts.token_requests == {"client_credentials": 1}


@pytest.mark.parametrize("flow", ["browser", "client_credentials"])
def test_a_provider_that_is_busy_for_a_moment_is_asked_again(
    make: Callable[..., World], flow: str
) -> None:
    """Also after a person has logged in, who would have to do it again."""
    world = make()
    with FaultyProvider(users={"alice": "pw"}, clients={"svc": "s"}) as idp:
        world.idp = idp
        idp.answer_once("token", status=503, headers=[("Retry-After", "0")])
        keys = {"issuer": idp.issuer, "client_id": "svc", "client_secret": "s", "flow": flow}
        mi = world.session(person=True, **keys, token_params={"resource": "https://mi"})

        assert mi.get("x").ok
        asked = [each for each in idp.requests if each.grant_type]
        assert all("resource" in each.parameters for each in asked)
        assert [each.status for each in asked] == [503, 200]


def test_a_provider_of_plain_oauth_is_told_to_be_asked_without_openid(
    make: Callable[..., World],
) -> None:
    world = make()
    tokens = b'{"access_token": "at", "refresh_token": "rt", "expires_in": 60}'

    for scopes, answer in ((None, "without openid"), (["offline_access"], "rt")):
        world.idp.answer_once("token", tokens)
        mi = world.session(person=True, scopes=scopes)
        try:
            mi.persist_oidc_token()
            told = mi.refresh_token
        except GatepassError as error:
            told = error.hint
        assert answer in told


def test_without_a_browser_another_device_logs_in(make: Callable[..., World]) -> None:
    world = make(device_interval=0.0)
    mi = world.session(flow="device")
    written: list[str] = []

    def tell(text: str) -> None:
        written.append(text)
        found = re.search(r"\b[A-Z0-9]{4}-[A-Z0-9]{4}\b", text)
        if found and len(written) == 1:
            world.idp.approve(found[0])

    login_of(mi)._context.terminal._interactive = True
    login_of(mi)._context.terminal._write = tell

    assert mi.get("x").ok
    assert world.idp.counts.logins == 1


_CODE = (
    b'{"device_code": "d", "user_code": "ABCD", "verification_uri": "https://device.test/", '
    b'"interval": 1}'
)


@pytest.mark.parametrize(
    "refusals",
    [
        [("device", b'{"error": "unauthorized_client"}', 400)],
        [("device", b'{"error": "access_denied"}', 403)],
        [("device", b"<html>Not Found</html>", 404)],
        [("device", b"{}", 200)],
        [("device", _CODE, 200), ("token", b'{"error": "unauthorized_client"}', 400)],
    ],
    ids=["of the client", "of everybody", "no such page", "no code", "when it is asked for tokens"],
)
@pytest.mark.parametrize("flow", ["browser", "device"])
def test_without_a_browser_a_code_that_is_refused_is_no_dead_end(
    make: Callable[..., World], refusals: list[tuple[str, bytes, int]], flow: str
) -> None:
    """The person opens the address anywhere, unless the profile insists on a code."""
    world, told = make(), list[str]()

    def read(text: str) -> None:
        told.append(text)
        found = re.search(r"http://[^ ]*/authorize[^ \n]*", text)
        if found:
            address = world.idp.sign_in(found[0], "alice")
            Thread(target=lambda: requests.get(address, timeout=30)).start()

    login = login_of(world.session(person=True, flow=flow))
    terminal = Terminal({}, interactive=True, write=read, open_console=lambda _: None)
    login = OidcLogin(login._scheme, replace(login._context, terminal=terminal))
    for endpoint, body, status in refusals:
        world.idp.answer_once(endpoint, body, status=status)

    if flow == "device":
        with pytest.raises(GatepassError):
            login.access_token()
        assert world.idp.counts.logins == 0
        return
    assert login.access_token().reveal()
    assert "No login with a code on another device" in "".join(told)
