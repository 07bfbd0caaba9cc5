"""Which requests are sent again, and when: for the transports, and for the guard."""

from contextlib import suppress
from http.cookiejar import CookieJar
from typing import Any, Final, Self

import requests
from requests import PreparedRequest, Response
from requests.cookies import RequestsCookieJar
from urllib3 import Retry
from urllib3.exceptions import ConnectTimeoutError, InvalidHeader, MaxRetryError, ResponseError

from gatepass._system import log
from gatepass.auth._handshake import Handshake, drain, rewind

_LONGEST_WAIT: Final = 60  # seconds; where Retry-After says more, the answer is returned
_LOST: Final = 2  # as often as others is a request sent again whose connection was closed
_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
_PASSING: Final = frozenset({429, 502, 503, 504})


class _Retry(Retry):
    """urllib3's retries, which stop where Retry-After asks for too long a wait."""

    RETRY_AFTER_STATUS_CODES = _PASSING

    def get_retry_after(self, response: Any) -> float | None:
        """Return the seconds that the server asks for; None when it asks for nothing readable."""
        try:
            return super().get_retry_after(response)
        except (InvalidHeader, ValueError, OverflowError):
            return None

    def increment(
        self, method: Any = None, url: Any = None, response: Any = None, *args: Any, **kwargs: Any
    ) -> Self:
        """Count one more attempt; a server that asks for too long a wait ends them."""
        if response is not None and (self.get_retry_after(response) or 0) > _LONGEST_WAIT:
            raise MaxRetryError(kwargs["_pool"], url, ResponseError("Retry-After is too long"))
        return super().increment(method, url, response, *args, **kwargs)


class RetryState:
    """Counts the attempts of one request, and waits between them.

    Neither urllib3 nor a transport of the guard repeats a request by itself: nobody waits while
    others wait for the result of its login, and a message of a handshake or a Kerberos ticket is
    never sent twice.

    Args:
        times: how often the request may be sent again.
        request: the request; its Cookie header follows what the answers set.
        jar: takes the cookies of answers after which it is sent again; None keeps them nowhere.
    """

    def __init__(self, times: int, request: PreparedRequest, jar: CookieJar | None = None) -> None:
        self._retries = _Retry(
            total=times * _LOST,  # a busy server closes one kept connection after the other
            connect=times,
            status=times,
            allowed_methods=_IDEMPOTENT,
            status_forcelist=_PASSING,
            backoff_factor=0.2,
            backoff_max=1,
        )
        self._request = request
        self._jar = RequestsCookieJar() if jar is None else jar
        self._method = (request.method or "").upper()

    def wait_after(self, failure: requests.RequestException) -> bool:
        """Wait after a connection that failed. Returns whether to send the request again.

        A request is not sent again when the server went silent after it: it may have acted on it.
        A connection that was used before may have been closed while the request was on its way;
        then it is repeated where that does no harm (RFC 9110, section 9.2.2).
        """
        repeats = getattr(failure, "repeats", "")
        again = repeats in {"unsent", "lost"} or (
            repeats == "idempotent"
            and self._method in _IDEMPOTENT
            and can_rewind(self._request)
            and rewind(self._request)
        )
        error = ConnectTimeoutError() if repeats == "unsent" else ConnectionError()
        return again and self._wait(error=error)

    def wait_after_response(self, response: Response) -> bool:
        """Wait as long as the server asks for. Returns whether to send the request again.

        Where that is so, the response is read and closed.
        """
        asks = "Retry-After" in response.headers
        passing = self._retries.is_retry(self._method, response.status_code, has_retry_after=asks)
        return (
            passing and can_rewind(self._request) and rewind(self._request) and self._wait(response)
        )

    def _wait(self, response: Response | None = None, error: Exception | None = None) -> bool:
        raw = None if response is None else response.raw
        url = self._request.url
        try:
            self._retries = self._retries.increment(self._method, url, raw, error, _pool=None)
        except MaxRetryError:
            return False
        if response is not None:
            # RFC 6265, section 3: those of any answer count.
            cookies = Handshake(None, self._request, self._jar)
            cookies.learn(response)
            cookies.add_cookies(self._request)
            with suppress(requests.RequestException):
                drain(response)
            response.close()
        log.debug("%s %s is sent again", self._method, url)
        self._retries.sleep(raw)
        return True


def can_rewind(request: PreparedRequest) -> bool:
    """Whether the body can certainly be sent twice."""
    if request.body is None or isinstance(request.body, bytes | bytearray | str):
        return True
    position = getattr(request, "_body_position", None)
    seekable = getattr(request.body, "seekable", None)
    return isinstance(position, int) and seekable is not None and bool(seekable())
