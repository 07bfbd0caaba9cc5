"""The variables ``GATEPASS_PROFILES__NAME__KEY`` and the machine settings, as layers."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from gatepass._config import trust
from gatepass._config.layer import MACHINE_KEYS, KeyLocation, Layer, Layers, ShadowedVariable
from gatepass._config.suggest import unknown_profile
from gatepass._config.toml import Key, Table

_PREFIX: Final = "GATEPASS_PROFILES__"
_VAULT_PREFIX: Final = "GATEPASS_VAULT__"
_SWITCHES: Final = frozenset(
    {
        "GATEPASS_PROFILE",
        "GATEPASS_CONFIG_FILE",
        "GATEPASS_NO_INPUT",
        *(f"GATEPASS_{key.upper()}" for key in MACHINE_KEYS),
    }
)


def read_variables(
    environ: Mapping[str, str], layers: Iterable[Layer], *, references_in: Iterable[Layer]
) -> tuple[Layer, list[str]]:
    """Turn ``GATEPASS_PROFILES__PROD__URL`` and the like into a layer, and warn of odd ones.

    A variable of the user's own is not odd where a reference names it: ``env:NAME``. Of two for one
    key the deeper one counts, then the one in capitals, whatever their order.
    """
    known = {name.replace("-", "_"): name for layer in layers for name in layer.names()}
    profiles: Table = {}
    variable_of: dict[Key, str] = {}
    shadowed: list[ShadowedVariable] = []
    notices = []
    for variable in sorted(environ, key=lambda name: (name.count("__"), name.isupper(), name)):
        value = environ[variable]
        if not variable.startswith("GATEPASS_") or variable in _SWITCHES:
            continue
        if variable.startswith(_VAULT_PREFIX):
            continue  # a key of a machine setting
        name, *path = variable.removeprefix(_PREFIX).lower().split("__")
        if not variable.startswith(_PREFIX) or not path or not all((name, *path)):
            texts = (layer.tables for layer in references_in)
            if f"env:{variable}" in _texts_in([*texts, *environ.values()]):
                continue
            near = difflib.get_close_matches(variable, _SWITCHES, n=1)
            guess = f"; did you mean {near[0]}?" if near else ""
            shown = trust.printable(variable)
            notices.append(f"the variable {shown} matches nothing{guess}")
            continue
        key = ("profiles", known.get(name, name), *path)
        table = profiles
        for length, part in enumerate(key[1:], 2):
            old = table.get(part)
            if isinstance(old, str):
                above = key[:length]
                shadowed.append(ShadowedVariable(variable_of.pop(above), above, old, variable))
            if not isinstance(old, dict):
                table[part] = value if length == len(key) else {}
            table = table[part]
        variable_of[key] = variable
    notices += [
        f"the variables {_PREFIX}{trust.printable(name.upper())}__* match no profile; "
        + unknown_profile(name, known.values())
        for name, table in profiles.items()
        if name not in known.values() and "url" not in table
    ]
    tables = {"profiles": profiles}
    found = Layer("variable", "variables", tables, None, b"", variable_of, tuple(shadowed))
    return found, notices


def _texts_in(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _texts_in(inner)


def machine_settings(
    own: Iterable[Layer], environ: Mapping[str, str]
) -> Mapping[str, tuple[Any, KeyLocation]]:
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
    """The keys of the table ``vault`` that come from variables, and the table with them.

    They add to what the strongest file or ``GATEPASS_VAULT`` says: that replaces all of the table
    below, so that the password of one server never goes to another.
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
