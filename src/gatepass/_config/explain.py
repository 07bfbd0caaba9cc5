"""Where each key of a profile was written, what that overrode, and why: for a person who asks.

Nothing here takes part in loading. What was merged is kept by ``_settings``; this module walks
through it once more and tells the story. It reads no secret. What is shown of a value that lost,
and so was never checked, is decided by the field that it stands in: of a secret field a reference,
of an unknown one nothing.
"""

import functools
import json
import os
import re
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from gatepass._config import locations, merge
from gatepass._config.layer import FileSeen, KeyLocation, Layer, Layers, is_own, leaves
from gatepass._config.locations import LOCAL_FILE, PROJECT_FILE
from gatepass._config.merge import MergedProfile, ProfileLayer
from gatepass._config.toml import Key
from gatepass._net.urls import without_userinfo
from gatepass._system import plugins
from gatepass.auth import value_of
from gatepass.errors import ProfileError
from gatepass.secrets import (
    LayerKind,
    ReferenceSyntaxError,
    Secret,
    SecretRef,
)
from gatepass.secrets._fields import may_be_secret

if typing.TYPE_CHECKING:
    from gatepass._config.fields import Sort
from gatepass._config.fields import Sort, Sorts, sorts_of
from gatepass._config.profile import MachineSettings, Profile, ProfileKeys

DEFAULT: Final = "default"
HIDDEN: Final = "(not shown)"
LITERAL: Final = "Secret(...)"
_ELSEWHERE: Final = "not known here"


@dataclass(frozen=True, slots=True)
class Overridden:
    """One place that lost.

    Attributes:
        key: the key that stands there, such as ``proxy.url``.
        value: its value, in the form of ``ExplainedKey.value``.
        origin: the place, as in ``ExplainedKey.origin``.
        layer: the kind of place, as in ``ExplainedKey.layer``.
        by: the place that won over it.
        why: the rule, one sentence.
    """

    key: str
    value: Any
    origin: str
    layer: str
    by: str
    why: str


@dataclass(frozen=True, slots=True)
class ExplainedKey:
    """One key that is in effect.

    Attributes:
        key: the key, such as ``auth.password``.
        value: its value as it was written, as TOML would hold it; None is "not set". References
            are shown; a secret that was given as a value is the text ``Secret(...)``.
        origin: ``file:line:column``, the name of a variable, ``overrides`` or ``arguments``, or
            ``default`` where nobody wrote it.
        layer: the kind of place: ``system``, ``user``, ``project``, ``local``, ``file``,
            ``variable``, ``argument``; empty for a default.
        overrode: the places that lost to it, the strongest first.
    """

    key: str
    value: Any
    origin: str
    layer: str
    overrode: tuple[Overridden, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where all of a profile comes from. Holds no secret.

    Attributes:
        name: the profile's name; empty for one that was built without a file.
        chosen: why it is this profile, a few words.
        passed_over: what else named a profile, the strongest first.
        keys: every key that is in effect, those of the scheme included: first the written ones.
        unused: what was written for this profile, and has no effect on any of the keys.
        machine: the machine settings.
        files: every file that was looked for, also those that were skipped.
    """

    name: str
    chosen: str
    passed_over: tuple[Overridden, ...]
    keys: tuple[ExplainedKey, ...]
    unused: tuple[Overridden, ...]
    machine: tuple[ExplainedKey, ...]
    files: tuple[FileSeen, ...]


@dataclass(frozen=True)
class Fields:
    """What the gate knows about the keys of a profile, or about the machine settings.

    Attributes:
        sorts: each key that may be written, in their order.
        value: returns the checked value of a key; None where there is none.
    """

    sorts: Sorts
    value: Callable[[Key], Any]


def _explain_merged(
    name: str, taken: MergedProfile | None, fields: Fields, machine: Fields, others: Sorts
) -> Explanation:
    """Tell where all of a profile comes from.

    Looks for project files where ``config_file`` had replaced the search; reads none.

    Args:
        name: the profile's name.
        taken: what it was made from; None where that did not come along, as in a pickle.
        fields: its keys.
        machine: the machine settings.
        others: what may be written where, for values that may be meant for another scheme.
    """
    layers = taken.layers if taken else None
    chosen, passed_over = _chosen(name, taken)
    written, losers = _story(taken, fields, _strict(taken, others)) if taken else ([], [])
    everything = [
        *written,
        *_defaults(fields, [key for key, _ in written], known=taken is not None),
    ]
    keys, unused = _joined(everything, losers)
    return Explanation(
        name=name,
        chosen=chosen,
        passed_over=passed_over,
        keys=keys,
        unused=unused,
        machine=_machine(layers, machine, known=taken is not None),
        files=files_seen(layers) if layers else (),
    )


def table_of(taken: MergedProfile, fields: Fields) -> dict[str, Any]:
    """Return the merged table of a profile as it may be shown, fit for TOML and JSON.

    What variables gave as texts has its right type here.
    """
    whole: dict[str, Any] = {}
    for key, value in leaves(taken.table):
        inner = whole
        for name in key[:-1]:
            inner = inner.setdefault(name, {})
        source = taken.location(key).layer
        inner[key[-1]] = _as_shown(key, value, source, fields)
    return whole


def _as_shown(key: Key, value: Any, source: Layer, fields: Fields) -> Any:
    """A value that passed the gate."""
    typed = _typed(fields.value(key), value) if source.kind == "variable" else value
    return shown(key, typed, fields.sorts, literal=source.kind == "argument")


# ---------------------------------------------------------------- keys


@dataclass(frozen=True)
class _Lost:
    key: Key
    told: Overridden


def _story(
    taken: MergedProfile, fields: Fields, strict: Sorts
) -> tuple[list[tuple[Key, ExplainedKey]], list[_Lost]]:
    """Lay the layers over one another, from below, and note who goes and who stays."""
    standing: dict[Key, tuple[Any, ProfileLayer]] = {}
    lost: list[_Lost] = []
    for part in taken.profile_layers:
        for dropped in part.voided:
            for key, value in leaves(dropped.table):
                by, why = dropped.by.where, dropped.why
                lost.append(_lost(key, value, part, by, why, strict))
        for key, value in leaves(part.table):
            touched = [other for other in standing if _touch(other, key)]
            if value == {} and any(len(other) > len(key) for other in touched):
                continue  # an empty table over a full one adds nothing and takes nothing
            by = KeyLocation(part.layer, (*part.above, *key)).where
            for other in touched:
                old, loser = standing.pop(other)
                if old != {}:
                    lost.append(_lost(other, old, loser, by, _why(part, loser), strict))
            standing[key] = (value, part)
        lost += _shadowed(part, strict)
    lost = [*reversed(lost), *_replaced_whole(taken, strict)]
    order = [key for key, _ in leaves(taken.table)]
    return [(key, _winner(key, *standing[key], fields)) for key in order], lost


def _shadowed(part: ProfileLayer, sorts: Sorts) -> Iterator[_Lost]:
    """What variables say that others hide."""
    for other in part.layer.shadowed:
        depth = len(part.above)
        if other.key[:depth] == part.above:
            key = other.key[depth:]
            deeper = other.by.count("__") > other.variable.count("__")
            why = _DEEPER if deeper else _CAPITALS
            lost = _lost(key, other.value, part, other.by, why, sorts)
            yield replace(lost, told=replace(lost.told, origin=other.variable))


_DEEPER: Final = "a variable for a key of a table wins over one for the whole table"
_CAPITALS: Final = "of two names for one variable the one in capitals wins"


def _touch(one: Key, other: Key) -> bool:
    """Whether two keys cannot stand together: the same, or one a value and the other a table."""
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def _winner(key: Key, value: Any, part: ProfileLayer, fields: Fields) -> ExplainedKey:
    where = KeyLocation(part.layer, (*part.above, *key)).where
    told = _as_shown(key, value, part.layer, fields)
    return ExplainedKey(dotted(key), told, where, part.layer.kind)


def _typed(checked: Any, written: Any) -> Any:
    """What a variable means: its text after the gate, where that has another type."""
    kinds = (bool, int, float, tuple, Secret, SecretRef)
    return checked if isinstance(checked, kinds) else written


def _lost(key: Key, value: Any, part: ProfileLayer, by: str, why: str, sorts: Sorts) -> _Lost:
    told = Overridden(
        dotted(key),
        shown(key, value, sorts, literal=part.layer.kind == "argument", checked=False),
        KeyLocation(part.layer, (*part.above, *key)).where,
        part.layer.kind,
        by,
        why,
    )
    return _Lost(key, told)


def _why(winner: ProfileLayer, loser: ProfileLayer) -> str:
    """The rule by which one layer wins over another."""
    in_files = winner.layer.kind not in {"variable", "argument"}
    if in_files and winner.above != loser.above:
        child, parent = winner.above[-1], loser.above[-1]
        return f"{child} inherits from {parent} (extends), and its own keys win"
    return _rank(winner.layer, loser.layer)


def _rank(winner: Layer, loser: Layer) -> str:
    if loser.is_own and winner.kind in {"project", "local"}:
        return "a project's file comes before your own"
    return _RANKS[winner.kind]


_RANKS: Final[Mapping[LayerKind, str]] = {
    "argument": "an argument wins over variables and files",
    "variable": "a variable wins over files",
    "file": "of several named files the last one wins",
    "local": f"{LOCAL_FILE} wins over {PROJECT_FILE}",
    "user": "your own file wins over the system's",
    "system": "of several system files the one that XDG_CONFIG_DIRS names first wins",
}


def _replaced_whole(taken: MergedProfile, sorts: Sorts) -> Iterator[_Lost]:
    """What own files say about a profile of that name where they have no part in it."""
    layers = taken.layers
    if layers is None:
        return
    group = layers.group_of(taken.name)
    read = {source.label for source in group}
    for part in reversed(_own_chain(layers, taken.name)):
        if part.layer.label in read:
            continue
        if layers.replaced_by:
            by, why = layers.replaced_by, f"{layers.replaced_by} replaces the search for files"
        else:
            theirs = next(each for each in group if taken.name in each.names())
            by = KeyLocation(theirs, ("profiles", taken.name)).where
            why = "the project's profile replaces the own one of that name whole"
            if part.above[-1] != taken.name:
                why += ", with what it inherits"
        for table in (part.table, *(dropped.table for dropped in part.voided)):
            for key, value in leaves(table):
                yield _lost(key, value, part, by, why, sorts)


def _own_chain(layers: Layers, name: str) -> tuple[ProfileLayer, ...]:
    """What own files alone would make of a profile; where that is broken, what they say of it."""
    nothing = Layer("variable", "variables", {})
    alone = replace(
        layers, file_layers=layers.own, variables=nothing, arguments=nothing, untrusted=()
    )
    try:
        return merge.merge_profile(alone, name).profile_layers
    except ProfileError:
        parts = ((source, source.profile(name)) for source in layers.own)
        above = ("profiles", name)
        return tuple(ProfileLayer(source, table, above) for source, table in parts if table)


def _defaults(
    fields: Fields, written: list[Key], *, known: bool
) -> Iterator[tuple[Key, ExplainedKey]]:
    """The keys that nobody wrote, with the values that hold for them."""
    for key in fields.sorts:
        if any(_touch(key, other) for other in written):
            continue
        value = fields.value(key)
        nested = any(other[:-1] == key for other in fields.sorts) and value is not None
        if nested or (len(key) > 1 and fields.value(key[:-1]) is None):
            continue
        origin = DEFAULT if known else _ELSEWHERE
        full = isinstance(value, Mapping) and value
        inner = {(*key, str(name)): each for name, each in value.items()} if full else {key: value}
        for leaf, each in inner.items():
            yield leaf, ExplainedKey(dotted(leaf), shown(leaf, each, fields.sorts), origin, "")


def _joined(
    keys: list[tuple[Key, ExplainedKey]], losers: list[_Lost]
) -> tuple[tuple[ExplainedKey, ...], tuple[Overridden, ...]]:
    """Put each place that lost beside the key that is in effect instead of it."""
    overrode: dict[Key, list[Overridden]] = {key: [] for key, _ in keys}
    unused: list[Overridden] = []
    for loser in losers:
        near = (key for key in overrode if _touch(key, loser.key))
        home = loser.key if loser.key in overrode else next(near, None)
        (unused if home is None else overrode[home]).append(loser.told)
    joined = [replace(told, overrode=tuple(overrode[key])) for key, told in keys]
    return tuple(joined), tuple(unused)


def dotted(key: Key) -> str:
    """Write a key as TOML would, such as ``headers.X-Tenant``."""
    return ".".join(
        name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False) for name in key
    )


_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


# ---------------------------------------------------------------- values


_QUERY: Final = re.compile(r"(?<=[a-z]://)([^?]*)\?.*", re.IGNORECASE | re.DOTALL)


def shown(
    key: Key, value: Any, sorts: Sorts, *, literal: bool = False, checked: bool = True
) -> Any:
    """Return what may be shown of a value: a reference as it is written, a secret never.

    Args:
        key: the key.
        value: what stands there.
        sorts: what may be written where.
        literal: whether Python gave it, where a text is meant as it stands.
        checked: whether it passed the gate.
    """
    sort = _sort(key, sorts)
    meant = literal and isinstance(value, str)
    if isinstance(value, Secret) or (sort == "secret" and meant):
        return LITERAL
    if isinstance(value, SecretRef):
        return value.as_written()
    if value is None or (value == {} and isinstance(value, dict)):
        return value
    is_name = sort == "text" and isinstance(value, str) and (meant or ":" not in value)
    if sort in {"secret", "text"} and not is_name:
        return _copied(value) if _is_reference(value) else HIDDEN
    # The value of a header cannot be a reference, so some people write a secret there.
    if sort is None or (sort == "table" and any(map(may_be_secret, key[1:]))):
        return HIDDEN
    return _scalar(value, checked=checked)


def _sort(key: Key, sorts: Sorts) -> Sort | None:
    found = sorts.get(key)
    if found is not None:
        return None if found == "table" else found
    above = {sorts.get(key[:length]) for length in range(len(key))}
    return "secret" if "secret" in above else "table" if "table" in above else None


def _is_reference(value: Any) -> bool:
    try:
        SecretRef.parse(value)
    except ReferenceSyntaxError:
        return False
    return True


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copied(inner) for name, inner in value.items()}
    return [_copied(each) for each in value] if isinstance(value, list) else value


def _scalar(value: Any, *, checked: bool) -> Any:
    if isinstance(value, tuple):  # after the gate: seconds, which it makes floats
        whole = (isinstance(each, float) and each.is_integer() for each in value)
        value = [
            int(each) if is_whole else each for each, is_whole in zip(value, whole, strict=True)
        ]
    if isinstance(value, list):
        each_told = [_scalar(each, checked=checked) for each in value]
        return HIDDEN if HIDDEN in each_told else each_told
    if isinstance(value, str) and not checked:
        told = _QUERY.sub(r"\1?...", without_userinfo(value))
        return HIDDEN if "://" in told and "@" in told.replace("//...@", "") else told
    return value if value is None or isinstance(value, str | bool | int | float) else HIDDEN


def _strict(taken: MergedProfile, sorts: Sorts) -> Sorts:
    """The same, where a layer below names a scheme of another package.

    Nobody here knows which of its fields are secret, so all of ``auth`` is.
    """
    ours = {*plugins.BUILT_IN[plugins.AUTH], _scheme(taken.table)}
    if all(_scheme(table) in ours for table in _all_tables(taken)):
        return sorts
    return {
        key: "secret" if key[0] == "auth" and key != ("auth", "scheme") else sort
        for key, sort in sorts.items()
    }


def _scheme(table: Mapping[str, Any]) -> str:
    """The scheme that a table names; where it names none, one that has no secret."""
    auth = table.get("auth")
    return str(auth.get("scheme", "anonymous")) if isinstance(auth, dict) else "anonymous"


def _all_tables(taken: MergedProfile) -> Iterator[Mapping[str, Any]]:
    own = _own_chain(taken.layers, taken.name) if taken.layers else ()
    for part in (*taken.profile_layers, *own):
        yield part.table
        yield from (dropped.table for dropped in part.voided)


# ---------------------------------------------------------------- the name


def _chosen(name: str, taken: MergedProfile | None) -> tuple[str, tuple[Overridden, ...]]:
    if taken is None:
        return "it was loaded elsewhere; where its keys were written did not come along", ()
    if taken.layers is None:
        return "built from arguments, without a name", ()
    candidates = list(_candidates(taken.layers, taken.requested))
    if not candidates:
        return _ONLY_ONE, ()
    (value, origin), *others = candidates
    if value != name:
        return "taken by the program", ()
    passed_over = [
        Overridden(
            other.key[-1],
            _scalar(told, checked=False),
            other.where,
            other.layer.kind,
            origin.where,
            _why_this_name(origin, other),
        )
        for told, other in others
    ]
    return _said(origin), tuple(passed_over)


_ONLY_ONE: Final = "the only profile that is not protected"


def why_chosen(layers: Layers, asked: str | None) -> str:
    """Say in a few words what names the profile that is taken."""
    first = next(_candidates(layers, asked), None)
    return _ONLY_ONE if first is None else _said(first[1])


def _candidates(layers: Layers, asked: str | None) -> Iterator[tuple[Any, KeyLocation]]:
    """All that names a profile, the strongest first."""
    if asked is not None:
        yield asked, KeyLocation(Layer("argument", "the argument", {}), ("name",))
    if layers.wanted is not None:
        yield layers.wanted, KeyLocation(Layer("variable", _VARIABLE, {}), (_VARIABLE,))
    for source in reversed(layers.file_layers):
        default = source.tables.get("default_profile")
        if default is not None:
            yield default, KeyLocation(source, ("default_profile",))


_VARIABLE: Final = "GATEPASS_PROFILE"


def _said(origin: KeyLocation) -> str:
    named = origin.layer.kind in {"argument", "variable"}
    return f"{'named by' if named else 'default_profile at'} {origin.where}"


def _why_this_name(winner: KeyLocation, loser: KeyLocation) -> str:
    if winner.layer.kind == "argument":
        return "a name that is given wins over GATEPASS_PROFILE and default_profile"
    if winner.layer.kind == "variable":
        return "GATEPASS_PROFILE wins over default_profile"
    return _rank(winner.layer, loser.layer)


# ---------------------------------------------------------------- the machine, the files


def _machine(layers: Layers | None, fields: Fields, *, known: bool) -> tuple[ExplainedKey, ...]:
    found = layers.machine if layers else {}
    keys = []
    for name, (value, whole) in found.items():
        if "." in name:  # a part of the table vault, told with it
            continue
        for key, inner in leaves({name: value}):
            _, origin = found.get(".".join(key), (None, whole))
            variable = origin.layer.kind == "variable"
            typed = _typed(fields.value(key), inner) if variable else inner
            told = shown(key, typed, fields.sorts, checked=False)
            where = KeyLocation(origin.layer, key if origin.layer.text else origin.key).where
            keys.append((key, ExplainedKey(dotted(key), told, where, origin.layer.kind)))
    losers = list(_lost_settings(layers, fields.sorts)) if layers else []
    everything = [*keys, *_defaults(fields, [key for key, _ in keys], known=known)]
    return _joined(everything, losers)[0]


def _lost_settings(layers: Layers, sorts: Sorts) -> Iterator[_Lost]:
    for source in reversed(layers.own):
        for name, (_, origin) in layers.machine.items():
            if name in source.tables and origin.layer is not source:
                part = ProfileLayer(source, source.tables, ())
                why = _rank(origin.layer, source)
                for key, value in leaves({name: source.tables[name]}):
                    yield _lost(key, value, part, origin.where, why, sorts)


def files_seen(layers: Layers) -> tuple[FileSeen, ...]:
    """Return every file that was looked for, and those that a person might expect among them.

    Looks for files; reads none.
    """
    seen = list(layers.files)
    if layers.replaced_by:
        why = f"{layers.replaced_by} replaces the search"
        alone = f"for machine settings alone: {why}"
        seen = [
            replace(file, why=alone) if is_own(file.layer) and file.state == "read" else file
            for file in seen
        ]
        seen += _project_files(layers, why)
    elif not any(file.layer in {"project", "local"} for file in seen):
        seen += _no_project_file(layers)
    if layers.stray is not None:
        why = f"only your own file has this name; a project's is called {PROJECT_FILE}"
        seen.append(FileSeen(layers.stray, "project", "skipped", why))
    return tuple(seen)


def _project_files(layers: Layers, why: str) -> Iterator[FileSeen]:
    folder = locations.project_folder(layers.locations) if layers.locations else None
    named = {file.path for file in layers.files}
    if folder is not None:
        pairs: tuple[tuple[str, Literal["project", "local"]], ...]
        pairs = ((PROJECT_FILE, "project"), (LOCAL_FILE, "local"))
        for name, layer in pairs:
            path = folder / name
            if os.path.lexists(path) and path not in named:
                yield FileSeen(path, layer, "skipped", why)


def _no_project_file(layers: Layers) -> Iterator[FileSeen]:
    working = layers.locations.working if layers.locations else None
    if working is None:
        return
    path = working / PROJECT_FILE
    if os.path.lexists(path):  # then the search does not look there
        yield FileSeen(path, "project", "skipped", "the home folder and all above it are barred")
    else:
        yield FileSeen(path, "project", "absent", "here and in the folders above")


def explain(profile: Profile) -> "Explanation":
    """Say for each key of a profile where it was written, what that overrode, and why.

    Also why it is this profile, where the machine settings come from, and which files were looked
    for. Reads no secret and no file; looks whether project files exist, where ``config_file`` had
    replaced the search.

    Args:
        profile: the profile; one that came out of a pickle knows its values only.
    """
    machine = Fields(sorts_of(MachineSettings), functools.partial(_checked, profile.machine))
    return _explain_merged(
        profile.name, profile.merged, fields_of_profile(profile), machine, _of_others(profile)
    )


def fields_of_profile(profile: Profile) -> "Fields":
    """Return what may stand in a profile with its scheme, and the values that do."""
    return Fields(_sorts_of(profile), functools.partial(_checked, profile))


def _sorts_of(profile: Profile) -> dict[Key, "Sort"]:
    found = sorts_of(ProfileKeys)
    del found["auth",]  # its keys are those of the scheme, and no others
    return found | {("auth", "scheme"): "plain"} | sorts_of(type(profile.auth), ("auth",))


def _of_others(profile: Profile) -> dict[Key, "Sort"]:
    """The same for keys that may have been meant for another scheme of ours.

    What any of the schemes keeps a secret in counts as such.
    """
    found = _sorts_of(profile)
    for name in plugins.BUILT_IN[plugins.AUTH]:
        for key, sort in sorts_of(plugins.load(plugins.AUTH, name), ("auth",)).items():
            if sort == "secret" or key not in found:
                found[key] = sort
    return found


def _checked(holder: object, key: Key) -> Any:
    """The value of a key after the gate; None where it has another shape there."""
    if key == ("auth", "scheme"):
        key = ("scheme",)
    value: Any = holder
    for name in key:
        value = value.get(name) if isinstance(value, Mapping) else value_of(value, name)
    return value
