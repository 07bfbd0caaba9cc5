"""Errors of a running request: gatepass's own and, at the same time, those of requests.

Code that was written for a ``requests.Session`` still catches them. Each names the server and the
cause in one sentence, and the next step in its hint. None holds a credential, neither in its text
nor in ``request``.
"""

import ssl
from collections.abc import Iterator, Mapping
from http.client import HTTPException, RemoteDisconnected
from socket import gaierror
from typing import Any, Final, Literal, Self
from urllib.parse import urlsplit

import requests
from requests import PreparedRequest, Response
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import (
    ConnectTimeoutError,
    NameResolutionError,
    NewConnectionError,
    ReadTimeoutError,
)

from gatepass._net.challenge import parse, scheme_names
from gatepass._net.proxy import (
    VARIABLES,
    NamedProxy,
    complaint_about,
    is_socks,
)
from gatepass._net.urls import origin_of, without_userinfo
from gatepass._system.text import printable
from gatepass.auth._handshake import ConnectionLost
from gatepass.errors import GatepassError, portable
from gatepass.secrets import may_be_secret

SECRET_HEADERS: Final = ("Authorization", "Proxy-Authorization")
_LONGEST: Final = 200  # characters of a foreign message
_OF_REQUESTS: Final = frozenset({"request", "response"})


def without_secrets(request: PreparedRequest) -> PreparedRequest:
    """Return a copy of a request without its credentials; the request stays as it is."""
    bare = request.copy()
    for name in SECRET_HEADERS:
        bare.headers.pop(name, None)
    return bare


def _portable_request(request: PreparedRequest) -> PreparedRequest:
    """Return a request as a pickle carries it: method, URL and headers without secrets."""
    bare = PreparedRequest()
    bare.method, bare.url = request.method, request.url and without_userinfo(request.url)
    bare.headers = CaseInsensitiveDict(
        {name: value for name, value in request.headers.items() if not may_be_secret(name)}
    )
    return bare


def _portable_response(response: Response, request: PreparedRequest | None) -> Response:
    """Return a response as a pickle carries it: without cookies, with a body that was read."""
    bare: Any = Response()
    for name in ("status_code", "reason", "encoding", "elapsed"):
        setattr(bare, name, getattr(response, name))
    bare.url = without_userinfo(response.url or "")
    bare.headers = response.headers.copy()
    bare.headers.pop("Set-Cookie", None)
    body = getattr(response, "_content", b"")
    bare._content = body if isinstance(body, bytes) else b""  # noqa: SLF001 - as requests does
    bare._content_consumed = True  # noqa: SLF001 - there is no connection to read from
    bare.request = request
    made: Response = bare
    return made


class _RequestFailed(GatepassError):
    """An error of a running request.

    Attributes:
        request: the request, without credentials; None when there is none.
        response: the server's response; None when there is none.
    """

    request: requests.Request | PreparedRequest | None
    response: Response | None

    def __init__(
        self,
        message: str = "",
        *,
        hint: str = "",
        request: PreparedRequest | None = None,
        response: Response | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.request = without_secrets(request) if request is not None else None
        self.response = response

    def new_copy(self) -> Self:
        """Return the same error as a new object, with a traceback of its own."""
        error = type(self)(self.message, hint=self.hint, response=self.response)
        error.request = self.request
        return error

    def detached(self) -> Self:
        """Return the same error without what belongs to one session: cookies and connections."""
        error = self.new_copy()
        error.request, error.response = self._portable_pair()
        return error

    def _portable(self) -> dict[str, Any]:
        request, response = self._portable_pair()
        rest = {name: value for name, value in vars(self).items() if name not in _OF_REQUESTS}
        return {**portable(rest), "request": request, "response": response}

    def _portable_pair(self) -> tuple[PreparedRequest | None, Response | None]:
        request, response = self.request, self.response
        sent = _portable_request(request) if isinstance(request, PreparedRequest) else None
        answer = _portable_response(response, sent) if response is not None else None
        return sent, answer


class LoginRefused(_RequestFailed, requests.HTTPError):
    """The server refused the login; it is not tried again."""

    exit_code = 4


class SchemeNotOffered(LoginRefused):
    """The server takes another scheme than the profile's."""


class Unreachable(_RequestFailed, requests.ConnectionError):
    """No answer came from the server."""

    exit_code = 5
    # Which requests may be sent again: all of them, since nothing was sent; or idempotent ones.
    repeats: Literal["", "always", "idempotent"] = ""

    def new_copy(self) -> Self:
        """Return the same error as a new object, with a traceback of its own."""
        error = super().new_copy()
        error.repeats = self.repeats
        return error


class TLSFailed(Unreachable, requests.exceptions.SSLError):
    """The TLS handshake failed, mostly because of a certificate."""


class TimedOut(Unreachable, requests.Timeout):
    """The server, or the network before it, took too long."""


class _ConnectTimedOut(TimedOut, requests.ConnectTimeout):
    """No connection came about in time."""


class _ReadTimedOut(TimedOut, requests.ReadTimeout):
    """The server did not answer in time."""


class ProxyRefused(Unreachable, requests.exceptions.ProxyError):
    """The proxy did not let the request through."""


class _BodyConsumed(_RequestFailed, requests.exceptions.UnrewindableBodyError):
    """A redirect asks for a body again that can be read only once."""


def body_consumed(request: PreparedRequest) -> GatepassError:
    """Return the error for a redirected request whose body was read already."""
    return _BodyConsumed(
        f"the server redirects to {origin_of(request.url or '')}, where the body should be sent "
        "again; it can be read only once",
        hint="send the request to the final address at once, or send bytes or a file",
        request=request,
    )


class NoAnswer(RemoteDisconnected):
    """A connection ended without a byte of an answer.

    Attributes:
        reused: whether answers had come over it before.
    """

    def __init__(self, message: str, *, reused: bool = False) -> None:
        super().__init__(message)
        self.reused = reused

    @property
    def repeats(self) -> Literal["", "idempotent"]:
        """Which requests may be sent again; the server may have closed it before this one came."""
        return "idempotent" if self.reused else ""


def translate_error(
    error: requests.RequestException,
    request: Any,
    proxy: NamedProxy | None = None,
    above: str = "",
) -> requests.RequestException:
    """Return our error for one of requests; the same one where it is not of the connection.

    Args:
        error: the original. It may hold credentials, so raise ours outside of its handler.
        request: the request that failed.
        proxy: the proxy in use.
        above: the table of ``tls`` and ``proxy`` that hints name: empty or ``auth.``.
    """
    is_of_connection = isinstance(error, requests.ConnectionError | requests.Timeout)
    if isinstance(error, GatepassError) or not is_of_connection:
        return error
    chain = list(_causes(error))
    failure = _translated(error, chain, request, proxy, above)
    lost = _first(chain, NoAnswer) or _first(chain, ConnectionLost)
    if lost is not None:
        failure.repeats = lost.repeats
    elif _first(chain, ConnectTimeoutError):
        failure.repeats = "always"
    return failure


def _translated(
    error: requests.RequestException,
    chain: list[BaseException],
    request: Any,
    proxy: NamedProxy | None,
    above: str,
) -> Unreachable:
    origin = origin_of(request.url)
    # urllib3 does not tell apart whether a SOCKS proxy is not there or does not let through.
    of_proxy = isinstance(error, requests.exceptions.ProxyError)
    if proxy is not None and (of_proxy or (is_socks(proxy.url) and not _is_of_server(error))):
        return _proxy_failed(proxy, chain, request, above)
    if isinstance(error, requests.exceptions.SSLError):
        cause, hint = _tls_cause(chain, above)
        return TLSFailed(f"no secure connection to {origin}: {cause}", hint=hint, request=request)
    if isinstance(error, requests.Timeout) or _first(chain, ReadTimeoutError):
        return _timed_out(error, origin, request)
    cause, hint = _connection_cause(chain, request.url)
    return Unreachable(f"no answer from {origin}: {cause}", hint=hint, request=request)


def _is_of_server(error: requests.RequestException) -> bool:
    """Whether a failure came after the connection through a SOCKS proxy was there."""
    kinds = requests.exceptions.SSLError | requests.ReadTimeout
    connecting = _first(list(_causes(error)), NewConnectionError | ConnectTimeoutError)
    return isinstance(error, kinds) or connecting is None


def _timed_out(error: Exception, origin: str, request: PreparedRequest) -> TimedOut:
    if isinstance(error, requests.ConnectTimeout):
        return _ConnectTimedOut(
            f"{origin} did not take a connection in time",
            hint="check the host and port, and whether a VPN or a proxy is needed",
            request=request,
        )
    return _ReadTimedOut(
        f"{origin} did not answer in time",
        hint="set a longer timeout in the profile, as   timeout = [10, 300]   in seconds",
        request=request,
    )


def check_proxy(proxy: NamedProxy, request: PreparedRequest | None) -> None:
    """Refuse a proxy whose URL cannot be used.

    Raises:
        ProxyRefused: it is malformed, or needs a package that is not there. Never repeats it.
    """
    complaint = complaint_about(proxy)
    if complaint is not None:
        message, hint = complaint
        raise ProxyRefused(f"{proxy.named_by} {message}", hint=hint, request=request)


_NO_PROXY: Final = "NO_PROXY names the hosts that are reached without it"


def _other_way(proxy: NamedProxy, above: str) -> str:
    """Say how to go another way, by who named this one."""
    without = f'{above}proxy = "none"   in the profile goes without one'
    if proxy.named_by in VARIABLES:
        return f"look at {proxy.named_by}; {_NO_PROXY}, and   {without}"
    return f"look at {proxy.named_by};   {without}"


def proxy_login_required(
    proxy: NamedProxy,
    request: PreparedRequest | None,
    above: str = "",
    user: str = "",
    headers: Mapping[str, str] | None = None,
) -> ProxyRefused:
    """Return the error for a proxy that asks for a login.

    Args:
        proxy: the proxy.
        request: the request that it did not let through.
        above: the table of ``proxy``: empty or ``auth.``.
        user: whose login it got; empty where none was sent.
        headers: of its answer, where they are known.
    """
    offered = scheme_names(parse((headers or {}).get("Proxy-Authenticate", "")))
    if offered and "Basic" not in offered.split(", "):
        return ProxyRefused(
            f"the proxy {proxy} asks for a login by {offered} (407), which gatepass cannot send",
            hint="let a program on this computer log on at the proxy and name that one, or ask "
            f"the proxy's administrator for HTTP Basic;   {_other_way(proxy, above)}",
            request=request,
        )
    if user:
        return ProxyRefused(
            f"the proxy {proxy} refused the login of {printable(user)} (407)",
            hint=f"check user name and password, and whether the account is locked: "
            f"{_other_way(proxy, above)}",
            request=request,
        )
    place = f'   {above}proxy = {{ url = "...", user_name = "...", password = "keyring:" }}   '
    return ProxyRefused(
        f"the proxy {proxy} asks for a login (407)",
        hint=f"write{place}into the profile;   {_other_way(proxy, above)}",
        request=request,
    )


class TunnelRefused(OSError):
    """A proxy wants a login before it opens a tunnel.

    Attributes:
        headers: of its answer; empty before Python 3.12.
    """

    def __init__(self, message: str, headers: Mapping[str, str]) -> None:
        super().__init__(message)
        self.headers = headers


def find_refused_tunnel(error: BaseException) -> Mapping[str, str] | None:
    """Return the headers with which a proxy asked for a login; None where it did not."""
    found = _first(list(_causes(error)), TunnelRefused)
    return None if found is None else found.headers


def _proxy_failed(
    proxy: NamedProxy, chain: list[BaseException], request: PreparedRequest, above: str
) -> ProxyRefused:
    return ProxyRefused(
        f"no way through the proxy {proxy}: {_reason(chain)}",
        hint=_other_way(proxy, above),
        request=request,
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and those that it wraps, outermost first.

    requests and urllib3 keep the wrapped error in different attributes.
    """
    inner: object = error
    for _ in range(10):
        if not isinstance(inner, BaseException):
            return
        yield inner
        wrapped = (
            getattr(inner, "original_error", None),
            None if isinstance(inner, ssl.SSLError) else getattr(inner, "reason", None),
            *reversed(inner.args),
            inner.__cause__,
        )
        inner = next((each for each in wrapped if isinstance(each, BaseException)), None)


def _first(chain: list[BaseException], kind: Any) -> Any:
    return next((each for each in chain if isinstance(each, kind)), None)


def _reason(chain: list[BaseException]) -> str:
    """The text of the innermost error, in one printable line."""
    innermost = chain[-1]
    text = getattr(innermost, "strerror", None) or str(innermost) or type(innermost).__name__
    return "".join(filter(str.isprintable, text))[:_LONGEST]


def _connection_cause(chain: list[BaseException], url: str) -> tuple[str, str]:
    host = urlsplit(url).hostname
    if _first(chain, NameResolutionError) or _first(chain, gaierror):
        return f"the name {host} is not known", (
            "check the spelling in url, and whether a VPN or a proxy is needed"
        )
    if _first(chain, ConnectionRefusedError):
        return "nobody listens there (connection refused)", (
            "check the port in url, and whether the server runs"
        )
    if _first(chain, ConnectionLost):
        return "it closed the connection in the middle of the login", (
            "a balancer that spreads the messages of a login, or a proxy in between, may be the "
            "cause; ask its administrator"
        )
    if _first(chain, HTTPException) or _first(chain, ConnectionError):
        return "it closed the connection without an answer", (
            "the server may have restarted: try again; or its port may speak https, not http"
        )
    return _reason(chain), "check the network, the host and the port in url"


# OpenSSL's X509_V_ERR_... numbers, and CERT_E_... of Windows (winerror.h), which tells of a
# certificate that is not valid yet as of one that has expired.
_EXPIRED: Final = frozenset({10, 0x800B0101})
_NOT_YET_VALID: Final = frozenset({9})
_UNKNOWN_AUTHORITY: Final = frozenset({2, 18, 19, 20, 21, 0x800B0109, 0x800B010A, 0x800B0112})
_WRONG_NAME: Final = frozenset({62, 64, 0x800B010F})


def _tls_cause(chain: list[BaseException], above: str) -> tuple[str, str]:
    bad = _first(chain, ssl.SSLCertVerificationError)
    if bad is not None:
        return _certificate_cause(bad, above)
    error = _first(chain, ssl.SSLError)
    reason = (getattr(error, "reason", None) or "").upper()
    if "CERTIFICATE" in reason or "UNKNOWN_CA" in reason:
        return "the server did not accept the client's certificate, or wants one", (
            f'write   {above}tls = {{ client_cert = "...", client_key = "..." }}   into the profile'
        )
    if any(word in reason for word in ("WRONG_VERSION", "HTTP_REQUEST", "RECORD_LAYER")):
        return "it does not speak TLS on this port", (
            "check the port in url; for a server without https write   http://   there"
        )
    return _reason(chain), "compare with   openssl s_client -connect HOST:PORT"


def _certificate_cause(bad: ssl.SSLCertVerificationError, above: str) -> tuple[str, str]:
    code = getattr(bad, "verify_code", None)
    if code in _EXPIRED:
        return "its certificate has expired", (
            "the server's administrator must renew it; if this computer's clock is wrong, set it"
        )
    if code in _NOT_YET_VALID:
        return "its certificate is not valid yet", "check the clock of this computer"
    if code in _WRONG_NAME:
        return "its certificate is for another host name", (
            "write the name that stands in the certificate into url"
        )
    text = "".join(filter(str.isprintable, getattr(bad, "verify_message", "") or str(bad)))
    private = f'for a private authority write   {above}tls = {{ ca_file = "company-ca.pem" }}   '
    if code in _UNKNOWN_AUTHORITY:
        return f"its certificate comes from an unknown authority ({text[:_LONGEST]})", (
            f"{private}into the profile, or install it in the operating system"
        )
    return f"its certificate is not accepted ({text[:_LONGEST]})", (f"{private}into the profile")
