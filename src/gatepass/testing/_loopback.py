"""A server for contracts: it records requests, and accepts credentials of any kind."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs, urlsplit

from gatepass.sandbox._listener import Connection, Listener

_PATH: Final = "/mi/"

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
    """

    challenges: Sequence[str] = ()
    demands: bool = False
    refuses: bool = False
    url: str = ""
    requests: list[Arrival] = field(default_factory=list)

    @contextmanager
    def running(self) -> "Iterator[Loopback]":
        """Listen on a free port until the block ends."""
        listener = _LoopbackListener(self)
        self.url = f"http://127.0.0.1:{listener.server_port}{_PATH}"
        listener.start()
        try:
            yield self
        finally:
            listener.stop()


class _LoopbackConnection(Connection):
    server: "_LoopbackListener"
    wbufsize = -1  # head and body in one packet: in two, each response would wait 40 ms

    def _serve(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        arrival, loopback = Arrival(self.path, headers), self.server.loopback
        loopback.requests.append(arrival)
        if loopback.refuses or (loopback.demands and not arrival.carries):
            named = [("WWW-Authenticate", challenge) for challenge in loopback.challenges]
            self._respond(401, named)
            return
        target = parse_qs(urlsplit(self.path).query).get("to")
        if target:
            self._respond(302, [("Location", target[0])])
        else:
            self._respond(200)

    do_GET = do_HEAD = _serve  # noqa: N815 - the names in http.server

    def _respond(self, status: int, headers: Sequence[tuple[str, str]] = ()) -> None:
        self.send_response(status)
        for name, value in (*headers, ("Content-Length", "2")):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(b"{}")


class _LoopbackListener(Listener):
    connection_class = _LoopbackConnection

    def __init__(self, loopback: Loopback) -> None:
        self.loopback = loopback
        super().__init__(0, None)
