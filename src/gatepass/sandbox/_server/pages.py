"""What the server answers below its prefix, once the login has let a request pass.

=========================================  ====================================================
``Health/v2.svc``                          ``{"status": "Healthy", "user": ...}``
``redirect?to=URL&code=302``               a redirect
``status?code=503&retry_after=1&times=2``  that status; with ``times`` only so often for the same
                                           query, 200 afterwards
``cookie``                                 sets a cookie
an answer of the user's own                what the user says, before all of these
anything else                              the request itself, as JSON
=========================================  ====================================================
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from threading import Lock
from typing import Final
from urllib.parse import parse_qsl, quote, unquote

from gatepass.sandbox._server.answers import Answers, find_answer
from gatepass.sandbox._server.body import Body
from gatepass.sandbox._server.login import LoginResult

PREFIX: Final = "/mi_servicelayer/"

_URL_CHARACTERS: Final = "%/:?#[]@!$&'()*+,;=-._~"  # RFC 3986; all else is escaped
_STATUSES: Final = range(200, 600)
_REDIRECTS: Final = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True)
class PageRequest:
    """One request that may pass.

    Attributes:
        method: such as ``GET``.
        path: path and query, as sent.
        user: who is logged on; None for no user.
        body: what came with it.
    """

    method: str
    path: str
    user: str | None
    body: Body


@dataclass(frozen=True, slots=True)
class PageResponse:
    """One answer. The content is JSON, or bytes; ``headers`` come beside its type and length."""

    status: int
    content: object = None
    headers: tuple[tuple[str, str], ...] = ()
    kind: str = "application/json"

    def body(self) -> bytes:
        """Return the content as bytes; empty where the status allows none (RFC 9110)."""
        if self.status in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}:
            return b""
        if isinstance(self.content, bytes):
            return self.content
        return json.dumps(self.content).encode() + b"\n"


def refused(result: LoginResult) -> PageResponse:
    """Return the 401 of a login that did not let the request pass."""
    return PageResponse(HTTPStatus.UNAUTHORIZED, {"error": result.reason})


def is_below_prefix(path: str) -> bool:
    """Say whether a path, query included, belongs to the service."""
    return (path.partition("?")[0] + "/").startswith(PREFIX)


def not_found() -> PageResponse:
    """Return the 404 of a path outside the service; no login is request for there."""
    return PageResponse(HTTPStatus.NOT_FOUND, {"error": f"the service is below {PREFIX}"})


class Pages:
    """The pages of one run of a server; ``status`` counts.

    Args:
        answers: answers of the user's own, which come first.
    """

    def __init__(self, answers: Answers = None) -> None:
        self._answers = answers
        self._lock = Lock()
        self._seen: Counter[str] = Counter()

    def respond(self, request: PageRequest) -> PageResponse:
        """PageResponse a request below the prefix."""
        path, _, query = request.path.partition("?")
        own = find_answer(self._answers, unquote(path.removeprefix(PREFIX)))
        if own is not None:
            return PageResponse(HTTPStatus.OK, own.content, kind=own.kind)
        values = dict(parse_qsl(query, keep_blank_values=True))
        match path.removeprefix(PREFIX):
            case "Health/v2.svc":
                return PageResponse(HTTPStatus.OK, {"status": "Healthy", "user": request.user})
            case "redirect":
                return _redirect(values)
            case "status":
                return self._status(query, values)
            case "cookie":
                cookie = f"sandbox=visited; Path={PREFIX}; HttpOnly"
                return PageResponse(HTTPStatus.OK, {}, (("Set-Cookie", cookie),))
        return _echo(request)

    def _status(self, query: str, values: Mapping[str, str]) -> PageResponse:
        code = _number(values.get("code", "200"))
        times = _number(values.get("times", "-1"))
        wait = _number(values.get("retry_after", "0"))
        if code is None or code not in _STATUSES or times is None or wait is None:
            return _bad("status takes code=200..599, retry_after=SECONDS and times=NUMBER")
        with self._lock:
            self._seen[query] += 1
            over = 0 <= times < self._seen[query]
        if over:
            return PageResponse(HTTPStatus.OK, {"status": 200})
        headers = (("Retry-After", str(wait)),) if "retry_after" in values else ()
        return PageResponse(code, {"status": code}, headers)


def _redirect(values: Mapping[str, str]) -> PageResponse:
    target = values.get("to", "")
    code = _number(values.get("code", "302"))
    if not target or code is None or code not in _REDIRECTS:
        return _bad("redirect takes to=URL and code=301, 302, 303, 307 or 308")
    # Escaping also takes line breaks out, which would start a header of the client's choice.
    return PageResponse(code, {}, (("Location", quote(target, safe=_URL_CHARACTERS)),))


def _echo(request: PageRequest) -> PageResponse:
    return PageResponse(
        HTTPStatus.OK,
        {
            "method": request.method,
            "path": request.path,
            "user": request.user,
            "body_length": request.body.length,
            "body_sha256": request.body.sha256,
        },
    )


def _bad(reason: str) -> PageResponse:
    return PageResponse(HTTPStatus.BAD_REQUEST, {"error": reason})


def _number(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None
