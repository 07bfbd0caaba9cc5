"""The JSON Schema of a file of profiles, made from what the gate knows.

Editors read it to complete keys and to mark mistakes. It is built from the same dataclasses that
the gate checks with, those of foreign schemes included, so the two cannot disagree about a key.
It keeps to words that draft 7 and draft 2020-12 share, because most TOML editors know only those.
"""

import dataclasses
import re
import typing
from typing import Any, Final

from gatepass import _plugins, _profiles
from gatepass._profiles import Machine, ProfileKeys, Proxy, Tls
from gatepass._redis_vault import RedisVault
from gatepass._settings import NAME
from gatepass.errors import PluginError
from gatepass.secrets import SecretField, SecretRef, reference_json_schema

Schema = dict[str, Any]

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_URL: Final = r"^[hH][tT][tT][pP][sS]?://[^/?#@\s]+(/[^?#\s]*)?$"
_REDIS: Final = r"^[rR][eE][dD][iI][sS][sS]?://(\[[0-9a-fA-F:.]+\]|[\w.-]+)(:[0-9]+)?(/[0-9]*)?$"
_BY_HAND: Final = frozenset({"auth", "proxy", "tls", "url"})


def document() -> Schema:
    """Return the schema. Loads every installed scheme; reads no file and no secret."""
    schemes = {name: _scheme(name) for name in _plugins.names(_plugins.AUTH)}
    definitions: Schema = {
        "secret": reference_json_schema(),
        "profile": _profile(),
        "auth": _auth(schemes, complete=True),
        "auth_part": _auth(schemes, complete=False),
        **{f"auth.{name}": loose for name, (loose, _) in schemes.items()},
        "proxy": _proxy(),
        "tls": _table(Tls),
    }
    return {
        "$schema": _DIALECT,
        "title": "gatepass profiles",
        "description": "named profiles: a server and how to log on; no secrets, only references",
        "type": "object",
        "properties": {
            "default_profile": {
                "type": "string",
                "description": "the profile that is taken when none is named",
            },
            "root": {"type": "boolean"},
            "profiles": {
                "type": "object",
                "propertyNames": {"pattern": f"^{NAME.pattern}$"},
                "additionalProperties": {"$ref": "#/$defs/profile"},
            },
            **_table(Machine, leave_out=frozenset({"vault"}))["properties"],
            "vault": _vault(),
        },
        "additionalProperties": False,
        "$defs": definitions,
    }


def _profile() -> Schema:
    """``[profiles.NAME]``: what it inherits by ``extends`` it need not repeat."""
    table = _table(ProfileKeys, leave_out=_BY_HAND)
    described = _described(ProfileKeys)
    own: Schema = {
        "url": {"type": "string", "pattern": _URL},
        "auth": {"$ref": "#/$defs/auth_part"},
        "proxy": {"$ref": "#/$defs/proxy"},
        "tls": {"$ref": "#/$defs/tls"},
    }
    for name, schema in own.items():
        # allOf, because before draft 2019-09 a $ref hides the words beside it
        inner = {"allOf": [schema]} if "$ref" in schema else schema
        own[name] = {**inner, "description": described[name]}
    return {
        "type": "object",
        "properties": {**own, **table["properties"]},
        "additionalProperties": False,
        "if": {"not": {"required": ["extends"]}},
        "then": {
            "required": ["url", "auth"],
            "properties": {"auth": {"$ref": "#/$defs/auth"}},
        },
    }


def _auth(schemes: dict[str, tuple[Schema, list[str]]], *, complete: bool) -> Schema:
    """``auth``: one of the schemes, with all that it requires, or a part of one."""
    if complete:
        return {
            "type": "object",
            "required": ["scheme"],
            "oneOf": [
                {"allOf": [{"$ref": f"#/$defs/auth.{name}"}, {"required": ["scheme", *required]}]}
                for name, (_, required) in schemes.items()
            ],
        }
    keys = {key for loose, _ in schemes.values() for key in loose["properties"]}
    closed = all(loose["additionalProperties"] is False for loose, _ in schemes.values())
    return {
        "type": "object",
        "if": {"required": ["scheme"]},
        "then": {"oneOf": [{"$ref": f"#/$defs/auth.{name}"} for name in schemes]},
        "else": {"propertyNames": {"enum": sorted(keys)}} if closed else {},
    }


def _scheme(name: str) -> tuple[Schema, list[str]]:
    """The keys of one scheme, and which of them it requires."""
    const = {"const": name}
    try:
        kind = _plugins.load(_plugins.AUTH, name)
    except PluginError:  # its package is broken; validate tells, an editor should not
        return {"type": "object", "properties": {"scheme": const}, "additionalProperties": True}, []
    table = _table(kind)
    loose = {
        "type": "object",
        "description": (kind.__doc__ or "").strip().split("\n")[0],
        "properties": {"scheme": const, **table["properties"]},
        "required": ["scheme"],
        "additionalProperties": False,
    }
    return loose, table.get("required", [])


def _proxy() -> Schema:
    table = _table(Proxy)
    text = {"type": "string", "description": 'a URL, or "none"', "pattern": f"^none$|{_URL}"}
    table["properties"]["url"] |= {"pattern": text["pattern"]}
    return {"anyOf": [text, table]}


def _vault() -> Schema:
    """The machine setting ``vault``: a folder, or a redis as a URL or as a table."""
    table = _table(RedisVault)
    table["properties"]["url"] |= {"pattern": _REDIS}
    folder = {"type": "string", "minLength": 1, "not": {"pattern": "^[rR][eE][dD][iI][sS][sS]?:"}}
    url = {"type": "string", "pattern": _REDIS}
    return {"anyOf": [folder, url, table], "description": _described(Machine)["vault"]}


def _table(kind: Any, leave_out: frozenset[str] = frozenset()) -> Schema:
    """The schema of a dataclass: its fields are the keys of the table."""
    described, hints = _described(kind), _profiles.hints(kind)
    properties: Schema = {}
    required = []
    for each in dataclasses.fields(kind):
        if each.name in leave_out:
            continue
        if each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING:
            required.append(each.name)
        schema = _type(hints[each.name])
        if isinstance(each.default, bool | int | float | str) and each.default != "":
            schema = {**schema, "default": each.default}
        if described.get(each.name):
            schema = {**schema, "description": described[each.name]}
        properties[each.name] = schema
    table: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**table, "required": required} if required else table


def _type(hint: Any) -> Schema:
    """The schema of a field's type, as pydantic tells it; TOML has no null."""
    choices = typing.get_args(hint) or (hint,)
    if {SecretField, SecretRef} & {hint, *choices}:
        return {"allOf": [{"$ref": "#/$defs/secret"}]}
    from pydantic import TypeAdapter
    from pydantic.errors import PydanticUserError

    try:
        schema = TypeAdapter(hint).json_schema()
    except PydanticUserError:  # a foreign scheme's own type, which only its gate understands
        return {}
    if "$defs" in schema:
        return {}
    alternatives = [each for each in schema.get("anyOf", []) if each != {"type": "null"}]
    if alternatives != schema.get("anyOf", []):
        schema.pop("anyOf")
        schema.pop("default", None)
        schema |= alternatives[0] if len(alternatives) == 1 else {"anyOf": alternatives}
    return schema


_ATTRIBUTE: Final = re.compile(r"^ {4}(\w+): (.+(?:\n {8,}.+)*)", re.MULTILINE)


def _described(kind: Any) -> dict[str, str]:
    """What the docstring of a class says about its attributes."""
    import inspect

    _, _, attributes = (inspect.getdoc(kind) or "").partition("\nAttributes:\n")
    section = attributes.split("\n\n")[0]
    return {
        match[1]: " ".join(match[2].split()).replace("``", "")
        for match in _ATTRIBUTE.finditer(section)
    }
