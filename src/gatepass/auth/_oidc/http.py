"""Send requests to an identity provider: fetch a JSON document, post a form.

requests does that in a worker thread, with a deadline for the whole exchange and a limit to what is
read; no redirect is followed and no login of ``.netrc`` added. A form may be worth a login, and the
provider may have been named by a server that is not trusted.
"""

import io
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from html import escape
from threading import Lock
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, quote_plus, unquote_plus, urlencode

from gatepass._system.deadline import Deadline, run_with_deadline
from gatepass._system.text import pattern
from gatepass._value import Value, field, replace
from gatepass.auth._oidc.endpoint import check_endpoint, host_of
from gatepass.auth._oidc.foreign_text import printable
from gatepass.auth._oidc.strict_json import json_object
from gatepass.errors import GatepassError
from gatepass.secrets import Secret

if TYPE_CHECKING:
    from requests import PreparedRequest, Session

TIMEOUT: Final = 30.0  # seconds for one request, unless the caller says otherwise
MAX_BYTES: Final = 1_048_576  # of one response, unpacked

_CHUNK: Final = 8192  # bytes; small, because a packed response may grow a thousandfold
_OK: Final = 200
_SUCCESS: Final = range(200, 300)
_REDIRECT: Final = range(300, 400)
_SERVER_ERRORS: Final = 500

# Fields of a form that an error may repeat.
_WEB_PAGE: Final = (
    "a web page stands in its place, perhaps of a network that wants a login first, or of a proxy: "
    "open that address in a browser"
)
ASK_ITS_ADMINISTRATOR: Final = "ask those who run the identity provider; its log says more"
_OUT_OF_ORDER: Final = "it is out of order: try again later"
_PERCENT: Final = pattern(r"%[0-9A-F]{2}")
_PUBLIC_FIELDS: Final = frozenset(
    "grant_type client_id scope redirect_uri audience resource token_type_hint".split()
)


class NoResponse(GatepassError):
    """No whole response came from the identity provider."""

    exit_code = 5


class NotSent(NoResponse):
    """... and what was to be posted certainly did not reach it: no part of the form has left."""


class ResponseLost(NoResponse):
    """... and it may have acted on what was posted: a token that works once may be used up."""


class InvalidResponse(GatepassError):
    """The identity provider's response cannot be used.

    Attributes:
        status: the status of the response; 0 where it does not matter.
    """

    exit_code = 5

    def __init__(self, message: str = "", *, hint: str = "", status: int = 0) -> None:
        usual = _OUT_OF_ORDER if status >= _SERVER_ERRORS else ASK_ITS_ADMINISTRATOR
        super().__init__(message, hint=hint or usual)
        self.status = status


class ProviderResponse(Value):
    """What came back. Prints neither headers nor body.

    Attributes:
        status: of HTTP.
        headers: the names in lower case.
        body: unpacked, whole.
        sent: the secrets in what was posted, in each form in which they were on the wire, so that
            no error repeats them.
        url: who answered.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    sent: tuple[Secret, ...] = ()
    url: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether the status is 2xx."""
        return self.status in _SUCCESS

    @property
    def is_object(self) -> bool:
        """Whether the body is a whole JSON object."""
        with suppress(ValueError):
            return bool(json_object(self.body))
        return False

    @property
    def error(self) -> str:
        """The error code of OAuth; empty where there is none that can be read."""
        with suppress(ValueError):
            found = json_object(self.body).get("error")
            return found if isinstance(found, str) else ""
        return ""

    @property
    def description(self) -> str:
        """Who answered with which status and content type, for a message."""
        kind = self.headers.get("content-type", "").partition(";")[0].strip()
        shown = f" ({printable(kind)})" if kind else ""
        return f"{printable(self.url)} answered with status {self.status}{shown}"

    @property
    def hint(self) -> str:
        """What to do about a web page where a provider should answer."""
        page = self.headers.get("content-type", "").startswith("text/html")
        return _WEB_PAGE if page else ""

    def shown(self, text: object) -> str:
        """Return a text of this response fit for a message, without what was sent."""
        return printable(text, hidden=self.sent)


def get_json(
    http: "Session",
    url: str,
    *,
    seconds: float = TIMEOUT,
    max_bytes: int = MAX_BYTES,
    fresh: bool = False,
) -> dict[str, Any]:
    """Fetch a JSON object. Touches the network.

    Args:
        http: a session without credentials.
        url: where; see :func:`endpoint.check_endpoint`.
        seconds: for everything together.
        max_bytes: of the response, unpacked.
        fresh: ask caches on the way for a new copy.

    Raises:
        EndpointRefused: the address is not allowed.
        NoResponse: no whole response came.
        InvalidResponse: it is not a JSON object with status 200.
    """
    headers = {"Accept": "application/json"}
    if fresh:
        headers["Cache-Control"] = "no-cache"
    request = _Request("GET", url, headers, None)
    response = _send_in_thread(http, request, seconds, max_bytes)
    problem = _redirect_note(response)
    if response.status == _OK:
        try:
            return json_object(response.body)
        except ValueError as error:
            problem = f", and the answer {error}"
    raise InvalidResponse(
        f"{response.description}{problem}",
        hint=response.hint if response.status == _OK else "",
        status=response.status,
    )


def post_form(
    http: "Session",
    url: str,
    form: Mapping[str, str],
    *,
    authorization: Secret | None = None,
    seconds: float = TIMEOUT,
    until: Deadline | None = None,
) -> ProviderResponse:
    """Post a form once and return the response, whatever it is. Touches the network.

    Args:
        http: a session without credentials; it must not repeat a POST that may have arrived.
        url: where; see :func:`endpoint.check_endpoint`.
        form: its fields.
        authorization: the header of that name.
        seconds: for everything together.
        until: nothing leaves after it, even if this process was suspended meanwhile; after
            ``seconds`` when not given.

    Raises:
        EndpointRefused: the address is not allowed.
        NotSent: it certainly did not arrive.
        ResponseLost: it may have arrived.
        InvalidResponse: the response is too long.
    """
    headers = {
        "Accept": "application/json",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    if authorization is not None:
        headers["Authorization"] = authorization.reveal()
    body = _CancellableBody(urlencode(form).encode(), until or Deadline.after(seconds))
    response = _send_in_thread(http, _Request("POST", url, headers, body), seconds, MAX_BYTES)
    secrets = [text for name, text in form.items() if name not in _PUBLIC_FIELDS and text]
    if authorization is not None:
        secrets += _parts_of_basic(authorization.reveal())
    sent = {way for text in secrets for way in _ways_to_write(text)}
    return replace(response, sent=tuple(Secret(text) for text in sorted(sent, key=len)[::-1]))


def _parts_of_basic(header: str) -> list[str]:
    """Return what a header of HTTP Basic tells: its pair in base64, and the secret in it."""
    from base64 import b64decode

    encoded = header.partition(" ")[2]
    secret = b64decode(encoded).decode().partition(":")[2]
    return [encoded, secret, unquote_plus(secret)]


def _ways_to_write(text: str) -> set[str]:
    """Return a text as itself, and as forms, URLs and pages repeat it."""
    ways = {text, quote_plus(text), quote(text), quote(text, safe=""), escape(text)}
    return ways | {_PERCENT.sub(lambda code: code[0].lower(), way) for way in ways}


def is_verified(http: "Session", url: str) -> bool:
    """Whether the server at a URL must prove by its certificate who it is.

    Args:
        http: the session that asks it. The adapters of :attr:`AuthContext.http` say it by
            ``verifies``: how the profile's server is trusted says nothing about the provider.
        url: whose server.
    """
    return http.verify is not False and getattr(http.get_adapter(url), "verifies", True)


class _CancellableBody(io.BytesIO):
    """A form that knows whether it has begun to leave, and can be kept from leaving."""

    def __init__(self, content: bytes, until: Deadline) -> None:
        super().__init__(content)
        self._until = until
        self._lock = Lock()
        self._cancelled = False
        self._left = False
        self.partial: ProviderResponse | None = None  # what has come of the response

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes; requests asks for them when there is a connection to send on."""
        with self._lock:
            if self._cancelled or self._until.passed:
                raise OSError("the request was given up")
            self._left = True
        return super().read(size)

    def cancel(self) -> bool:
        """Let nothing leave from now on; return whether something has left before."""
        with self._lock:
            self._cancelled = True
            return self._left


class _Request(Value):
    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: _CancellableBody | None


def _send_in_thread(
    http: "Session", request: _Request, seconds: float, max_bytes: int
) -> ProviderResponse:
    """Send a request in a worker thread, since no timeout of a socket bounds a whole exchange.

    The resolver has no timeout, and a server that sends a byte now and then meets any. A worker
    that is given up sends nothing any more, and ends with its connection.
    """
    from urllib3.exceptions import HTTPError

    check_endpoint(request.url)
    failure: Exception
    try:
        return run_with_deadline(
            lambda: _send(http, request, seconds, max_bytes), seconds, "gatepass-http"
        )
    except (OSError, HTTPError) as error:  # every error of requests is an OSError
        failure = error
    lost = _to_error(failure, request, seconds)
    came = request.body.partial if request.body is not None else None
    if came is not None and came.is_object:
        return came  # it breaks off, or has no end, but all that counts is there
    raise lost  # outside: the original may hold the form


def _send(http: "Session", request: _Request, seconds: float, max_bytes: int) -> ProviderResponse:
    ends = time.monotonic() + seconds
    with http.request(
        request.method,
        request.url,
        data=request.body,
        headers=dict(request.headers),
        auth=_add_no_auth,
        allow_redirects=False,
        stream=True,
        timeout=seconds,
    ) as response:
        headers = {name.lower(): value for name, value in response.headers.items()}
        found = ProviderResponse(response.status_code, headers, url=request.url)
        for body in _read_body(response.raw, ends, max_bytes):
            found = replace(found, body=body)
            if request.body is not None:
                request.body.partial = found
        return found


def _read_body(raw: Any, ends: float, max_bytes: int) -> Iterator[bytes]:
    """Read a response's body as it grows: at most so many bytes, and not after a moment."""
    body = b""
    while chunk := raw.read1(_CHUNK, decode_content=True):
        body += chunk
        if len(body) > max_bytes:
            raise InvalidResponse(
                f"the identity provider's answer is longer than {max_bytes} bytes"
            )
        if time.monotonic() > ends:
            raise TimeoutError
        yield body


def _add_no_auth(request: "PreparedRequest") -> "PreparedRequest":
    """Add no login: without an ``auth``, requests would ask ``.netrc``."""
    return request


def _to_error(error: Exception, request: _Request, seconds: float) -> NoResponse:
    """Cancel the request, and say whether its form may have arrived."""
    kind = NoResponse
    if request.body is not None:
        kind = ResponseLost if request.body.cancel() else NotSent
    if isinstance(error, GatepassError):
        return kind(error.message, hint=error.hint)
    host = host_of(request.url)
    if isinstance(error, TimeoutError):
        return kind(
            f"{host} did not answer within {round(seconds, 1):g} seconds",
            hint="check the network, and whether a VPN or a proxy is needed",
        )
    return kind(f"no whole answer from {host}: {type(error).__name__}", hint="try again")


def _redirect_note(response: ProviderResponse) -> str:
    if response.status not in _REDIRECT:
        return ""
    return (
        f', a redirect to "{printable(response.headers.get("location", ""))}" that is not followed'
    )
