"""The connections of a session, in three kinds that share none; the guard chooses among them.

- ``AUTHENTICATED``: to the profile's server, with the profile's login and client certificate;
- ``CALLER_AUTH``: to the same server, with the caller's credentials or none;
- ``CROSS_ORIGIN``: to any other server.

Some logins belong to a connection (NTLM, and Negotiate at many servers): their messages must follow
each other on one connection, with no other request in between. For such a scheme each request
borrows an exclusive connection, which serves one request at a time.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import Lock
from typing import TYPE_CHECKING, Any, Final
from weakref import ref

from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter, HTTPAdapter

from gatepass._session.adapter import Network, Transport, abandon_connections
from gatepass.auth._handshake import closes_connection

if TYPE_CHECKING:
    from gatepass._net.tls import ClientCertificate

AUTHENTICATED: Final = "authenticated"
CALLER_AUTH: Final = "caller-auth"
CROSS_ORIGIN: Final = "cross-origin"

_MOST_EXCLUSIVE: Final = 32  # kept for the next request; more may be lent at one time


class ExclusiveConnection(Transport):
    """A transport with one connection, lent to one request at a time.

    Attributes:
        logged_on: whether the server accepted the last exchange over it. The server may have closed
            the connection since then.
    """

    def __init__(self, network: Network, certificate: "ClientCertificate | None") -> None:
        super().__init__(network, certificate, connections=1, repeats=False)
        self.logged_on = False
        self._last: Any = None

    def note_response(self, response: Response) -> None:
        """Note the response that occupies the connection until it is read."""
        self._last = ref(response.raw) if response.raw is not None else None
        self.logged_on = not closes_connection(response)

    @property
    def is_free(self) -> bool:
        """Whether the last response has been read, or thrown away."""
        raw = self._last and self._last()
        return raw is None or getattr(raw, "connection", None) is None


class Connections(BaseAdapter):
    """Three transports that share no connection, and exclusive connections.

    Args:
        network: how the server is reached.
        certificate: the client's certificate; None sends none.
        transport: what makes the connections.
    """

    def __init__(
        self,
        network: Network,
        certificate: "ClientCertificate | None",
        transport: type[Transport] = Transport,
    ) -> None:
        super().__init__()
        self._make = transport
        self._network = network
        self._certificate = certificate
        self._create()

    def _create(self) -> None:
        self.transports = {
            # The guard repeats its requests.
            AUTHENTICATED: self._make(self._network, self._certificate, repeats=False),
            CALLER_AUTH: self._make(self._network),
            CROSS_ORIGIN: self._make(self._network),
        }
        self._exclusive: list[ExclusiveConnection] = []
        self._lock = Lock()

    def without_login(self) -> Transport:
        """Return new connections with the client's certificate, over which nobody has logged on."""
        return self._make(self._network, self._certificate)

    def _all_transports(self) -> list[Transport]:
        return [*self.transports.values(), *self._exclusive]

    def read_files(self) -> None:
        """Read the certificates that the profile names, so that a mistake shows early.

        Raises:
            ProfileError: one of them cannot be used.
        """
        self.transports[AUTHENTICATED].read_files()

    def leave_to_parent(self) -> None:
        """In a forked process, leave all connections to the parent and begin without any."""
        for transport in self._all_transports():
            abandon_connections(transport)
        self._create()

    def send(self, request: PreparedRequest, **kwargs: Any) -> Response:  # type: ignore[override]
        """Send a request that did not come through the guard: without anything of the profile."""
        return self.transports[CROSS_ORIGIN].send(request, **kwargs)

    @contextmanager
    def borrow_exclusive(self, *, fresh: bool = False) -> Iterator[ExclusiveConnection]:
        """Lend an exclusive connection for one exchange; a free one that was used last if any.

        Args:
            fresh: lend one that has never been used.
        """
        with self._lock:
            free = next((each for each in reversed(self._exclusive) if each.is_free), None)
            if free is not None and not fresh:
                self._exclusive.remove(free)
        if free is None or fresh:
            connection = ExclusiveConnection(self._network, self._certificate)
        else:
            connection = free
        try:
            yield connection
        finally:
            self._give_back(connection)

    def _give_back(self, connection: ExclusiveConnection) -> None:
        with self._lock:
            self._exclusive.append(connection)
            surplus = [each for each in self._exclusive if each.is_free][:-_MOST_EXCLUSIVE]
            self._exclusive = [each for each in self._exclusive if each not in surplus]
        for each in surplus:
            each.close()

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            transports, self._exclusive = self._all_transports(), []
        for transport in transports:
            transport.close()


class NotConnected(BaseAdapter):
    """Takes the place of the connections in a session that is not open yet."""

    def close(self) -> None:
        """Do nothing."""


def leave_to_parent(adapter: BaseAdapter) -> None:
    """In a forked process, let an adapter begin without the connections of the parent."""
    if isinstance(adapter, Connections):
        adapter.leave_to_parent()
    elif isinstance(adapter, HTTPAdapter):
        with suppress(AttributeError):  # the caller's need not have the pools of requests'
            abandon_connections(adapter)


def callers_adapters(mounted: Mapping[str, BaseAdapter]) -> dict[str, BaseAdapter]:
    """Return the adapters that the caller has mounted, by their prefixes."""
    return {
        prefix: adapter
        for prefix, adapter in mounted.items()
        if not isinstance(adapter, Connections | NotConnected)
    }
