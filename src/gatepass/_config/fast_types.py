"""Values and merges that are right at first sight, for which nobody need import pydantic.

Importing pydantic costs about half as much as importing requests, pydantic-settings as much again,
and most profiles hold texts, numbers and references only. What is not evident here, right or
wrong, is theirs to judge: this module refuses nothing, and says nothing about what it does not
know. Tests hold it to that: what it accepts, they accept, with the same result.
"""

import types
import typing
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

from gatepass.secrets import SecretRef


class _Undecided:
    """Says that pydantic must look."""


UNDECIDED: Final = _Undecided()


class SimplyChecked(Protocol):
    """What the annotation of a type may offer, beside its core schema for pydantic."""

    @classmethod
    def check_simple(cls, value: object) -> Any:
        """Return the checked value, or raise ``ValueError`` to leave it to pydantic."""


def check_simply(kind: Any, value: Any) -> Any:
    """Return a value as pydantic would in strict mode, if that is plain to see.

    Args:
        kind: the type of a field, with its annotations.
        value: what stands there; of exactly a type that TOML has.

    Returns:
        The checked value, or :data:`UNDECIDED`.
    """
    if kind is float and type(value) is int:
        return float(value) if abs(value) < _EXACT else UNDECIDED
    if kind in _SIMPLE:
        return value if type(value) is kind and _is_sound(value) else UNDECIDED
    form = typing.get_origin(kind)
    judge = _JUDGES.get(form)
    if judge is not None:
        return judge(kind, value)
    return _check_simply(kind, value) if kind is SecretRef else UNDECIDED


_SIMPLE: Final = (str, bool, int, float)
_EXACT: Final = 2**53  # up to here a float holds every whole number


def _is_sound(value: object) -> bool:
    """Whether a text holds characters only: half a surrogate pair is for pydantic to refuse."""
    if isinstance(value, str) and not value.isascii():
        return not any("\ud800" <= character <= "\udfff" for character in value)
    return True


def merge_simply(lower: dict[str, Any], upper: dict[str, Any]) -> Any:
    """Return two tables merged key by key, the upper one over the lower, if that is plain to see.

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


def _annotated(kind: Any, value: Any) -> Any:
    """A type of ours, which knows itself; one with annotations of others is not evident."""
    _, *annotations = typing.get_args(kind)
    if len(annotations) == 1 and hasattr(annotations[0], "check_simple"):
        return _check_simply(annotations[0], value)
    return UNDECIDED


def _check_simply(judge: SimplyChecked, value: Any) -> Any:
    try:
        return judge.check_simple(value)
    except ValueError:
        return UNDECIDED  # pydantic's complaint is the one that is told


def _choice(kind: Any, value: Any) -> Any:
    """One of several words."""
    return value if type(value) is str and value in typing.get_args(kind) else UNDECIDED


def _optional(kind: Any, value: Any) -> Any:
    """``X | None``; where several types may fit, which one is meant is for pydantic."""
    others = [each for each in typing.get_args(kind) if each is not types.NoneType]
    return check_simply(others[0], value) if len(others) == 1 else UNDECIDED


def _list(kind: Any, value: Any) -> Any:
    (inner,) = typing.get_args(kind)
    if type(value) is not list:
        return UNDECIDED
    checked = [check_simply(inner, item) for item in value]
    return checked if _all_decided(checked) else UNDECIDED


def _table(kind: Any, value: Any) -> Any:
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


_JUDGES: Final[dict[Any, Callable[[Any, Any], Any]]] = {
    typing.Annotated: _annotated,
    typing.Literal: _choice,
    typing.Union: _optional,
    types.UnionType: _optional,
    list: _list,
    dict: _table,
}
