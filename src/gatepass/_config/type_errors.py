"""What pydantic says about a value, in the words of TOML, and what stood there instead.

A text may be a password in the wrong place, so it is shown only where it is a number or a word such
as ``true``.
"""

import json
import re
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from gatepass._config import suggest
from gatepass._config.fields import classes_in, is_secret
from gatepass._config.toml import Key
from gatepass.secrets import TextField, may_be_secret


def messages_of(
    kind: Any, value: Any, key: Key, details: Iterable[Mapping[str, Any]]
) -> Iterator[tuple[Key, str]]:
    """Say what is wrong with a value: yield keys, which may lie inside of it, and messages.

    Args:
        kind: the type of the field.
        value: what stands there.
        key: the key of the field.
        details: what pydantic found, without input and context.
    """
    found: dict[Key, tuple[Any, dict[str, None]]] = {}
    followed = [(*_follow(key, value, each["loc"]), each["msg"]) for each in details]
    in_list = any(entry for _, _, entry, _ in followed)
    for at, inner, entry, message in followed:
        if entry or not in_list:  # a list is what it takes: leave out what else it might have been
            _, messages = found.setdefault(at, (inner, {}))
            messages[f"{entry}{_in_our_words(message)}"] = None
    for at, (inner, messages) in found.items():
        text = " or ".join(messages)
        of = typing.get_args(kind)[-1] if at != key and typing.get_args(kind) else kind
        if is_secret(of) or TextField in classes_in(of):
            yield at, text
        else:
            hidden = any(map(may_be_secret, at[1:] or at))
            yield at, f"{text}{_guess(of, inner)}{_instead(of, inner, hidden=hidden)}"


def is_taken_for_reference(text: str) -> bool:
    """Say whether a text of a plain key was probably meant to be replaced by something else.

    OData has paths such as ``$metadata``; variables are written in capitals. In a URL a percent
    sign encodes a character.
    """
    return _REFERENCE.fullmatch(text) is not None or "${" in text


_REFERENCE: Final = re.compile(
    r"(?:env|keyring|prompt):.*|file:(?!//).*|\$[A-Z_][A-Z0-9_]*(?:[/\\].*)?|%\w+%(?:[/\\].*)?",
    re.DOTALL,
)


def _follow(key: Key, value: Any, path: Iterable[object]) -> tuple[Key, Any, str]:
    """Return the key of what is meant inside a value, that value, and its place in a list.

    A path of pydantic also holds labels of its own, such as those of a union.
    """
    entry = ""
    for step in path:
        if isinstance(value, Mapping) and step in value:
            key, value = (*key, str(step)), value[step]
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value, entry = value[step], f"entry {step + 1} "
    return key, value, entry


def _in_our_words(message: str) -> str:
    message = message.removeprefix("Value error, ").replace("Input should be", "should be")
    message = message.replace("a valid integer", "an integer").replace("a valid ", "a ")
    return message.replace("a dictionary", "a table").replace("a array", "a list")


def _guess(kind: Any, value: Any) -> str:
    """Return the word that was meant, where a field takes one of several."""
    words = [
        word
        for each in classes_in(kind)
        if typing.get_origin(each) is typing.Literal
        for word in typing.get_args(each)
    ]
    return suggest.guess_name(value, words) if words and isinstance(value, str) else ""


_HARMLESS: Final = re.compile(r"[0-9., \[\]+-]{1,20}|true|false|yes|no|on|off|none", re.IGNORECASE)


def _takes(kind: Any) -> set[Any]:
    """Return the classes that a field takes, also those that a rule of ours looks at."""
    found = set()
    for each in classes_in(kind):
        rule = typing.get_origin(each) is typing.Annotated
        found |= _takes(typing.get_args(each)[0]) if rule else {typing.get_origin(each) or each}
    return found


def _instead(kind: Any, value: Any, *, hidden: bool) -> str:
    """Say what stood there instead of what the field takes."""
    if isinstance(value, str):
        if not _takes(kind).isdisjoint({str, typing.Literal}):
            return ""  # a text is right, its content is not
        shown = not hidden and _HARMLESS.fullmatch(value)
        return f", not the string {json.dumps(value)}" if shown else ", not a string"
    if isinstance(value, bool | int | float):
        return ", not a number" if hidden else f", not {json.dumps(value)}"
    if isinstance(value, list | tuple):
        return ", not a list"
    is_time = hasattr(value, "isoformat")
    return f", not {'a table' if isinstance(value, Mapping) else 'a date or time'}" * (
        is_time or isinstance(value, Mapping)
    )
