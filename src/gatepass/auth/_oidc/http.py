"""The two ways to talk to an identity provider: fetch a JSON document, post a form.

Neither follows a redirect, looks into ``.netrc``, waits without end or reads without end: what a
provider is sent may be worth a login, and who the provider is may have been said by a stranger.
"""

import io
import json
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote_plus, urlencode, urlsplit

from gatepass._net.urls import is_loopback, leads_here
from gatepass._system.deadline import run_with_deadline
from gatepass._vault.records import Client, Provider
from gatepass.errors import GatepassError
from gatepass.secrets import Secret

if TYPE_CHECKING:
    from requests import PreparedRequest, Session

SECONDS: Final = 30.0  # for one request where the caller knows nothing better
MAX_BYTES: Final = 1_048_576  # of one answer, unpacked

_LONGEST_URL: Final = 2047  # characters
_LONGEST_SHOWN: Final = 200  # characters of a foreign text
_CHUNK: Final = 8192  # bytes; small, because a packed answer may grow a thousandfold

# requests' own parser and ours read such a URL alike; RFC 3986 allows nothing else.
_URL: Final = re.compile(r"[A-Za-z0-9:/?#@!$&'()*+,;=._~%\[\]-]+")
_SERVER: Final = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
)

_SUCCESS: Final = range(200, 300)
_REDIRECT: Final = range(300, 400)


class NoResponse(GatepassError):
    """No whole answer came from the identity provider."""

    exit_code = 5


class NotSent(NoResponse):
    """... and what was to be posted certainly did not reach it: no part of the form has left."""


class ResponseLost(NoResponse):
    """... and it may have acted on what was posted: a token that works once may be used up."""


class InvalidResponse(GatepassError):
    """The identity provider's answer cannot be used.

    Attributes:
        status: the status of the answer; 0 where it does not matter.
    """

    exit_code = 5

    def __init__(self, message: str = "", *, hint: str = "", status: int = 0) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class EndpointRefused(GatepassError):
    """An address is not one that a secret may be sent to."""

    exit_code = 4


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment by two clocks: the wall's may be set, the other one sleeps with its computer.

    Attributes:
        monotonic: by the monotonic clock.
        wall: in seconds since 1970.
    """

    monotonic: float
    wall: float

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """Return the moment so many seconds from now."""
        return cls(time.monotonic() + seconds, time.time() + seconds)

    @property
    def passed(self) -> bool:
        """Whether it is over by one of the clocks."""
        return time.monotonic() > self.monotonic or time.time() > self.wall


@dataclass(frozen=True, slots=True)
class ProviderResponse:
    """What came back. Prints neither headers nor body.

    Attributes:
        status: of HTTP.
        headers: the names in lower case.
        body: unpacked, whole.
        sent: the secrets in what was posted, so that no error repeats them.
        used_basic: whether the client proved itself by HTTP Basic.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    sent: tuple[Secret, ...] = ()
    used_basic: bool = False

    @property
    def succeeded(self) -> bool:
        """Whether the status is 2xx."""
        return self.status in _SUCCESS

    def shown(self, text: object) -> str:
        """Return a text of this answer fit for a message, without what was sent."""
        return printable(text, hidden=self.sent)


def get_json(
    http: "Session",
    url: str,
    *,
    seconds: float = SECONDS,
    max_bytes: int = MAX_BYTES,
    fresh: bool = False,
) -> dict[str, Any]:
    """Fetch a JSON object. Touches the network.

    Args:
        http: a session without credentials.
        url: where; see :func:`check_endpoint`.
        seconds: for everything together.
        max_bytes: of the answer, unpacked.
        fresh: ask caches on the way for a new copy.

    Raises:
        EndpointRefused: the address is not allowed.
        NoResponse: no whole answer came.
        InvalidResponse: it is not a JSON object with status 200.
    """
    headers = {"Accept": "application/json"}
    if fresh:
        headers["Cache-Control"] = "no-cache"
    response = _exchange(http, _Question("GET", url, headers, None), seconds, max_bytes)
    if response.status != 200:  # noqa: PLR2004 - the one status of a document
        raise InvalidResponse(
            f"{printable(url)} answered {_status_and_type(response)}{_redirect_note(response)}",
            status=response.status,
        )
    try:
        return json_object(response.body)
    except ValueError as error:
        fault = str(error)
    raise InvalidResponse(
        f"{printable(url)} answered {_status_and_type(response)}, and the answer {fault}",
        status=response.status,
    )


def post_form(
    http: "Session",
    url: str,
    fields: Mapping[str, str],
    *,
    auth: tuple[str, Secret] | None = None,
    seconds: float = SECONDS,
    until: Deadline | None = None,
) -> ProviderResponse:
    """Post a form once and return the answer, whatever it is. Touches the network.

    Args:
        http: a session without credentials; it must not repeat a POST that may have arrived.
        url: where; see :func:`check_endpoint`.
        fields: the form.
        auth: client_id and secret for HTTP Basic (RFC 6749, section 2.3.1).
        seconds: for everything together.
        until: nothing leaves after it, also where this process was stopped meanwhile; after
            ``seconds`` when not given.

    Raises:
        EndpointRefused: the address is not allowed.
        NotSent: it certainly did not arrive.
        ResponseLost: it may have arrived.
        InvalidResponse: the answer is too long.
    """
    headers = {
        "Accept": "application/json",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    if auth is not None:
        headers["Authorization"] = _basic(*auth)
    body = _Body(urlencode(fields).encode(), until or Deadline.after(seconds))
    response = _exchange(http, _Question("POST", url, headers, body), seconds, MAX_BYTES)
    hidden = [Secret(text) for name, text in fields.items() if name not in _PUBLIC and text]
    hidden += [auth[1]] if auth else []
    return ProviderResponse(
        response.status, response.headers, response.body, tuple(hidden), auth is not None
    )


def request_token(
    http: "Session",
    provider: Provider,
    client: Client,
    fields: Mapping[str, str],
    *,
    seconds: float = SECONDS,
    until: Deadline | None = None,
) -> ProviderResponse:
    """Post a form to the token endpoint, as the client. Touches the network.

    Args:
        http: a session without credentials.
        provider: whose token endpoint.
        client: who asks; of it only ``client_id`` and ``secret`` are used.
        fields: the form without the client's own fields.
        seconds: for everything together.
        until: nothing leaves after it; see :func:`post_form`.

    Raises:
        GatepassError: as :func:`post_form` and :func:`client_authentication` do.
    """
    own, auth = client_authentication(provider, client)
    return post_form(
        http, provider.token_endpoint, {**fields, **own}, auth=auth, seconds=seconds, until=until
    )


def client_authentication(
    provider: Provider, client: Client
) -> tuple[dict[str, str], tuple[str, Secret] | None]:
    """Choose how a client says who it is (RFC 6749, sections 2.3.1 and 3.2.1).

    Returns:
        fields for the form, and client_id and secret for HTTP Basic or None. Only one of them
        holds the secret: two proofs in one request are forbidden.

    Raises:
        GatepassError: the provider takes neither Basic nor the secret in the form.
    """
    if client.secret is None:
        return {"client_id": client.client_id}, None
    # Discovery, section 3: a provider that does not say takes Basic.
    methods = provider.auth_methods or ("client_secret_basic",)
    if "client_secret_basic" in methods:
        return {}, (client.client_id, client.secret)
    if "client_secret_post" in methods:
        secret = client.secret.reveal()
        return {"client_id": client.client_id, "client_secret": secret}, None
    raise GatepassError(
        "the identity provider does not take a client_secret; it offers "
        + printable(", ".join(methods)),
        hint="ask its administrator for a client that may use client_secret_basic, or leave "
        "client_secret out if this is a public client",
    )


def check_endpoint(url: str, name: str = "the address", *, said_by: str = "") -> None:
    """Refuse an address that no secret may be sent to.

    Allowed are https, and http to this very computer by a literal address or ``localhost``
    (RFC 8252, section 8.3), without user name or fragment. What listens on this computer trusts
    that nobody else reaches it, so another computer cannot name an address of this one.

    Args:
        url: what to look at; it is not repeated where it may hold a password.
        name: what it is, for the message.
        said_by: the URL of the server that names it; empty where the profile does.

    Raises:
        EndpointRefused: says why.
    """
    fault = _endpoint_fault(url)
    if not fault and said_by and leads_here(url) and not leads_here(said_by):
        fault = f"it is on this very computer, and {_origin(said_by)}, which names it, is not"
    if not fault:
        return
    shown = "" if "@" in url else f' "{printable(url)}"'
    raise EndpointRefused(f"{name}{shown} is refused: {fault}")


def is_verified(http: "Session", url: str) -> bool:
    """Whether the server at a URL must prove by its certificate who it is.

    Args:
        http: the session that asks it. The adapters of :attr:`AuthContext.http` say it by
            ``verifies``: how the profile's server is trusted says nothing about the provider.
        url: whose server.
    """
    return http.verify is not False and getattr(http.get_adapter(url), "verifies", True)


def json_object(body: bytes) -> dict[str, Any]:
    """Read one JSON object, strictly (RFC 8259): UTF-8, each name once, no NaN.

    A byte order mark of UTF-8 is passed over, as RFC 8259 allows.

    Raises:
        ValueError: what is wrong, as ``is not UTF-8``; never holds the text.
    """
    found, fault = _loaded(body)
    if fault:
        raise ValueError(fault)
    if not isinstance(found, dict):
        raise ValueError("is JSON, but not an object")  # noqa: TRY004 - the value is foreign
    return found


def printable(text: object, *, hidden: Iterable[Secret] = ()) -> str:
    """Return a foreign text fit for a message: no control characters, at most 200 characters.

    Args:
        text: what a server said; what is no text is named by its type.
        hidden: secrets that must not show, nor any longer part of them.
    """
    if not isinstance(text, str):
        return f"({type(text).__name__})"
    secrets = [each.reveal() for each in hidden]
    for secret in secrets:
        if len(secret) >= _SHORTEST_HIDDEN:
            text = text.replace(secret, "...")
    text = _WORD.sub(lambda word: "..." if any(word[0] in s for s in secrets) else word[0], text)
    clean = "".join(char if char.isprintable() else " " for char in text)
    return clean if len(clean) <= _LONGEST_SHOWN else clean[: _LONGEST_SHOWN - 3] + "..."


# What a form may hold and an error may repeat.
_PUBLIC: Final = frozenset(
    "grant_type client_id scope redirect_uri audience resource token_type_hint".split()
)
_SHORTEST_HIDDEN: Final = 4  # characters; a shorter "secret" stands in every other word
_WORD: Final = re.compile(r"[\w.~+/=-]{8,}")  # a part of a token that a server quotes


class _Body(io.BytesIO):
    """A form that knows whether it has begun to leave, and can be kept from it."""

    def __init__(self, content: bytes, until: Deadline) -> None:
        super().__init__(content)
        self._until = until
        self._lock = Lock()
        self._kept = False
        self._left = False

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes; this is asked for when there is a connection to send them on."""
        with self._lock:
            if self._kept or self._until.passed:
                raise OSError("the request was given up")
            self._left = True
        return super().read(size)

    def keep(self) -> bool:
        """Let nothing leave from now on; return whether something has left before."""
        with self._lock:
            self._kept = True
            return self._left


@dataclass(frozen=True, slots=True)
class _Question:
    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: _Body | None


def _exchange(
    http: "Session", question: _Question, seconds: float, max_bytes: int
) -> ProviderResponse:
    """Ask in a thread of its own, since no timeout of a socket bounds a whole exchange.

    The resolver knows none at all, and a server that sends one byte now and then meets any.
    A thread that is given up sends nothing any more, and ends with its connection.
    """
    from urllib3.exceptions import HTTPError

    check_endpoint(question.url)
    failure: Exception
    try:
        return run_with_deadline(
            lambda: _talk(http, question, seconds, max_bytes), seconds, "gatepass-http"
        )
    except (OSError, HTTPError) as error:  # every error of requests is an OSError
        failure = error
    raise _failed(failure, question, seconds)  # outside: the original may hold the form


def _talk(http: "Session", question: _Question, seconds: float, max_bytes: int) -> ProviderResponse:
    ends = time.monotonic() + seconds
    with http.request(
        question.method,
        question.url,
        data=question.body,
        headers=dict(question.headers),
        auth=_nobody,
        allow_redirects=False,
        stream=True,
        timeout=seconds,
    ) as response:
        headers = {name.lower(): value for name, value in response.headers.items()}
        return ProviderResponse(response.status_code, headers, _read(response.raw, ends, max_bytes))


def _read(raw: Any, ends: float, max_bytes: int) -> bytes:
    """Read an answer, at most so much of it, at most until then."""
    body = b""
    while chunk := raw.read1(_CHUNK, decode_content=True):
        body += chunk
        if len(body) > max_bytes:
            raise InvalidResponse(
                f"the identity provider's answer is longer than {max_bytes} bytes"
            )
        if time.monotonic() > ends:
            raise TimeoutError
    return body


def _nobody(request: "PreparedRequest") -> "PreparedRequest":
    """Add no login: without an ``auth``, requests would ask ``.netrc``."""
    return request


def _failed(error: Exception, question: _Question, seconds: float) -> NoResponse:
    kind = NoResponse
    if question.body is not None:
        kind = ResponseLost if question.body.keep() else NotSent
    if isinstance(error, GatepassError):
        return kind(error.message, hint=error.hint)
    origin = _origin(question.url)
    if isinstance(error, TimeoutError):
        return kind(
            f"{origin} did not answer within {seconds:g} seconds",
            hint="check the network, and whether a VPN or a proxy is needed",
        )
    return kind(f"no answer from {origin}: {type(error).__name__}")


def _origin(url: str) -> str:
    return "{0.scheme}://{0.netloc}".format(urlsplit(url))


def _basic(client_id: str, secret: Secret) -> str:
    """HTTP Basic with both parts encoded as a form, as RFC 6749, section 2.3.1, wants it."""
    from base64 import b64encode

    pair = f"{quote_plus(client_id)}:{quote_plus(secret.reveal())}"
    return "Basic " + b64encode(pair.encode()).decode()


def _endpoint_fault(url: str) -> str:
    """Say why an address is refused; empty when it is not."""
    if len(url) > _LONGEST_URL:
        return f"it is longer than {_LONGEST_URL} characters"
    if not _URL.fullmatch(url):
        return "it holds a character that no URL may hold, or nothing at all"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "it is not a URL"
    faults = (
        ("@" in parts.netloc, "it holds a user name"),
        ("#" in url, "it holds a fragment"),
        (not _SERVER.fullmatch(parts.netloc) or port == 0, "its host or port is malformed"),
        (
            parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host or "")),
            "it must begin with https://, or with http:// for this very computer",
        ),
    )
    return next((why for wrong, why in faults if wrong), "")


class _Fault(ValueError):
    """What is wrong with a JSON text."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Fault("holds a name twice")
    return found


def _no_constant(_: str) -> Any:
    raise _Fault("holds NaN or Infinity")


def _loaded(body: bytes) -> tuple[Any, str]:
    """The value and no fault, or a fault; the errors of json would hold the whole text."""
    if not body:
        return None, "is empty"
    try:
        text = body.decode("utf-8-sig")
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant), ""
    except _Fault as fault:
        return None, str(fault)
    except RecursionError:
        return None, "is nested too deeply"
    except UnicodeDecodeError:
        return None, "is not UTF-8"
    except ValueError:
        return None, "is not JSON"


def _status_and_type(response: ProviderResponse) -> str:
    kind = response.headers.get("content-type", "").partition(";")[0].strip()
    return f"with status {response.status}" + (f" ({printable(kind)})" if kind else "")


def _redirect_note(response: ProviderResponse) -> str:
    if response.status not in _REDIRECT:
        return ""
    return (
        f', a redirect to "{printable(response.headers.get("location", ""))}" that is not followed'
    )
