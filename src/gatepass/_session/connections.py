"""Which connections a request takes: those of the profile, of a guest, or to the world outside.

Three kinds of connections that share nothing:

- *profile*: to the server of the profile, with the profile's login;
- *guest*: to the same server, with what the caller brought, or with nothing;
- *abroad*: to any other server.

Some logins belong to a connection (NTLM, and Negotiate at many servers). Their messages must
follow each other on one connection, with nobody else's request in between; so for such a scheme
each request borrows a line: a transport that keeps one connection and serves one request at a
time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any, Final
from weakref import ref

from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter

from gatepass._session.adapter import Network, Transport, leave
from gatepass._system.fork import renew_in_children

if TYPE_CHECKING:
    from gatepass._net.tls import ClientCertificate

PROFILE: Final = "profile"
GUEST: Final = "guest"
ABROAD: Final = "abroad"

_MOST_LINES: Final = 32  # kept for the next request; more may be lent at one time


class Line:
    """A transport with one connection.

    Attributes:
        transport: sends over the connection.
        logged_on: whether the last exchange over it was accepted. The server may have closed the
            connection since, so this is a hope, not a promise.
    """

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.logged_on = False
        self._last: Any = None

    def took(self, response: Response) -> None:
        """Note the answer that occupies the connection until it is read."""
        self._last = ref(response.raw) if response.raw is not None else None

    @property
    def is_free(self) -> bool:
        """Whether the last answer has been read, or thrown away."""
        raw = self._last and self._last()
        return raw is None or getattr(raw, "connection", None) is None


class Lanes(BaseAdapter):
    """Three transports that share no connection, and lines for logins of connections."""

    def __init__(self, network: Network, certificate: "ClientCertificate | None") -> None:
        super().__init__()
        self._network = network
        self._certificate = certificate
        self._begin()
        renew_in_children(self, Lanes.renew)

    def _begin(self) -> None:
        self.transports = {
            PROFILE: Transport(self._network, self._certificate),
            GUEST: Transport(self._network),
            ABROAD: Transport(self._network),
        }
        self._lines: list[Line] = []
        self._lock = Lock()

    def read_files(self) -> None:
        """Read the certificates that the profile names, so that a mistake shows early.

        Raises:
            ProfileError: one of them cannot be used.
        """
        self.transports[PROFILE].read_files()

    def renew(self) -> None:
        """Leave all connections to the process that this one was forked from."""
        for transport in (*self.transports.values(), *(line.transport for line in self._lines)):
            leave(transport)
        self._begin()

    def send(self, request: PreparedRequest, **kwargs: Any) -> Response:  # type: ignore[override]
        """Send a request that did not come through the guard: without anything of the profile."""
        return self.transports[ABROAD].send(request, **kwargs)

    @contextmanager
    def line(self) -> Iterator[Line]:
        """Lend a line for one exchange, the one that was used last if it is free."""
        with self._lock:
            free = next((line for line in reversed(self._lines) if line.is_free), None)
            if free is not None:
                self._lines.remove(free)
        line = free or Line(self._single())
        try:
            yield line
        finally:
            self._keep(line)

    def _single(self) -> Transport:
        return Transport(self._network, self._certificate, connections=1, patient=False)

    def _keep(self, line: Line) -> None:
        with self._lock:
            self._lines.append(line)
            surplus = [each for each in self._lines if each.is_free][:-_MOST_LINES]
            self._lines = [each for each in self._lines if each not in surplus]
        for each in surplus:
            each.transport.close()

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            lines, self._lines = self._lines, []
        for transport in (*self.transports.values(), *(line.transport for line in lines)):
            transport.close()
