"""Which requests are sent again, and when: for the transports, and for the guard."""

from typing import Any, Final, Self

from requests import PreparedRequest, Response
from urllib3 import Retry
from urllib3.exceptions import InvalidHeader, MaxRetryError, ResponseError

_LONGEST_WAIT: Final = 60  # seconds; where Retry-After says more, the answer is returned
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
            # With raise_on_status=False, urllib3 then returns the response.
            raise MaxRetryError(kwargs["_pool"], url, ResponseError("Retry-After is too long"))
        return super().increment(method, url, response, *args, **kwargs)


def make_retries(times: int, *, answers: bool = True) -> Retry:
    """Return the retries: of failed connections, and of "not now" responses to some methods.

    A request is not retried when the server went silent after it was sent: the server may have
    acted on it.

    Args:
        times: how often.
        answers: false retries failed connections only.
    """
    return _Retry(
        total=times,
        read=False,
        other=0,
        redirect=False,
        allowed_methods=_IDEMPOTENT,
        status_forcelist=_PASSING if answers else (),
        respect_retry_after_header=answers,
        raise_on_status=False,
        backoff_factor=0.2,
    )


def can_rewind(request: PreparedRequest) -> bool:
    """Whether the body can certainly be sent twice."""
    if request.body is None or isinstance(request.body, bytes | bytearray | str):
        return True
    position = getattr(request, "_body_position", None)
    seekable = getattr(request.body, "seekable", None)
    return isinstance(position, int) and seekable is not None and bool(seekable())


class RetryState:
    """Counts the attempts of one request, where the guard retries and not the transport.

    A message of a handshake, or a Kerberos ticket, must not be sent twice. Only the guard can try
    such a request again, with a new message.
    """

    def __init__(self, times: int, request: PreparedRequest) -> None:
        self._retries = make_retries(times)
        self._request = request

    def wait_to_retry(self, response: Response) -> bool:
        """Wait as long as the server asks for. Returns whether to send the request again.

        Where that is so, the response is read and closed.
        """
        method, url = (self._request.method or "").upper(), self._request.url
        asks = "Retry-After" in response.headers
        passing = self._retries.is_retry(method, response.status_code, has_retry_after=asks)
        if not (passing and can_rewind(self._request)):
            return False
        try:
            self._retries = self._retries.increment(method, url, response.raw, _pool=None)
        except MaxRetryError:
            return False
        response.raw.drain_conn()
        response.close()
        self._retries.sleep(response.raw)
        return True


class UnrepeatablePool:
    """A connection pool for a request that may be sent only once."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    def urlopen(self, **kwargs: Any) -> Any:
        """Send it. A connection that fails is tried again, a "not now" response is returned."""
        retries = kwargs["retries"].new(status_forcelist=(), respect_retry_after_header=False)
        return self._pool.urlopen(**kwargs | {"retries": retries})
