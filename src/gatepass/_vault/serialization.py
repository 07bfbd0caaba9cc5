"""An identity and its record as JSON, and back: plain types only, never a pickle.

A field that a later version adds with a default is filled in when an older record is read; a
field that this version does not know makes the record unreadable, because writing it back would
lose that field.
"""

import json
import typing
from types import UnionType
from typing import Any

from gatepass._value import fields, has_fields
from gatepass._vault.records import Identity, Record
from gatepass.secrets import Secret


def to_json(identity: Identity, record: Record) -> bytes:
    """Return both as JSON, which holds the tokens: encrypt it at once."""
    return json.dumps({"identity": _plain(identity), "record": _plain(record)}).encode()


def to_canonical_json(identity: Identity) -> bytes:
    """Return an identity as JSON; equal identities give equal text, in whatever order of scopes."""
    parts = {**_plain(identity), "scopes": sorted(set(identity.scopes))}
    return json.dumps(parts, sort_keys=True).encode()


def from_json(text: bytes) -> tuple[Identity, Record] | None:
    """Return what :func:`to_json` wrote; None when the text is something else.

    It does not raise: the frames of a traceback would hold the text.
    """
    try:
        parts = json.loads(text)
        if not isinstance(parts, dict) or set(parts) != {"identity", "record"}:
            return None
        return _instance(Identity, parts["identity"]), _instance(Record, parts["record"])
    except (TypeError, ValueError, OverflowError, RecursionError):
        return None


def _plain(value: Any) -> Any:
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, tuple):
        return list(value)
    if has_fields(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return value


def _instance(kind: Any, value: object) -> Any:
    """Build a dataclass from a JSON object; every field is checked against its annotation."""
    if not isinstance(value, dict):
        raise TypeError
    kinds = typing.get_type_hints(kind)
    required = {field.name for field in fields(kind) if field.required}
    if not required <= set(value) <= set(kinds):
        raise ValueError
    return kind(**{name: _checked(kinds[name], inner) for name, inner in value.items()})


def _checked(kind: Any, value: Any) -> Any:
    if isinstance(kind, UnionType):
        chosen, _ = typing.get_args(kind)  # always "something | None"
        return None if value is None else _checked(chosen, value)
    if kind is Secret:
        return Secret(_checked(str, value))
    if kind == tuple[str, ...]:
        return tuple(_checked(str, item) for item in _checked(list, value))
    if has_fields(kind):
        return _instance(kind, value)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise TypeError
    return value
