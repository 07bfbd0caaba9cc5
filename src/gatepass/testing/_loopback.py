"""A server for contracts: it records requests, and accepts credentials of any kind."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs, urlsplit

from gatepass.sandbox._listener import Connection, Listener
from gatepass.sandbox._response import Response, in_json

# What requests sends of its own accord.
_ORDINARY: Final = frozenset(
    "accept accept-encoding connection content-length content-type host transfer-encoding "
    "user-agent".split()
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
    def query(self) -> Mapping[str, list[str]]:
        """The parameters of the query."""
        return parse_qs(urlsplit(self.path).query, keep_blank_values=True)

    @property
    def carries(self) -> bool:
        """Whether it holds more than an anonymous request for the same page."""
        return bool(self.headers.keys() - _ORDINARY or self.query.keys() - {"to"})


@dataclass
class Loopback:
    """A server on 127.0.0.1. Its page ``redirect?to=URL`` redirects, all others answer ``{}``.

    Attributes:
        challenges: what a 401 says in ``WWW-Authenticate``.
        demands: whether a request without credentials is refused.
        refuses: whether every request is refused.
        url: where it listens; empty before it does.
        requests: what arrived, in that order.
    """

    challenges: Sequence[str] = ()
    demands: bool = False
    refuses: bool = False
    url: str = ""
    requests: list[Arrival] = field(default_factory=list)

    @contextmanager
    def running(self) -> "Iterator[Loopback]":
        """Listen on a free port until the block ends; raise the server's own mistakes then."""
        listener = _Listener(0, None)
        listener.loopback, self.url = self, f"{listener.origin}/mi/"
        listener.start()
        try:
            yield self
        finally:
            listener.stop()
        if listener.failures:
            raise listener.failures[0]

    def respond(self, arrival: Arrival) -> Response:
        """Record a request, and return the response."""
        self.requests.append(arrival)
        if self.refuses or (self.demands and not arrival.carries):
            return in_json({}, 401, tuple(("WWW-Authenticate", each) for each in self.challenges))
        target = arrival.query.get("to")
        return in_json({}, 302, (("Location", target[0]),)) if target else in_json({})


class _Connection(Connection):
    server: "_Listener"

    def respond(self, body: Iterator[bytes]) -> Response:
        for _ in body:
            pass
        headers = {name.lower(): value for name, value in self.headers.items()}
        return self.server.loopback.respond(Arrival(self.path, headers))


class _Listener(Listener):
    connection_class = _Connection
    loopback: Loopback
