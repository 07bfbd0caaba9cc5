"""Answers of the user's own: from a folder, or given in Python."""

import mimetypes
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

Answers = Mapping[str, object] | str | os.PathLike[str] | None
"""A folder, or path → JSON, text or bytes; None is none."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered: JSON or bytes, and the type of the content."""

    content: object
    kind: str = "application/json"


def find_answer(answers: Answers, path: str) -> Answer | None:
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
        return Answer(file.read_bytes(), mimetypes.guess_type(file.name)[0] or "text/plain")
    except (OSError, ValueError):
        return None


def _answer(content: object) -> Answer:
    if isinstance(content, str):
        return Answer(content.encode(), "text/plain; charset=utf-8")
    return Answer(
        content, "application/octet-stream" if isinstance(content, bytes) else "application/json"
    )
