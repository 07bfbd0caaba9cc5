"""Turns the errors of requests and urllib3 into ours: the server, the cause, the next step."""

import ssl
from collections.abc import Iterator, Mapping
from http.client import HTTPException, RemoteDisconnected
from socket import gaierror
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import urlsplit

import requests
from requests import PreparedRequest
from urllib3.exceptions import (
    ConnectTimeoutError,
    NameResolutionError,
    NewConnectionError,
    ReadTimeoutError,
)

from gatepass._net.challenge import parse, scheme_names
from gatepass._net.proxy import VARIABLES, NamedProxy, complaint_about, is_socks
from gatepass._net.tls import SYSTEM_TRUST, Trust
from gatepass._net.urls import origin_of
from gatepass._session.exceptions import (
    ProxyRefused,
    TimedOut,
    TLSFailed,
    Unreachable,
    _ConnectTimedOut,
    _ReadTimedOut,
)
from gatepass._system.text import printable
from gatepass._value import Value
from gatepass.auth._handshake import ConnectionLost
from gatepass.errors import GatepassError

_LONGEST: Final = 200  # characters of a foreign message


class Way(Value):
    """How a request was sent, as far as its errors speak of it.

    Attributes:
        proxy: the proxy in use.
        above: the table of ``tls`` and ``proxy`` that hints name: empty or ``auth.``.
        address: what names the server, in hints.
        trusted: who was trusted to say that the server is the right one; None is anybody.
    """

    proxy: NamedProxy | None = None
    above: str = ""
    address: str = "url"
    trusted: Trust | None = SYSTEM_TRUST


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
    way: Way = Way(),  # noqa: B008 - frozen
) -> requests.RequestException:
    """Return our error for one of requests; the same one where it is not of the connection.

    Args:
        error: the original. It may hold credentials, so raise ours outside of its handler.
        request: the request that failed.
        way: how it was sent.
    """
    is_of_connection = isinstance(error, requests.ConnectionError | requests.Timeout)
    if isinstance(error, GatepassError) or not is_of_connection:
        return error
    chain = list(_causes(error))
    failure = _translated(error, chain, request, way)
    lost = _first(chain, NoAnswer) or _first(chain, ConnectionLost)
    if lost is not None:
        failure.repeats = lost.repeats
    elif _first(chain, ConnectTimeoutError):
        failure.repeats = "unsent"
    return failure


def _translated(
    error: requests.RequestException,
    chain: list[BaseException],
    request: Any,
    way: Way,
) -> Unreachable:
    origin, proxy = origin_of(request.url), way.proxy
    # urllib3 does not tell apart whether a SOCKS proxy is not there or does not let through.
    of_proxy = isinstance(error, requests.exceptions.ProxyError)
    if proxy is not None and (of_proxy or (is_socks(proxy.url) and not _is_of_server(error))):
        return _proxy_failed(proxy, chain, request, way.above)
    if isinstance(error, requests.exceptions.SSLError):
        cause, hint = _tls_cause(chain, way)
        return TLSFailed(f"no secure connection to {origin}: {cause}", hint=hint, request=request)
    if isinstance(error, requests.Timeout) or _first(chain, ReadTimeoutError):
        return _timed_out(error, origin, request)
    cause, hint = _connection_cause(chain, request.url, way.address)
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
    status = "" if is_socks(proxy.url) else " (407)"
    if offered and "Basic" not in offered.split(", "):
        return ProxyRefused(
            f"the proxy {proxy} asks for a login by {offered} (407), which gatepass cannot send",
            hint="let a program on this computer log on at the proxy and name that one, or ask "
            f"the proxy's administrator for HTTP Basic;   {_other_way(proxy, above)}",
            request=request,
        )
    if user:
        return ProxyRefused(
            f"the proxy {proxy} refused the login of {printable(user)}{status}",
            hint=f"check user name and password, and whether the account is locked: "
            f"{_other_way(proxy, above)}",
            request=request,
        )
    place = f'   {above}proxy = {{ url = "...", user_name = "...", password = "keyring:" }}   '
    return ProxyRefused(
        f"the proxy {proxy} asks for a login{status}",
        hint=f"write{place}into the profile;   {_other_way(proxy, above)}",
        request=request,
    )


class TunnelRefused(OSError):
    """A proxy wants a login before it opens a tunnel, or another one.

    Attributes:
        headers: of its answer; empty with SOCKS and httpx.
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
    # urllib3 writes its own object before the cause.
    text = text.rpartition("Failed to establish a new connection: ")[2]
    return "".join(filter(str.isprintable, text))[:_LONGEST]


def _connection_cause(chain: list[BaseException], url: str, address: str) -> tuple[str, str]:
    host = urlsplit(url).hostname
    if _first(chain, NameResolutionError) or _first(chain, gaierror):
        return f"the name {host} is not known", (
            f"check the spelling in {address}, and whether a VPN or a proxy is needed"
        )
    if _first(chain, ConnectionRefusedError):
        return "nobody listens there (connection refused)", (
            f"check the port in {address}, and whether the server runs"
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
    return _reason(chain), f"check the network, the host and the port in {address}"


def _tls_cause(chain: list[BaseException], way: Way) -> tuple[str, str]:
    bad = _first(chain, ssl.SSLCertVerificationError)
    if bad is not None:
        return _certificate_cause(bad, way)
    error = _first(chain, ssl.SSLError)
    reason = (getattr(error, "reason", None) or "").upper()
    if "CERTIFICATE" in reason or "UNKNOWN_CA" in reason:
        return "the server did not accept the client's certificate, or wants one", (
            f'write   {way.above}tls = {{ client_cert = "...", client_key = "..." }}   into the '
            "profile"
        )
    if any(word in reason for word in ("WRONG_VERSION", "HTTP_REQUEST", "RECORD_LAYER")):
        return "it does not speak TLS on this port", (
            f"check the port in {way.address}"
            + ("" if way.above else "; for a server without https write   http://   there")
        )
    return _reason(chain), "compare with   openssl s_client -connect HOST:PORT"


class _Verdict(NamedTuple):
    """What a system says of a certificate, and what that means."""

    # OpenSSL's X509_V_ERR_... numbers, and CERT_E_... of Windows (winerror.h), which tells of a
    # certificate that is not valid yet as of one that has expired.
    codes: frozenset[int]
    words: tuple[str, ...]  # of macOS
    cause: str
    hint: str  # with what names the server as {address}


VERDICTS: Final = (
    _Verdict(
        frozenset({10, 0x800B0101}),
        ("is expired",),
        "its certificate has expired",
        "the server's administrator must renew it; if this computer's clock is wrong, set it",
    ),
    _Verdict(
        frozenset({9}),
        ("not yet valid",),
        "its certificate is not valid yet",
        "check the clock of this computer",
    ),
    _Verdict(
        frozenset({62, 64, 0x800B010F}),
        ("name does not match",),
        "its certificate is for another host name",
        "write the name that stands in the certificate into {address}",
    ),
    _Verdict(
        frozenset({23, 0x800B010C, 0x80092010}),
        ("is revoked",),
        "its certificate has been revoked",
        "the server's administrator must get a new one",
    ),
    _Verdict(
        frozenset({3, 0x80092012, 0x80092013, 0x800B010E}),
        (),
        "nobody could tell whether its certificate has been revoked",
        "this computer must reach the authority's server (CRL or OCSP), mostly by plain http",
    ),
    _Verdict(
        frozenset({66, 67, 68, 0x80096004}),
        (),
        "its certificate has a key or a signature that is too weak",
        "the server's administrator must get a new one",
    ),
)
_UNKNOWN_AUTHORITY: Final = frozenset({2, 18, 19, 20, 21, 0x800B0109, 0x800B010A, 0x800B0112})
_SELF_SIGNED: Final = 18
_NO_ISSUER: Final = frozenset({20, 21})


def _certificate_cause(bad: ssl.SSLCertVerificationError, way: Way) -> tuple[str, str]:
    code = getattr(bad, "verify_code", None)
    text = "".join(filter(str.isprintable, getattr(bad, "verify_message", "") or str(bad)))
    for verdict in VERDICTS:
        if code in verdict.codes or any(word in text.lower() for word in verdict.words):
            return verdict.cause, verdict.hint.format(address=way.address)
    told, hint = text[:_LONGEST], _how_to_trust(way)
    if code in _NO_ISSUER:
        hint += (
            "\nwhere that authority is trusted already, the server leaves out the certificate of "
            "an intermediate one: its administrator adds it, or name that one in ca_file"
        )
    if code == _SELF_SIGNED:
        return f"its certificate is signed by itself ({told})", (
            f"get the certificate on a safe way;\n{hint}"
        )
    if code in _UNKNOWN_AUTHORITY or "not trusted" in text:
        return f"its certificate comes from an unknown authority ({told})", hint
    return f"its certificate is not accepted ({told})", hint


def _how_to_trust(way: Way) -> str:
    """Say how to trust an authority, by what was trusted and who said so."""
    trust, table = way.trusted or SYSTEM_TRUST, f"{way.above}tls"
    if not trust.files:
        by = trust.named_by
        unset = f"unset {by}, which stands for the system's authorities, or add this one there;\n"
        return (unset if by else "") + (
            f'for a private authority write   {table} = {{ ca_file = "company-ca.pem" }}   into '
            f"the profile{'' if by else ', or install it in the operating system'}"
        )
    file = trust.files[0]
    if str(trust.named_by).isupper():  # a variable
        return (
            f"trusted are {trust};\nadd the authority to that file, or unset {trust.named_by}, or "
            f'write   {table} = {{ ca_file = ["system", "company-ca.pem"] }}   into the profile, '
            "which comes before it"
        )
    more = "" if trust.system else f', or trust the system too:   ca_file = ["system", "{file}"]'
    return f"trusted are {trust};\nname the authority of this server there{more}"
