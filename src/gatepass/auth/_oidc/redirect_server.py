"""The server on loopback to which the browser brings the answer of a login (RFC 8252, section 7.3).

Any program of this machine and any page in the browser can send something here, so everything is
noise but one thing: a GET for exactly our path, at a loopback name, with the right state. Noise
gets a fixed page and never ends the login. Browsers open connections on which nothing comes, in
front of the one that counts; so no connection waits for another, and each has a deadline.

One thread serves all connections with a selector. A thread for each would have to be bounded,
stopped and waited for; here there is one to stop, and it closes every socket on its way out.
"""

import contextlib
import errno
import re
import selectors
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from queue import Empty, SimpleQueue
from threading import Thread
from types import TracebackType
from typing import Final, Literal, Self, cast
from urllib.parse import parse_qsl, urlsplit

from gatepass.auth._oidc.redirect_page import PageKind, headers, page
from gatepass.errors import GatepassError
from gatepass.secrets import Secret, constant_time_compare

_MOST_HEAD: Final = 65536  # bytes; browsers send the cookies of every program on this machine
_MOST_TARGET: Final = 16384  # bytes; the longest codes known have 2 KB
_MOST_PARAMETERS: Final = 50
_MOST_CONNECTIONS: Final = 128
_MOST_TEXT: Final = 200  # characters of an error description
_READ_SECONDS: Final = 30.0  # from accepting a connection to the end of its request's head
_HELD_SECONDS: Final = 150.0  # from the callback to the verdict; the exchange has its own deadline
_DRAIN_SECONDS: Final = 10.0  # for the rest of a request that was answered before its end
_LINGER_SECONDS: Final = 2.0  # for the last pages, when the server is closed
_TICK: Final = 0.25  # seconds between two looks at the deadlines
_TRIES: Final = 50  # ports to try until one is free in both families

_REQUEST_LINE: Final = re.compile(rb"([A-Z]{1,20}) ([\x21-\x7e]+) HTTP/1\.[01]")
_FIELD: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e\x80-\xff\t]*)")
_CODE: Final = re.compile(r"[\x20-\x7e]+")  # RFC 6749, appendix A.11
_ONCE: Final = ("code", "state", "iss", "error", "error_description")

_FAMILIES: Final = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
_NO_SUCH_ADDRESS: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Callback:
    """What came back from the browser, with the right state. Prints no code.

    Attributes:
        code: the authorization code; None when it is an error.
        error: the provider's error code, such as ``access_denied``; None when there is none.
        description: what the provider says about the error, fit for a terminal; may be empty.
        iss: which provider says it answers (RFC 9207); None when the answer does not say.
    """

    code: Secret | None
    error: str | None = None
    description: str = ""
    iss: str | None = None


def parse_callback(query: str, state: str) -> Callback | None:
    """Read the query of an address on which the browser ended.

    Args:
        query: what stands after the question mark.
        state: what this login sent.

    Returns:
        the callback; None where it is not one of this login: a wrong, missing or repeated state,
        any other parameter that counts twice, neither or both of code and error, not UTF-8.
    """
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, errors="strict", max_num_fields=_MOST_PARAMETERS
        )
    except ValueError:  # too many, or not UTF-8
        return None
    names = [name for name, _ in pairs]
    if any(names.count(name) > 1 for name in _ONCE):  # RFC 6749, section 3.1
        return None
    values = dict(pairs)
    if not constant_time_compare(values.get("state"), state):
        return None
    code, error = values.get("code"), values.get("error")
    if (code is None) == (error is None):
        return None
    if code is not None and not _CODE.fullmatch(code):
        return None
    return Callback(
        code=None if code is None else Secret(code),
        error=None if error is None else _plain(error),
        description=_plain(values.get("error_description", "")),
        iss=values.get("iss"),
    )


def _plain(text: str) -> str:
    """Foreign text, short and without anything that could steer a terminal."""
    clean = "".join(c if c.isprintable() else " " for c in text[: 4 * _MOST_TEXT])
    return " ".join(clean.split())[:_MOST_TEXT]


@dataclass(frozen=True, slots=True)
class _Address:
    """A redirect address: host and path as registered, port 0 for any free one."""

    host: str
    port: int
    path: str
    as_written: str | None

    @classmethod
    def read(cls, redirect_uri: str | None) -> "_Address":
        if redirect_uri is None:
            return cls("127.0.0.1", 0, "/callback", None)
        try:
            parts = urlsplit(redirect_uri)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if host not in _LOOPBACK:
            raise _unusable(redirect_uri, "its host is not one of 127.0.0.1, localhost, [::1]")
        if parts.scheme != "http":
            raise _unusable(redirect_uri, "it is not http, the only scheme that works on loopback")
        if parts.query or parts.fragment or parts.username is not None:
            raise _unusable(redirect_uri, "it holds a user name, a query or a fragment")
        if not _REQUEST_LINE.fullmatch(f"GET {parts.path or '/'} HTTP/1.1".encode()):
            raise _unusable(redirect_uri, "its path holds a character that is not escaped")
        # Without a port any will do: providers ignore it on loopback (RFC 8252, section 7.3), and
        # port 80 would need an administrator.
        fixed = redirect_uri if port else None
        return cls(host, port or 0, parts.path, fixed)

    def uri(self, port: int) -> str:
        """Return the address to send, with the port that was taken."""
        if self.as_written is not None:
            return self.as_written
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{port}{self.path}"


def _unusable(redirect_uri: str, why: str) -> GatepassError:
    return GatepassError(
        f"the redirect_uri {_plain(redirect_uri)} cannot be listened on: {why}",
        hint="register a loopback address for this client at the identity provider, such as "
        "http://127.0.0.1/callback, or use the device flow",
    )


class RedirectServer:
    """Listens for the one callback of a login; use it in ``with``.

    Opens sockets on loopback and starts a thread on entering; both are gone on leaving, whatever
    happened. What is unanswered then learns that the login is no longer open.

    Args:
        state: what this login sends, and expects back.
        redirect_uri: exactly as registered; without a port any free one is taken. None is
            ``http://127.0.0.1:PORT/callback`` on a free port.
        read_seconds: how long a connection may take to send its request.

    Raises:
        GatepassError: that address cannot be listened on, or (on entering) the port is taken.
    """

    def __init__(
        self, state: str, redirect_uri: str | None = None, *, read_seconds: float = _READ_SECONDS
    ) -> None:
        self._state = state
        self._address = _Address.read(redirect_uri)
        self._read_seconds = read_seconds
        self._service: _Service | None = None
        self.redirect_uri = ""  # to send to the provider; known once it listens

    def __enter__(self) -> Self:
        sockets = _listen(self._address.port)
        port = sockets[0].getsockname()[1]
        self.redirect_uri = self._address.uri(port)
        wanted = _Wanted(port, self._address.path or "/", self._state)
        self._service = _Service(sockets, wanted, self._read_seconds)
        try:
            self._service.start()
        except BaseException:
            self._service.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._service is not None:
            self._service.stop()

    def wait(self, seconds: float) -> Callback | None:
        """Wait for the callback; None when it did not come within that time."""
        return self._running.wait(seconds)

    def answer(self, kind: PageKind) -> None:
        """Tell the browser how it ended; it has been waiting since the callback."""
        self._running.answer(kind)

    @property
    def _running(self) -> "_Service":
        if self._service is None:
            raise RuntimeError("the redirect server is used outside of its with block")
        return self._service


# --- sockets -------------------------------------------------------------------------------


def _listen(port: int) -> list[socket.socket]:
    """Return listening sockets on one port of every loopback address that this machine has.

    A port that is free on 127.0.0.1 may belong to another program on ::1, and ``localhost`` may
    mean either: then the code would go there.
    """
    for _ in range(_TRIES):
        try:
            sockets = _listen_on(port)
        except OSError as error:
            if port == 0 and error.errno not in {errno.EMFILE, errno.ENFILE}:
                continue  # what was free in one family is taken in the other
            raise GatepassError(
                f"cannot listen on port {port} of this machine: {error.strerror}",
                hint="another program, or a login that still waits, may have it: end that one, "
                "or register another redirect_uri",
            ) from None
        if sockets:
            return sockets
        break
    raise GatepassError("this machine has no free loopback port", hint="use the device flow")


def _listen_on(port: int) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    try:
        for family, address in _FAMILIES:
            taken = sockets[0].getsockname()[1] if sockets else port
            opened = _open(family, address, taken)
            if opened is not None:
                sockets.append(opened)
    except BaseException:
        for each in sockets:
            each.close()
        raise
    return sockets


def _open(family: int, address: str, port: int) -> socket.socket | None:
    """Return a listening socket; None where this machine has no such address.

    Nobody else may take the port beside us. On Windows SO_REUSEADDR would allow just that, and
    SO_EXCLUSIVEADDRUSE forbids it. Elsewhere SO_REUSEADDR never lets two listen on one address;
    it only takes a port back at once that a login ended on a minute ago.
    """
    try:
        opened = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        if error.errno in _NO_SUCH_ADDRESS:
            return None
        raise
    try:
        if sys.platform == "win32":
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((address, port))
        opened.listen(_MOST_CONNECTIONS)
        opened.setblocking(False)
    except BaseException as error:
        opened.close()
        if isinstance(error, OSError) and error.errno in _NO_SUCH_ADDRESS:
            return None
        raise
    return opened


# --- requests ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Refusal:
    """How noise is answered.

    Attributes:
        kind: which page.
        status: with which status, where it is not the page's own.
        bodiless: whether the answer has no body (HEAD).
    """

    kind: PageKind
    status: HTTPStatus
    bodiless: bool = False


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a request must be to count."""

    port: int
    path: str
    state: str

    def judge(self, head: bytes) -> Callback | _Refusal:
        """Judge the head of a request, without the empty line at its end."""
        first, *lines = head.split(b"\r\n")
        matched = _REQUEST_LINE.fullmatch(first)
        fields = [_FIELD.fullmatch(line) for line in lines]
        if matched is None or None in fields:
            return _Refusal("nothing", HTTPStatus.BAD_REQUEST)
        method, target = matched.group(1), matched.group(2).decode("ascii")
        hosts = [each[2] for each in fields if each and each[1].lower() == b"host"]
        refusal = self._misses(method, target, hosts)
        if refusal is not None:
            return refusal
        callback = parse_callback(target.partition("?")[2], self.state)
        return callback or _Refusal("again", HTTPStatus.BAD_REQUEST)

    def _misses(self, method: bytes, target: str, hosts: list[bytes]) -> _Refusal | None:
        bodiless = method == b"HEAD"
        if len(hosts) != 1:
            return _Refusal("nothing", HTTPStatus.BAD_REQUEST, bodiless)
        if not self._is_ours(hosts[0].decode("latin-1")):
            # A foreign name that leads to this machine: DNS rebinding.
            return _Refusal("nothing", HTTPStatus.MISDIRECTED_REQUEST, bodiless)
        if target.partition("?")[0] != self.path:
            return _Refusal("nothing", HTTPStatus.NOT_FOUND, bodiless)
        if method != b"GET":
            return _Refusal("nothing", HTTPStatus.METHOD_NOT_ALLOWED, bodiless)
        if len(target) > _MOST_TARGET:
            return _Refusal("again", HTTPStatus.REQUEST_URI_TOO_LONG)
        return None

    def _is_ours(self, host: str) -> bool:
        names = ("127.0.0.1", "localhost", "[::1]")
        ours = {f"{name}:{self.port}" for name in names}
        return host.strip().lower() in (ours | set(names) if self.port == 80 else ours)  # noqa: PLR2004 - http


def _response(kind: PageKind, status: int, *, bodiless: bool = False) -> bytes:
    body = page(kind).body
    fields = [*headers(), ("Content-Length", str(len(body))), ("Connection", "close")]
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        fields.append(("Allow", "GET"))
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{n}: {v}" for n, v in fields)]
    head = "\r\n".join(lines).encode("ascii") + b"\r\n\r\n"
    return head if bodiless else head + body


# --- connections ---------------------------------------------------------------------------

_Phase = Literal["reading", "held", "writing", "draining"]


@dataclass(eq=False)
class _Connection:
    """One connection. ``held`` waits for the verdict; ``draining`` reads what nobody wants.

    Closing a socket with unread input makes the system reset the connection, and the browser
    may then never show the page that was sent before.
    """

    socket: socket.socket
    deadline: float
    phase: _Phase = "reading"
    data: bytes = b""  # what came, and later what is still to be sent
    drain: bool = False


@dataclass(eq=False)
class _Service:
    """The thread that serves, and how the login's thread speaks with it."""

    listening: list[socket.socket]
    wanted: _Wanted
    read_seconds: float
    _connections: dict[socket.socket, _Connection] = field(default_factory=dict)
    _found: "SimpleQueue[Callback | BaseException]" = field(default_factory=SimpleQueue)
    _taken: bool = False
    _verdict: PageKind | None = None
    _stop_at: float | None = None  # set when it shall end: the last moment for the last pages

    def __post_init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._wakes, self._woken = socket.socketpair()
        self._wakes.setblocking(False)
        self._woken.setblocking(False)
        self._thread = Thread(target=self._run, name="gatepass-login", daemon=True)

    # --- for the login's thread

    def start(self) -> None:
        self._thread.start()

    def wait(self, seconds: float) -> Callback | None:
        try:
            found = self._found.get(timeout=max(0.0, seconds))
        except Empty:
            return None
        if isinstance(found, BaseException):
            raise found
        return found

    def answer(self, kind: PageKind) -> None:
        self._verdict = kind
        self._wake()

    def stop(self) -> None:
        """Let the thread end and wait for it. It ends by itself even if this is interrupted."""
        self._verdict = self._verdict or "expired"
        self._stop_at = time.monotonic() + _LINGER_SECONDS
        self._wake()
        if self._thread.ident is None:  # it never began
            self._close_all()
        else:
            self._thread.join()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # it has ended, or there is a wake-up on its way
            self._wakes.send(b"x")

    # --- in the thread

    def _run(self) -> None:
        try:
            self._selector.register(self._woken, selectors.EVENT_READ, self._on_wake)
            for each in self.listening:
                self._selector.register(each, selectors.EVENT_READ, self._on_accept)
            while not self._is_over():
                for key, _ in self._selector.select(_TICK if self._connections else None):
                    ready = cast("socket.socket", key.fileobj)
                    if ready.fileno() != -1:  # not closed by an earlier one of this round
                        key.data(ready)
                self._sweep()
        except BaseException as error:  # noqa: BLE001 - the login must hear of it, not this thread
            self._found.put(error)
        finally:
            self._close_all()

    def _close_all(self) -> None:
        self._selector.close()
        for each in (*self.listening, *self._connections, self._wakes, self._woken):
            each.close()
        self._connections.clear()

    def _is_over(self) -> bool:
        if self._stop_at is None:
            return False
        return not self._connections or time.monotonic() > self._stop_at

    def _on_wake(self, woken: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            woken.recv(4096)
        if self._stop_at is not None:
            for each in self.listening:
                with contextlib.suppress(KeyError):  # woken twice
                    self._selector.unregister(each)
                each.close()
        for connection in list(self._connections.values()):
            if connection.phase == "held" and self._verdict is not None:
                self._send(connection, self._verdict, page(self._verdict).status)
            elif self._stop_at is not None and connection.phase != "writing":
                self._drop(connection)

    def _on_accept(self, listening: socket.socket) -> None:
        try:
            accepted, _ = listening.accept()
        except OSError:  # gone before we looked, or out of descriptors
            self._drop_one()
            return
        accepted.setblocking(False)
        if len(self._connections) >= _MOST_CONNECTIONS:
            self._drop_one()
        deadline = time.monotonic() + self.read_seconds
        self._connections[accepted] = _Connection(accepted, deadline)
        self._selector.register(accepted, selectors.EVENT_READ, self._on_input)

    def _drop_one(self) -> None:
        """Close the oldest connection that is not owed a page."""
        for connection in self._connections.values():
            if connection.phase in {"reading", "draining"}:
                self._drop(connection)
                return

    def _on_input(self, readable: socket.socket) -> None:
        connection = self._connections[readable]
        try:
            data = readable.recv(65536)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if data and connection.phase == "reading":
            connection.data += data
            self._look(connection)
        elif not data and connection.phase == "held":
            self._selector.unregister(readable)  # it has said all; it may still listen
        elif not data:
            self._drop(connection)

    def _look(self, connection: _Connection) -> None:
        """Answer as soon as what came so far decides."""
        if not 65 <= connection.data[0] <= 90:  # noqa: PLR2004 - A to Z: all else is not HTTP
            self._drop(connection)
            return
        head, end, rest = connection.data.partition(b"\r\n\r\n")
        first, line_end, _ = connection.data.partition(b"\r\n")
        if end and len(head) <= _MOST_HEAD:
            connection.drain = bool(rest)
            self._judge(connection, head)
        elif len(connection.data) > _MOST_HEAD:
            self._refuse(connection, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif line_end and not _REQUEST_LINE.fullmatch(first):
            self._refuse(connection, HTTPStatus.BAD_REQUEST)

    def _refuse(self, connection: _Connection, status: HTTPStatus) -> None:
        connection.drain = True
        self._send(connection, "nothing", status)

    def _judge(self, connection: _Connection, head: bytes) -> None:
        judged = self.wanted.judge(head)
        if isinstance(judged, _Refusal):
            connection.drain = True  # a form may have a body that is still on its way
            self._send(connection, judged.kind, judged.status, bodiless=judged.bodiless)
            return
        if not self._taken:
            self._taken = True
            self._found.put(judged)
        if self._verdict is not None:
            self._send(connection, self._verdict, page(self._verdict).status)
            return
        connection.phase = "held"
        connection.deadline = time.monotonic() + _HELD_SECONDS

    def _send(
        self, connection: _Connection, kind: PageKind, status: int, *, bodiless: bool = False
    ) -> None:
        connection.data = _response(kind, status, bodiless=bodiless)
        connection.phase = "writing"
        connection.deadline = time.monotonic() + self.read_seconds
        self._selector_watches(connection.socket, selectors.EVENT_WRITE, self._on_writable)
        self._on_writable(connection.socket)

    def _on_writable(self, writable: socket.socket) -> None:
        connection = self._connections[writable]
        try:
            sent = writable.send(connection.data)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._drop(connection)
            return
        connection.data = connection.data[sent:]
        if connection.data:
            return
        if not connection.drain or self._stop_at is not None:
            self._drop(connection)
            return
        connection.phase = "draining"
        connection.deadline = time.monotonic() + _DRAIN_SECONDS
        with contextlib.suppress(OSError):
            writable.shutdown(socket.SHUT_WR)
        self._selector_watches(writable, selectors.EVENT_READ, self._on_input)

    def _selector_watches(
        self, watched: socket.socket, events: int, handle: Callable[[socket.socket], None]
    ) -> None:
        try:
            self._selector.modify(watched, events, handle)
        except KeyError:  # it had said all
            self._selector.register(watched, events, handle)

    def _drop(self, connection: _Connection) -> None:
        del self._connections[connection.socket]
        with contextlib.suppress(KeyError):
            self._selector.unregister(connection.socket)
        connection.socket.close()

    def _sweep(self) -> None:
        """End what is past its deadline."""
        now = time.monotonic()
        for connection in list(self._connections.values()):
            if now < connection.deadline:
                continue
            if connection.phase == "held":
                self._send(connection, "failed", page("failed").status)
            else:
                self._drop(connection)
