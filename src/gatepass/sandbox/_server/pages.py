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

from collections import Counter
from collections.abc import Mapping
from http import HTTPStatus
from threading import Lock
from typing import Final
from urllib.parse import parse_qsl, quote, unquote

from gatepass.sandbox._response import Response, in_json
from gatepass.sandbox._server.answers import Answers, find_answer
from gatepass.sandbox._server.record import Request

PREFIX: Final = "/mi_servicelayer/"

_URL_CHARACTERS: Final = "%/:?#[]@!$&'()*+,;=-._~"  # RFC 3986; all else is escaped
_STATUSES: Final = range(200, 600)
_REDIRECTS: Final = (301, 302, 303, 307, 308)


def is_below_prefix(path: str) -> bool:
    """Say whether a path, query included, belongs to the service."""
    return (path.partition("?")[0] + "/").startswith(PREFIX)


def not_found() -> Response:
    """Return the 404 of a path outside the service; no login is asked for there."""
    return in_json({"error": f"the service is below {PREFIX}"}, HTTPStatus.NOT_FOUND)


class Pages:
    """The pages of one run of a server; ``status`` counts.

    Args:
        answers: answers of the user's own, which come first.
    """

    def __init__(self, answers: Answers = None) -> None:
        self._answers = answers
        self._lock = Lock()
        self._seen: Counter[str] = Counter()

    def respond(self, request: Request) -> Response:
        """Answer a request below the prefix."""
        path, _, query = request.path.partition("?")
        own = find_answer(self._answers, unquote(path.removeprefix(PREFIX)))
        if own is not None:
            return own
        values = dict(parse_qsl(query, keep_blank_values=True))
        match path.removeprefix(PREFIX):
            case "Health/v2.svc":
                return in_json({"status": "Healthy", "user": request.user})
            case "redirect":
                return _redirect(values)
            case "status":
                return self._status(query, values)
            case "cookie":
                cookie = f"sandbox=visited; Path={PREFIX}; HttpOnly"
                return in_json({}, headers=(("Set-Cookie", cookie),))
        return _echo(request)

    def _status(self, query: str, values: Mapping[str, str]) -> Response:
        code = _number(values.get("code", "200"))
        times = _number(values.get("times", "-1"))
        wait = _number(values.get("retry_after", "0"))
        if code is None or code not in _STATUSES or times is None or wait is None:
            return _bad("status takes code=200..599, retry_after=SECONDS and times=NUMBER")
        with self._lock:
            self._seen[query] += 1
            over = 0 <= times < self._seen[query]
        if over:
            return in_json({"status": 200})
        headers = (("Retry-After", str(wait)),) if "retry_after" in values else ()
        return in_json({"status": code}, code, headers)


def _redirect(values: Mapping[str, str]) -> Response:
    target = values.get("to", "")
    code = _number(values.get("code", "302"))
    if not target or code is None or code not in _REDIRECTS:
        return _bad("redirect takes to=URL and code=301, 302, 303, 307 or 308")
    # Escaping also takes line breaks out, which would start a header of the client's choice.
    return in_json({}, code, (("Location", quote(target, safe=_URL_CHARACTERS)),))


def _echo(request: Request) -> Response:
    return in_json(
        {
            "method": request.method,
            "path": request.path,
            "user": request.user,
            "body_length": request.body_length,
            "body_sha256": request.body_sha256,
        }
    )


def _bad(reason: str) -> Response:
    return in_json({"error": reason}, HTTPStatus.BAD_REQUEST)


def _number(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None
