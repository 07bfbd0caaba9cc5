"""Talking to an identity provider: what may be sent where, and how long and how much is read."""

import gzip
import socket
import time
import traceback
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from urllib.parse import parse_qs

import pytest
import requests

from gatepass._session.adapter import Network
from gatepass._system.deadline import Deadline
from gatepass.auth._oidc.http import (
    MAX_BYTES,
    InvalidResponse,
    NoResponse,
    NotSent,
    ResponseLost,
    _CancellableBody,
    get_json,
    post_form,
)
from gatepass.auth._oidc.token_response import parse_tokens
from gatepass.secrets import Secret
from tests.net.test_tls import server_side
from tests.support.echo import Answer, Seen, echo
from tests.support.peers.ca import CertificateAuthority
from tests.support.peers.waiting import free_port

CANARY = "canary-refresh-token"
FORM = {"grant_type": "refresh_token", "refresh_token": CANARY}


def ours() -> requests.Session:
    """A session whose errors are those of gatepass."""
    return Network({}, retries=0).plain_session()


SESSIONS = [requests.Session, ours]


@contextmanager
def raw_server(
    speak: Callable[[socket.socket, Event], None], over: Event | None = None
) -> Iterator[str]:
    """Take connections and speak as a test says, until it is over."""
    over = over or Event()

    def take() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                Thread(target=serve, args=(connection,), daemon=True).start()

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            speak(connection, over)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        Thread(target=take, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/token"
        finally:
            over.set()
            listening.shutdown(socket.SHUT_RDWR)


def drips(head: bytes, drop: bytes, tail: bytes = b"") -> Callable[[socket.socket, Event], None]:
    """Send a head, then some 400 drops over 20 seconds, then a tail that makes it whole."""

    def speak(connection: socket.socket, over: Event) -> None:
        connection.recv(65536)
        connection.sendall(head)
        for _ in range(400):
            if over.wait(0.05):
                return
            connection.sendall(drop)
        connection.sendall(tail)
        over.set()

    return speak


SLOW = {
    "body": drips(b"HTTP/1.1 200 OK\r\nContent-Length: 402\r\n\r\n{", b" ", b"}"),
    "head": drips(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Slow: ", b"x", b"\r\n\r\n{}"),
    "packed": drips(
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Encoding: gzip\r\n\r\n",
        gzip.compress(b" "),
        gzip.compress(b"{}"),
    ),
}


def hangs_up(connection: socket.socket, _: Event) -> None:
    connection.recv(65536)


def never_answers(connection: socket.socket, over: Event) -> None:
    connection.recv(65536)
    over.wait()


# What is sent.


@pytest.mark.parametrize("http", SESSIONS)
def test_a_form_arrives_as_it_is_and_the_answer_comes_back_whatever_it_is(
    http: Callable[[], requests.Session],
) -> None:
    with echo(lambda _: Answer(418, [("X-Odd", "1")], b"\xff")) as server:
        response = post_form(http(), server.url, {**FORM, "scope": "a b&c"})

        (seen,) = server.seen
        assert (seen.method, seen.path) == ("POST", "/mi/")
        assert seen.headers["content-type"] == "application/x-www-form-urlencoded"
        assert parse_qs(seen.body.decode()) == {
            "grant_type": ["refresh_token"],
            "refresh_token": [CANARY],
            "scope": ["a b&c"],
        }
        assert (response.status, response.headers["x-odd"], response.body) == (418, "1", b"\xff")
        assert response.url == server.url


def test_no_login_of_the_machine_is_added(tmp_path: Path) -> None:
    (tmp_path / "home" / ".netrc").write_text("machine localhost login a password b\n")
    with echo(lambda _: Answer(body=b"{}")) as server:
        http = requests.Session()
        assert http.get(server.url).request.headers["Authorization"]  # so requests would

        get_json(http, server.url)
        post_form(http, server.url, FORM)

        assert server.authorizations[1:] == [None, None]


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(code: int) -> None:
    with echo() as other:
        to = Answer(code, [("Location", other.url)], b"{}")
        with echo(lambda _: to) as server:
            assert post_form(ours(), server.url, FORM).status == code
            with pytest.raises(InvalidResponse, match="a redirect to .* that is not followed"):
                get_json(ours(), server.url)
        assert other.seen == []


# What fails.


@pytest.mark.parametrize("http", SESSIONS)
def test_a_request_that_found_no_server_was_certainly_not_sent(
    http: Callable[[], requests.Session],
) -> None:
    unknown = "https://nobody.invalid/token"
    for url in (f"http://localhost:{free_port()}/token", unknown):
        with pytest.raises(NotSent):
            post_form(http(), url, FORM)


@pytest.mark.parametrize("http", SESSIONS)
@pytest.mark.parametrize("peer", ["unknown authority", "no TLS"])
def test_a_request_behind_a_failed_handshake_was_certainly_not_sent(
    ca: CertificateAuthority, http: Callable[[], requests.Session], peer: str
) -> None:
    tls = server_side(ca.server) if peer == "unknown authority" else None
    with echo(tls=tls) as server:
        with pytest.raises(NotSent):
            post_form(http(), server.url.replace("http://", "https://"), FORM)

        assert server.seen == []


@pytest.mark.parametrize("http", SESSIONS)
@pytest.mark.parametrize("ahead", [(-1, 60), (60, -1)])
def test_nothing_leaves_after_the_deadline_of_either_clock(
    http: Callable[[], requests.Session], ahead: tuple[float, float]
) -> None:
    """A process that was stopped, or a computer that slept, finds that its time is over."""
    until = Deadline(time.monotonic() + ahead[0], time.time() + ahead[1])
    with echo() as server:
        with pytest.raises(NotSent):
            post_form(http(), server.url, FORM, until=until)
        assert not any(seen.body for seen in server.seen)


def test_our_own_explanation_of_a_failure_is_kept(ca: CertificateAuthority) -> None:
    with echo(tls=server_side(ca.server)) as server:
        with pytest.raises(NotSent, match="unknown authority") as caught:
            post_form(ours(), server.url, FORM)
        with pytest.raises(NoResponse, match="unknown authority"):
            get_json(ours(), server.url)

    assert "ca_file" in caught.value.hint


@pytest.mark.parametrize("http", SESSIONS)
def test_a_request_without_a_whole_answer_in_time_may_have_arrived(
    http: Callable[[], requests.Session],
) -> None:
    def ask(speak: Callable[[socket.socket, Event], None]) -> None:
        whole = Event()
        with raw_server(speak, whole) as url:
            with pytest.raises(ResponseLost):
                post_form(http(), url, FORM, seconds=0.6)
            with pytest.raises(NoResponse):
                get_json(http(), url, seconds=0.6)

            assert not whole.is_set()  # nobody waited for the end of a slow answer

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(ask, [hangs_up, never_answers, *SLOW.values()]))


def test_an_answer_that_is_given_up_is_not_read_on() -> None:
    gone = Event()

    def speak(connection: socket.socket, over: Event) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n")
        try:
            while not over.wait(0.02):
                connection.sendall(b" ")
        except OSError:
            gone.set()

    with raw_server(speak) as url:
        with pytest.raises(ResponseLost):
            post_form(ours(), url, FORM, seconds=0.3)

        assert gone.wait(10)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(headers=[("Connection", "close")], body=b'{"access_token"', missing=9),
        Answer(headers=[("Content-Encoding", "gzip")], body=b"not packed at all"),
    ],
)
@pytest.mark.parametrize("http", SESSIONS)
def test_a_damaged_answer_is_not_whole(
    http: Callable[[], requests.Session], answer: Answer
) -> None:
    with echo(lambda _: answer) as server, pytest.raises(ResponseLost):
        post_form(http(), server.url, FORM)


def test_what_was_given_up_before_it_left_never_leaves() -> None:
    """A TLS handshake that never ends: the form could still go when the server wakes up."""
    with raw_server(never_answers) as url, pytest.raises(NotSent):
        post_form(ours(), url.replace("http://", "https://"), FORM, seconds=0.3)

    body = _CancellableBody(b"form", Deadline.after(60))
    assert body.cancel() is False
    with pytest.raises(OSError, match="given up"):
        body.read()


@pytest.mark.parametrize(
    "answer",
    [
        Answer(body=b" " * (MAX_BYTES + 1)),
        Answer(headers=[("Content-Encoding", "gzip")], body=gzip.compress(b" " * 50_000_000)),
    ],
)
def test_an_answer_is_read_to_a_limit_only(answer: Answer) -> None:
    with echo(lambda _: answer) as server:
        with pytest.raises(InvalidResponse, match="longer than 1048576 bytes"):
            get_json(ours(), server.url)
        with pytest.raises(InvalidResponse, match="longer than 1048576 bytes"):
            post_form(ours(), server.url, FORM)
        with pytest.raises(InvalidResponse, match="longer than 100 bytes"):
            get_json(ours(), server.url, max_bytes=100)


def test_a_packed_document_is_read() -> None:
    packed = Answer(headers=[("Content-Encoding", "gzip")], body=gzip.compress(b'{"a": 1}'))
    with echo(lambda _: packed) as server:
        assert get_json(ours(), server.url) == {"a": 1}


@pytest.mark.parametrize("http", SESSIONS)
def test_no_failure_holds_what_was_sent(http: Callable[[], requests.Session]) -> None:
    auth = Secret("Basic " + b64encode(b"us:canary-secret").decode())
    with raw_server(hangs_up) as url, echo() as server:
        for where in (url, f"http://localhost:{free_port()}/"):
            with pytest.raises(NoResponse) as caught:
                post_form(http(), where, FORM, authorization=auth)
            assert "canary" not in "".join(traceback.format_exception(caught.value))
            assert caught.value.__context__ is None
        response = post_form(http(), server.url, FORM, authorization=auth)

    assert "canary" not in repr(response)
    echoed = f"bad token {CANARY}, secret canary-secret, begins {CANARY[:12]}; client us\x1b[31m"
    assert response.shown(echoed) == "bad token ..., secret ..., begins ...; client us [31m"


# Documents.


def test_a_web_page_is_called_by_its_name() -> None:
    page = Answer(headers=[("Content-Type", "text/html; charset=x")], body=b"<p>log in</p>")
    wrong = r"/mi/ answered with status 200 \(text/html\), and .* is not JSON"
    with echo(lambda _: page) as server:
        with pytest.raises(InvalidResponse, match=wrong) as caught:
            get_json(ours(), server.url)
        assert "a network that wants a login" in caught.value.hint
        with pytest.raises(InvalidResponse, match=wrong) as caught:
            parse_tokens(post_form(ours(), server.url, FORM), clock=time.time)
        assert "a network that wants a login" in caught.value.hint


@pytest.mark.parametrize("status", [201, 204, 401, 404, 503])
def test_a_document_has_status_200(status: int) -> None:
    def answers(_: Seen) -> Answer:
        return Answer(status, body=b"" if status == 204 else b"{}")

    with echo(answers) as server:
        with pytest.raises(InvalidResponse, match=f"with status {status}") as caught:
            get_json(ours(), server.url)
        assert caught.value.status == status


def test_caches_are_passed_by_on_demand() -> None:
    with echo(lambda _: Answer(body=b"{}")) as server:
        get_json(ours(), server.url)
        get_json(ours(), server.url, fresh=True)

        assert [seen.headers.get("cache-control") for seen in server.seen] == [None, "no-cache"]
