"""Connections that protect a login, and the pools that hold them."""

import socket
import ssl
from functools import cache
from http.client import HTTPResponse, parse_headers
from typing import Any, Final

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError

from gatepass._session.translate import NoAnswer, TunnelRefused
from gatepass._system import log
from gatepass.auth._handshake import Gate

_PROXY_ASKS: Final = 407
_TLS_ENDED: Final = (ssl.SSLEOFError, ssl.SSLZeroReturnError)


class _Response(HTTPResponse):
    """The answer of a server, which tells whether any byte of it came."""

    def begin(self) -> None:
        """Read the status line and the headers.

        Raises:
            NoAnswer: the connection ended before them.
        """
        try:
            first = self.fp.peek(1)
        except (ConnectionError, *_TLS_ENDED) as error:
            raise NoAnswer(str(error)) from None
        if not first:
            raise NoAnswer("closed without an answer")
        super().begin()


class _TunnelResponse(_Response):
    """The answer of a proxy, of whose refusal http.client keeps no headers before Python 3.12."""

    def _read_status(self) -> Any:
        version, code, reason = super()._read_status()  # type: ignore[misc]  # http.client's
        if code == _PROXY_ASKS:
            lines = parse_headers(self.fp).get_all("Proxy-Authenticate", [])
            raise TunnelRefused(f"{code} {reason}", {"Proxy-Authenticate": ", ".join(lines)})
        return version, code, reason


class _Connection:
    """A connection that protects a login.

    It does not connect anew in the middle of a handshake. And it does not let http.client print
    what it sends: with ``debuglevel`` set, http.client prints each request, with its credentials.
    Responses are still printed.
    """

    debuglevel: int
    host: str
    response_class: Any = _Response
    _has_answered = False

    def __init__(self, *args: Any, gate: Gate, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._gate = gate

    def connect(self) -> None:
        """Connect, unless a later message of a handshake is to be sent."""
        self._gate.check()
        self._has_answered = False
        try:
            super().connect()  # type: ignore[misc]  # urllib3's
        except TimeoutError:
            if getattr(self, "_tunnel_host", None):  # the proxy may have acted on what it got
                raise
            connection: Any = self
            raise ConnectTimeoutError(connection, "no TLS handshake in time") from None
        tunnel = getattr(self, "_tunnel_host", None)  # behind a proxy
        log.debug(
            "connection opened to %s:%s%s",
            self.host,
            getattr(self, "port", None),
            f" for {tunnel}" * bool(tunnel),
        )

    def _tunnel(self) -> None:
        """Ask the proxy for a tunnel; keep the headers of its refusal."""
        kind, self.response_class = self.response_class, _TunnelResponse
        try:
            super()._tunnel()  # type: ignore[misc]  # http.client's
        except TunnelRefused:
            self.close()  # type: ignore[attr-defined]  # http.client's
            raise
        finally:
            self.response_class = kind

    def send(self, data: Any) -> None:
        """Send bytes or a stream."""
        level, self.debuglevel = self.debuglevel, 0
        try:
            super().send(data)  # type: ignore[misc]  # http.client's
        except _TLS_ENDED as error:
            raise NoAnswer(str(error), reused=self._has_answered) from None
        finally:
            self.debuglevel = level

    def getresponse(self) -> Any:
        """Read the answer, and note that one came."""
        try:
            response = super().getresponse()  # type: ignore[misc]  # urllib3's
        except NoAnswer as error:
            error.reused = self._has_answered
            raise
        self._has_answered = True
        return response


class _HttpConnection(_Connection, HTTPConnection):
    """Plain."""


class _HttpsConnection(_Connection, HTTPSConnection):
    """With TLS."""


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _HttpConnection


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection


POOLS: Final = {"http": _HttpPool, "https": _HttpsPool}


class _Socks:
    """A connection through a SOCKS proxy; tells where this refuses the login.

    PySocks would send a refused login to the proxy's next address too.
    """

    _socks_options: dict[str, Any]

    def _new_conn(self) -> Any:
        options = self._socks_options
        failure: Exception = OSError("the proxy has no address")
        for address in _addresses(options["proxy_host"], options["proxy_port"]):
            self._socks_options = {**options, "proxy_host": address}
            try:
                return super()._new_conn()  # type: ignore[misc]  # urllib3's
            except ConnectTimeoutError as error:
                failure = error
                if _is_refusal(error):
                    if options["username"] and "rejected" in str(error):  # it was not sent
                        break
                    raise TunnelRefused(str(error), {}) from None
        raise failure


def _is_refusal(error: Exception) -> bool:
    """Whether a SOCKS proxy asks for a login, or refuses one."""
    by = error.__context__  # PySocks wraps its own errors too
    return type(getattr(by, "socket_err", None) or by).__name__ == "SOCKS5AuthError"


def _addresses(host: str, port: int | None) -> list[str]:
    """Return the addresses of a host; its name where it is not known, for the error of that."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return [host]
    return list(dict.fromkeys(str(each[4][0]) for each in found))


@cache
def socks_pools() -> dict[str, type[HTTPConnectionPool]]:
    """Return the kinds of pools behind a SOCKS proxy; needs PySocks."""
    from urllib3.contrib.socks import SOCKSConnection, SOCKSHTTPSConnection

    bases = (_Connection, _Socks)
    plain = type("_SocksConnection", (*bases, SOCKSConnection), {})
    secure = type("_SocksHttpsConnection", (*bases, SOCKSHTTPSConnection), {})
    return {
        "http": type("_SocksPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
        "https": type("_SocksHttpsPool", (HTTPSConnectionPool,), {"ConnectionCls": secure}),
    }
