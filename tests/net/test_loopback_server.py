"""The small server on loopback: no idle, slow or broken connection holds it up.

What browsers and hostile programs do to it is in ``tests/auth/oidc/test_redirect_server.py``.
"""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from http import HTTPStatus
from queue import SimpleQueue

import pytest

from gatepass._net.loopback_server import LoopbackServer
from gatepass._net.loopback_sockets import listen

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
