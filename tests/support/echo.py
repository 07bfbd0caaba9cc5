"""A small server that keeps what it saw, credentials included, and answers as a test says."""

import base64
import socket
import ssl
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any


@dataclass(frozen=True)
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int
    client: str  # common name of the client's certificate; empty without one

    @property
    def authorization(self) -> str | None:
        return self.headers.get("authorization")


@dataclass(frozen=True)
class Answer:
    """One answer."""

    status: int = 200
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b"ok"
    missing: int = 0  # so many bytes of the body are announced and never sent
    endless: bool = False  # the body comes 500 times, and the end is missing
    closes: bool = False  # the connection, without saying so
    aborts: bool = False  # closes it by a reset
    raw: bytes | None = None  # comes instead of an answer
    reason: str | None = None  # the words after the status


Answers = Callable[[Seen], Answer]


@dataclass
class Echo:
    """A running server.

    Attributes:
        url: its address, with the path ``/mi/``.
        seen: what arrived, in order.
        leads: as a proxy, the port of 127.0.0.1 to which a CONNECT leads, by what it asks for.
        refuses: as a proxy, the answer to each CONNECT in place of a tunnel.
    """

    url: str
    answers: Answers
    seen: list[Seen] = field(default_factory=list)
    leads: dict[str, int] = field(default_factory=dict)
    refuses: Answer | None = None
    lock: Any = field(default_factory=Lock)
    connections: int = 0

    @property
    def root(self) -> str:
        """Its address without a path, and without a slash at the end."""
        return self.url.removesuffix("/mi/")

    @property
    def authorizations(self) -> list[str | None]:
        return [each.authorization for each in self.seen]

    @property
    def paths(self) -> list[str]:
        return [each.path for each in self.seen]


def ok(_: Seen) -> Answer:
    return Answer()


def refused(*challenges: str) -> Answer:
    return Answer(401, [("WWW-Authenticate", challenge) for challenge in challenges], b"no")


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def wants(authorization: str, *challenges: str) -> Answers:
    """Answer 200 to exactly this header, else 401 with these challenges."""

    def answers(seen: Seen) -> Answer:
        if seen.authorization == authorization:
            return Answer()
        return refused(*(challenges or ('Basic realm="x"',)))

    return answers


def redirects(routes: dict[str, str], otherwise: Answers = ok, code: int = 302) -> Answers:
    """Redirect these paths to these URLs."""

    def answers(seen: Seen) -> Answer:
        to = routes.get(seen.path)
        return Answer(code, [("Location", to)], b"") if to else otherwise(seen)

    return answers


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet: in two, each answer would wait 40 ms
    echo: Echo

    def setup(self) -> None:
        super().setup()
        with self.echo.lock:
            self.echo.connections += 1
            self.connection_number = self.echo.connections

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:  # the client went away
            self.close_connection = True

    def handle_any(self) -> None:
        seen = Seen(
            method=self.command,
            path=self.path,
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self._body(),
            connection=self.connection_number,
            client=_common_name(self.connection),
        )
        with self.echo.lock:
            self.echo.seen.append(seen)
        answer = self.echo.answers(seen)
        if answer.aborts:
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        if answer.raw is not None:
            self.wfile.write(answer.raw)
            self.close_connection |= answer.closes
            return
        if any(name == "Date" for name, _ in answer.headers):  # otherwise there would be two
            self.send_response_only(answer.status, answer.reason)
        else:
            self.send_response(answer.status, answer.reason)
        for name, value in answer.headers:
            self.send_header(name, value)
        if answer.endless:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(answer.body) + answer.missing))
        self.end_headers()
        if answer.endless:
            for _ in range(500):
                self.wfile.write(b"%x\r\n%b\r\n" % (len(answer.body), answer.body))
        elif self.command != "HEAD":
            self.wfile.write(answer.body)
        self.close_connection |= answer.closes or answer.endless

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = handle_any  # noqa: N815

    def do_CONNECT(self) -> None:
        """Be a proxy: pass bytes on in both directions until one side ends."""
        seen = Seen(self.command, self.path, dict(self.headers.items()), b"", 0, "")
        self.echo.seen.append(seen)
        if self.echo.refuses is not None:
            self.send_response(self.echo.refuses.status)
            for name, value in self.echo.refuses.headers:
                self.send_header(name, value)
            self.end_headers()
            self.close_connection = True
            return
        host, _, port = self.path.rpartition(":")
        if self.path in self.echo.leads:
            host, port = "127.0.0.1", str(self.echo.leads[self.path])
        with socket.create_connection((host.strip("[]"), int(port))) as far:
            self.send_response(200)
            self.end_headers()
            self.wfile.flush()
            back = Thread(target=pass_on, args=(far, self.connection), daemon=True)
            back.start()
            pass_on(self.connection, far)
            back.join()
        self.close_connection = True

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the signature is theirs
        """Say nothing."""


def pass_on(source: socket.socket, sink: socket.socket) -> None:
    """Send on what comes, until one side ends."""
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _common_name(connection: Any) -> str:
    certificate: Any = getattr(connection, "getpeercert", dict)() or {}
    names = dict(pair for part in certificate.get("subject", ()) for pair in part)
    return str(names.get("commonName", ""))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    tls: ssl.SSLContext | None = None

    def finish_request(self, request: Any, client_address: Any) -> None:
        # The handshake happens here, in the thread of the connection.
        if self.tls is None:
            super().finish_request(request, client_address)
            return
        with self.tls.wrap_socket(request, server_side=True) as secured:
            super().finish_request(secured, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Be silent about clients that break a handshake."""


@contextmanager
def echo(
    answers: Answers = ok, tls: ssl.SSLContext | None = None, version: str = "HTTP/1.1"
) -> Iterator[Echo]:
    """Run a server on a free port of 127.0.0.1."""
    running = Echo("", answers)
    handler = type("Handler", (_Handler,), {"echo": running, "protocol_version": version})
    with _Server(("127.0.0.1", 0), handler) as server:
        server.tls = tls
        running.url = f"http{'s' if tls else ''}://localhost:{server.server_address[1]}/mi/"
        thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield running
        finally:
            server.shutdown()
            thread.join()
