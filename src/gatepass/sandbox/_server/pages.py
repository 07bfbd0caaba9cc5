"""What the server answers below its prefix, once the login has let a request pass.

============================  =======================================================
``Health/v2.svc``             ``{"status": "Healthy", "user": ...}``
``redirect?to=URL&code=302``  a redirect
an answer of the user's own   what the user says, before all of these
anything else                 the request itself, as JSON
============================  =======================================================
"""

import mimetypes
import os
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, quote, unquote

from gatepass.sandbox._response import Response, in_json
from gatepass.sandbox.server import Answers, Request

PREFIX: Final = "/mi_servicelayer/"

_URL_CHARACTERS: Final = "%/:?#[]@!$&'()*+,;=-._~"  # RFC 3986; all else is escaped
_REDIRECTS: Final = ("301", "302", "303", "307", "308")


def is_below_prefix(path: str) -> bool:
    """Say whether a path, query included, belongs to the service."""
    return (path.partition("?")[0] + "/").startswith(PREFIX)


def not_found() -> Response:
    """Return the 404 of a path outside the service; no login is asked for there."""
    return in_json({"error": f"the service is below {PREFIX}"}, HTTPStatus.NOT_FOUND)


class Pages:
    """The pages of one run of a server.

    Args:
        answers: answers of the user's own, which come first.
    """

    def __init__(self, answers: Answers = None) -> None:
        self._answers = answers

    def respond(self, request: Request) -> Response:
        """Answer a request below the prefix."""
        path, _, query = request.path.removeprefix(PREFIX).partition("?")
        own = _find_answer(self._answers, unquote(path))
        if own is not None:
            return own
        if path == "Health/v2.svc":
            return in_json({"status": "Healthy", "user": request.user})
        if path == "redirect":
            return _redirect(dict(parse_qsl(query)))
        shown = ("method", "path", "user", "body_length", "body_sha256")
        return in_json({name: getattr(request, name) for name in shown})


def _redirect(values: Mapping[str, str]) -> Response:
    target, code = values.get("to", ""), values.get("code", "302")
    if not target or code not in _REDIRECTS:
        problem = {"error": "redirect takes to=URL and code=301, 302, 303, 307 or 308"}
        return in_json(problem, HTTPStatus.BAD_REQUEST)
    # Escaping also takes line breaks out, which would start a header of the client's choice.
    return in_json({}, int(code), (("Location", quote(target, safe=_URL_CHARACTERS)),))


def _find_answer(answers: Answers, path: str) -> Response | None:
    """Return the answer to a path below the service; None where the user has none.

    Of a folder only files below it are served, also where a link leads out of it.
    """
    if answers is None:
        return None
    if isinstance(answers, Mapping):
        for name, content in answers.items():
            if name.strip("/") == path.strip("/"):
                return _answer(content)
        return None
    folder = Path(os.path.realpath(answers))
    try:
        file = Path(os.path.realpath(folder / path.strip("/")))
        if file == folder or not file.is_relative_to(folder) or not file.is_file():
            return None
        kind = mimetypes.guess_type(file.name)[0] or "text/plain"
        return Response(200, file.read_bytes(), kind)
    except (OSError, ValueError):
        return None


def _answer(content: object) -> Response:
    if isinstance(content, str):
        return Response(200, content.encode(), "text/plain; charset=utf-8")
    if isinstance(content, bytes):
        return Response(200, content, "application/octet-stream")
    return in_json(content)
