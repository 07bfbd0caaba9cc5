"""Show in a message what a server or a browser said, without control characters and secrets."""

import re
from collections.abc import Iterable
from typing import Final

from gatepass.secrets import Secret

_LONGEST: Final = 200  # characters
_SHORTEST_HIDDEN: Final = 4  # characters; a shorter "secret" stands in every other word
_WORD: Final = re.compile(r"[\w.~+/=-]{8,}")  # a part of a token that a server quotes


def printable(text: object, *, hidden: Iterable[Secret] = ()) -> str:
    """Return a foreign text fit for a message: no control characters, at most 200 characters.

    Args:
        text: what a server said; if it is no string, its type is named.
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
    return clean if len(clean) <= _LONGEST else clean[: _LONGEST - 3] + "..."


def one_line(text: str) -> str:
    """Return a foreign text as one short line, without anything that could steer a terminal."""
    clean = "".join(char if char.isprintable() else " " for char in text[: 4 * _LONGEST])
    return " ".join(clean.split())[:_LONGEST]
