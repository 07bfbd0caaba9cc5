"""Errors of a running request: gatepass's own and, at the same time, those of requests.

Code that was written for a ``requests.Session`` still catches them. Each names the server and the
cause in one sentence, and the next step in its hint. None holds a credential, neither in its text
nor in ``request``.
"""

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final, Literal, Self

import requests
from requests import PreparedRequest, Response
from requests.structures import CaseInsensitiveDict

from gatepass._net.urls import origin_of, without_userinfo
from gatepass.errors import GatepassError, portable
from gatepass.secrets import may_be_secret

SECRET_HEADERS: Final = ("Authorization", "Proxy-Authorization")
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
        error.request, error.outlook = self.request, self.outlook
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
    # Which requests may be sent again: all, since no connection came about ("unsent") or it was
    # lost before the request counted ("lost"); idempotent ones; or these where the server has
    # accepted the password before, since it may have counted an attempt ("proven").
    repeats: Literal["", "unsent", "lost", "idempotent", "proven"] = ""

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


# Their frames hold headers, proxies' URLs and messages of a login; a test runner shows them.
_HOLD_SECRETS: Final = frozenset(
    {"requests", "urllib3", "http", "ssl", "requests_ntlm", "spnego", "httpx", "httpcore", "h11"}
)
_OURS_HOLD_SECRETS: Final = (
    *("gatepass.auth", "gatepass.secrets", "gatepass.integrations.httpx"),
    *("gatepass._session.adapter", "gatepass._session.pools"),
)


def hide_frames(error: BaseException) -> None:
    """Cut the frames that may hold a secret out of the tracebacks of an error and its causes."""
    left: list[BaseException | None] = [error]
    seen: set[int] = set()
    while left:
        each = left.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        left += (each.__cause__, each.__context__)
        kept = [found for found in _entries(each.__traceback__) if not _holds_secrets(found)]
        each.__traceback__ = None
        for found in reversed(kept):
            each.__traceback__ = TracebackType(
                each.__traceback__, found.tb_frame, found.tb_lasti, found.tb_lineno
            )


def _entries(traceback: TracebackType | None) -> Iterator[TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


def _holds_secrets(entry: TracebackType) -> bool:
    name = str(entry.tb_frame.f_globals.get("__name__", ""))
    return name.partition(".")[0] in _HOLD_SECRETS or name.startswith(_OURS_HOLD_SECRETS)
