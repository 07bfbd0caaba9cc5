"""The server on loopback to which the browser brings the answer of a login (RFC 8252, section 7.3).

Any program of this machine and any page in the browser can send something here. Only one request
counts: a GET for exactly our path, at a loopback name, with the right state. Everything else gets a
fixed page and never ends the login. authcode.py uses it.
"""

import re
from dataclasses import dataclass
from http import HTTPStatus
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

from gatepass._net.loopback_server import REQUEST_LINE, LoopbackServer
from gatepass._net.loopback_sockets import listen
from gatepass._value import Value
from gatepass.auth._oidc.callback import Callback, parse_callback
from gatepass.auth._oidc.endpoint import redirect_problem
from gatepass.auth._oidc.foreign_text import one_line
from gatepass.auth._oidc.redirect_page import PageKind, headers, page
from gatepass.errors import GatepassError

_MAX_TARGET: Final = 16384  # bytes; the longest codes known have 2 KB
_READ_SECONDS: Final = 30.0  # from accepting a connection to the end of its request's head
_FIELD: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e\x80-\xff\t]*)")


class RedirectServer:
    """Receives the one callback of a login; use it in ``with``.

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
        self._address = _Address.parse(redirect_uri)
        self._read_seconds = read_seconds
        self._found: SimpleQueue[Callback | BaseException] = SimpleQueue()
        self._server: LoopbackServer | None = None
        self.redirect_uri = ""  # to send to the provider; known once it listens

    def __enter__(self) -> Self:
        sockets = listen(self._address.port)
        port = sockets[0].getsockname()[1]
        self.redirect_uri = self._address.uri(port)
        expected = _ExpectedRequest(port, self._address.path or "/", self._state)
        self._server = LoopbackServer(
            sockets,
            _Handler(expected, self._found),
            read_seconds=self._read_seconds,
            name="gatepass-login",
        )
        try:
            self._server.start()
        except BaseException:
            self._server.stop(_to_response("expired"))
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.stop(_to_response("expired"))

    def wait(self, seconds: float) -> Callback | None:
        """Wait for the callback; None when it did not come within that time."""
        self._require_server()
        try:
            found = self._found.get(timeout=max(0.0, seconds))
        except Empty:
            return None
        if isinstance(found, BaseException):
            raise found
        return found

    def send_page(self, kind: PageKind) -> None:
        """Tell the browser how the login ended; it has been waiting since the callback."""
        self._require_server().release(_to_response(kind))

    def _require_server(self) -> LoopbackServer:
        if self._server is None:
            raise RuntimeError("the redirect server is used outside of its with block")
        return self._server


class _Address(Value):
    """A redirect address: host and path as registered, port 0 for any free one."""

    host: str
    port: int
    path: str
    as_written: str | None

    @classmethod
    def parse(cls, redirect_uri: str | None) -> "_Address":
        if redirect_uri is None:
            return cls("127.0.0.1", 0, "/callback", None)
        problem, hint = redirect_problem(redirect_uri)
        if problem:
            raise GatepassError(f"the redirect_uri {one_line(redirect_uri)} {problem}", hint=hint)
        parts = urlsplit(redirect_uri)
        # Without a port any will do: providers ignore it on loopback (RFC 8252, section 7.3), and
        # port 80 would need an administrator.
        fixed = redirect_uri if parts.port else None
        return cls(parts.hostname or "", parts.port or 0, parts.path, fixed)

    def uri(self, port: int) -> str:
        """Return the address to send, with the port that was taken."""
        if self.as_written is not None:
            return self.as_written
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{port}{self.path}"


class _Refusal(Value):
    """How a request that does not count is answered.

    Attributes:
        kind: which page.
        status: with which status, where it is not the page's own.
        bodiless: whether the answer has no body (HEAD).
    """

    kind: PageKind
    status: HTTPStatus
    bodiless: bool = False


class _ExpectedRequest(Value):
    """What a request must be to count."""

    port: int
    path: str
    state: str

    def check(self, head: bytes) -> Callback | _Refusal:
        """Check the head of a request, without the empty line at its end."""
        first, *lines = head.split(b"\r\n")
        matched = REQUEST_LINE.fullmatch(first)
        fields = [_FIELD.fullmatch(line) for line in lines]
        if matched is None or None in fields:
            return _Refusal("nothing", HTTPStatus.BAD_REQUEST)
        method, target = matched.group(1), matched.group(2).decode("ascii")
        hosts = [each[2] for each in fields if each and each[1].lower() == b"host"]
        refusal = self._refusal_of(method, target, hosts)
        if refusal is not None:
            return refusal
        callback = parse_callback(target.partition("?")[2], self.state)
        return callback or _Refusal("again", HTTPStatus.BAD_REQUEST)

    def _refusal_of(self, method: bytes, target: str, hosts: list[bytes]) -> _Refusal | None:
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
        if len(target) > _MAX_TARGET:
            return _Refusal("again", HTTPStatus.REQUEST_URI_TOO_LONG)
        return None

    def _is_ours(self, host: str) -> bool:
        names = ("127.0.0.1", "localhost", "[::1]")
        ours = {f"{name}:{self.port}" for name in names}
        return host.strip().lower() in (ours | set(names) if self.port == 80 else ours)  # noqa: PLR2004 - http


@dataclass(eq=False)
class _Handler:
    """Answers the browser: holds the callback until it is known how the login ended."""

    expected: _ExpectedRequest
    found: "SimpleQueue[Callback | BaseException]"
    has_callback: bool = False

    def respond(self, head: bytes) -> bytes | None:
        checked = self.expected.check(head)
        if isinstance(checked, _Refusal):
            return _to_response(checked.kind, checked.status, bodiless=checked.bodiless)
        if not self.has_callback:
            self.has_callback = True
            self.found.put(checked)
        return None

    def refuse(self, status: HTTPStatus) -> bytes:
        return _to_response("nothing", status)

    def expire(self) -> bytes:
        return _to_response("failed")

    def fail(self, error: BaseException) -> None:
        self.found.put(error)


def _to_response(kind: PageKind, status: int | None = None, *, bodiless: bool = False) -> bytes:
    """Return a whole HTTP response with a page; with the page's own status if none is given."""
    shown = page(kind)
    status = shown.status if status is None else status
    fields = [*headers(), ("Content-Length", str(len(shown.body))), ("Connection", "close")]
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        fields.append(("Allow", "GET"))
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{n}: {v}" for n, v in fields)]
    head = "\r\n".join(lines).encode("ascii") + b"\r\n\r\n"
    return head if bodiless else head + shown.body
