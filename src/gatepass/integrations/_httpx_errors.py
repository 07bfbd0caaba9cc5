"""Errors of httpx as those of requests, which the guard knows, and back."""

import ssl
from typing import Final

import httpx
import requests
from urllib3.exceptions import ConnectTimeoutError

from gatepass._session.exceptions import ProxyRefused, TimedOut, TLSFailed, Unreachable
from gatepass._session.translate import NoAnswer, TunnelRefused

OF_CONNECTION: Final = (
    *(httpx.TimeoutException, httpx.NetworkError, httpx.ProxyError),
    httpx.RemoteProtocolError,
)
_TLS_ENDED: Final = (ssl.SSLEOFError, ssl.SSLZeroReturnError)


class _Lost(NoAnswer):
    """A connection ended without an answer; httpx does not tell whether it was a new one."""

    repeats = "proven"  # type: ignore[assignment]  # and so only where the login is not at stake


def to_requests(error: httpx.TransportError, *, proxied: bool) -> requests.RequestException:
    """Return the error of requests that the guard knows for one of httpx."""
    kind: type[requests.RequestException] = requests.ConnectionError
    cause = _innermost(error)
    if isinstance(cause, ssl.SSLError) and not isinstance(cause, _TLS_ENDED):
        kind = requests.exceptions.SSLError
    elif isinstance(error, httpx.ProxyError):
        kind = requests.exceptions.ProxyError
        cause = TunnelRefused(str(error), {}) if str(error).startswith("407") else cause
    elif isinstance(error, httpx.ConnectTimeout | httpx.ConnectError):
        is_late = isinstance(error, httpx.ConnectTimeout)
        kind = requests.exceptions.ProxyError if proxied else kind
        kind, cause = requests.ConnectTimeout if is_late else kind, ConnectTimeoutError(cause)
    elif isinstance(error, httpx.TimeoutException):
        kind = requests.ReadTimeout
    elif isinstance(error, httpx.NetworkError) or "without sending a response" in str(error):
        cause = _Lost(str(error))
    return kind(cause)


def _innermost(error: BaseException) -> BaseException:
    """Return what an error began with; where several addresses were tried, at the first one."""
    while True:
        if isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        elif error.__cause__ is not None:
            error = error.__cause__
        else:
            return error


def to_httpx(error: Unreachable) -> type[httpx.TransportError]:
    """Return the kind of httpx's error for one of ours."""
    if isinstance(error, ProxyRefused):
        return httpx.ProxyError
    if isinstance(error, TimedOut):
        is_connect = isinstance(error, requests.ConnectTimeout)
        return httpx.ConnectTimeout if is_connect else httpx.ReadTimeout
    if isinstance(error, TLSFailed) or error.repeats == "unsent":
        return httpx.ConnectError
    return httpx.RemoteProtocolError
