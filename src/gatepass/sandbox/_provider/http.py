"""HTTP on the identity provider's connections, and the ways in which an answer can go wrong."""

import json
import socket
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from http import HTTPStatus
from ssl import SSLContext
from threading import Condition, Event, Lock
from typing import Any, Final
from urllib.parse import parse_qsl

from gatepass.sandbox._provider.grants import Refusal
from gatepass.sandbox._server.accounts import Accounts
from gatepass.sandbox._server.http import Listener, _Connection
from gatepass.sandbox._server.login import LoginContext, login_for

_LONGEST_FORM: Final = 65536  # bytes
_HUGE: Final = 4 * 1024 * 1024  # bytes
_DRIP: Final = 0.05  # seconds between two bytes
# What Winsock calls LINGER has shorter fields.
_LINGER: Final = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
_PATIENCE: Final = 30.0  # seconds

JSON: Final = "application/json"
HTML: Final = "text/html; charset=utf-8"


class Delivery(Enum):
    """How an answer goes over the wire."""

    PLAIN = auto()
    DRIP = auto()
    """Its head, then a space now and then, without end."""
    RESET = auto()
    """Not at all: the connection is reset."""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """One answer.

    Attributes:
        status: HTTP status.
        body: what follows the head.
        content_type: of the body.
        headers: further headers.
        delivery: how it is sent.
        late: whether it waits for ``delay`` and for tests that hold answers back.
    """

    status: int
    body: bytes = field(default=b"", repr=False)
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    delivery: Delivery = Delivery.PLAIN
    late: bool = False


def json_response(
    content: object, status: int = HTTPStatus.OK, *, huge: bool = False
) -> HttpResponse:
    """Return JSON that nobody may keep; ``huge`` makes it 4 MiB long."""
    body = json.dumps(content).encode()
    return HttpResponse(status, body + b" " * _HUGE if huge else body, headers=(_NO_STORE,))


def page(text: str, status: int = HTTPStatus.OK) -> HttpResponse:
    """Return a page."""
    return HttpResponse(status, text.encode(), HTML, headers=(_NO_STORE,))


_NO_STORE: Final = ("Cache-Control", "no-store")


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request.

    Attributes:
        method: such as ``POST``.
        path: without the query.
        query: as sent.
        content_type: of the body, without parameters, in lower case.
        body: as sent.
        authorization: the header; None when there is none.
    """

    method: str
    path: str
    query: str = field(repr=False)
    content_type: str
    body: bytes = field(repr=False)
    authorization: str | None = field(repr=False)

    def parameters(self) -> dict[str, str]:
        """Return the query's parameters, see ``form``."""
        return _fields(self.query)

    def form(self) -> dict[str, str]:
        """Return the fields of the body.

        Raises:
            Refusal: it is no form, or a field comes twice (RFC 6749, section 3.2).
        """
        if self.content_type != "application/x-www-form-urlencoded":
            raise Refusal("invalid_request", "the body must be application/x-www-form-urlencoded")
        return _fields(self.body.decode("utf-8", "replace"))


def _fields(text: str) -> dict[str, str]:
    pairs = parse_qsl(text, keep_blank_values=True)
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Refusal("invalid_request", "a parameter comes twice")
    return fields


@dataclass(frozen=True, slots=True)
class ProviderRequest:
    """One request to the provider, as it was answered. Holds no value that could be a secret.

    Attributes:
        method: such as ``POST``.
        path: without the query.
        status: of the answer.
        grant_type: of a token request; None for others.
        client_id: as sent in the query, the form or by HTTP Basic; None for none.
        parameters: names of all parameters, of query and form.
        client_secret_by: ``basic``, ``post``, or None where the client sent no secret.
    """

    method: str
    path: str
    status: int
    grant_type: str | None
    client_id: str | None
    parameters: frozenset[str]
    client_secret_by: str | None


class Gate:
    """Holds late answers back while a test looks at the moment in between."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._closed = False
        self._waiting = 0

    @contextmanager
    def closed(self) -> Iterator["Gate"]:
        """Hold answers back until the block ends."""
        self._set(closed=True)
        try:
            yield self
        finally:
            self._set(closed=False)

    def wait_for(self, number: int, seconds: float = _PATIENCE) -> None:
        """Wait until so many answers are held back.

        Raises:
            TimeoutError: they did not come within that time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._waiting >= number, seconds):
                raise TimeoutError(f"{self._waiting} of {number} answers wait")

    def open(self) -> None:
        """Let all pass."""
        self._set(closed=False)

    def go_through(self) -> None:
        """Wait while the gate is closed."""
        with self._changed:
            self._waiting += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._closed)
            self._waiting -= 1

    def _set(self, *, closed: bool) -> None:
        with self._changed:
            self._closed = closed
            self._changed.notify_all()


class ProviderListener(Listener):
    """Accepts connections for an identity provider.

    Args:
        port: 0 takes a free one.
        tls: the server's side of TLS; None is plain http.
        delay: seconds that a late answer takes.

    Raises:
        OSError: the port is taken.
    """

    answer: Callable[[HttpRequest], tuple[HttpResponse, ProviderRequest]]

    def __init__(self, port: int, tls: SSLContext | None, delay: float) -> None:
        # Nobody logs on to a provider by a header of HTTP.
        context = LoginContext(Accounts({}, None), certificate=None, channel_binding=False)
        super().__init__(port, login_for("open", context), tls)
        self.gate = Gate()
        self.seen: list[ProviderRequest] = []
        self.seen_lock = Lock()
        self._delay = delay
        self._stopping = Event()
        self._resets: set[socket.socket] = set()

    def stop(self) -> None:
        """End also what waits."""
        self._stopping.set()
        self.gate.open()
        super().stop()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Serve one connection."""
        _ProviderConnection(request, client_address, self)

    def wait(self) -> None:
        """Be late."""
        self.gate.go_through()
        self._stopping.wait(self._delay)

    def pause(self) -> bool:
        """Wait between two bytes; say whether to go on."""
        return not self._stopping.wait(_DRIP)

    def reset(self, connection: socket.socket) -> None:
        """Let the connection end with a reset."""
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
        self._resets.add(connection)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection. One to be reset must not say goodbye first."""
        if request in self._resets:
            self._resets.discard(request)
            self.close_request(request)
        else:
            super().shutdown_request(request)


class _ProviderConnection(_Connection):
    """HTTP/1.1 on one connection to the provider."""

    server: ProviderListener

    def _ask(self) -> None:
        """Read the whole request, record it, answer it."""
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isascii() or not length.isdigit():
            self.send_error(HTTPStatus.LENGTH_REQUIRED)
            return
        if int(length) > _LONGEST_FORM:
            self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            self.close_connection = True
            return
        response, seen = self.server.answer(self._read_request(body))
        with self.server.seen_lock:
            self.server.seen.append(seen)
        if response.late:
            self.server.wait()
        self._deliver(response)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _ask  # noqa: N815

    def _read_request(self, body: bytes) -> HttpRequest:
        path, _, query = self.path.partition("?")
        return HttpRequest(
            method=self.command,
            path=path,
            query=query,
            content_type=self.headers.get_content_type(),
            body=body,
            authorization=self.headers.get("Authorization"),
        )

    def _deliver(self, response: HttpResponse) -> None:
        if response.delivery is Delivery.RESET:
            self.close_connection = True
            self.server.reset(self.connection)
            return
        drip = response.delivery is Delivery.DRIP
        self.send_response(response.status)
        headers: Mapping[str, str] = {
            **dict(response.headers),
            "Content-Type": response.content_type,
            "Content-Length": str(_HUGE if drip else len(response.body)),
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if drip:
            while self.server.pause():
                self.wfile.write(b" ")
        else:
            self.wfile.write(response.body)
