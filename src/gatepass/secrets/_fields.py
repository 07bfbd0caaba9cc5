"""Which fields hold secrets, what they take, and how they look in the JSON Schema."""

import re
from typing import Annotated, Any, Final

from gatepass._system import plugins
from gatepass._system.text import pattern
from gatepass.secrets._reference import SOURCE_NAME, ReferenceSyntaxError, Secret, SecretRef


class SecretValidator:
    """Tells pydantic how a secret field is read, and JSON Schema how it looks."""

    @staticmethod
    def check(value: object) -> "SecretRef | Secret":
        return value if isinstance(value, SecretRef | Secret) else SecretRef.parse(value)

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: object, _handler: object) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(cls.check)

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: object, _handler: object) -> dict[str, Any]:
        return reference_json_schema()


class _TextValidator(SecretValidator):
    """The same for a field that may be plain text, such as ``user_name``."""

    @staticmethod
    def check(value: object) -> Any:
        if isinstance(value, SecretRef | Secret):
            return value
        if isinstance(value, str) and ":" not in value:
            return value
        if isinstance(value, str | list | dict):
            try:
                return SecretRef.parse(value)
            except ReferenceSyntaxError:
                raise ReferenceSyntaxError(
                    "a string with a colon here must be a reference (env:NAME, keyring:S/A, ...)"
                ) from None
        raise ReferenceSyntaxError("takes a string or a reference")

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: object, _handler: object) -> dict[str, Any]:
        return text_json_schema()


class _NameValidator(SecretValidator):
    """The same for a field that is no secret, and that people keep in a variable or a file."""

    @staticmethod
    def check(value: object) -> Any:
        if isinstance(value, SecretRef | Secret):
            return value
        if not isinstance(value, str):
            raise ReferenceSyntaxError("takes a string, env:NAME or file:PATH")
        if value.startswith("env:") or (value.startswith("file:") and value[5:7] != "//"):
            return SecretRef.parse(value)
        variable = value.startswith("$") or value[:1] == value[-1:] == "%"
        if (
            value.startswith(("keyring:", "prompt:"))
            or "${" in value
            or (variable and value.strip("$%").isidentifier())
        ):
            raise ReferenceSyntaxError(
                "takes the text itself, env:NAME or file:PATH; nothing else is looked up"
            )
        return value

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: object, _handler: object) -> dict[str, Any]:
        return {"type": "string", "pattern": PLAIN_TEXT}


SecretField = Annotated[SecretRef | Secret, SecretValidator()]
"""The type of a scheme's field that holds a secret: in files always a reference."""

TextField = Annotated[str | SecretRef | Secret, _TextValidator()]
"""The type of a scheme's field that may be plain or a reference, such as ``user_name``."""

NameField = Annotated[str | SecretRef | Secret, _NameValidator()]
"""The type of a scheme's field that is no secret, and may be ``env:NAME`` or ``file:PATH`` too."""


# Patterns that mean the same in Python, JavaScript and Rust: a lone $ in Python would let a last
# line break pass.
_CONTROL: Final = r"\x00-\x1f\x7f-\x9f"
_END: Final = r"$(?!\n)"
PLAIN_TEXT: Final = f"^[^{_CONTROL}]*{_END}"
"""The pattern of a text without control characters."""


def text_json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a field that may be plain or a reference."""
    plain = {"type": "string", "pattern": f"^[^:{_CONTROL}]*{_END}"}
    return {"anyOf": [plain, *reference_json_schema()["anyOf"]]}


def reference_json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a secret reference, with the names of all installed sources."""
    names = filter(SOURCE_NAME.fullmatch, plugins.names(plugins.SECRETS))
    sources = [name for name in names if name != "command"]
    bare = "|".join(name for name in sources if name in {"keyring", "prompt"})
    full = "|".join(name for name in sources if name not in {"keyring", "prompt"})
    text = {
        "type": "string",
        "pattern": f"^(({bare}):[^{_CONTROL}]*|({full}):[^{_CONTROL}]+){_END}",
        "description": "a secret reference, never the secret",
    }
    command = {
        "type": "object",
        "properties": {
            "command": {
                "type": "array",
                "prefixItems": [{"type": "string", "pattern": PLAIN_TEXT, "minLength": 1}],
                "items": {"type": "string", "pattern": PLAIN_TEXT},
                "minItems": 1,
            },
        },
        "required": ["command"],
        "additionalProperties": False,
    }
    one = {"anyOf": [text, command]}
    return {"anyOf": [text, command, {"type": "array", "items": one, "minItems": 1}]}


_SECRET_NAME: Final = pattern(
    r"auth(?!ors?\b)|cookie|credential|keys?(?![a-z])|(?<![a-z])pass(?![a-z])|"
    r"pass(?:w|code|phrase)|pwd|secret|session|sid\b|signature|token",
    re.IGNORECASE,
)


def may_be_secret(name: str) -> bool:
    """Say whether a header, parameter or the like is named as if it held a secret."""
    return _SECRET_NAME.search(name) is not None
