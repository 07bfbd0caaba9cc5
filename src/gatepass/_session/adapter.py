"""Transports: TLS, proxies, timeouts and retries of a session's connections."""

import os
import ssl
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from threading import RLock
from typing import Any, Final

import requests
from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.utils import get_environ_proxies, select_proxy
from urllib3.poolmanager import proxy_from_url

from gatepass._net.proxy import (
    VARIABLES,
    NamedProxy,
    Proxy,
    encoded,
    is_socks,
    make_socks_manager,
    proxy_of_variables,
    split_login,
)
from gatepass._net.tls import SYSTEM_TRUST, ClientCertificate, TlsContexts, Trust
from gatepass._net.urls import is_http_on_loopback, origin_of
from gatepass._session.exceptions import ProxyRefused
from gatepass._session.login_state import LoginState, Page, state_of
from gatepass._session.pools import POOLS, socks_pools
from gatepass._session.retries import RetryState
from gatepass._session.translate import (
    Way,
    check_proxy,
    find_refused_tunnel,
    proxy_login_required,
    translate_error,
)
from gatepass._system import log
from gatepass._system.context import SHARED
from gatepass._value import Value, field, replace
from gatepass.auth._handshake import Gate
from gatepass.auth._password import basic_header
from gatepass.errors import GatepassError
from gatepass.secrets import Secret

_PROXY_ASKS: Final = 407
_NONE_GIVEN: Final = "not given"
_CONNECTIONS: Final = 32  # kept open per server; a connection-bound login is lost with its one


class Network(Value):
    """How a server or an identity provider is reached: the profile's settings, with secrets.

    Attributes:
        environ: the environment variables; they name the proxies where the profile names none.
        timeout: seconds to connect, seconds to wait for an answer.
        retries: how often a request that can be repeated is tried again.
        trust: who is trusted to say that a server is the right one.
        verify: false accepts any certificate.
        proxy: the profile's proxy; None follows the environment.
        proxy_named_by: where the profile's proxy was written, for messages.
        proxy_login: user name and password for the profile's proxy; None sends none.
        direct_to_loopback: whether plain http to loopback ignores the environment's proxies.
        above: the table of its keys ``tls`` and ``proxy``, for messages: empty or ``auth.``.
        address: what names the server, for messages.
        shared: what this process knows of passwords that servers and proxies have judged.
    """

    environ: Mapping[str, str] = field(repr=False)
    timeout: tuple[float, float] = (10.0, 60.0)
    retries: int = 3
    trust: Trust = SYSTEM_TRUST
    verify: bool = True
    proxy: Proxy | None = None
    proxy_named_by: object = "proxy of the profile"  # shown by str()
    proxy_login: tuple[Secret, Secret] | None = None
    direct_to_loopback: bool = False
    above: str = ""
    address: str = "url"
    shared: dict[Any, Any] = field(default_factory=lambda: SHARED, repr=False)
    _proxy_states: dict[str, LoginState | None] = field(default_factory=dict, repr=False)
    _tls_contexts: dict[Any, ssl.SSLContext] = field(default_factory=dict, repr=False)

    def proxy_for(self, url: str) -> NamedProxy | None:
        """Return the proxy that leads to a URL; None for none."""
        if self.proxy is not None:
            named_by = self.proxy_named_by
            return None if self.proxy.url == "none" else NamedProxy(self.proxy.url, named_by)
        if self.direct_to_loopback and is_http_on_loopback(url):
            return None
        if self.environ is os.environ and sys.platform in {"win32", "darwin"}:
            return _proxy_of_system(url, self.environ)
        return proxy_of_variables(url, self.environ)

    def split_proxy(self, url: str) -> tuple[str, tuple[str, str] | None]:
        """Split a proxy's URL into the URL without a login, and user name and password for it.

        urllib3 repeats a proxy's URL in its errors, so none with a password may reach it.
        """
        bare, login = split_login(url)
        if (
            login is None
            and self.proxy
            and self.proxy_login
            and origin_of(self.proxy.url) == origin_of(bare)
        ):
            name, password = self.proxy_login
            return bare, (name.reveal(), password.reveal())
        return bare, login

    def proxy_state(self, url: str) -> LoginState | None:
        """Return whether a proxy accepts its login; None where it gets none."""
        if url not in self._proxy_states:
            bare, login = self.split_proxy(url)
            state = None
            if login is not None:
                typed = self.proxy_login is not None and self.proxy_login[1].is_typed
                password = Secret(login[1], is_typed=typed)
                state = state_of(self.shared, bare, "proxy", login[0], password)
            self._proxy_states[url] = state
        return self._proxy_states[url]

    def forget_refusals(self) -> None:
        """Let the logins of proxies be sent once more."""
        for state in filter(None, self._proxy_states.values()):
            state.reset()

    def plain_session(self) -> requests.Session:
        """Return a session without credentials that reaches all servers by these settings."""
        return PlainSession("", self, self)


def _proxy_of_system(url: str, environ: Mapping[str, str]) -> NamedProxy | None:
    """Return the proxy of the variables or, where they name none, of the system's settings."""
    if any(environ.get(name) for name in VARIABLES if "no_" not in name.lower()):
        return proxy_of_variables(url, environ)
    found = select_proxy(url, get_environ_proxies(url))
    return NamedProxy(found, "the system's settings") if found else None


class Transport(HTTPAdapter):
    """Connections by the settings of a network. Each transport has its own pools.

    Args:
        network: the settings.
        certificate: the client's certificate, for connections without ``cert=``.
        connections: how many are kept open for each server.
        repeats: whether it sends again by itself what can be repeated.
    """

    def __init__(
        self,
        network: Network,
        certificate: ClientCertificate | None = None,
        *,
        connections: int = _CONNECTIONS,
        repeats: bool = True,
    ) -> None:
        self.gate = Gate()
        self._connections = connections
        self._network = network
        self._certificate = certificate
        self._contexts = TlsContexts(network.trust, f"{network.above}tls", network._tls_contexts)  # noqa: SLF001
        self._retries = network.retries if repeats else 0
        super().__init__(pool_maxsize=connections, max_retries=0)
        self.poolmanager.pool_classes_by_scheme = POOLS

    def read_files(self) -> None:
        """Read the certificates that the profile names, so that a mistake shows early.

        Raises:
            ProfileError: one of them cannot be used.
        """
        self._contexts.get(self._network.verify, self._certificate)

    def send(self, request: PreparedRequest, **options: Any) -> Response:  # type: ignore[override]
        """Send one request, and again where that helps and does no harm.

        Args:
            request: what to send.
            options: as for an adapter of requests. ``timeout`` and ``proxies`` come before those
                of the profile, ``cert`` before the adapter's own certificate.

        Raises:
            Unreachable: and its kinds.
            ProfileError: a certificate file cannot be used.
        """
        retries = RetryState(self._retries, request)
        while True:
            try:
                response = self._send_once(request, **options)
            except requests.RequestException as failure:
                if not retries.wait_after(failure):
                    raise
            else:
                if not retries.wait_after_response(response):
                    return response

    def _send_once(
        self, request: PreparedRequest, proxies: Mapping[str, str] | None = None, **given: Any
    ) -> Response:
        proxy = self._proxy_for(request.url or "", proxies)
        options = {"stream": False, "timeout": None, "verify": True, "cert": None} | given
        if options["timeout"] is None:
            options["timeout"] = self._network.timeout
        state = self._network.proxy_state(proxy.url) if proxy else None
        if proxy is None or state is None:
            response = self._send_by(proxy, request, options)
            if isinstance(response, ProxyRefused):
                raise response
            return response
        if state.refusal is not None:
            raise _explain_proxy(self._login_required(proxy, request, {}), True)
        decisions = state.decisions
        with state.attempt():
            response = self._send_by(proxy, request, options)
            page = Page(request.url or "", asks=False)
            if not isinstance(response, ProxyRefused):
                state.record_success(requests.codes.ok, page)
                return response
            lets_through = partial(self._lets_through, proxy, options)
            explain = partial(_explain_proxy, response)
            refusal = state.record_refusal(explain, decisions, None, lets_through)
        raise refusal

    def _send_by(
        self, proxy: NamedProxy | None, request: PreparedRequest, options: dict[str, Any]
    ) -> Response | ProxyRefused:
        """Send one request by a proxy, if any; return the error where that wants a login."""
        if proxy is not None:
            log.debug("proxy for %s: %s", request.url, proxy)
            check_proxy(proxy, request)
        failure: requests.RequestException
        try:
            response = self._send_over(proxy, request, options)
        except requests.RequestException as error:
            tunnel = find_refused_tunnel(error) if proxy else None
            if proxy and tunnel is not None:
                return self._login_required(proxy, request, tunnel)
            trusted = self._contexts.trusted(options["verify"])
            above, address = self._network.above, self._network.address
            way = Way(proxy=proxy, above=above, address=address, trusted=trusted)
            failure = translate_error(error, request, way)
        else:
            if response.status_code != _PROXY_ASKS or proxy is None:
                return response
            response.close()
            return self._login_required(proxy, request, response.headers)
        raise failure  # outside of the handler: the original may hold credentials

    def _send_over(
        self, proxy: NamedProxy | None, request: PreparedRequest, options: dict[str, Any]
    ) -> Response:
        """Send one request by urllib3. The only place that knows who makes the connections."""
        route = {"all": encoded(proxy.url)} if proxy else {}
        return super().send(request, proxies=route, **options)

    def _lets_through(self, proxy: NamedProxy, options: dict[str, Any], page: Page) -> bool | None:
        """Ask a proxy once more for a page; see :meth:`LoginState.record_refusal`."""
        question = PreparedRequest()
        question.prepare("GET", page.url, requests.utils.default_headers())
        bare = Proxy(url=self._network.split_proxy(proxy.url)[0])
        network = replace(self._network, proxy=bare, proxy_login=None, _proxy_states={})
        options = {**options, "stream": True, "cert": None}

        def is_refused(transport: Transport, by: NamedProxy) -> bool:
            response = transport._send_by(by, question, options)
            if isinstance(response, ProxyRefused):
                return True
            response.close()
            return False

        with suppress(requests.RequestException, GatepassError):
            nobody = Transport(network, self._certificate, repeats=False)
            page.asks = page.asks or is_refused(nobody, NamedProxy(bare.url, proxy.named_by))
            nobody.close()
            return not is_refused(self, proxy) if page.asks else None
        return None

    def _proxy_for(self, url: str, given: Mapping[str, str] | None) -> NamedProxy | None:
        """Return the caller's proxy for a URL, also None; else that of the network."""
        if given and (found := select_proxy(url, {"all": _NONE_GIVEN, **given})) != _NONE_GIVEN:
            return NamedProxy(found, "proxies=") if found else None
        return self._network.proxy_for(url)

    def _login_required(
        self, proxy: NamedProxy, request: PreparedRequest, headers: Mapping[str, str]
    ) -> ProxyRefused:
        _, login = self._network.split_proxy(proxy.url)
        user = login[0] if login else ""
        return proxy_login_required(proxy, request, self._network.above, user, headers)

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
        pool: Any = super().get_connection_with_tls_context(request, verify, proxies, cert)
        pool.conn_kw["gate"] = self.gate
        return pool

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Return the pools behind a proxy; its credentials go to it alone."""
        manager = self.proxy_manager.get(proxy)
        if manager is None:
            bare, login = self._network.split_proxy(proxy)
            if is_socks(proxy):
                manager = make_socks_manager(bare, login, maxsize=self._connections, **kwargs)
                manager.pool_classes_by_scheme = socks_pools()
            else:
                manager = self._make_http_manager(bare, login, kwargs)
                manager.pool_classes_by_scheme = POOLS
            self.proxy_manager[proxy] = manager
        return manager

    def _make_http_manager(
        self, url: str, login: tuple[str, str] | None, kwargs: dict[str, Any]
    ) -> Any:
        header = {}
        if login:
            found = basic_header(login[0], Secret(login[1]))
            header = {"Proxy-Authorization": found.reveal()}
        tls = self._contexts.get(self._network.verify) if url.startswith("https") else None
        return proxy_from_url(
            url, proxy_headers=header, proxy_ssl_context=tls, maxsize=self._connections, **kwargs
        )


class _VerifyingByNetwork(Transport):
    """A transport that follows the network's ``verify`` where the caller gives none."""

    @property
    def verifies(self) -> bool:
        """Whether the server must prove its identity by a certificate."""
        return self._network.verify

    def send(self, request: PreparedRequest, **options: Any) -> Response:  # type: ignore[override]
        """Send one request; see :class:`Transport`."""
        if options.get("verify", True) is True:
            options["verify"] = self._network.verify
        return super().send(request, **options)


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


def _explain_proxy(refusal: ProxyRefused, final: bool) -> ProxyRefused:
    """Say that a proxy's login is not sent again, where that is so."""
    if final:
        refusal.outlook = "this process does not send it again, except after session.login()"
    return refusal


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
