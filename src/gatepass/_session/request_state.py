"""What the guard notes on a prepared request, and how credentials are removed from one.

requests copies a prepared request without its private attributes, so a copy carries no note.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from requests import PreparedRequest, RequestException, Response
from requests.exceptions import InvalidURL
from requests.structures import CaseInsensitiveDict
from requests.utils import check_header_validity

from gatepass._net.urls import origin_of
from gatepass._session.exceptions import SECRET_HEADERS, without_secrets
from gatepass.auth._handshake import drain
from gatepass.errors import GatepassError

_LOGIN: Final = "_gatepass_login"
_STRIPPED: Final = "_gatepass_stripped"
_BODY_CONSUMED: Final = "_gatepass_body_consumed"
_PROOF: Final = "_gatepass_proof"
# Headers that requests itself, or the guard, may change between the original and the copy.
_NOT_OF_A_SCHEME: Final = ("cookie", "content-length", "transfer-encoding", "expect")

Proof = Literal["asked", "sent", "not asked"]
"""Of a response: the server asked for the profile's login and got it; it got the login without
having asked, or over a connection that was logged on; it got none."""


def set_login(request: PreparedRequest, *, allowed: bool) -> None:
    """Note on a request whether the profile's login may be added at the profile's server."""
    request.__dict__[_LOGIN] = allowed


def is_login_allowed(request: PreparedRequest) -> bool:
    """Return what :func:`set_login` noted; False for a copy, and for a request from elsewhere."""
    return bool(request.__dict__.get(_LOGIN))


def note_proof(response: Response, proof: Proof) -> None:
    """Note on a response what became of the profile's login."""
    response.__dict__[_PROOF] = proof


def proof_of(response: Response) -> Proof | None:
    """Return what :func:`note_proof` noted; None where the profile's login took no part."""
    found: Proof | None = response.__dict__.get(_PROOF)
    return found


def note_stripped(request: PreparedRequest) -> None:
    """Note on a request to another server that it holds nothing of the profile."""
    request.__dict__[_STRIPPED] = True


def is_stripped(request: PreparedRequest) -> bool:
    """Return what :func:`note_stripped` noted."""
    return bool(request.__dict__.get(_STRIPPED))


def note_body_consumed(request: PreparedRequest) -> None:
    """Note on a redirected request whether its body has been read and cannot be read again.

    requests would send the rest of a stream, which is nothing.
    """
    stream = not isinstance(request.body, bytes | str | None)
    # requests rewinds a body that has a position, or raises that it cannot.
    request.__dict__[_BODY_CONSUMED] = stream and getattr(request, "_body_position", None) is None


def is_body_consumed(request: PreparedRequest) -> bool:
    """Return what :func:`note_body_consumed` noted."""
    return bool(request.__dict__.get(_BODY_CONSUMED))


class _CallerHook:
    """A hook that the caller's ``auth=`` registered; it may see responses of one server only."""

    def __init__(self, hook: Any) -> None:
        self._hook = hook

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._hook(*args, **kwargs)

    def __eq__(self, other: object) -> bool:
        # An auth that deregisters its hook looks for the object that it registered.
        return bool(self._hook == (other._hook if isinstance(other, _CallerHook) else other))

    def __hash__(self) -> int:
        return hash(self._hook)


def mark_caller_hooks(request: PreparedRequest) -> None:
    """Note that all hooks of a request so far come from the caller's ``auth=``."""
    request.hooks["response"] = [_CallerHook(hook) for hook in request.hooks["response"]]


def without_caller_hooks(request: PreparedRequest) -> dict[str, Any]:
    """Return a request's hooks without those of the caller's ``auth=``."""
    hooks = [hook for hook in request.hooks["response"] if not isinstance(hook, _CallerHook)]
    return {**request.hooks, "response": hooks}


def redact_response(response: Response) -> Response:
    """Replace the requests of a response and of its history by copies without credentials."""
    for each in (*response.history, response):
        each.request = _redacted(each.request)
        following = each.__dict__.get("_next")
        if following is not None:
            each.__dict__["_next"] = _redacted(following)
    return response


def redact_failure(failure: RequestException) -> RequestException:
    """Take the credentials from what an error tells of its request and its response."""
    if isinstance(failure.request, PreparedRequest):
        failure.request = without_secrets(failure.request)
    if failure.response is not None:
        redact_response(failure.response)
    return failure


def _redacted(request: PreparedRequest) -> PreparedRequest:
    hooks = without_caller_hooks(request)
    if hooks == request.hooks and not any(name in request.headers for name in SECRET_HEADERS):
        return request
    bare = without_secrets(request)
    bare.hooks = hooks
    return bare


def has_credentials(sent: PreparedRequest, request: PreparedRequest) -> bool:
    """Whether a request holds something that the scheme added to the original."""
    if sent.url != request.url or sent.body is not request.body:
        return True
    if sent.headers.get("Authorization") != request.headers.get("Authorization"):
        return True  # the usual case first: comparing all headers takes longer
    before, after = in_lower_case(request.headers), in_lower_case(sent.headers)
    for headers in (before, after):
        for name in _NOT_OF_A_SCHEME:
            headers.pop(name, None)
    return before != after


def in_lower_case(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Return headers by their names in lower case; a scheme may have put a dict in their place."""
    if isinstance(headers, CaseInsensitiveDict):
        return dict(headers.lower_items())
    return {name.lower(): value for name, value in headers.items()}


def names_authorization(headers: Mapping[Any, Any]) -> bool:
    """Whether the caller's headers hold an Authorization."""
    names = (name.decode("latin-1") if isinstance(name, bytes) else name for name in headers)
    return any(name.lower() == "authorization" for name in names)


def can_be_sent(name: str, value: Any) -> bool:
    """Whether http.client sends a header as it is, and raises no error that repeats it."""
    try:
        check_header_validity((name, value))
        return isinstance(value, bytes) or bool(value.encode("latin-1"))
    except (ValueError, AttributeError):
        return False


def check_headers(
    sent: PreparedRequest, known: PreparedRequest, scheme: str, *, only_login: bool
) -> None:
    """Refuse a scheme's header that cannot be sent: http.client's error would repeat it.

    Args:
        sent: the request as the scheme has prepared it.
        known: the same request before that.
        scheme: the name of the scheme.
        only_login: whether it adds ``Authorization`` and nothing else, as ours do.
    """
    before = {} if only_login else in_lower_case(known.headers)
    names = ("Authorization",) if only_login else tuple(sent.headers)
    for name in names:
        value = sent.headers.get(name)
        if value != before.get(name.lower()) and not can_be_sent(name, value):
            raise GatepassError(
                f"the scheme {scheme} made a header {name} that cannot be sent",
                hint="look for a line break or an odd character in its secret",
            )


_OF_A_BODY: Final = (
    *("Content-Length", "Content-Type", "Content-Encoding", "Transfer-Encoding"),
    "Expect",
)


def as_head(request: PreparedRequest) -> PreparedRequest:
    """Return a HEAD request for the same URL, without a body and without hooks."""
    question = request.copy()
    question.method, question.body = "HEAD", None
    question.hooks = {"response": []}
    for name in _OF_A_BODY:
        question.headers.pop(name, None)
    return question


@contextmanager
def close_on_error(response: Response) -> Iterator[None]:
    """Close a response that no caller will get."""
    try:
        yield
    except BaseException:
        response.close()
        raise


def read_redirect(response: Response, place: str | None) -> str | None:
    """Return where an answer redirects to, as requests found it, once its body is read.

    Raises:
        InvalidURL: to something that is no URL.
    """
    try:
        urlsplit(place or "")
    except ValueError:
        response.close()
        raise InvalidURL(
            f"{origin_of(response.url)} redirects to a malformed URL", response=response
        ) from None
    if place is not None:
        drain_or_close(response)
    return place


def drain_or_close(response: Response) -> None:
    """Read a response to its end, or close it where that fails; it is empty then."""
    try:
        drain(response)
    except RequestException:
        response.close()
        response._content = b""  # noqa: SLF001 - requests would read the rest, without a limit
