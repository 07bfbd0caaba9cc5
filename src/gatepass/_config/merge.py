"""Merge what every layer says about one profile: precedence, ``extends``, what voids what.

From the weakest to the strongest: the files of one group, parents before children, then variables,
then arguments. Tables merge key by key. Own files and a project's files are never merged with each
other: a project's profile replaces an own one of the same name whole, so that no secret of the
user meets the URL of a project.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from gatepass._config import fast_types
from gatepass._config.layer import KeyLocation, Layer, Layers, refuse_untrusted
from gatepass._config.suggest import unknown_profile
from gatepass._config.toml import Key, Table
from gatepass._net.urls import is_same_origin
from gatepass._system import log
from gatepass._system.text import printable
from gatepass.errors import Problem, ProfileError, ProfileNotFound


@dataclass(frozen=True)
class VoidedKeys:
    """Keys of one layer that a higher one made void, kept for ``explain``.

    Attributes:
        table: the keys, in their table.
        by: the key that did it.
        why: the rule, in one sentence.
    """

    table: Table = field(repr=False)
    by: KeyLocation
    why: str


@dataclass(frozen=True)
class ProfileLayer:
    """What one layer says about a profile, or about a parent of it.

    Attributes:
        layer: the layer.
        table: its keys.
        above: the path of the table in the layer's text.
        voided: keys of this layer that a higher one made void; they are not in ``table``.
    """

    layer: Layer
    table: Table = field(repr=False)
    above: Key
    voided: tuple[VoidedKeys, ...] = ()


@dataclass(frozen=True)
class MergedProfile:
    """One profile's keys, merged, before they are checked.

    Attributes:
        name: the profile.
        table: the merged keys.
        profile_layers: what was merged, in rising order of precedence.
        problems: what is wrong with the merging itself.
        layers: what it was merged from; None for a profile without files.
        requested: the name that the caller asked for; None where one had to be selected.
    """

    name: str
    table: Table = field(repr=False)
    profile_layers: tuple[ProfileLayer, ...]
    problems: tuple[Problem, ...] = ()
    layers: Layers | None = field(default=None, repr=False)
    requested: str | None = None

    def location(self, key: Key) -> KeyLocation:
        """Return where a key of the merged table was written, else the table around it."""
        for length in range(len(key), 0, -1):
            for part in reversed(self.profile_layers):
                if _has(part.table, key[:length]):
                    return KeyLocation(part.layer, (*part.above, *key[:length]), part.above)
        # No layer mentions it: a file that holds the profile is the place to add it.
        in_files = [part for part in self.profile_layers if part.layer.text]
        part = (in_files or self.profile_layers)[-1]
        return KeyLocation(part.layer, part.above, part.above)


def _has(table: Any, key: Key) -> bool:
    for name in key:
        if not isinstance(table, dict) or name not in table:
            return False
        table = table[name]
    return True


def _get(table: Any, key: Key) -> Any:
    for name in key:
        table = table.get(name) if isinstance(table, dict) else None
    return table


def merge_profile(layers: Layers, name: str, *, requested: str | None = None) -> MergedProfile:
    """Merge what every layer says about one profile.

    Args:
        layers: all layers.
        name: the profile.
        requested: the name that the caller asked for; None where one had to be selected.

    Raises:
        ProfileError: ``extends`` names no profile of the same group, or runs in a circle.
        UntrustedFile: a file that is not trusted says something about it or its parent.
    """
    refuse_untrusted(layers, name)
    parts = _file_layers_of(layers, name)
    table = merge_tables([part.table for part in parts])
    problems: list[Problem] = []
    for part in _layers_above_files(layers, name):
        if "extends" in part.table:
            location = KeyLocation(part.layer, (*part.above, "extends"))
            problems.append(location.problem("only a file may set it"))
        parts, moved = _void_auth_of_another_server(parts, table, part)
        problems += moved
        parts = [*_void_lower_keys(parts, part), part]
        table = merge_tables([each.table for each in parts])
    if not parts:
        raise ProfileNotFound(f"there is no profile {name!r}")
    labels = ", ".join(dict.fromkeys(part.layer.label for part in parts))
    log.debug("profile %s: merged from %s", name, labels)
    return MergedProfile(name, table, tuple(parts), tuple(problems), layers, requested)


def _layers_above_files(layers: Layers, name: str) -> Iterator[ProfileLayer]:
    """Yield what variables and arguments say about a profile, where they say anything."""
    for layer, above in ((layers.variables, ("profiles", name)), (layers.arguments, ())):
        table = _copy_tables(layer.profile(name) if above else layer.tables)
        if table:
            yield ProfileLayer(layer, table, above)


def _file_layers_of(layers: Layers, name: str) -> list[ProfileLayer]:
    """Return what files say about a profile and its parents, in rising order of precedence."""
    parts: list[ProfileLayer] = []
    group = layers.group_of(name)
    for member in reversed(_follow_extends(layers, group, name)):
        for layer in group:
            table = layer.profile(member)
            if table is not None:
                copied = _copy_tables(table)
                if member != name:
                    copied.pop("extends", None)
                part = ProfileLayer(layer, copied, ("profiles", member))
                parts = [*_void_lower_keys(parts, part), part]
    return parts


def _follow_extends(layers: Layers, group: Sequence[Layer], name: str) -> list[str]:
    """Return a profile's name, then its parent's, then that one's parent's, and so on."""
    lineage, current = [name], name
    while (parent := _parent_of(current, group)) is not None:
        value, location = parent
        if not isinstance(value, str):
            break  # validation reports the wrong type
        if value in lineage:
            circle = " -> ".join(map(printable, [*lineage, value]))
            raise ProfileError(problems=[location.problem(f"extends runs in a circle: {circle}")])
        if not location.layer.is_own:
            refuse_untrusted(layers, value)
        if not any(value in layer.names() for layer in group):
            raise _no_such_parent(value, location, group)
        lineage.append(value)
        current = value
    return lineage


def _parent_of(name: str, group: Iterable[Layer]) -> tuple[Any, KeyLocation] | None:
    """Return the value of ``extends`` that counts, and its place."""
    found = None
    for layer in group:
        table = layer.profile(name) or {}
        if "extends" in table:
            found = table["extends"], KeyLocation(layer, ("profiles", name, "extends"))
    return found


def _no_such_parent(name: str, location: KeyLocation, group: Iterable[Layer]) -> ProfileError:
    choices = {each for layer in group for each in layer.names()}
    hint = "extends reaches only profiles of the same group of files (the project's, or your own)"
    return ProfileError(problems=[location.problem(unknown_profile(name, choices), hint=hint)])


def _copy_tables(table: Table | None) -> Table:
    """Copy a table and the tables in it; lists and values are shared."""
    return {
        key: _copy_tables(value) if isinstance(value, dict) else value
        for key, value in (table or {}).items()
    }


# ---------------------------------------------------------------- what voids what


def _void_lower_keys(parts: Iterable[ProfileLayer], upper: ProfileLayer) -> list[ProfileLayer]:
    """Return the lower layers without the keys that the upper one makes void.

    Another scheme voids the whole ``auth`` below it: its keys belong to the other scheme. A
    variable or argument that sets another proxy voids the proxy's credentials.
    """
    parts = list(parts)
    scheme = _scheme_of(upper.table)
    lower = [found for part in parts if (found := _scheme_of(part.table)) is not None]
    if scheme is not None and lower and lower[-1] != scheme:
        parts = _void(parts, ("auth",), upper, ("auth", "scheme"), _OTHER_SCHEME)
    if not upper.layer.is_file:
        for key in (("proxy",), ("auth", "proxy")):
            by = (*key, "url") if _has(upper.table, (*key, "url")) else key
            if by != key or isinstance(_get(upper.table, key), str):
                parts = _void(parts, key, upper, by, _OTHER_PROXY)
    return parts


_OTHER_SCHEME: Final = "another auth.scheme starts with an empty auth table"
_OTHER_PROXY: Final = "another proxy gets no login that was meant for this one"
_OTHER_SERVER: Final = "another server gets no login that was meant for this one"


def _scheme_of(table: Table) -> Any:
    return _get(table, ("auth", "scheme"))


def _void(
    parts: Iterable[ProfileLayer], key: Key, upper: ProfileLayer, by: Key, why: str
) -> list[ProfileLayer]:
    """Return the layers without one key, and record that a key of the upper layer voids it."""
    location = KeyLocation(upper.layer, (*upper.above, *by), upper.above)
    return [
        replace(
            part,
            table=_without(part.table, key),
            voided=(*part.voided, VoidedKeys(_only(part.table, key), location, why)),
        )
        if _has(part.table, key)
        else part
        for part in parts
    ]


def _without(table: Table, key: Key) -> Table:
    """Return a table without one key, which it has."""
    name, *rest = key
    others = {other: value for other, value in table.items() if other != name}
    return {**others, name: _without(table[name], tuple(rest))} if rest else others


def _only(table: Table, key: Key) -> Table:
    """Return a table with nothing but one key, which it has."""
    name, *rest = key
    return {name: _only(table[name], tuple(rest)) if rest else table[name]}


def _void_auth_of_another_server(
    parts: list[ProfileLayer], table: Table, upper: ProfileLayer
) -> tuple[list[ProfileLayer], list[Problem]]:
    """Void the lower ``auth`` where a variable or argument moves ``url`` to another origin.

    The login was meant for the server below. It is a problem where the upper layer does not bring
    a login of its own.
    """
    new, old = upper.table.get("url"), table.get("url")
    if not isinstance(new, str) or not isinstance(old, str) or is_same_origin(new, old):
        return parts, []
    parts = _void(parts, ("auth",), upper, ("url",), _OTHER_SERVER)
    if _scheme_of(upper.table) is not None:
        return parts, []
    problem = KeyLocation(upper.layer, (*upper.above, "url")).problem(
        "moves the profile to another server, so the profile's own auth is not used there",
        hint="set auth (scheme and its keys) in the same place, or add a profile",
    )
    return parts, [problem]


def secrets_of_another_issuer(
    parts: Sequence[ProfileLayer], secrets: Iterable[Key]
) -> Iterator[Problem]:
    """Find secrets that would be sent to an identity provider that they were not meant for.

    A variable or argument that changes a written ``issuer`` must bring each secret that is sent
    there. Where no layer below wrote one, nothing is changed.

    Args:
        parts: what the layers say about a profile, in rising order of precedence.
        secrets: the keys of the scheme that hold secrets.

    Yields:
        a problem at the issuer for each secret that was meant for another one.
    """
    holders = {
        key: number for key in secrets for number, part in enumerate(parts) if _has(part.table, key)
    }
    before = ""
    for number, part in enumerate(parts):
        written = _get(part.table, ("auth", "issuer"))
        issuer = written if isinstance(written, str) else ""
        moves = before and issuer and issuer.removesuffix("/") != before.removesuffix("/")
        if moves and not part.layer.is_file:
            for key, holder in holders.items():
                if holder < number:
                    name = ".".join(key[1:])
                    yield KeyLocation(part.layer, (*part.above, "auth", "issuer")).problem(
                        "moves the profile to another identity provider, so the profile's own "
                        f"{name} is not sent there",
                        hint=f"set auth.{name} in the same place, or add a profile",
                    )
        before = issuer or before


def merge_tables(tables: Sequence[Table]) -> Table:
    """Merge tables key by key, the last one strongest.

    pydantic-settings merges what :mod:`~gatepass._config.fast_types` leaves undecided. Two tables
    at a time, from below: with all at once, a table above a plain value would let the keys of a
    table below that value come back.
    """
    below = tables[0] if tables else {}
    for table in tables[1:]:
        merged = fast_types.merge_simply(below, table)
        below = _merge_as_settings(below, table) if merged is fast_types.UNDECIDED else merged
    return below


def _merge_as_settings(lower: Table, upper: Table) -> Table:
    from gatepass._config.settings import Layered

    return Layered.over(lower, upper)
