"""The JSON Schema of a file of profiles, made from what the gate knows.

Editors read it to complete keys and to mark mistakes. It is built from the same dataclasses that
the gate checks with, those of foreign schemes included, so the two cannot disagree about a key;
a test generates files and compares the two. It keeps to words that draft 7 and draft 2020-12
share, because most TOML editors know only those.

There are four of them, for the kinds of files: with the machine settings, for your own file and
the system's; and *whole*, where a profile must have all that it needs, or in *part*, where another
file may bring the rest.
"""

import dataclasses
import json
import re
import typing
from collections.abc import Iterator
from typing import Any, Final

from gatepass._config import fields, validate
from gatepass._config.layer import PROFILE_NAME
from gatepass._config.profile import MachineSettings, ProfileKeys
from gatepass._config.redis_vault import RedisVault
from gatepass._net.proxy import Proxy
from gatepass._net.tls import TlsSettings
from gatepass._system import plugins
from gatepass.auth import sends_credentials
from gatepass.errors import PluginError
from gatepass.secrets import (
    PLAIN_TEXT,
    SecretField,
    SecretRef,
    TextField,
    reference_json_schema,
    text_json_schema,
)

Schema = dict[str, Any]

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_BY_HAND: Final = frozenset({"auth", "extends", "headers", "proxy", "tls", "url"})

# Patterns mean the same in Python, JavaScript and Rust. A lone $ would not: in Python it also
# matches before a last line break.
_END: Final = r"$(?!\n)"
_NAME: Final = f"^{PROFILE_NAME.pattern}{_END}"
_HOST: Final = r"([^\x00-,/:-@\[-\^`{-\xa0]+|\[[0-9A-Fa-f:.]+\])"
_PORT: Final = (
    "0*(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3})"
)
_PATH: Final = r'[^\x00- "#<>?\\\^`{|}\x7f-\xa0]*'
_URL: Final = f"^[hH][tT][tT][pP][sS]?://{_HOST}(:({_PORT})?)?(/{_PATH})?{_END}"
_BYTE: Final = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_LOOPBACK: Final = rf"([lL][oO][cC][aA][lL][hH][oO][sS][tT]|127(\.{_BYTE}){{3}})(:[0-9]*)?(/|$)"
# What stands in brackets may be this computer in many spellings: the gate knows them all.
_PLAIN_HTTP: Final = rf"^[hH][tT][tT][pP]://(?!\[|{_LOOPBACK})"

# A redis has a port of at most five digits, and a number in the place of a path.
_DATABASE: Final = f"(:(?=[0-9]{{1,5}}(/|$)){_PORT})?(/[0-9]{{0,5}})?{_END}"
_REDIS: Final = f"^[rR][eE][dD][iI][sS][sS]?://{_HOST}{_DATABASE}"
_PLAIN_REDIS: Final = rf"^[rR][eE][dD][iI][sS]://(?!\[|{_LOOPBACK})"


def _needs(key: str, other: str, **what: Any) -> Schema:
    """One key asks for another (draft 7 and 2020-12 have different words for it)."""
    return {
        "if": {"required": [key], "properties": {key: what}},
        "then": {"required": [other], "properties": {other: what}},
    }


# What our own schemes check by themselves, beyond the types of their keys.
_RULES: Final[dict[str, list[Schema]]] = {
    "oidc": [
        {"properties": {"login_timeout": {"exclusiveMinimum": 0, "exclusiveMaximum": 86_400}}},
        {
            "if": {
                "properties": {"flow": {"const": "client_credentials"}},
                "required": ["flow"],
            },
            "then": {
                "required": ["client_id", "client_secret"],
                "properties": {"client_id": {"minLength": 1}},
            },
        },
        _needs("client_secret", "issuer", minLength=1),
        _needs("refresh_token", "issuer", minLength=1),
    ]
}


@dataclasses.dataclass(frozen=True, slots=True)
class _Scheme:
    """What the schema says of one scheme: its table, what it requires, and whether it logs on."""

    table: Schema
    required: list[str]
    sends_credentials: bool = True

    @property
    def is_open(self) -> bool:
        return self.table["additionalProperties"] is not False


def document(*, machine: bool = True, whole: bool = True) -> Schema:
    """Return the schema. Loads every installed scheme; reads no file and no secret.

    Args:
        machine: whether the machine settings may stand in the file: in the user's and system's.
        whole: whether a profile must hold all that it needs, unless it extends another. Not so
            where another file of the group may bring it, as for ``gatepass.local.toml``.
    """
    schemes = {name: _scheme(name) for name in plugins.names(plugins.AUTH)}
    profile = _profile()
    definitions: Schema = {
        "secret": reference_json_schema(),
        "text": text_json_schema(),
        "profile": profile,
        "auth": _auth(schemes),
        **{f"auth.{name}": scheme.table for name, scheme in schemes.items()},
        "proxy": _proxy(),
        "tls": _table(TlsSettings),
    }
    if whole:
        profile |= {"if": {"not": {"required": ["extends"]}}, "then": _ref("whole_profile")}
        definitions |= {
            "whole_profile": _whole_profile(schemes),
            "whole_auth": _whole_auth(schemes),
            "whole_proxy": _WHOLE_PROXY,
            "whole_tls": _WHOLE_TLS,
        }
    return {
        "$schema": _DIALECT,
        "title": "gatepass profiles",
        "description": "named profiles: a server and how to log on; no secrets, only references",
        "type": "object",
        "properties": {
            "default_profile": {
                "type": "string",
                "pattern": _NAME,
                "description": "the profile that is taken when none is named",
            },
            "root": {"type": "boolean"},
            "profiles": {
                "type": "object",
                "propertyNames": {"pattern": _NAME},
                "additionalProperties": _ref("profile"),
            },
            **(_machine() if machine else {}),
        },
        "additionalProperties": False,
        "$defs": definitions,
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


# ---------------------------------------------------------------- a part of a profile


def _profile() -> Schema:
    """``[profiles.NAME]``, all of it or a part: each key that stands there is right."""
    described = _described(ProfileKeys)
    own: Schema = {
        "url": {"type": "string", "pattern": _URL},
        "auth": _ref("auth"),
        "extends": {"type": "string", "pattern": _NAME},
        "headers": _headers(),
        "proxy": _ref("proxy"),
        "tls": _ref("tls"),
    }
    for name, schema in own.items():
        # allOf, because before draft 2019-09 a $ref hides the words beside it
        inner = {"allOf": [schema]} if "$ref" in schema else schema
        own[name] = {**inner, "description": described[name]}
    others = _table(ProfileKeys, leave_out=_BY_HAND)["properties"]
    others["check_path"] |= {"not": {"pattern": "://|^//"}}
    return {"type": "object", "properties": {**own, **others}, "additionalProperties": False}


def _headers() -> Schema:
    forbidden = "|".join(map(_in_any_case, sorted(validate.FORBIDDEN_HEADERS)))
    name = validate.HEADER_NAME.pattern
    return {
        "type": "object",
        "propertyNames": {"pattern": f"^(?!({forbidden}){_END}){name}{_END}"},
        "additionalProperties": {"type": "string", "pattern": f"^[ -~]*{_END}"},
    }


def _in_any_case(word: str) -> str:
    return "".join(f"[{each}{each.upper()}]" if each.isalpha() else each for each in word)


def _proxy() -> Schema:
    pattern = {"pattern": f"^none{_END}|{_URL}"}
    text = {"type": "string", "description": 'a URL, or "none"', **pattern}
    table = _table(Proxy)
    del table["required"]
    table["properties"]["url"] |= pattern
    return {"anyOf": [text, table]}


def _machine() -> Schema:
    """The machine settings; ``vault`` is a folder, or a redis as a URL or as a table."""
    folder = {
        "type": "string",
        "pattern": PLAIN_TEXT,
        "not": {"pattern": "^[rR][eE][dD][iI][sS][sS]?:|://|^~[^/]"},
    }
    url = {"type": "string", "pattern": _REDIS, "not": {"pattern": _PLAIN_REDIS}}
    table = _table(RedisVault)
    table["properties"]["url"] = {"type": "string", "pattern": _REDIS}
    permitted = {"required": ["allow_plain"], "properties": {"allow_plain": {"const": True}}}
    table["allOf"] = [
        {"if": {"properties": {"url": {"pattern": _PLAIN_REDIS}}}, "then": permitted},
        _needs("user_name", "password"),
        _WHOLE_TLS,
    ]
    properties: Schema = _table(MachineSettings, leave_out=frozenset({"vault"}))["properties"]
    described = _described(MachineSettings)["vault"]
    return {**properties, "vault": {"anyOf": [folder, url, table], "description": described}}


def _auth(schemes: dict[str, _Scheme]) -> Schema:
    """``auth``: keys of the scheme that it names, or of any where another table names it."""
    kinds: dict[str, list[Schema]] = {}
    for scheme in schemes.values():
        for key, schema in scheme.table["properties"].items():
            if key != "scheme" and schema not in kinds.setdefault(key, []):
                kinds[key].append(schema)
    any_key = any(scheme.is_open for scheme in schemes.values())
    unnamed = {"properties": {key: _one_of(kind) for key, kind in kinds.items()}}
    return {
        "type": "object",
        # The keys stand here for completion alone; what may stand in them is said below.
        "properties": {
            "scheme": {"enum": list(schemes), "description": "the way to log on"},
            **{key: _told(kind[0]) for key, kind in kinds.items()},
        },
        "additionalProperties": any_key,
        "if": {"required": ["scheme"]},
        "then": {"allOf": [_if_scheme(name, _ref(f"auth.{name}")) for name in schemes]},
        "else": {} if any_key else unnamed,
    }


def _one_of(kinds: list[Schema]) -> Schema:
    return kinds[0] if len(kinds) == 1 else {"anyOf": kinds}


def _told(schema: Schema) -> Schema:
    return {key: schema[key] for key in ("description",) if key in schema}


def _if_scheme(name: str, then: Schema) -> Schema:
    return {
        "if": {"properties": {"scheme": {"const": name}}, "required": ["scheme"]},
        "then": then,
    }


def _scheme(name: str) -> _Scheme:
    """The keys of one scheme; of one that cannot be described, nothing."""
    try:
        return plugins.call(plugins.AUTH, name, "cannot be described", lambda: _keys_of(name))
    except PluginError:  # its package is broken; validate tells, an editor should not
        return _Scheme({"type": "object", "properties": {}, "additionalProperties": True}, [])


def _keys_of(name: str) -> _Scheme:
    kind = plugins.load_scheme(name)
    table = _table(kind)
    required = table.pop("required", [])
    table["properties"] = {"scheme": {"const": name}, **table["properties"]}
    table["description"] = (kind.__doc__ or "").strip().split("\n")[0]
    json.dumps(table, allow_nan=False)  # else not even the others could be written down
    return _Scheme(table, required, sends_credentials(kind))


# ---------------------------------------------------------------- all of a profile


def _whole_profile(schemes: dict[str, _Scheme]) -> Schema:
    """What a profile must hold when nobody else adds to it."""
    sending = [name for name, scheme in schemes.items() if scheme.sends_credentials]
    sends_in_clear = {
        "properties": {
            "url": {"pattern": _PLAIN_HTTP},
            "auth": {"properties": {"scheme": {"enum": sending}}},
        }
    }
    return {
        "required": ["url", "auth"],
        "properties": {
            "auth": _ref("whole_auth"),
            "proxy": _ref("whole_proxy"),
            "tls": _ref("whole_tls"),
        },
        "if": sends_in_clear,
        "then": {"required": ["allow_http"], "properties": {"allow_http": {"const": True}}},
    }


def _whole_auth(schemes: dict[str, _Scheme]) -> Schema:
    rules = {
        name: {"allOf": [{"required": each.required}, *_RULES.get(name, []), *_of_tables(each)]}
        for name, each in schemes.items()
        if each.required or name in _RULES or any(_of_tables(each))
    }
    return {
        "required": ["scheme"],
        "allOf": [_if_scheme(name, rule) for name, rule in rules.items()],
    }


def _of_tables(scheme: _Scheme) -> Iterator[Schema]:
    """What ``proxy`` and ``tls`` of a scheme must hold."""
    for key, schema in scheme.table["properties"].items():
        for name in _TABLES.values():
            if {"allOf": [_ref(name)]}.items() <= schema.items():
                yield {"properties": {key: _ref(f"whole_{name}")}}


_WHOLE_TLS: Final = _needs("client_key", "client_cert", minLength=1)
_WHOLE_PROXY: Final[Schema] = {
    "required": ["url"],
    "if": {"properties": {"url": {"const": "none"}}},
    "else": {"allOf": [_needs("user_name", "password"), _needs("password", "user_name")]},
}


# ---------------------------------------------------------------- tables and types


# Keys of a profile that a scheme may have too.
_TABLES: Final[dict[Any, str]] = {Proxy: "proxy", TlsSettings: "tls"}


def _table(
    kind: Any, leave_out: frozenset[str] = frozenset(), within: tuple[Any, ...] = ()
) -> Schema:
    """The schema of a dataclass: its fields are the keys of the table."""
    described, hints = _described(kind), fields.types_of(kind)
    properties: Schema = {}
    required = []
    for each in fields.fields_of(kind):
        if each.name in leave_out:
            continue
        if fields.is_required(each):
            required.append(each.name)
        schema = _type(hints[each.name], (*within, kind))
        if isinstance(each.default, bool | int | float | str) and each.default != "":
            schema = {**schema, "default": each.default}
        if described.get(each.name):
            schema = {**schema, "description": described[each.name]}
        properties[each.name] = schema
    table: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**table, "required": required} if required else table


def _type(hint: Any, within: tuple[Any, ...]) -> Schema:
    """The schema of a field's type; TOML has no null. What only pydantic understands is open."""
    choices = typing.get_args(hint) or (hint,)
    if {SecretField, SecretRef} & {hint, *choices}:
        return {"allOf": [_ref("secret")]}
    if TextField in {hint, *choices}:
        return {"allOf": [_ref("text")]}
    nested = fields.dataclass_in(hint)
    if nested in _TABLES:
        return {"allOf": [_ref(_TABLES[nested])]}
    if nested is not None:
        return {} if nested in within else _table(nested, within=within)
    from pydantic import TypeAdapter

    try:
        return _understood(TypeAdapter(hint).json_schema())
    except Exception:  # noqa: BLE001 - pydantic passes on what another package's type raises
        return {}


class _NotUnderstood(Exception):
    """A type says more than the schema can repeat."""


_COUNTS: Final = frozenset({"minLength", "maxLength", "minItems", "maxItems"})
_BOUNDS: Final = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})
_TYPES: Final = frozenset({"string", "integer", "number", "boolean", "array", "object"})


def _understood(schema: Any) -> Schema:
    """Take over what pydantic says of a type, word by word.

    A stranger's type may say anything, and one wrong word would make the whole document useless.

    Raises:
        _NotUnderstood: there is a word in it that could not be checked.
    """
    found: Schema = {}
    for word, value in schema.items():
        if word == "anyOf":
            alternatives = [_understood(each) for each in value if each != {"type": "null"}]
            found |= _one_of(alternatives)
        elif word in {"items", "additionalProperties"} and isinstance(value, dict):
            found[word] = _understood(value)
        elif (word == "type" and value in _TYPES) or (
            (word in _COUNTS and type(value) is int)
            or (word in _BOUNDS and type(value) in (int, float))
            or (word == "enum" and _are_texts(value))
            or (word == "const" and _are_texts([value]))
            or (word == "additionalProperties" and value is True)
        ):
            found[word] = value
        elif word not in {"title", "description", "default"}:
            raise _NotUnderstood
    if found.get("type") == "string" and not {"enum", "const"} & set(found):
        found["pattern"] = PLAIN_TEXT
    return found


def _are_texts(values: Any) -> bool:
    return isinstance(values, list) and all(type(each) is str for each in values) and values != []


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
