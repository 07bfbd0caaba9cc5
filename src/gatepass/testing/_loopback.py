"""A server for contracts: it keeps what arrives, and lets in whoever brings anything along."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

_PATH: Final = "/mi/"
_POLL: Final = 0.01  # seconds until the accepting thread sees that it must end

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
        demands: whether a request must carry something to be let in.
        refuses: whether nobody is let in.
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
        handler = type("Handler", (_Handler,), {"loopback": self})
        with _Server(("127.0.0.1", 0), handler) as server:
            self.url = f"http://127.0.0.1:{server.server_address[1]}{_PATH}"
            thread = Thread(target=server.serve_forever, args=(_POLL,), daemon=True)
            thread.start()
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Be silent about clients that go away."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet: in two, each answer would wait 40 ms
    loopback: Loopback

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        arrival = Arrival(self.path, headers)
        self.loopback.requests.append(arrival)
        if self.loopback.refuses or (self.loopback.demands and not arrival.carries):
            named = [("WWW-Authenticate", challenge) for challenge in self.loopback.challenges]
            self._answer(401, named)
            return
        target = parse_qs(urlsplit(self.path).query).get("to")
        if target:
            self._answer(302, [("Location", target[0])])
        else:
            self._answer(200)

    def _answer(self, status: int, headers: Sequence[tuple[str, str]] = ()) -> None:
        self.send_response(status)
        for name, value in (*headers, ("Content-Length", "2")):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(b"{}")

    do_HEAD = do_GET  # noqa: N815 - the name is theirs

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the signature is theirs
        """Say nothing."""
