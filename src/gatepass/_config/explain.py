"""Say where each key of a profile was written, what it overrides, and why.

``gatepass.explain`` and ``gatepass show`` use it; loading does not. It reads no secret.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from gatepass._config import merge
from gatepass._config.files_seen import files_seen
from gatepass._config.layer import FileSeen, KeyLocation, Layer, Layers, is_project, leaves
from gatepass._config.locations import LOCAL_FILE, PROJECT_FILE
from gatepass._config.merge import MergedProfile, ProfileLayer
from gatepass._config.profile import Profile
from gatepass._config.shown import Fields, overlap
from gatepass._config.toml import Key, Table
from gatepass._value import Value, replace
from gatepass.errors import ProfileError
from gatepass.secrets import LayerKind

DEFAULT: Final = "default"
_UNKNOWN: Final = "not known here"


class Overridden(Value):
    """A value that another place overrides.

    Attributes:
        key: its key, such as ``proxy.url``.
        value: the value, in the form of ``ExplainedKey.value``. It was never checked: of a field
            for secrets only a reference is shown, of an unknown key nothing.
        location: where it stands, as in ``ExplainedKey.location``.
        layer: the kind of place, as in ``ExplainedKey.layer``.
        by: the place that overrides it.
        why: the rule, in one phrase.
    """

    key: str
    value: Any
    location: str
    layer: str
    by: str
    why: str


class ExplainedKey(Value):
    """One key that is in effect.

    Attributes:
        key: the key, such as ``auth.password``.
        value: its value as it was written, as TOML would hold it; None is "not set". References
            are shown; a secret that was given as a value is the text ``Secret(...)``.
        location: ``file:line:column``, the name of a variable, ``overrides`` or ``arguments``, or
            ``default`` where nobody wrote it.
        layer: the kind of place: ``system``, ``user``, ``project``, ``local``, ``file``,
            ``variable``, ``argument``; empty for a default.
        overrode: what it overrides, the strongest first.
    """

    key: str
    value: Any
    location: str
    layer: str
    overrode: tuple[Overridden, ...] = ()


class Explanation(Value):
    """Where all of a profile comes from. Holds no secret.

    Attributes:
        name: the profile's name; empty for one that was built without a file.
        chosen: why it is this profile, a few words.
        keys: every key that is in effect, those of the scheme included: first the written ones.
        unused: what was written for this profile and has no effect on any of the keys.
        machine: the machine settings.
        files: every file that was looked for, also those that were skipped.
    """

    name: str
    chosen: str
    keys: tuple[ExplainedKey, ...]
    unused: tuple[Overridden, ...]
    machine: tuple[ExplainedKey, ...]
    files: tuple[FileSeen, ...]


def explain(profile: Profile) -> Explanation:
    """Say for each key of a profile where it was written, what it overrides, and why.

    Also why it is this profile, where the machine settings come from, and which files were looked
    for. Reads no secret and no file; looks whether project files exist, where ``config_file`` had
    replaced the search.

    Args:
        profile: the profile; one that came out of a pickle knows its values only.
    """
    merged = profile.merged
    layers = merged.layers if merged else None
    default = DEFAULT if merged else _UNKNOWN
    written = _merged(merged) if merged else ()
    lost = [*reversed(_overridden(merged)), *_replaced_whole(merged)] if merged else ()
    keys, unused = _explained(written, lost, Fields.of_profile(profile), default)
    of_machine = Fields.of_machine(profile.machine)
    machine, _ = _explained(_machine(layers), _machine_overridden(layers), of_machine, default)
    return Explanation(
        name=profile.name,
        chosen=_chosen(profile.name, merged),
        keys=keys,
        unused=unused,
        machine=machine,
        files=files_seen(layers) if layers else (),
    )


class _Written(Value):
    """A key as one place has it."""

    key: Key
    value: Any
    location: KeyLocation

    @property
    def layer(self) -> LayerKind:
        return self.location.layer.kind


class _Lost(Value):
    """A key without effect: the place that overrides it, and the rule.

    ``any_scheme`` says that it may belong to another scheme than the profile's.
    """

    written: _Written
    by: str
    why: str
    any_scheme: bool = False


def _explained(
    written: Iterable[_Written], lost: Iterable[_Lost], fields: Fields, default: str
) -> tuple[tuple[ExplainedKey, ...], tuple[Overridden, ...]]:
    """Put what is lost beside the key that is in effect instead; and return the rest of it."""
    keys: dict[Key, ExplainedKey] = {}
    for each in written:
        value = fields.in_effect(each.key, each.value, each.layer)
        keys[each.key] = ExplainedKey(dotted(each.key), value, each.location.where, each.layer)
    for key, value in list(fields.defaults(keys)):
        keys[key] = ExplainedKey(dotted(key), value, default, "")
    overrode: dict[Key | None, list[Overridden]] = {key: [] for key in [None, *keys]}
    for loser in lost:
        each = loser.written
        home = each.key if each.key in keys else None
        home = home or next((other for other in keys if overlap(other, each.key)), None)
        value = fields.overridden(each.key, each.value, each.layer, any_scheme=loser.any_scheme)
        overrode[home].append(
            Overridden(
                dotted(each.key), value, each.location.where, each.layer, loser.by, loser.why
            )
        )
    explained = (replace(each, overrode=tuple(overrode[key])) for key, each in keys.items())
    return tuple(explained), tuple(overrode[None])


def dotted(key: Key) -> str:
    """Write a key as TOML would, such as ``headers.X-Tenant``."""
    return ".".join(
        name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False) for name in key
    )


_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


# ---------------------------------------------------------------- a profile's keys


def _merged(merged: MergedProfile) -> Iterator[_Written]:
    for key, value in leaves(merged.table):
        yield _Written(key, value, merged.location(key))


def _overridden(merged: MergedProfile) -> list[_Lost]:
    """Put the layers on top of one another, from below, and collect what is overridden."""
    standing: dict[Key, _Written] = {}
    lost: list[_Lost] = []
    for part in merged.profile_layers:
        lost += _voided(part)
        for new in _keys_in(part, part.table):
            covered = [key for key in standing if overlap(key, new.key)]
            if new.value == {} and any(len(key) > len(new.key) for key in covered):
                continue  # an empty table merged with a full one changes nothing
            for key in covered:
                old = standing.pop(key)
                if old.value != {}:
                    why = _precedence(new.location, old.location)
                    lost.append(_Lost(old, new.location.where, why))
            standing[new.key] = new
        lost += _shadowed(part)
    return lost


def _keys_in(part: ProfileLayer, table: Table) -> Iterator[_Written]:
    for key, value in leaves(table):
        yield _Written(key, value, part.location(key))


def _voided(part: ProfileLayer) -> Iterator[_Lost]:
    for voided in part.voided:
        for each in _keys_in(part, voided.table):
            yield _Lost(each, voided.by.where, voided.why, any_scheme=True)


def _shadowed(part: ProfileLayer) -> Iterator[_Lost]:
    """The variables that other variables hide."""
    for other in part.layer.shadowed:
        depth = len(part.above)
        if other.key[:depth] == part.above:
            deeper = other.by.count("__") > other.variable.count("__")
            layer = replace(part.layer, variables={other.key: other.variable})
            written = _Written(other.key[depth:], other.value, KeyLocation(layer, other.key))
            yield _Lost(written, other.by, _DEEPER if deeper else _CAPITALS)


def _replaced_whole(merged: MergedProfile) -> Iterator[_Lost]:
    """What own files say about a profile of that name where they take no part in it."""
    layers = merged.layers
    if layers is None:
        return
    group = layers.group_of(merged.name)
    read = {layer.label for layer in group}
    for part in reversed(_own_parts(layers, merged.name)):
        if part.layer.label in read:
            continue
        if layers.replaced_by:
            by, why = layers.replaced_by, f"{layers.replaced_by} replaces the search for files"
        else:
            theirs = next(each for each in group if merged.name in each.names())
            by = KeyLocation(theirs, ("profiles", merged.name)).where
            why = "the project's profile replaces the own one of that name whole"
            if part.above[-1] != merged.name:
                why += ", with what it inherits"
        for table in (part.table, *(voided.table for voided in part.voided)):
            for each in _keys_in(part, table):
                yield _Lost(each, by, why, any_scheme=True)


def _own_parts(layers: Layers, name: str) -> tuple[ProfileLayer, ...]:
    """What own files alone would make of a profile; where that is broken, what they say of it."""
    nothing = Layer("variable", "variables", {})
    alone = replace(
        layers, file_layers=layers.own, variables=nothing, arguments=nothing, untrusted=()
    )
    try:
        return merge.profile_layers_of(alone, name)[0]
    except ProfileError:
        parts = ((layer, layer.profile(name)) for layer in layers.own)
        above = ("profiles", name)
        return tuple(ProfileLayer(layer, table, above) for layer, table in parts if table)


# ---------------------------------------------------------------- machine settings


def _machine(layers: Layers | None) -> Iterator[_Written]:
    found = layers.machine if layers else {}
    for name, (value, whole) in found.items():
        if "." in name:  # a key of the table vault, which is there as a whole too
            continue
        for key, inner in leaves({name: value}):
            _, location = found.get(".".join(key), (None, whole))
            in_file = bool(location.layer.text)
            yield _Written(key, inner, KeyLocation(location.layer, key) if in_file else location)


def _machine_overridden(layers: Layers | None) -> Iterator[_Lost]:
    for layer in reversed(layers.own if layers else ()):
        for name, (_, winner) in layers.machine.items() if layers else ():
            if name in layer.tables and winner.layer is not layer:
                why = _precedence_of_layers(winner.layer, layer)
                for key, value in leaves({name: layer.tables[name]}):
                    yield _Lost(_Written(key, value, KeyLocation(layer, key)), winner.where, why)


# ---------------------------------------------------------------- the rules, in one phrase each

_DEEPER: Final = "a variable for a key of a table wins over one for the whole table"
_CAPITALS: Final = "of two names for one variable the one in capitals wins"
_RANKS: Final[Mapping[LayerKind, str]] = {
    "argument": "an argument wins over variables and files",
    "variable": "a variable wins over files",
    "file": "of several named files the last one wins",
    "local": f"{LOCAL_FILE} wins over {PROJECT_FILE}",
    "user": "your own file wins over the system's",
    "system": "of several system files the one that XDG_CONFIG_DIRS names first wins",
}


def _precedence(winner: KeyLocation, loser: KeyLocation) -> str:
    in_files = winner.layer.is_file
    if in_files and winner.above != loser.above:
        child, parent = winner.above[-1], loser.above[-1]
        return f"{child} inherits from {parent} (extends), and its own keys win"
    return _precedence_of_layers(winner.layer, loser.layer)


def _precedence_of_layers(winner: Layer, loser: Layer) -> str:
    if loser.is_own and is_project(winner.kind):
        return "a project's file comes before your own"
    return _RANKS[winner.kind]


# ---------------------------------------------------------------- the name


def why_chosen(layers: Layers, asked: str | None) -> str:
    """Say in a few words what names the profile that is taken."""
    return _naming(layers, asked)[1]


def _chosen(name: str, merged: MergedProfile | None) -> str:
    if merged is None:
        return "it was loaded elsewhere; where its keys were written did not come along"
    if merged.layers is None:
        return "built from arguments, without a name"
    chosen, why = _naming(merged.layers, merged.requested)
    return why if chosen in {name, None} else "taken by the program"


def _naming(layers: Layers, asked: str | None) -> tuple[Any, str]:
    """Return the name that selection finds first (None where nothing names one), and where."""
    if asked is not None:
        return asked, "named by the argument"
    if layers.wanted is not None:
        return layers.wanted, "named by GATEPASS_PROFILE"
    for layer in reversed(layers.file_layers):
        if "default_profile" in layer.tables:
            location = KeyLocation(layer, ("default_profile",))
            return layer.tables["default_profile"], f"default_profile at {location.where}"
    return None, "the only profile that is not protected"
