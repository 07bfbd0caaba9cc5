"""Clients of httpx that are logged on as a profile says.

::

    from gatepass.integrations.httpx import async_client, client

    with client("prod") as mi:
        mi.get("Health/v2.svc")

What a client of httpx sends passes through a transport, also each hop of a redirect. The transport
here asks the guard of a gatepass session, which adds the login, and httpx makes the connections.
The guard waits for other requests of the same login, and for identity providers: in an asynchronous
client it runs in a thread, which gives each request back to the event loop to be sent.
"""

import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from functools import cached_property, partial
from threading import Lock
from typing import Any, ClassVar, Final, Self, cast

import requests
from requests import PreparedRequest, Response
from requests.structures import CaseInsensitiveDict
from requests.utils import get_encoding_from_headers
from urllib3 import HTTPHeaderDict

from gatepass._net.proxy import NamedProxy, is_socks
from gatepass._session.adapter import Transport
from gatepass._session.connections import Connections
from gatepass._session.exceptions import ProxyRefused, Unreachable, hide_frames
from gatepass._session.headers import plain_headers
from gatepass._session.request_state import as_head, set_login
from gatepass._session.retries import can_rewind
from gatepass._session.session import Session
from gatepass._session.translate import TunnelRefused
from gatepass.auth import is_connection_bound
from gatepass.errors import PluginError, ProfileError

try:
    import anyio
    import httpx
    from anyio.lowlevel import current_token
except ImportError as _missing:
    raise PluginError(
        f"the package {_missing.name} is not installed", hint="pip install 'gatepass[httpx]'"
    ) from None

from gatepass.integrations._httpx_errors import OF_CONNECTION, to_httpx, to_requests
from gatepass.integrations._httpx_socks import LOGIN_REFUSED, Handshake

_MOST: Final = 100  # requests of a client at one time, as httpx has it
_LIMITS: Final = httpx.Limits(max_connections=_MOST, max_keepalive_connections=32)
_PAGE: Final = 1 << 20  # bytes of a refusal, whose rest nobody reads
_START: Final = "gatepass.start"  # the position of a file when it was first sent
_LEFT: Final = "gatepass.left"  # on a chain of redirects that has been at another server


def client(session: Session | str | None = None) -> httpx.Client:
    """Return a client of httpx that is logged on to one server.

    Relative URLs lie below the profile's URL. Login, headers and client certificate of the profile
    go to that server only, whatever URL or redirect a request follows; ``auth=`` or an
    ``Authorization`` header of the caller replaces the login. The settings of the client itself,
    such as ``follow_redirects``, can be set as with any other.

    With a profile's name it does what :meth:`gatepass.Session.from_profile` does. A session that
    is given stays the caller's, and shares its login with the client. Building opens no connection.

    A request raises :class:`gatepass.LoginRefused`, :class:`gatepass.LoginRequired` and the like
    where the login fails, and ``httpx.TransportError`` where the connection does.

    Args:
        session: a session, or the name of a profile; None follows ``GATEPASS_PROFILE``, then the
            default.

    Raises:
        ProfileError: and its kinds; the profile is not usable, or its login belongs to a
            connection (``credentials``, ``ntlm``, ``autologon``), which needs a ``Session``.
        SecretUnavailable: a reference did not answer.
    """
    guarded = _SyncGuard(session)
    return httpx.Client(transport=guarded, **guarded.settings)


def async_client(session: Session | str | None = None) -> httpx.AsyncClient:
    """Return an asynchronous client of httpx that is logged on to one server.

    As :func:`client`. A request never blocks the event loop; building the client does, as it may
    read files and the keyring and ask a person.
    """
    guarded = _AsyncGuard(session)
    return httpx.AsyncClient(transport=guarded, **guarded.settings)


# ---------------------------------------------------------------- a request, as the guard sees it


class _Call:
    """One request of a client, and what came of it.

    Args:
        request: the request as the client made it; None for a question of the guard's own.
    """

    def __init__(self, request: httpx.Request | None = None) -> None:
        self.request = request
        self.answer: httpx.Response | None = None
        self.is_given_up = False
        self._scope: anyio.CancelScope | None = None

    async def run(self, send: Callable[..., Any], *args: Any) -> Any:
        """Do in the event loop what the guard's thread asks for, unless the task was cancelled."""
        with anyio.CancelScope() as self._scope:
            if not self.is_given_up:
                return await send(*args)
        raise CancelledError

    async def give_up(self) -> None:
        """Stop what is on its way for a task that was cancelled."""
        self.is_given_up = True
        if self._scope is not None:
            self._scope.cancel()
        if self.answer is not None:
            with anyio.CancelScope(shield=True):
                await self.answer.aclose()


class _Request(PreparedRequest):
    """A request of httpx for the guard; its copies know where they came from."""

    call: _Call

    @classmethod
    def of(cls, call: _Call, request: httpx.Request) -> Self:
        """Return the request of a call."""
        made = cls()
        made.call = call
        made.method = request.method
        made.url = str(request.url.copy_with(userinfo=b"", fragment=None))
        lines = [(name.decode(), value.decode("latin-1")) for name, value in request.headers.raw]
        made.headers = CaseInsensitiveDict(HTTPHeaderDict(lines).itermerged())
        made.body = body = cast("Any", _body_of(request))
        if _can_seek(body):
            # Where requests rewinds it to. A request after a redirect has the same extensions.
            start = request.extensions.setdefault(_START, body.tell())
            vars(made)["_body_position"] = start
            body.seek(start)
        return made

    def copy(self) -> Self:
        """Return a copy."""
        made = type(self)()
        vars(made).update(vars(super().copy()), call=self.call)
        return made


def _body_of(request: httpx.Request) -> object:
    """Return bytes for a body that httpx can send twice, else a file or its stream.

    It can where the body is in memory, and where it is a form whose files can seek. None is empty.
    """
    if isinstance(request.stream, httpx.ByteStream):
        return b"".join(request.stream) or None
    fields = getattr(request.stream, "fields", ())
    files = [each.file for each in fields if hasattr(each, "file")]
    rewinds = [isinstance(each, str | bytes) or _can_seek(each) for each in files]
    if fields and all(rewinds):
        return b""
    file = getattr(request.stream, "_stream", None)  # httpx has no other name for it
    return file if _can_seek(file) else request.stream


def _can_seek(file: Any) -> bool:
    return bool(getattr(file, "seekable", bool)())


class _Response(Response):
    """A response of httpx for the guard, which reads it only to refuse it or to send again."""

    def __init__(self, answer: httpx.Response, request: PreparedRequest, by: "_Transport") -> None:
        super().__init__()
        self.answer = answer
        self.status_code, self.reason = answer.status_code, answer.reason_phrase
        self.headers = CaseInsensitiveDict(answer.headers.items())
        self.encoding = get_encoding_from_headers(self.headers)
        self.url, self.request, self.raw = request.url or "", request, _Raw(answer, by)
        self.connection: Any = by


class _Raw:
    """The body of a response, as requests reads one, and what urllib3's Retry looks at.

    None of urllib3's own, which closes the connection when nobody refers to it any more.
    """

    def __init__(self, answer: httpx.Response, by: "_Transport") -> None:
        self.status = answer.status_code
        self.headers = HTTPHeaderDict(answer.headers.multi_items())
        self._read, self.close = partial(by.read, answer), partial(by.close_answer, answer)
        self._connection = answer.extensions.get("network_stream")

    def get_redirect_location(self) -> bool:
        """Return False: the client follows redirects."""
        return False

    def shutdown(self) -> None:
        """End what another thread is reading, as urllib3's does."""
        connection = self._connection and self._connection.get_extra_info("socket")
        if connection is not None:
            connection.shutdown(socket.SHUT_RDWR)

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        """Yield what the server sent, in one piece.

        Raises:
            requests.ConnectionError: it ends too early.
        """
        try:
            page = self._read()
        except httpx.HTTPError as error:
            raise requests.ConnectionError(str(error)) from None
        yield page


# ---------------------------------------------------------------- connections


class _Transport(Transport):
    """Connections of httpx in the place of those of urllib3."""

    make: ClassVar[Callable[..., Any]]
    handle: Callable[[_Call, Any, httpx.Request], httpx.Response]
    read: Callable[[httpx.Response], bytes]
    close_answer: Callable[[httpx.Response], None]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ways: dict[str, Any] = {}  # by the proxies that they take
        self._lock = Lock()

    def _send_over(
        self, proxy: NamedProxy | None, request: PreparedRequest, options: dict[str, Any]
    ) -> Response:
        call = getattr(request, "call", None) or _Call()
        way = self._way(proxy, options["verify"], request)
        sent = _to_httpx_request(request, call, self._network.timeout)
        failure: requests.RequestException
        socks = None
        if proxy is not None and is_socks(proxy.url):
            socks = Handshake(self._network.timeout[0], sent.extensions.get("trace"))
            trace = socks.trace_async if isinstance(way, httpx.AsyncHTTPTransport) else socks.trace
            sent.extensions["trace"] = trace
        try:
            return _Response(self.handle(call, way, sent), request, self)
        except (httpx.PoolTimeout, CancelledError):
            raise
        except Exception as error:
            if socks is not None and socks.has_failed:
                is_late = isinstance(error, httpx.TimeoutException)
                why = "no answer in time" if is_late else str(error)
                is_refused = why.startswith(LOGIN_REFUSED)
                failure = requests.exceptions.ProxyError(
                    TunnelRefused(why, {}) if is_refused else why
                )
            elif isinstance(error, OF_CONNECTION):
                failure = to_requests(error, proxied=proxy is not None)
            else:
                raise
        raise failure  # outside of the handler: the original may hold credentials

    def _way(self, proxy: NamedProxy | None, verify: bool, request: PreparedRequest) -> Any:
        """Return the pool of connections by a proxy, or by none."""
        key = proxy.url if proxy else ""
        with self._lock:
            if key not in self.ways:
                try:
                    self.ways[key] = self.make(
                        verify=self._contexts.get(verify, self._certificate),
                        trust_env=False,
                        limits=_LIMITS,
                        proxy=proxy and self._to_httpx_proxy(proxy, verify),
                    )
                except ImportError:
                    message = f"{proxy} speaks SOCKS, for which httpx needs the package socksio"
                    hint = "pip install 'gatepass[socks]'"
                    raise ProxyRefused(message, hint=hint, request=request) from None
                except ValueError:  # the text may repeat the URL
                    message = f"{proxy} speaks SOCKS 4, which httpx does not"
                    hint = "of SOCKS it takes socks5:// and socks5h://"
                    raise ProxyRefused(message, hint=hint, request=request) from None
            return self.ways[key]

    def _to_httpx_proxy(self, proxy: NamedProxy, verify: bool) -> httpx.Proxy:
        url, login = self._network.split_proxy(proxy.url)
        context = self._contexts.get(verify) if url.startswith("https:") else None
        return httpx.Proxy(url, auth=login, ssl_context=context)


class _SyncTransport(_Transport):
    make = httpx.HTTPTransport

    def handle(self, _: _Call, way: Any, request: httpx.Request) -> httpx.Response:
        return cast("httpx.Response", way.handle_request(request))

    def read(self, answer: httpx.Response) -> bytes:
        page = bytearray()
        for chunk in answer.iter_bytes():
            page += chunk
            if len(page) >= _PAGE:
                break
        return bytes(page)

    def close_answer(self, answer: httpx.Response) -> None:
        answer.close()

    def close(self) -> None:
        super().close()
        for way in self.ways.values():
            way.close()


class _AsyncTransport(_Transport):
    """As the other one, called in a thread of the event loop."""

    make = httpx.AsyncHTTPTransport

    def handle(self, call: _Call, way: Any, request: httpx.Request) -> httpx.Response:
        answer = anyio.from_thread.run(call.run, way.handle_async_request, request)
        return cast("httpx.Response", answer)

    def read(self, answer: httpx.Response) -> bytes:
        return anyio.from_thread.run(_read, answer)

    def close_answer(self, answer: httpx.Response) -> None:
        anyio.from_thread.run(answer.aclose)


async def _read(answer: httpx.Response) -> bytes:
    page = bytearray()
    async for chunk in answer.aiter_bytes():
        page += chunk
        if len(page) >= _PAGE:
            break
    return bytes(page)


def _to_httpx_request(
    request: PreparedRequest, call: _Call, timeout: tuple[float, float]
) -> httpx.Request:
    """Return what httpx sends: the client's request with what the guard has added."""
    given = call.request
    headers = [(name.encode(), value.encode("latin-1")) for name, value in request.headers.items()]
    return httpx.Request(
        request.method or "",
        request.url or "",
        headers=headers,
        stream=None if given is None or request.body is None else given.stream,
        extensions={**given.extensions} if given else {"timeout": _to_timeout(timeout).as_dict()},
    )


def _to_timeout(timeout: tuple[float, float]) -> httpx.Timeout:
    """Return a profile's timeout; a request waits for its turn as long as the others take."""
    connect, read = timeout
    return httpx.Timeout(read, connect=connect, pool=None)


# ---------------------------------------------------------------- the transports of the clients


class _Guarded:
    """Sends the requests of a client through the guard of a session.

    Attributes:
        settings: those of the client.
    """

    def __init__(self, session: Session | str | None, transport: type[_Transport]) -> None:
        self._owned: list[Session] = []
        if not isinstance(session, Session):
            session = Session.from_profile(session)
            self._owned = [session]
        profile = session.profile
        if is_connection_bound(profile.auth):
            raise ProfileError(
                f"the scheme {profile.scheme} logs a connection on, which httpx does not offer",
                hint="use gatepass.Session; with httpx: basic, bearer, oidc or anonymous",
            )
        session._ensure_open()  # noqa: SLF001 - of the same package, and so below
        self._guard, network = session._guard, session._network  # noqa: SLF001
        self._verify = network.verify
        self._connections = Connections(network, session._certificate, transport)  # noqa: SLF001
        self._place: tuple[int, object] | None = None  # the process and loop of the connections
        self.settings: dict[str, Any] = {
            "base_url": self._guard.base,
            "headers": plain_headers(profile),
            "timeout": _to_timeout(profile.timeout),
            "trust_env": False,  # no netrc, and no proxies but the network's
        }

    def _notice_move(self, loop: object = None) -> None:
        """Leave the connections of a parent process, or of an event loop that has ended."""
        place, self._place = self._place, (os.getpid(), loop)
        if place not in (None, self._place):
            self._connections.leave_to_parent()

    def _send(self, call: _Call, request: httpx.Request) -> httpx.Response:
        """Send a request; of a thread of its own in an event loop.

        Raises:
            httpx.TransportError: no answer came; with the text of :class:`gatepass.Unreachable`.
            LoginRefused: and other errors of a login.
        """
        try:
            response = self._send_guarded(call, request)
            call.answer = response.answer
            if call.is_given_up:  # nobody waits for it any more
                response.close()
            return call.answer
        except Unreachable as error:
            failure = to_httpx(error)(str(error), request=request)
        except BaseException as error:
            hide_frames(error)
            raise
        raise failure  # outside of the handler: the original may hold credentials

    def _send_guarded(self, call: _Call, request: httpx.Request) -> _Response:
        guard, sent = self._guard, _Request.of(call, request)
        is_own = guard.is_profile_origin(sent.url)
        if not is_own:
            request.extensions[_LEFT] = True  # the requests to which it is redirected inherit it
        allowed = is_own and _LEFT not in request.extensions
        set_login(sent, allowed=allowed)
        if allowed and not can_rewind(sent) and not guard.login.state.has_succeeded:
            # A stream is sent once; and what makes it may itself wait for the login.
            question = as_head(sent)
            set_login(question, allowed=allowed)
            guard.send(question, self._connections, verify=self._verify).close()
        response = guard.send(sent, self._connections, verify=self._verify)
        return cast("_Response", response)

    def _close(self) -> None:
        self._connections.close()
        for session in self._owned:
            session.close()


class _SyncGuard(_Guarded, httpx.BaseTransport):
    def __init__(self, session: Session | str | None) -> None:
        super().__init__(session, _SyncTransport)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._notice_move()
        return self._send(_Call(request), request)

    def close(self) -> None:
        self._close()


class _AsyncGuard(_Guarded, httpx.AsyncBaseTransport):
    def __init__(self, session: Session | str | None) -> None:
        super().__init__(session, _AsyncTransport)

    @cached_property
    def _limiter(self) -> anyio.CapacityLimiter:
        return anyio.CapacityLimiter(_MOST)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._notice_move(current_token())
        call = _Call(request)
        try:
            return await anyio.to_thread.run_sync(
                self._send, call, request, abandon_on_cancel=True, limiter=self._limiter
            )
        except anyio.get_cancelled_exc_class():
            await call.give_up()
            raise

    async def aclose(self) -> None:
        self._notice_move(current_token())
        for transport in self._connections.transports.values():
            if isinstance(transport, _AsyncTransport):
                for way in transport.ways.values():
                    await way.aclose()
        self._close()
