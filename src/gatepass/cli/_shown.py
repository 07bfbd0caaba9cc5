"""A checked profile in the form in which it is shown: references, never secrets."""

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from gatepass._places import Key
from gatepass._profiles import Profile
from gatepass._settings import Taken
from gatepass.cli._output import toml_escaped
from gatepass.secrets import Secret, SecretRef

# The value of a header cannot be a reference, so some people write a secret there.
_SECRET_NAME: Final = re.compile(
    r"auth|cookie|credential|key|pass|secret|session|signature|token", re.IGNORECASE
)
_HIDDEN: Final = "(not shown)"


@dataclass(frozen=True, slots=True)
class ShownKey:
    """One key of a profile.

    Attributes:
        dotted: such as ``auth.password``.
        value: a value of TOML.
        where: the place it was written at.
    """

    dotted: str
    value: Any
    where: str

    @property
    def inline(self) -> str:
        """The value as it would stand after the ``=``."""
        return inline(self.value)


def table(profile: Profile, taken: Taken) -> dict[str, Any]:
    """Return the merged table of a profile that passed the gate, fit for TOML and JSON.

    What variables gave as texts has its right type here.
    """
    return {key: _value(profile, taken, (key,), value) for key, value in taken.table.items()}


def keys(profile: Profile, shown: dict[str, Any]) -> list[ShownKey]:
    """Return each key with its place, in the order of the table."""
    found = []
    for key, origin in profile.origins.items():
        value: Any = shown
        for name in key:
            value = value[name]
        found.append(ShownKey(".".join(map(_bare, key)), value, origin.where))
    return found


def _value(profile: Profile, taken: Taken, key: Key, value: Any) -> Any:
    if isinstance(value, dict) and set(value) != {"command"}:
        return {name: _value(profile, taken, (*key, name), inner) for name, inner in value.items()}
    if key[0] == "headers" and _SECRET_NAME.search(key[-1]):
        return _HIDDEN
    if taken.origin(key).source.layer == "variable":
        return _plain(_checked(profile, key), value)
    return value


def _checked(profile: Profile, key: Key) -> Any:
    """The value of a key after the gate; None where it has another shape there."""
    value: Any = profile
    for name in key:
        value = value.get(name) if isinstance(value, dict) else getattr(value, name, None)
    return value


def _plain(value: Any, written: Any) -> Any:
    if isinstance(value, SecretRef):
        return value.as_written()
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, bool | int | float):
        return value
    return _HIDDEN if isinstance(value, Secret) else written


def _bare(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else inline(name)


def inline(value: Any) -> str:
    """Return a value of TOML on one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_bare(k)} = {inline(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(inline, value)) + "]"
    if isinstance(value, bool | str):
        return toml_escaped(json.dumps(value, ensure_ascii=False))  # JSON's escapes are TOML's
    return str(value)
