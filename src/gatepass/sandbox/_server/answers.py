"""Answers of the user's own: from a folder, or given in Python."""

import mimetypes
import os
from collections.abc import Mapping
from pathlib import Path

from gatepass.sandbox._response import Response, in_json

Answers = Mapping[str, object] | str | os.PathLike[str] | None
"""A folder, or path → JSON, text or bytes; None is none."""


def find_answer(answers: Answers, path: str) -> Response | None:
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
