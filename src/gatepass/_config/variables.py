"""The variables ``GATEPASS_PROFILES__NAME__KEY`` and the machine settings, as layers."""

import json
import typing
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from gatepass._config.fields import classes_in, rule_of
from gatepass._config.layer import MACHINE_KEYS, KeyLocation, Layer, Layers, ShadowedVariable
from gatepass._config.profile import Timeout
from gatepass._config.suggest import unknown_profile
from gatepass._config.toml import Key, Table
from gatepass._system import log
from gatepass._system.text import printable
from gatepass._value import Value

_PREFIX: Final = "GATEPASS_PROFILES__"
_VAULT_PREFIX: Final = "GATEPASS_VAULT__"
_SWITCHES: Final = frozenset(
    f"GATEPASS_{key.upper()}"
    for key in ("profile", "config_file", "cache", "no_input", "log", *MACHINE_KEYS)
)


def read_variables(
    environ: Mapping[str, str], layers: Iterable[Layer], *, references_in: Iterable[Layer]
) -> tuple[Layer, list[str]]:
    """Turn ``GATEPASS_PROFILES__PROD__URL`` and the like into a layer.

    Of two variables for one key the deeper one counts (``...__PROXY__URL`` over ``...__PROXY``),
    then the one in capitals, whatever their order.

    Args:
        environ: the environment variables.
        layers: the files that define profiles; a variable spells their names with ``_`` for ``-``.
        references_in: the files whose references, ``env:NAME``, may name a variable: it is
            the user's own, and earns no warning.

    Returns:
        The layer, and a warning for each variable that matches nothing.
    """
    known = {name.replace("-", "_"): name for layer in layers for name in layer.names()}
    found = _Variables({}, {}, [])
    ours = [environ[each] for each in environ if each.startswith("GATEPASS_")]
    notices = []
    for variable in sorted(environ, key=lambda name: (name.count("__"), name.isupper(), name)):
        if not variable.startswith("GATEPASS_") or variable in _SWITCHES:
            continue
        if variable.startswith(_VAULT_PREFIX):
            continue  # a key of a machine setting
        if variable.startswith(_PREFIX) and not environ[variable]:
            log.debug("variable %s is empty, so it counts as unset", printable(variable))
            continue
        name, *path = variable.removeprefix(_PREFIX).lower().split("__")
        if variable.startswith(_PREFIX) and path and all((name, *path)):
            found.add(variable, environ[variable], ("profiles", known.get(name, name), *path))
            continue
        texts = (layer.tables for layer in references_in)
        if f"env:{variable}" not in _texts_in([*texts, *ours]):
            notices.append(_matches_nothing(variable))
    notices += [
        f"the variables {_PREFIX}{printable(name.upper())}__* match no profile; "
        + unknown_profile(name, known.values())
        for name, table in found.profiles.items()
        if name not in known.values() and "url" not in table
    ]
    tables = {"profiles": found.profiles}
    shadowed = tuple(found.shadowed)
    return Layer("variable", "variables", tables, None, b"", found.variable_of, shadowed), notices


class _Variables(Value):
    """The layer of variables while it is built; its attributes are those of :class:`Layer`."""

    profiles: Table
    variable_of: dict[Key, str]
    shadowed: list[ShadowedVariable]

    def add(self, variable: str, value: str, key: Key) -> None:
        """Set a key, and record a value that a deeper variable or one in capitals replaces."""
        table = self.profiles
        for length, part in enumerate(key[1:], 2):
            old = table.get(part)
            if isinstance(old, str):
                above = key[:length]
                hidden = ShadowedVariable(self.variable_of.pop(above), above, old, variable)
                self.shadowed.append(hidden)
            if not isinstance(old, dict):
                table[part] = value if length == len(key) else {}
            table = table[part]
        self.variable_of[key] = variable


def list_in_text(kind: Any, text: str) -> Any:
    """Return the list that a variable holds, where its field takes one; else the text itself.

    A list is written as JSON. With commas too, where the field takes nothing but a list of texts or
    of numbers: a path or the label of a prompt may hold a comma.
    """
    classes = classes_in(kind)
    lists = any(typing.get_origin(each) is list for each in classes)
    if text.startswith("[") and (lists or rule_of(kind)):
        with suppress(ValueError, RecursionError):
            return json.loads(text)
    if Timeout in classes and "," in text:
        with suppress(ValueError):
            return json.loads(f"[{text}]")
    if lists and str not in classes:
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _matches_nothing(variable: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(variable, _SWITCHES, n=1)
    guess = f"; did you mean {near[0]}?" if near else ""
    return f"the variable {printable(variable)} matches nothing{guess}"


def _texts_in(value: object) -> Iterator[str]:
    """Yield the strings in a value, also those in its lists and tables."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _texts_in(inner)


def machine_settings(
    own: Iterable[Layer], environ: Mapping[str, str]
) -> Mapping[str, tuple[Any, KeyLocation]]:
    """Return the machine settings with their places: of own files, then of variables."""
    found: dict[str, tuple[Any, KeyLocation]] = {}
    for layer in own:
        for key in MACHINE_KEYS:
            if key in layer.tables:
                found[key] = (layer.tables[key], KeyLocation(layer, (key,)))
    for key in MACHINE_KEYS:
        value = environ.get(variable := f"GATEPASS_{key.upper()}")
        if value:
            layer = Layer("variable", variable, {key: value}, None, b"", {(key,): variable})
            found[key] = (value, KeyLocation(layer, (key,)))
    return found | _vault_parts(found.get("vault"), environ)


def _vault_parts(
    vault: tuple[Any, KeyLocation] | None, environ: Mapping[str, str]
) -> dict[str, tuple[Any, KeyLocation]]:
    """Return the keys of the table ``vault`` that variables give, and the table with them.

    They add to the table that the strongest file or ``GATEPASS_VAULT`` gives. That one is not
    merged with weaker ones, so that the password of one server never goes to another.
    """
    table, location = vault or ({}, None)
    table = dict(table) if isinstance(table, dict) else {"url": table}
    parts: dict[str, tuple[Any, KeyLocation]] = {}
    for variable, value in environ.items():
        name = variable.removeprefix(_VAULT_PREFIX).lower()
        if variable.startswith(_VAULT_PREFIX) and value:
            key = ("vault", name)
            layer = Layer("variable", variable, {"vault": {}}, None, b"", {key: variable})
            parts[f"vault.{name}"] = (value, KeyLocation(layer, key))
            table[name] = value
    if not parts:
        return {}
    return {"vault": (table, location or next(iter(parts.values()))[1]), **parts}


def layers_of_variables(environ: Mapping[str, str]) -> Layers:
    """Return the machine settings that variables hold, and no profile. Reads no file."""
    variables, arguments = Layer("variable", "variables", {}), Layer("argument", "overrides", {})
    return Layers((), variables, arguments, machine=machine_settings((), environ))
