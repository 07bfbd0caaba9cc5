"""The JSON Schema of a file of profiles, by which editors complete keys and mark mistakes.

pydantic describes the types of the fields that validation checks. The schema marks unknown keys,
wrong types, unknown schemes and secrets that are no references; rules about values are
validation's. It keeps to words that draft 7 and draft 2020-12 share, because most TOML editors know
only those.
"""

import inspect
import json
import re
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from gatepass._config.layer import PROFILE_NAME
from gatepass._config.profile import MachineSettings, ProfileKeys
from gatepass._net.proxy import Proxy
from gatepass._system import plugins
from gatepass.errors import PluginError
from gatepass.secrets import PLAIN_TEXT, reference_json_schema, text_json_schema

Schema = dict[str, Any]

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_NAME: Final[Schema] = {"type": "string", "pattern": rf"^{PROFILE_NAME.pattern}$(?!\n)"}
_URL: Final[Schema] = {"type": "string", "pattern": "^[hH][tT][tT][pP][sS]?://"}


def document(*, machine: bool = True, whole: bool = True) -> Schema:
    """Return the schema. Loads every installed scheme; reads no file and no secret.

    Args:
        machine: whether the machine settings may stand in the file: in the user's and system's.
        whole: whether a profile must hold all that it needs, unless it extends another. Not so
            where another file of the group may bring it, as for ``gatepass.local.toml``.
    """
    definitions: Schema = {"secret": reference_json_schema(), "text": text_json_schema()}
    profile = _table("profile", ProfileKeys, definitions)
    settings = _table("machine", MachineSettings, definitions)
    schemes = {name: _scheme(name, definitions) for name in plugins.names(plugins.AUTH)}
    required = {name: scheme.pop("required", []) for name, scheme in schemes.items()}
    keys, needed = profile["properties"], profile.pop("required")
    keys["url"] |= _URL
    keys["extends"] |= _NAME
    keys["auth"] = _ref("auth", keys["auth"])
    if whole:
        then = {"required": needed, "properties": {"auth": _whole_auth(required)}}
        profile |= {"if": {"not": {"required": ["extends"]}}, "then": then}
    return {
        "$schema": _DIALECT,
        "title": "gatepass profiles",
        "description": "named profiles: a server and how to log on; no secrets, only references",
        "type": "object",
        "properties": {
            "default_profile": {**_NAME, "description": "the profile taken when none is named"},
            "root": {"type": "boolean"},
            "profiles": {
                "type": "object",
                "propertyNames": {"pattern": _NAME["pattern"]},
                "additionalProperties": _ref("profile"),
            },
            **(settings["properties"] if machine else {}),
        },
        "additionalProperties": False,
        "$defs": {
            **definitions,
            "profile": profile,
            "auth": _auth(schemes),
            **{f"auth.{name}": scheme for name, scheme in schemes.items()},
        },
    }


def _ref(name: str, described: Schema | None = None) -> Schema:
    """A reference to a definition; in allOf, for in draft 7 ``$ref`` hides the words beside it."""
    described = described or {}
    return {
        "allOf": [{"$ref": f"#/$defs/{name}"}],
        **{word: described[word] for word in ("description", "default") if word in described},
    }


# ---------------------------------------------------------------- auth


def _scheme(name: str, definitions: Schema) -> Schema:
    """The keys of one scheme; of one that cannot be described, any keys."""
    scheme = {"scheme": {"const": name}}

    def described() -> Schema:
        table = _table(name, plugins.load_scheme(name), definitions)
        table["properties"] = {**scheme, **table["properties"]}
        json.dumps(table, allow_nan=False)  # else the whole document could not be written
        return table

    try:
        return plugins.call(plugins.AUTH, name, "cannot be described", described)
    except PluginError:  # validate says what is wrong
        return {"type": "object", "properties": scheme, "additionalProperties": True}


def _auth(schemes: dict[str, Schema]) -> Schema:
    """The table ``auth``: keys of the scheme that it names, or of any where another file does."""
    kinds: dict[str, list[Schema]] = {}
    for scheme in schemes.values():
        for key, schema in scheme["properties"].items():
            if key != "scheme" and schema not in kinds.setdefault(key, []):
                kinds[key].append(schema)
    any_key = any(scheme["additionalProperties"] for scheme in schemes.values())
    unnamed = {key: {"anyOf": several} for key, several in kinds.items()}
    return {
        "type": "object",
        # Editors complete these keys; "then" and "else" say what may stand in them.
        "properties": {
            "scheme": {"enum": list(schemes), "description": "the way to log on"},
            **{key: {"description": kind[0].get("description", "")} for key, kind in kinds.items()},
        },
        "additionalProperties": any_key,
        "if": {"required": ["scheme"]},
        "then": {"allOf": [_if_scheme(name, _ref(f"auth.{name}")) for name in schemes]},
        "else": {} if any_key else {"properties": unnamed},
    }


def _whole_auth(required: dict[str, list[str]]) -> Schema:
    """What ``auth`` must hold when no other file adds to it."""
    needs = [_if_scheme(name, {"required": keys}) for name, keys in required.items() if keys]
    return {"required": ["scheme"], "allOf": needs}


def _if_scheme(name: str, then: Schema) -> Schema:
    return {
        "if": {"properties": {"scheme": {"const": name}}, "required": ["scheme"]},
        "then": then,
    }


# ---------------------------------------------------------------- by pydantic


def _table(name: str, kind: Any, definitions: Schema) -> Schema:
    """The schema of a dataclass, whose fields are the keys of a table; adds to the definitions."""
    template = f"#/$defs/{name}.{{model}}"
    schema: Schema = TypeAdapter(kind).json_schema(
        schema_generator=_Generator, ref_template=template
    )
    schema = _adapted(schema, {key: definitions[key]["anyOf"] for key in ("secret", "text")})
    definitions |= {f"{name}.{key}": each for key, each in schema.pop("$defs", {}).items()}
    if "$ref" in schema:  # a dataclass that holds itself
        return dict(definitions[schema["$ref"].removeprefix("#/$defs/")])
    return schema


def _adapted(node: Any, shared: Schema) -> Any:
    """The same with references to the shared definitions, and no control characters in strings."""
    if isinstance(node, list):
        return [_adapted(each, shared) for each in node]
    if not isinstance(node, dict):
        return node
    for name, alternatives in shared.items():
        if node.get("anyOf") == alternatives:
            return _ref(name, node)
    if node.get("type") == "string" and "enum" not in node:
        node = {"pattern": PLAIN_TEXT, **node}
    return {key: _adapted(each, shared) for key, each in node.items()}


class _Generator(GenerateJsonSchema):
    """Describes tables of TOML: no null, no other keys; docstrings describe the keys."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012

    def dataclass_schema(self, schema: Any) -> Schema:
        kind, table = schema["cls"], super().dataclass_schema(schema)
        descriptions = descriptions_of(kind)
        for key, each in table["properties"].items():
            if key in descriptions:
                each["description"] = descriptions[key]
            if "$ref" in each:  # in draft 7 it would hide the words beside it
                each["allOf"] = [{"$ref": each.pop("$ref")}]
        table |= {"description": _first_line(kind), "additionalProperties": False}
        del table["title"]
        if kind is Proxy:  # a text is its URL; without it another file may bring the URL
            del table["required"]
            return {"anyOf": [{"type": "string"}, table]}
        return table

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - of pydantic
        return False

    def nullable_schema(self, schema: Any) -> Schema:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: Any) -> Schema:
        found = super().default_schema(schema)
        if found.get("default") in (None, ""):
            found.pop("default", None)
        return found


def _first_line(kind: Any) -> str:
    return (inspect.getdoc(kind) or "").split("\n")[0]


_ATTRIBUTE: Final = re.compile(r"^ {4}(\w+): (.+(?:\n {8,}.+)*)", re.MULTILINE)


def descriptions_of(kind: Any) -> dict[str, str]:
    """Return what the docstring of a class says about its attributes."""
    _, _, attributes = (inspect.getdoc(kind) or "").partition("\nAttributes:\n")
    section = attributes.split("\n\n")[0]
    return {
        match[1]: " ".join(match[2].split()).replace("``", "")
        for match in _ATTRIBUTE.finditer(section)
    }
