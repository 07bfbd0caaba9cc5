"""Clients of httpx against real servers: who gets the login, and how often it is sent."""

import asyncio
import io
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Event, Thread
from typing import Any

import anyio.to_thread
import httpx
import pytest
import requests

from gatepass._session.connections import AUTHENTICATED
from gatepass._session.exceptions import LoginRefused, SchemeNotOffered
from gatepass._session.session import Session
from gatepass._system.context import RunContext
from gatepass._value import replace
from gatepass.auth._handshake import drain
from gatepass.errors import GatepassError, ProfileError
from gatepass.integrations.httpx import async_client, client
from gatepass.sandbox import IdentityProvider, Server
from gatepass.secrets import ref
from tests.auth.oidc.test_http import drips, raw_server
from tests.support.echo import Answer, Seen, basic, echo, redirects, refused, wants
from tests.support.peers.need import need_gssapi
from tests.support.peers.waiting import wait_for
from tests.support.sessions import ENVIRON, NOWHERE, PASSWORD, USER, profile_for, session_for

LOGIN = basic(USER, PASSWORD)


async def _fetch(session: Session, method: str, url: str, keys: dict[str, Any]) -> httpx.Response:
    async with async_client(session) as mi:
        mi.follow_redirects = True
        return await mi.request(method, url, **keys)


def fetch(
    kind: str, session: Session, url: str, method: str = "GET", **keys: Any
) -> httpx.Response:
    """Make one request by a client of its own."""
    if kind == "async":
        return asyncio.run(_fetch(session, method, url, keys))
    with client(session) as mi:
        mi.follow_redirects = True
        return mi.request(method, url, **keys)


both = pytest.mark.parametrize("kind", ["sync", "async"])


@both
def test_a_relative_url_lies_below_the_profiles_and_the_login_is_not_to_be_seen(kind: str) -> None:
    with echo(wants(LOGIN)) as server, session_for(server.url, headers={"X-App": "1"}) as session:
        answers = [fetch(kind, session, each) for each in ("a%2Fb?q=1", "/a", "//evil.example/a")]

    assert server.paths == ["/mi/a%2Fb?q=1", "/mi/a", "/mi/a"]
    assert {each.headers["x-app"] for each in server.seen} == {"1"}
    assert {each.status_code for each in answers} == {200}
    assert not any("authorization" in each.request.headers for each in answers)


@both
def test_no_other_server_gets_login_or_headers_of_the_profile(kind: str) -> None:
    """Neither asked nor redirected to; and once there, a redirect back is not logged on either."""
    with echo() as other, echo() as server:
        server.answers = redirects({"/mi/away": f"{other.url}back"})
        other.answers = redirects({"/mi/back": f"{server.url}x"})
        headers = {"X-Key": ref("env:MI_PASSWORD"), "X-App": "1"}
        environ = {"MI_PASSWORD": "canary"}
        with session_for(server.url, headers=headers, environ=environ) as session:
            fetch(kind, session, other.url)
            answer = fetch(kind, session, "away")

    assert [each.headers.get("x-app") for each in other.seen] == [None, None]
    assert [each.headers.get("x-key") for each in other.seen] == [None, None]
    assert other.authorizations == [None, None]
    assert server.authorizations == [basic(USER, "canary"), None]
    assert not any("authorization" in each.request.headers for each in answer.history)


@both
def test_a_login_of_the_caller_takes_the_place_of_the_profiles(kind: str) -> None:
    with echo() as server, session_for(server.url) as session:
        fetch(kind, session, "x", auth=("eve", "pw"))

    assert server.authorizations == [basic("eve", "pw")]


@both
def test_a_refused_password_is_sent_once_in_the_process(kind: str) -> None:
    with echo(lambda _: refused('Basic realm="x"')) as server, session_for(server.url) as session:
        for _ in range(2):
            with pytest.raises(LoginRefused, match="refused the login of bob"):
                fetch(kind, session, "x")
        with pytest.raises(LoginRefused):
            session.get("x")

    assert len(server.seen) == 1


def test_many_tasks_with_a_wrong_password_make_one_attempt() -> None:
    async def attempts(session: Session) -> list[Any]:
        async with async_client(session) as mi:
            return await asyncio.gather(*[mi.get("x") for _ in range(20)], return_exceptions=True)

    with echo(lambda _: refused('Basic realm="x"')) as server, session_for(server.url) as session:
        results = asyncio.run(attempts(session))

    assert {type(each) for each in results} == {LoginRefused}
    assert len([each for each in server.seen if each.authorization]) == 1


@pytest.mark.parametrize("scheme", ["credentials", "autologon"])
def test_a_login_that_belongs_to_a_connection_is_for_a_session(scheme: str) -> None:
    if scheme == "autologon":
        need_gssapi()
    with (
        session_for(NOWHERE, scheme) as session,
        pytest.raises(ProfileError, match=scheme) as caught,
    ):
        client(session)

    assert "gatepass.Session" in caught.value.hint


@both
def test_anonymous_is_told_what_the_server_asks_for(kind: str) -> None:
    with (
        Server(mode="standalone") as server,
        session_for(server.url, "anonymous") as session,
        pytest.raises(SchemeNotOffered, match="offers Basic"),
    ):
        fetch(kind, session, "Health/v2.svc")


@both
def test_a_proxy_of_the_profile_is_taken_and_its_refused_password_sent_once(kind: str) -> None:
    answer = Answer(407, [("Proxy-Authenticate", 'Basic realm="p"')])
    with echo(lambda _: answer) as proxy:
        login = {"url": proxy.root, "user_name": "p", "password": ref("env:MI_PASSWORD")}
        url = "http://mi.example.com/mi/"
        with session_for(url, allow_http=True, proxy=login) as session:
            for _ in range(2):
                with pytest.raises(httpx.ProxyError, match="refused the login of p"):
                    fetch(kind, session, "x")

    assert [each.headers["proxy-authorization"] for each in proxy.seen] == [basic("p", PASSWORD)]


@both
def test_a_passing_answer_is_asked_for_again(kind: str) -> None:
    answers = iter([Answer(503, [("Retry-After", "0")]), Answer()])
    with echo(lambda _: next(answers)) as server, session_for(server.url) as session:
        assert fetch(kind, session, "x").status_code == 200


# ---------------------------------------------------------------- oidc


class Office:
    """A server in OIDC mode, its provider, and a session whose access token the test can end."""

    def __init__(self, stack: ExitStack) -> None:
        self.ahead = 0.0  # so many seconds the provider and the server are ahead of the test
        self.session_ahead = 0.0  # and the session
        self.idp = stack.enter_context(
            IdentityProvider(
                users={"alice": "pw"},
                access_token_seconds=600,
                id_token=False,  # it would come from the future
                clock=lambda: time.time() + self.ahead,
            )
        )
        self.server = stack.enter_context(Server(mode="oidc", provider=self.idp))
        auth = {"issuer": self.idp.issuer, "refresh_token": ref("env:TOKEN")}
        environ = {"TOKEN": self.idp.issue()["refresh_token"], **ENVIRON}
        run = RunContext.of(environ=environ, interactive=False)
        run = replace(run, clock=lambda: time.time() + self.session_ahead)
        profile = profile_for(self.server.url, "oidc", auth=auth)
        self.session = stack.enter_context(Session._from_checked(profile, run))


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with ExitStack() as stack:
        yield Office(stack)


PAGE = "Health/v2.svc"


@pytest.mark.parametrize("ends", ["at the server", "soon"])
def test_a_hundred_tasks_over_a_token_that_ends_make_one_token_request(
    ends: str, office: Office
) -> None:
    """And the event loop goes on: another task counts on while the provider is asked.

    A token that ends within a minute is renewed before any request is sent with it.
    """

    async def run() -> tuple[list[int], int]:
        counted, is_over = 0, False

        async def count() -> None:
            nonlocal counted
            while not is_over:
                counted += 1
                await asyncio.sleep(0)

        async with async_client(office.session) as mi:
            assert (await mi.get(PAGE)).status_code == 200
            if ends == "soon":
                office.session_ahead = 545
            else:
                office.ahead = 3600
            counter = asyncio.create_task(count())
            answers = await asyncio.gather(*[mi.get(PAGE) for _ in range(100)])
            is_over = True
            await counter
        return [each.status_code for each in answers], counted

    statuses, counted = asyncio.run(run())

    assert statuses == [200] * 100
    assert office.idp.counts.token_requests == {"refresh_token": 2}
    sent = [each.status for each in office.server.requests if each.has_authorization]
    assert (401 in sent) is (ends != "soon")
    assert counted > 100


def test_while_one_task_waits_for_the_login_others_run(office: Office) -> None:
    """A thread holds the login's turn until another task has asked the server for something."""
    turn = office.session._login.authenticator._own.turn  # type: ignore[attr-defined]
    held, released = Event(), Event()

    def hold() -> None:
        with turn:
            held.set()
            released.wait(30)

    async def run() -> httpx.Response:
        async with async_client(office.session) as mi:
            task = asyncio.create_task(mi.get(PAGE))
            async with httpx.AsyncClient(trust_env=False) as bare:
                assert (await bare.get(office.server.url)).status_code == 401
            assert not task.done()
            released.set()
            return await task

    holder = Thread(target=hold)
    holder.start()
    assert held.wait(30)
    try:
        assert asyncio.run(run()).status_code == 200
    finally:
        released.set()
        holder.join()


class Pipe(io.BytesIO):
    """A file that is read once."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: Any) -> int:
        raise io.UnsupportedOperation


async def stream() -> AsyncIterator[bytes]:
    yield b"abc"


@pytest.mark.parametrize(
    ("kind", "make", "is_replayed"),
    [
        *(
            (kind, *row)
            for kind in ("sync", "async")
            for row in (
                (lambda: {"json": {"a": "ä"}}, True),
                (lambda: {"files": {"f": b"abc"}}, True),
                (lambda: {"files": {"f": io.BytesIO(b"abc")}}, True),
                (lambda: {"files": {"f": Pipe(b"abc")}}, False),
            )
        ),
        ("sync", lambda: {"content": io.BytesIO(b"abc")}, True),
        ("sync", lambda: {"content": Pipe(b"abc")}, False),
        ("sync", lambda: {"content": iter([b"abc"])}, False),
        ("async", lambda: {"content": stream()}, False),
    ],
)
def test_a_body_that_rewinds_is_sent_again_with_the_new_token(
    kind: str, make: Callable[[], dict[str, Any]], is_replayed: bool, office: Office
) -> None:
    body = make()
    fetch(kind, office.session, PAGE)
    office.ahead = 3600
    if is_replayed:
        assert fetch(kind, office.session, "query", "POST", **body).status_code < 400
        lengths = [each.body_length for each in office.server.requests if each.method == "POST"]
        assert len(lengths) == 2
        assert lengths[0] == lengths[1] > 0
    else:
        with pytest.raises(GatepassError, match="read only once"):
            fetch(kind, office.session, "query", "POST", **body)
    assert office.idp.counts.refreshes == 2


def test_a_file_is_sent_again_where_a_redirect_leads() -> None:
    """By itself httpx would send the rest of it, which is nothing."""
    with echo() as server, session_for(server.url) as session:
        moved = Answer(307, [("Location", f"{server.url}there")])
        server.answers = lambda seen: Answer() if "there" in seen.path else moved
        assert fetch("sync", session, "x", "POST", content=io.BytesIO(b"abc")).status_code == 200

    assert [each.body for each in server.seen if each.method == "POST"] == [b"abc", b"abc"]


def test_a_stream_that_uses_the_client_itself_is_no_deadlock_at_the_first_login() -> None:
    async def run(session: Session) -> int:
        async with async_client(session) as mi:

            async def copied() -> AsyncIterator[bytes]:
                yield (await mi.get("from")).content

            return (await mi.post("to", content=copied())).status_code

    with echo(wants(LOGIN)) as server, session_for(server.url) as session:
        assert asyncio.run(asyncio.wait_for(run(session), 30)) == 200

    assert server.seen[0].method == "HEAD"
    assert [each.body for each in server.seen if each.method == "POST"] == [b"ok"]


@both
@pytest.mark.parametrize(
    "head", [b"Content-Length: 400\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n0;"]
)
def test_a_refusal_that_drips_is_given_up_at_its_deadline(kind: str, head: bytes) -> None:
    """Each drop comes long before a timeout of the socket; whole, the page takes 20 seconds."""

    def is_whole(mi: Any, url: str) -> bool:
        transport = mi._transport._connections.transports[AUTHENTICATED]
        return drain(transport.send(requests.Request("GET", url).prepare()), 0.2)

    async def is_whole_in_loop(session: Session, url: str) -> bool:
        async with async_client(session) as mi:
            return await anyio.to_thread.run_sync(is_whole, mi, url)

    refusal = drips(b"HTTP/1.1 401 Unauthorized\r\n" + head, b"x")
    with raw_server(refusal) as url, session_for(url) as session:
        if kind == "async":
            assert not asyncio.run(is_whole_in_loop(session, url))
        else:
            with client(session) as mi:
                assert not is_whole(mi, url)


def test_a_cancelled_task_stops_its_request_and_the_client_goes_on() -> None:
    arrived, released = Event(), Event()

    def slow(seen: Seen) -> Answer:
        if seen.path.endswith("slow"):
            arrived.set()
            released.wait(30)
        return Answer()

    async def run(session: Session) -> int:
        async with async_client(session) as mi:
            await mi.get("x")
            task = asyncio.create_task(mi.get("slow"))
            await asyncio.to_thread(arrived.wait, 30)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            released.set()
            return (await mi.get("x")).status_code

    with echo(slow) as server, session_for(server.url) as session:
        assert asyncio.run(run(session)) == 200


@both
def test_a_name_is_enough_and_all_connections_are_closed_with_the_client(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those of the session, which here has made one of its own."""

    async def use(mi: httpx.AsyncClient) -> int:
        async with mi:
            return (await mi.get(PAGE)).status_code

    with Server(mode="standalone", users={USER: PASSWORD}) as server:
        file = tmp_path / "profiles.toml"
        auth = f'{{ scheme = "basic", user_name = "{USER}", password = "env:MI_PASSWORD" }}'
        file.write_text(f'[profiles.prod]\nurl = "{server.url}"\nauth = {auth}\n')
        file.chmod(0o600)
        monkeypatch.setenv("GATEPASS_CONFIG_FILE", str(file))
        monkeypatch.setenv("MI_PASSWORD", PASSWORD)
        mi: Any = async_client("prod") if kind == "async" else client("prod")
        [session] = mi._transport._owned
        session.get(PAGE)
        if kind == "async":
            assert asyncio.run(use(mi)) == 200
        else:
            with mi:
                assert mi.get(PAGE).status_code == 200
        wait_for(lambda: not server._listener._open, 10, "the end of the connections")


@pytest.mark.parametrize("missing", ["httpx", "anyio"])
def test_without_the_package_the_error_says_what_to_install(missing: str) -> None:
    script = f"import sys; sys.modules[{missing!r}] = None; import gatepass.integrations.httpx"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert f"PluginError: the package {missing} is not installed" in done.stderr
    assert "pip install 'gatepass[httpx]'" in done.stderr
