"""Check simple values and merge simple tables without importing pydantic.

Importing pydantic costs about half as much as importing requests, pydantic-settings as much again,
and most profiles hold strings, numbers and references only. This module accepts what is certainly
valid and refuses nothing: everything else is undecided, and pydantic decides. Tests compare the
two: what is accepted here, pydantic accepts with the same result.
"""

import types
import typing
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

from gatepass.secrets import SecretRef


class _Undecided:
    """The answer that pydantic must decide."""


UNDECIDED: Final = _Undecided()


class SimplyChecked(Protocol):
    """An annotation that can check a value itself, beside its core schema for pydantic."""

    @classmethod
    def check_simple(cls, value: object) -> Any:
        """Return the checked value, or raise ``ValueError``: then pydantic decides."""


def check_simply(kind: Any, value: Any) -> Any:
    """Return a value as pydantic would in strict mode, if it is certainly valid.

    Args:
        kind: the type of a field, with its annotations.
        value: what stands there; of a type that TOML has, and of no subclass.

    Returns:
        The checked value, or :data:`UNDECIDED`.
    """
    if kind is float and type(value) is int:
        return float(value) if abs(value) < _EXACT else UNDECIDED
    if kind in _SIMPLE:
        return value if type(value) is kind and _is_sound(value) else UNDECIDED
    form = typing.get_origin(kind)
    check = _CHECKS.get(form)
    if check is not None:
        return check(kind, value)
    return _check_simply(kind, value) if kind is SecretRef else UNDECIDED


_SIMPLE: Final = (str, bool, int, float)
_EXACT: Final = 2**53  # up to here a float holds every integer


def _is_sound(value: object) -> bool:
    """Say whether a string holds no half of a surrogate pair, which pydantic refuses."""
    if isinstance(value, str) and not value.isascii():
        return not any("\ud800" <= character <= "\udfff" for character in value)
    return True


def merge_simply(lower: dict[str, Any], upper: dict[str, Any]) -> Any:
    """Merge two tables key by key, the upper one over the lower, if that is certain.

    Args:
        lower: a table; not changed, but tables in it may be shared with the result.
        upper: the one whose values count where both have a key; likewise.

    Returns:
        A new table, or :data:`UNDECIDED` where a table meets a plain value.
    """
    result = dict(lower)
    for key, value in upper.items():
        if type(key) is not str or not _is_sound(key):
            return UNDECIDED
        below = result.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            value = merge_simply(below, value)  # noqa: PLW2901 - what comes in its place
        elif key in result and (isinstance(below, dict) or isinstance(value, dict)):
            return UNDECIDED
        if value is UNDECIDED:
            return UNDECIDED
        result[key] = value
    return result


def _check_annotated(kind: Any, value: Any) -> Any:
    """Check a type whose annotation is ours; another annotation leaves it undecided."""
    _, *annotations = typing.get_args(kind)
    if len(annotations) == 1 and hasattr(annotations[0], "check_simple"):
        return _check_simply(annotations[0], value)
    return UNDECIDED


def _check_simply(checker: SimplyChecked, value: Any) -> Any:
    try:
        return checker.check_simple(value)
    except ValueError:
        return UNDECIDED  # pydantic words the problem


def _check_choice(kind: Any, value: Any) -> Any:
    """Check one of several words."""
    return value if type(value) is str and value in typing.get_args(kind) else UNDECIDED


def _check_optional(kind: Any, value: Any) -> Any:
    """Check ``X | None``; where several types may fit, pydantic decides which is meant."""
    others = [each for each in typing.get_args(kind) if each is not types.NoneType]
    return check_simply(others[0], value) if len(others) == 1 else UNDECIDED


def _check_list(kind: Any, value: Any) -> Any:
    (inner,) = typing.get_args(kind)
    if type(value) is not list:
        return UNDECIDED
    checked = [check_simply(inner, item) for item in value]
    return checked if _all_decided(checked) else UNDECIDED


def _check_table(kind: Any, value: Any) -> Any:
    key_kind, inner = typing.get_args(kind)
    if type(value) is not dict or key_kind is not str:
        return UNDECIDED
    if not all(type(key) is str and _is_sound(key) for key in value):
        return UNDECIDED
    checked = {
        key: item if inner is Any else check_simply(inner, item) for key, item in value.items()
    }
    return checked if _all_decided(checked.values()) else UNDECIDED


def _all_decided(values: Iterable[object]) -> bool:
    return all(value is not UNDECIDED for value in values)


_CHECKS: Final[dict[Any, Callable[[Any, Any], Any]]] = {
    typing.Annotated: _check_annotated,
    typing.Literal: _check_choice,
    typing.Union: _check_optional,
    types.UnionType: _check_optional,
    list: _check_list,
    dict: _check_table,
}
