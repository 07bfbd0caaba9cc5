"""A server for contracts: it records requests, and accepts credentials of any kind."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.parser import Parser
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs, urlsplit

from gatepass._net.loopback_server import LoopbackServer
from gatepass._net.loopback_sockets import listen

_PATH: Final = "/mi/"
_READ_SECONDS: Final = 30.0  # from accepting a connection to the end of its request's head

# What requests sends of its own accord.
_ORDINARY: Final = frozenset(
    {
        "accept",
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "host",
        "transfer-encoding",
        "user-agent",
    }
)


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request as it arrived. Holds the credentials that came; never shown.

    Attributes:
        path: path and query.
        headers: by their names in lower case.
    """

    path: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)

    @property
    def carries(self) -> bool:
        """Whether it holds more than an anonymous request for the same page."""
        asked = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        return bool(self.headers.keys() - _ORDINARY or asked.keys() - {"to"})


@dataclass
class Loopback:
    """A server on 127.0.0.1. Its page ``redirect?to=URL`` redirects, all others answer ``{}``.

    Attributes:
        challenges: what a 401 says in ``WWW-Authenticate``.
        demands: whether a request without credentials is refused.
        refuses: whether every request is refused.
        url: where it listens; empty before it does.
        requests: what arrived, in that order.
        failures: mistakes of the server itself, raised when it ends.
    """

    challenges: Sequence[str] = ()
    demands: bool = False
    refuses: bool = False
    url: str = ""
    requests: list[Arrival] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)

    @contextmanager
    def running(self) -> "Iterator[Loopback]":
        """Listen on a free port until the block ends."""
        sockets = listen(0)
        self.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}{_PATH}"
        server = LoopbackServer(
            sockets, _Handler(self), read_seconds=_READ_SECONDS, name="gatepass-contract-server"
        )
        server.start()
        try:
            yield self
        finally:
            server.stop(_to_response(503))
        if self.failures:
            raise self.failures[0]


@dataclass(frozen=True, slots=True)
class _Handler:
    """Answers a request from its head; contracts send no body."""

    loopback: Loopback

    def respond(self, head: bytes) -> bytes:
        first, _, fields = head.decode("latin-1").partition("\r\n")
        method, path, _ = first.split(" ", 2)
        headers = {
            name.lower(): value
            for name, value in Parser().parsestr(fields, headersonly=True).items()
        }
        arrival = Arrival(path, headers)
        self.loopback.requests.append(arrival)
        bodiless = method == "HEAD"
        if self.loopback.refuses or (self.loopback.demands and not arrival.carries):
            named = [("WWW-Authenticate", each) for each in self.loopback.challenges]
            return _to_response(401, named, bodiless=bodiless)
        target = parse_qs(urlsplit(path).query).get("to")
        if target:
            return _to_response(302, [("Location", target[0])], bodiless=bodiless)
        return _to_response(200, bodiless=bodiless)

    def refuse(self, status: HTTPStatus) -> bytes:
        return _to_response(status)

    def expire(self) -> bytes:
        return _to_response(503)

    def fail(self, error: BaseException) -> None:
        self.loopback.failures.append(error)


def _to_response(
    status: int, headers: Sequence[tuple[str, str]] = (), *, bodiless: bool = False
) -> bytes:
    named = (*headers, ("Content-Length", "2"), ("Connection", "close"))
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        *(f"{name}: {value}" for name, value in named),
    ]
    head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
    return head if bodiless else head + b"{}"
