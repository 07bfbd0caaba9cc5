"""The small server on loopback: no idle, slow or broken connection holds it up.

It is tried by itself, and as the redirect server of a login, which browsers and hostile programs
ask.
"""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from queue import SimpleQueue

import pytest

from gatepass._net.loopback_server import LoopbackServer
from gatepass._net.loopback_sockets import listen
from gatepass.auth._oidc.redirect_server import RedirectServer
from tests.support import raw
from tests.support.redirects import CODE, GOOD, STATE, code_of, host, port_of, still_waits, threads
from tests.support.redirects import redirect_server as redirect_server  # noqa: PLC0414 - a fixture

SECONDS = 30.0
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@dataclass
class Handler:
    """Echoes the path; holds ``/held``; breaks at ``/broken``."""

    failures: "SimpleQueue[BaseException]" = field(default_factory=SimpleQueue)

    def respond(self, head: bytes) -> bytes | None:
        path = head.split()[1]
        if path == b"/broken":
            raise LookupError
        return None if path == b"/held" else b"path " + path

    def refuse(self, status: HTTPStatus) -> bytes:
        return b"refused %d" % status

    def expire(self) -> bytes:
        return b"expired"

    def fail(self, error: BaseException) -> None:
        self.failures.put(error)


@dataclass
class Running:
    server: LoopbackServer
    handler: Handler
    port: int
    stack: ExitStack

    def connect(self, content: bytes = b"") -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS)
        self.stack.enter_context(connection)
        connection.sendall(content)
        return connection


@pytest.fixture
def serve() -> Iterator[Callable[..., Running]]:
    """Return a function that starts a server."""
    with ExitStack() as stack:

        def start(read_seconds: float = SECONDS) -> Running:
            sockets, handler = listen(0), Handler()
            port = sockets[0].getsockname()[1]
            server = LoopbackServer(sockets, handler, read_seconds=read_seconds, name="test-server")
            server.start()
            stack.callback(server.stop, b"")
            return Running(server, handler, port, stack)

        yield start


def everything(connection: socket.socket) -> bytes:
    found = b""
    while piece := connection.recv(65536):
        found += piece
    return found


def test_it_answers_and_closes_while_other_connections_say_nothing(
    serve: Callable[..., Running],
) -> None:
    running = serve()
    silent = [running.connect(content) for content in (b"", b"GET / HT", GET[:-2])]

    assert everything(running.connect(GET)) == b"path /"

    silent[2].sendall(b"\r\n")
    assert everything(silent[2]) == b"path /"


def test_a_held_request_gets_the_final_response_and_so_do_later_ones(
    serve: Callable[..., Running],
) -> None:
    running = serve()
    held = running.connect(b"GET /held HTTP/1.1\r\n\r\n")
    assert everything(running.connect(GET)) == b"path /"  # the held one was read before

    running.server.release(b"final")

    assert everything(held) == b"final"
    assert everything(running.connect(b"GET /held HTTP/1.1\r\n\r\n")) == b"final"


def test_the_end_answers_what_is_held_and_closes_the_rest(serve: Callable[..., Running]) -> None:
    running = serve()
    silent = running.connect()
    held = running.connect(b"GET /held HTTP/1.1\r\n\r\n")
    assert everything(running.connect(GET)) == b"path /"

    running.server.stop(b"over")

    assert (everything(held), everything(silent)) == (b"over", b"")
    with pytest.raises(OSError, match="refused"):
        running.connect()


@pytest.mark.parametrize(
    ("content", "response"),
    [
        (b"\x16\x03\x01", b""),  # TLS
        (b"GET\r\n", b"refused 400"),
        (b"GET / HTTP/1.1\r\nA: " + b"x" * 70_000, b"refused 431"),
    ],
)
def test_what_is_no_request_or_too_long_is_refused_before_its_end(
    serve: Callable[..., Running], content: bytes, response: bytes
) -> None:
    running = serve()

    assert everything(running.connect(content)) == response
    assert everything(running.connect(GET)) == b"path /"


def test_a_request_that_does_not_end_in_time_is_closed(serve: Callable[..., Running]) -> None:
    running = serve(read_seconds=0.01)

    assert everything(running.connect(b"GET / HTTP/1.1\r\nA:")) == b""


def test_an_error_of_the_handler_ends_the_server_and_is_reported(
    serve: Callable[..., Running],
) -> None:
    running = serve()
    silent = running.connect()
    running.connect(b"GET /broken HTTP/1.1\r\n\r\n")

    assert isinstance(running.handler.failures.get(timeout=SECONDS), LookupError)
    assert everything(silent) == b""


def test_a_browser_that_ends_its_side_still_gets_its_page(redirect_server: RedirectServer) -> None:
    with raw.asked(
        port_of(redirect_server), raw.get(f"/callback?{GOOD}", host(redirect_server))
    ) as browser:
        browser.shutdown(socket.SHUT_WR)
        assert redirect_server.wait(raw.SECONDS)
        redirect_server.send_page("done")
        assert raw.answer(browser).status == 200


def test_a_request_that_comes_in_pieces_is_one_request(redirect_server: RedirectServer) -> None:
    with raw.connect(port_of(redirect_server)) as browser:
        browser.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in raw.get(f"/callback?{GOOD}", host(redirect_server)):
            browser.sendall(bytes([byte]))
        assert code_of(redirect_server.wait(raw.SECONDS)) == CODE


def test_a_body_that_comes_after_the_answer_is_read_and_not_reset(
    redirect_server: RedirectServer,
) -> None:
    """Where a system resets the connection, a browser may never show the page that it got."""
    head = raw.get("/callback", host(redirect_server), "Content-Length: 2", method="POST")
    with raw.asked(port_of(redirect_server), head) as browser:
        assert raw.answer(browser).status == 405
        for _ in range(2):
            browser.sendall(b"x")


@pytest.mark.parametrize(
    "request_bytes",
    [
        f"GET /callback?{GOOD}\r\n".encode(),
        f"GET /callback?{GOOD} HTTP/0.9\r\n\r\n".encode(),
        f"GET /callback?{GOOD} HTTP/2.0\r\n\r\n".encode(),
        f"GET  /callback?{GOOD} HTTP/1.1\r\n\r\n".encode(),
        f"GET /callback?{GOOD} HTTP/1.1\r\n\r\n".encode(),
        f"GET /callback?{GOOD} HTTP/1.1\r\nHost: HOST\r\nHost: evil.example\r\n\r\n".encode(),
        f"GET /callback?{GOOD} HTTP/1.1\r\nHost: HOST\r\n folded\r\n\r\n".encode(),
        f"GET /callback?{GOOD} HTTP/1.1\r\nHost : HOST\r\n\r\n".encode(),
        f"GET /callback?{GOOD} HTTP/1.1\r\nHost: HOST\rX: y\r\n\r\n".encode(),
        f"GET /callback?{GOOD} HTTP/1.1\r\nHost: HOST\nX: y\r\n\r\n".encode(),
        f"GET /callback?{GOOD} HTTP/1.1\r\nHost: HOST\r\nX: \0\r\n\r\n".encode(),
        f"get /callback?{GOOD} HTTP/1.1\r\n".encode(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"SSH-2.0-scanner\r\n",
    ],
)
def test_what_is_not_http_is_refused_at_once(
    redirect_server: RedirectServer, request_bytes: bytes
) -> None:
    request_bytes = request_bytes.replace(b"HOST", host(redirect_server).encode())
    with raw.asked(port_of(redirect_server), request_bytes) as connection:
        said = raw.everything(connection)
    assert said == b"" or said.startswith(b"HTTP/1.1 400 ")
    still_waits(redirect_server)


@pytest.mark.parametrize(
    "request_bytes",
    [
        bytes.fromhex("16030100c8010000c40303") + b"\0" * 200,  # a TLS ClientHello
        b"\r\n\r\n",
        b"\0",
        "ä".encode(),
    ],
)
def test_what_does_not_begin_like_http_is_closed_without_a_word(
    redirect_server: RedirectServer, request_bytes: bytes
) -> None:
    with raw.asked(port_of(redirect_server), request_bytes) as connection:
        assert raw.everything(connection) == b""
    still_waits(redirect_server)


@pytest.mark.parametrize("line", ["x" * 100_000, "X: y\r\n" * 20_000])
def test_a_head_without_end_is_cut_off(redirect_server: RedirectServer, line: str) -> None:
    request = (
        raw.get(f"/callback?{GOOD}", host(redirect_server)).removesuffix(b"\r\n") + line.encode()
    )
    with raw.asked(port_of(redirect_server), request) as connection:
        assert raw.everything(connection).startswith(b"HTTP/1.1 431 ")
    still_waits(redirect_server)


def test_many_cookies_are_no_reason_to_refuse(redirect_server: RedirectServer) -> None:
    """Browsers send the cookies of every program that ever served on this machine."""
    cookies = "Cookie: " + "c=0123456789; " * 3000
    request = raw.get(f"/callback?{GOOD}", host(redirect_server), cookies)
    with raw.asked(port_of(redirect_server), request):
        assert code_of(redirect_server.wait(raw.SECONDS)) == CODE


@pytest.mark.parametrize("count", [1, 50, 300])
def test_idle_connections_hold_up_nobody(redirect_server: RedirectServer, count: int) -> None:
    """Browsers open some before they send anything; an attacker opens many."""
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(raw.connect(port_of(redirect_server)))
        still_waits(redirect_server)


def test_of_very_many_idle_connections_the_oldest_are_closed(
    redirect_server: RedirectServer,
) -> None:
    with ExitStack() as stack:
        idle = [stack.enter_context(raw.connect(port_of(redirect_server))) for _ in range(200)]
        assert raw.everything(idle[0]) == b""
        still_waits(redirect_server)


def test_a_callback_may_come_on_a_connection_that_was_idle(redirect_server: RedirectServer) -> None:
    with raw.connect(port_of(redirect_server)) as early:
        raw.ask(port_of(redirect_server), raw.get("/favicon.ico", host(redirect_server)))
        early.sendall(raw.get(f"/callback?{GOOD}", host(redirect_server)))
        assert code_of(redirect_server.wait(raw.SECONDS)) == CODE


@pytest.mark.parametrize("begun", [b"", b"GET /call", b"GET /callback HTTP/1.1\r\nHost: "])
def test_a_connection_that_does_not_send_its_request_is_closed(begun: bytes) -> None:
    with RedirectServer(STATE, read_seconds=0.05) as redirect_server:
        with raw.asked(port_of(redirect_server), begun) as slow:
            assert raw.everything(slow) == b""
        still_waits(redirect_server)


def test_a_connection_that_is_reset_harms_nobody(redirect_server: RedirectServer) -> None:
    for request in (b"", b"GET /", raw.get("/favicon.ico", host(redirect_server))):
        with raw.asked(port_of(redirect_server), request) as rude:
            rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    still_waits(redirect_server)


def test_a_client_that_does_not_read_its_page_holds_up_nobody(
    redirect_server: RedirectServer,
) -> None:
    with ExitStack() as stack:
        for _ in range(20):
            deaf = stack.enter_context(socket.socket())
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            deaf.connect(("127.0.0.1", port_of(redirect_server)))
            deaf.sendall(raw.get("/favicon.ico", host(redirect_server)))
        still_waits(redirect_server)


def test_open_connections_do_not_outlive_the_listener() -> None:
    with RedirectServer(STATE) as redirect_server:
        idle = raw.connect(port_of(redirect_server))
        half = raw.connect(port_of(redirect_server))
        half.sendall(b"GET /")
        form = raw.connect(port_of(redirect_server))
        form.sendall(
            raw.get("/callback", host(redirect_server), "Content-Length: 9", method="POST")
        )
    assert threads() == []
    for connection in (idle, half, form):
        with connection:
            raw.everything(connection)


def test_many_logins_leave_no_descriptor_open() -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0

    before = descriptors()
    for _ in range(20):
        with RedirectServer(STATE) as redirect_server:
            raw.open_address(f"{redirect_server.redirect_uri}?state=wrong")
    assert descriptors() == before
