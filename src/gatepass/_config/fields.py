"""The keys that a table may hold: the fields of a dataclass, with their types.

A field declares by its annotation whether it holds a secret; validation, ``explain``,
``gatepass trust`` and ``gatepass secret`` read that here.
"""

import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from gatepass._config.toml import Key
from gatepass._value import Field, fields, has_fields
from gatepass.secrets import NameField, SecretField, SecretRef, TextField


def sorts_of(kind: Any, above: Key = (), within: tuple[Any, ...] = ()) -> dict[Key, "Sort"]:
    """Return what each field of a dataclass holds, and each field of the dataclasses in it."""
    found: dict[Key, Sort] = {}
    for name, hint in types_of(kind).items():
        key, nested = (*above, name), dataclass_in(hint)
        found[key] = _sort_of_type(hint)
        if nested is not None and nested not in within:
            found |= sorts_of(nested, key, (*within, kind))
    return found


def _sort_of_type(hint: Any) -> "Sort":
    if is_secret(hint):
        return "secret"
    if is_secret_or_text(hint):
        return "name" if NameField in classes_in(hint) else "text"
    choices = typing.get_args(hint) or (hint,)
    if typing.get_origin(hint) is dict and typing.get_origin(choices[-1]) is Literal:
        return "words"
    free = dict in {typing.get_origin(each) or each for each in (hint, *choices)}
    return "table" if free else "plain"


def fields_of(kind: Any) -> tuple[Field, ...]:
    """Return the fields of a dataclass that a table can fill."""
    return tuple(each for each in fields(kind) if each.init)


def types_of(kind: Any) -> dict[str, Any]:
    """Return the types of a dataclass's fields, with their annotations."""
    resolved = typing.get_type_hints(kind, include_extras=True)
    return {each.name: resolved[each.name] for each in fields_of(kind)}


def dataclass_in(kind: Any) -> Any:
    """Return the dataclass that a field holds, also as ``X | None``; None when it holds none."""
    choices = typing.get_args(kind) or (kind,)
    found = [each for each in choices if has_fields(each) and each is not SecretRef]
    return found[0] if found else None


def is_secret(kind: Any) -> bool:
    """Say whether a field holds a reference to a secret, and never plain text."""
    return bool({SecretField, SecretRef} & {kind, *typing.get_args(kind)})


def is_secret_or_text(kind: Any) -> bool:
    """Say whether a field holds plain text or a reference."""
    return not {TextField, NameField}.isdisjoint(classes_in(kind))


def rule_of(kind: Any) -> Callable[[Any], Any] | None:
    """Return the function of ours that alone decides what a field takes; None where none does."""
    if typing.get_origin(kind) in {typing.Union, types.UnionType}:
        return next(filter(None, map(rule_of, typing.get_args(kind))), None)
    annotations = getattr(kind, "__metadata__", ())
    return next((each.check for each in annotations if hasattr(each, "check")), None)


def classes_in(kind: Any) -> frozenset[Any]:
    """Return the classes whose instances a field holds."""
    if typing.get_origin(kind) in {typing.Union, types.UnionType}:
        return frozenset(each for one in typing.get_args(kind) for each in classes_in(one))
    return frozenset({kind})


RunField = Literal["url", "user_name", "password", "token"]
"""What ``gatepass run`` can give to a program."""
RUN_FIELDS: Final[tuple[str, ...]] = typing.get_args(RunField)

Sort = Literal["plain", "table", "words", "name", "text", "secret"]
"""What a field holds: a value, a table with free keys, one of names of fields, a name or a
reference, a text or a reference, a reference. A name is no secret, and may hold a colon."""

Sorts = Mapping[Key, Sort]
