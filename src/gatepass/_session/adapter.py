"""Transports: TLS, proxies, timeouts and retries of a session's connections."""

import os
import ssl
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from threading import RLock
from typing import Any, Final
from urllib.parse import unquote, urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # not in typeshed

import requests
from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.utils import get_environ_proxies, select_proxy
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.poolmanager import proxy_from_url

from gatepass._net.proxy import Proxy
from gatepass._net.tls import ClientCertificate, TlsContexts
from gatepass._net.urls import is_loopback, origin_of, without_userinfo
from gatepass._session.exceptions import proxy_login_required, proxy_name, translate_error
from gatepass._session.retries import RetryState, UnrepeatablePool, can_rewind, make_retries
from gatepass._system import log
from gatepass.auth._handshake import refuse_new_connection
from gatepass.auth._password import basic_header
from gatepass.secrets import Secret

_PROXY_ASKS: Final = 407
_CONNECTIONS: Final = 32  # kept open per server; a connection-bound login is lost with its one
# All that requests looks at for http and https; a CGI program must not trust HTTP_PROXY.
_PROXY_VARIABLES: Final = (
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUEST_METHOD"),
)


@dataclass(frozen=True, slots=True)
class Network:
    """How a server or an identity provider is reached: the profile's settings, with secrets.

    Attributes:
        environ: the environment variables; they name the proxies where the profile names none.
        timeout: seconds to connect, seconds to wait for an answer.
        retries: how often a request that can be repeated is tried again.
        trust: a PEM file or folder of authorities; None is the system's store.
        verify: false accepts any certificate.
        proxy: the profile's proxy; None follows the environment.
        proxy_header: the Proxy-Authorization header for the profile's proxy; None sends none.
        direct_to_loopback: whether plain http to loopback ignores the environment's proxies.
        above: the table of its keys ``tls`` and ``proxy``, for messages: empty or ``auth.``.
    """

    environ: Mapping[str, str] = field(repr=False)
    timeout: tuple[float, float] = (10.0, 60.0)
    retries: int = 3
    trust: str | None = None
    verify: bool = True
    proxy: Proxy | None = None
    proxy_header: Secret | None = None
    direct_to_loopback: bool = False
    above: str = ""

    def proxies(self, url: str) -> dict[str, str]:
        """Return the proxies for a URL in the form of requests."""
        if self.proxy is None:
            if self.direct_to_loopback and _is_http_on_loopback(url):
                return {}
            return _proxies_of_environ(url, self.environ)
        return {} if self.proxy.url == "none" else {"all": self.proxy.url}

    def split_proxy(self, url: str) -> tuple[str, dict[str, str]]:
        """Split a proxy's URL into the URL without credentials and the headers that carry them.

        urllib3 repeats a proxy's URL in its errors, so none with a password may reach it.

        Raises:
            GatepassError: name and password cannot be sent by HTTP Basic.
        """
        parts = urlsplit(url)
        bare = without_userinfo(url)
        if "@" in parts.netloc:
            header = basic_header(unquote(parts.username or ""), unquote(parts.password or ""))
        elif self.proxy and self.proxy_header and origin_of(self.proxy.url) == origin_of(bare):
            header = self.proxy_header.reveal()
        else:
            return bare, {}
        return bare, {"Proxy-Authorization": header}

    def plain_session(self) -> requests.Session:
        """Return a session without credentials that reaches all servers by these settings."""
        return PlainSession("", self, self)


def _proxies_of_environ(url: str, environ: Mapping[str, str]) -> dict[str, str]:
    if environ is os.environ:
        if sys.platform in {"win32", "darwin"}:
            # Also asks the registry or the system configuration, which may change.
            return get_environ_proxies(url)
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        return _proxies_for(origin, tuple(map(environ.get, _PROXY_VARIABLES))).copy()

    def variable(name: str) -> str:
        return environ.get(f"{name}_proxy") or environ.get(f"{name.upper()}_PROXY") or ""

    found = {name: variable(name) for name in ("http", "https", "all")}
    server = urlsplit(url).netloc.rpartition("@")[2]
    if proxy_bypass_environment(server, {"no": variable("no")}):
        return {}
    return {name: proxy for name, proxy in found.items() if proxy}


@lru_cache(maxsize=16)
def _proxies_for(origin: str, _variables: tuple[str | None, ...]) -> dict[str, str]:
    """Ask requests for the proxies, once for each state of the variables.

    requests reads all variables of the process, twice for each request, which takes longer than all
    that a session adds to a request.
    """
    return get_environ_proxies(origin)


def _is_http_on_loopback(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme.lower() == "http" and is_loopback(parts.hostname or "")


class _SilentConnection:
    """A connection that protects a login.

    It does not connect anew in the middle of a handshake. And it does not let http.client print
    what it sends: with ``debuglevel`` set, http.client prints each request, with its credentials.
    Responses are still printed.
    """

    debuglevel: int
    host: str

    def connect(self) -> None:
        """Connect, unless a later message of a handshake is to be sent."""
        refuse_new_connection()
        super().connect()  # type: ignore[misc]  # urllib3's
        tunnel = getattr(self, "_tunnel_host", None)  # behind a proxy
        log.debug(
            "connection opened to %s:%s%s",
            self.host,
            getattr(self, "port", None),
            f" for {tunnel}" * bool(tunnel),
        )

    def send(self, data: Any) -> None:
        """Send bytes or a stream."""
        level, self.debuglevel = self.debuglevel, 0
        try:
            super().send(data)  # type: ignore[misc]  # http.client's
        finally:
            self.debuglevel = level


class _HttpConnection(_SilentConnection, HTTPConnection):
    """Plain."""


class _HttpsConnection(_SilentConnection, HTTPSConnection):
    """With TLS."""


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _HttpConnection


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection


_POOLS: Final = {"http": _HttpPool, "https": _HttpsPool}


class Transport(HTTPAdapter):
    """Connections by the settings of a network. Each transport has its own pools and contexts.

    Args:
        network: the settings.
        certificate: the client's certificate, for connections without ``cert=``.
        connections: how many are kept open for each server.
        retry_responses: whether to try again after a "not now" response.
    """

    def __init__(
        self,
        network: Network,
        certificate: ClientCertificate | None = None,
        *,
        connections: int = _CONNECTIONS,
        retry_responses: bool = True,
    ) -> None:
        self._connections = connections
        self._network = network
        self._certificate = certificate
        self._contexts = TlsContexts(network.trust, f"{network.above}tls")
        retries = make_retries(network.retries, answers=retry_responses)
        super().__init__(pool_maxsize=connections, max_retries=retries)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def read_files(self) -> None:
        """Read the certificates that the profile names, so that a mistake shows early.

        Raises:
            ProfileError: one of them cannot be used.
        """
        self._contexts.get(self._network.verify, self._certificate)

    def send(
        self,
        request: PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> Response:
        """Send one request.

        Args:
            request: what to send.
            stream: leave the body of the answer unread.
            timeout: seconds as in requests; None means those of the profile.
            verify: True follows the profile; False or a path as in requests.
            cert: as in requests; None means the adapter's own certificate.
            proxies: as in requests, above those of the profile.

        Raises:
            Unreachable: and its kinds.
            ProfileError: a certificate file cannot be used.
        """
        route = {**self._network.proxies(request.url or ""), **(proxies or {})}
        proxy = (select_proxy(request.url or "", route) if route else None) or ""
        if proxy:
            log.debug("proxy for %s: %s", request.url, proxy_name(proxy))
        timeout = self._network.timeout if timeout is None else timeout
        failure: requests.RequestException
        try:
            response = super().send(request, stream, timeout, verify, cert, route)
        except requests.RequestException as error:
            failure = translate_error(error, request, proxy=proxy, above=self._network.above)
        else:
            if response.status_code != _PROXY_ASKS or not proxy:
                return response
            response.close()
            failure = proxy_login_required(proxy, request, self._network.above)
        raise failure  # outside of the handler: the original may hold credentials

    def retry_state(self, request: PreparedRequest) -> RetryState:
        """Return what counts the attempts of a request."""
        return RetryState(self._network.retries, request)

    def build_connection_pool_key_attributes(
        self, request: PreparedRequest, verify: Any, cert: Any = None
    ) -> tuple[Any, Any]:
        """Choose the pool by server and TLS context."""
        host, _ = super().build_connection_pool_key_attributes(request, True)
        if host["scheme"] != "https":
            return host, {}
        certificate = self._certificate if cert is None else _certificate(cert)
        context = self._contexts.get(True if verify is None else verify, certificate)
        needed = "CERT_NONE" if context.verify_mode == ssl.CERT_NONE else "CERT_REQUIRED"
        return host, {"ssl_context": context, "cert_reqs": needed}

    def close(self) -> None:
        """Close all idle connections, now; urllib3 would wait for the garbage collector."""
        for manager in (self.poolmanager, *self.proxy_manager.values()):
            for key in manager.pools.keys():  # noqa: SIM118 - it cannot be iterated itself
                pool = manager.pools.get(key)
                if pool is not None:
                    pool.close()
        super().close()

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Do nothing: the context of the pool decides, and stays as it is."""

    def get_connection_with_tls_context(
        self, request: PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        """Return the pool for a request."""
        pool = super().get_connection_with_tls_context(request, verify, proxies, cert)
        return pool if can_rewind(request) else UnrepeatablePool(pool)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Return the pools behind a proxy; its credentials go to it alone."""
        if proxy.lower().startswith("socks"):
            return super().proxy_manager_for(proxy, **kwargs)
        manager = self.proxy_manager.get(proxy)
        if manager is None:
            bare, headers = self._network.split_proxy(proxy)
            tls = None
            if bare.lower().startswith("https"):
                tls = self._contexts.get(self._network.verify)
            manager = self.proxy_manager[proxy] = proxy_from_url(
                bare,
                proxy_headers=headers,
                proxy_ssl_context=tls,
                maxsize=self._connections,
                **kwargs,
            )
            manager.pool_classes_by_scheme = _POOLS
        return manager


class _VerifyingByNetwork(Transport):
    """A transport that follows the network's ``verify`` where the caller gives none."""

    @property
    def verifies(self) -> bool:
        """Whether the server must prove its identity by a certificate."""
        return self._network.verify

    def send(
        self,
        request: PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> Response:
        """Send one request; see :class:`Transport`."""
        verify = self._network.verify if verify is True else verify
        return super().send(request, stream, timeout, verify, cert, proxies)


class PlainSession(requests.Session):
    """A session without any login: no Authorization, no netrc.

    Requests to the profile's origin take one network, without the client's certificate; requests to
    all other origins take another, also after a redirect.

    Args:
        origin: the profile's; empty where there is one network only.
        server: the network to the profile's origin.
        others: the network to all other origins.
        certificate: the client's certificate for the others.
    """

    def __init__(
        self,
        origin: str,
        server: Network,
        others: Network,
        certificate: ClientCertificate | None = None,
    ) -> None:
        super().__init__()
        self.trust_env = False
        self._origin = origin
        self._home = f"{origin}/"
        for prefix in ("https://", "http://"):
            self.mount(prefix, _VerifyingByNetwork(others, certificate))
        if origin:
            self.mount(self._home, _VerifyingByNetwork(server))

    def get_adapter(self, url: str) -> BaseAdapter:
        """Return the connections for a URL; the profile's port may be written or left out."""
        adapter = super().get_adapter(url)
        return self.adapters[self._home] if self._origin and is_at(url, self._origin) else adapter

    def read_files(self) -> None:
        """Read the certificates for the other origins, so that a mistake shows early.

        Raises:
            ProfileError: one of them cannot be used.
        """
        adapter = self.adapters["https://"]
        if isinstance(adapter, Transport):
            adapter.read_files()


def is_at(url: str, origin: str) -> bool:
    """Whether a URL belongs to an origin; false for what is no URL."""
    try:
        return origin_of(url) == origin
    except ValueError:
        return False


def abandon_connections(adapter: HTTPAdapter) -> None:
    """In a forked process, close this end of the idle connections that the parent goes on using.

    The server does not notice. Left open, this end would keep a connection alive after the parent
    has closed it. Replace the locks first: a thread of the parent may have held them.
    """
    for manager in (adapter.poolmanager, *adapter.proxy_manager.values()):
        manager.pools.lock = RLock()
        for key in manager.pools.keys():  # noqa: SIM118 - it cannot be iterated itself
            idle = getattr(manager.pools.get(key), "pool", None)
            if idle is None:  # a closed pool has none
                continue
            connections = [each for each in idle.queue if each is not None]
            type(idle).__init__(idle, idle.maxsize)
            for _ in range(idle.maxsize):
                idle.put(None)  # as urllib3 begins: so many may be made
            for connection in connections:
                connection.close()


def _certificate(cert: Any) -> ClientCertificate:
    chain, key = (cert, None) if isinstance(cert, str) else cert
    return ClientCertificate(chain, key)
