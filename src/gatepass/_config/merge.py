"""Merge what every layer says about one profile, and remember what was voided."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from gatepass._config import fast_types, trust
from gatepass._config.layer import KeyLocation, Layer, Layers, refuse_untrusted
from gatepass._config.suggest import unknown_profile
from gatepass._config.toml import Key, Table
from gatepass._net.urls import is_same_origin
from gatepass.errors import Problem, ProfileError, ProfileNotFound


@dataclass(frozen=True)
class VoidedKeys:
    """Keys of one layer that a higher one made void, kept for whoever asks why.

    Attributes:
        table: the keys, in their table.
        by: the key that did it.
        why: the rule, one sentence.
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
        voided: keys of this layer that do not count any more.
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
        profile_layers: what was merged, in rising order of precedence; keys that lost because
            another scheme was chosen are gone from their tables.
        problems: complaints about the merging itself.
        layers: what it was merged from; None for a profile without files.
        requested: the name that the caller asked for; None where one had to be chosen.
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
        # Nobody mentions it: a file that holds the profile is the place to add it.
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
        UntrustedFile: a file that nobody trusts says something about it or its parent.
    """
    refuse_untrusted(layers, name)
    chain = _chain(layers, name)
    base_table = merge_tables([part.table for part in chain])
    problems: list[Problem] = []
    for layer, above in ((layers.variables, ("profiles", name)), (layers.arguments, ())):
        table = _copy(layer.profile(name) if above else layer.tables)
        if not table:
            continue
        part = ProfileLayer(layer, table, above)
        if "extends" in table:
            problems.append(
                KeyLocation(layer, (*above, "extends")).problem("only a file may set it")
            )
        chain, moved = _moved(chain, base_table, part)
        problems += moved
        chain = [*_yielding(chain, part), part]
        base_table = merge_tables([each.table for each in chain])
    if not chain:
        raise ProfileNotFound(f"there is no profile {name!r}")
    return MergedProfile(name, base_table, tuple(chain), tuple(problems), layers, requested)


def _chain(layers: Layers, name: str) -> list[ProfileLayer]:
    """What files say about a profile and its parents, in rising order of precedence."""
    group = layers.group_of(name)
    lineage, current = [name], name
    while (parent := _parent(group, current)) is not None:
        value, location = parent
        if not isinstance(value, str):
            break  # the gate complains about the type
        if value in lineage:
            circle = " -> ".join(map(trust.printable, [*lineage, value]))
            raise ProfileError(problems=[location.problem(f"extends runs in a circle: {circle}")])
        if not location.layer.is_own:
            refuse_untrusted(layers, value)
        if not any(value in layer.names() for layer in group):
            choices = {each for layer in group for each in layer.names()}
            raise ProfileError(
                problems=[
                    location.problem(
                        unknown_profile(value, choices),
                        hint="extends reaches only profiles of the same group of files "
                        "(the project's, or your own)",
                    )
                ]
            )
        lineage.append(value)
        current = value
    chain: list[ProfileLayer] = []
    for member in reversed(lineage):
        for layer in group:
            table = layer.profile(member)
            if table is not None:
                inherited = member != name
                own = {k: v for k, v in table.items() if not (inherited and k == "extends")}
                part = ProfileLayer(layer, _copy(own), ("profiles", member))
                chain = [*_yielding(chain, part), part]
    return chain


def _parent(group: Iterable[Layer], name: str) -> tuple[Any, KeyLocation] | None:
    found = None
    for layer in group:
        table = layer.profile(name) or {}
        if "extends" in table:
            found = table["extends"], KeyLocation(layer, ("profiles", name, "extends"))
    return found


def _copy(table: Table | None) -> Table:
    """A copy of the table and of the tables in it; lists and values are shared."""
    return {
        key: _copy(value) if isinstance(value, dict) else value
        for key, value in (table or {}).items()
    }


def _yielding(chain: Iterable[ProfileLayer], upper: ProfileLayer) -> list[ProfileLayer]:
    """The lower layers without what the upper one makes void.

    Another scheme voids the whole ``auth`` below it: its keys belong to the other scheme. A
    variable or argument that sets another proxy voids the proxy's credentials.
    """
    chain = list(chain)
    scheme = _scheme(upper.table)
    lower = [found for part in chain if (found := _scheme(part.table)) is not None]
    if scheme is not None and lower and lower[-1] != scheme:
        chain = _without(chain, ("auth",), upper, ("auth", "scheme"), _OTHER_SCHEME)
    if upper.layer.kind in {"variable", "argument"}:
        for key in (("proxy",), ("auth", "proxy")):
            by = (*key, "url") if _has(upper.table, (*key, "url")) else key
            if by != key or isinstance(_get(upper.table, key), str):
                chain = _without(chain, key, upper, by, _OTHER_PROXY)
    return chain


_OTHER_SCHEME: Final = "another auth.scheme starts with an empty auth table"
_OTHER_PROXY: Final = "another proxy gets no login that was meant for this one"
_OTHER_SERVER: Final = "another server gets no login that was meant for this one"


def _scheme(table: Table) -> Any:
    auth = table.get("auth")
    return auth.get("scheme") if isinstance(auth, dict) else None


def _without(
    chain: Iterable[ProfileLayer], key: Key, upper: ProfileLayer, by: Key, why: str
) -> list[ProfileLayer]:
    """The layers without one key, which a key of the upper layer makes void."""
    location = KeyLocation(upper.layer, (*upper.above, *by), upper.above)
    return [
        replace(
            part,
            table=_cut(part.table, key),
            voided=(*part.voided, VoidedKeys(_only(part.table, key), location, why)),
        )
        if _has(part.table, key)
        else part
        for part in chain
    ]


def _cut(table: Table, key: Key) -> Table:
    """A table without one key, which it has."""
    name, *rest = key
    others = {other: value for other, value in table.items() if other != name}
    return {**others, name: _cut(table[name], tuple(rest))} if rest else others


def _only(table: Table, key: Key) -> Table:
    """A table with nothing but one key, which it has."""
    name, *rest = key
    return {name: _only(table[name], tuple(rest)) if rest else table[name]}


def _moved(
    chain: list[ProfileLayer], below: Table, upper: ProfileLayer
) -> tuple[list[ProfileLayer], list[Problem]]:
    """Keep credentials at home: a variable or argument that moves ``url`` brings its own auth."""
    new, old = upper.table.get("url"), below.get("url")
    if not isinstance(new, str) or not isinstance(old, str) or is_same_origin(new, old):
        return chain, []
    stripped = _without(chain, ("auth",), upper, ("url",), _OTHER_SERVER)
    if _scheme(upper.table) is not None:
        return stripped, []
    location = KeyLocation(upper.layer, (*upper.above, "url"))
    return stripped, [
        location.problem(
            "moves the profile to another server, so the profile's own auth is not used there",
            hint="set auth (scheme and its keys) in the same place, or add a profile",
        )
    ]


def secrets_of_another_issuer(
    parts: Sequence[ProfileLayer], secrets: Iterable[Key]
) -> Iterator[Problem]:
    """Keep secrets at their identity provider, as :func:`_moved` keeps a login at its server.

    A variable or argument that changes a written ``issuer`` must bring each secret that is sent
    there. Where none was written below, nothing is changed.

    Args:
        parts: what the layers say of a profile, in rising order of precedence.
        secrets: the keys of the scheme that hold secrets.

    Yields:
        a complaint about the issuer for each secret that was meant for another one.
    """
    holders = {
        key: number for key in secrets for number, part in enumerate(parts) if _has(part.table, key)
    }
    before = ""
    for number, part in enumerate(parts):
        issuer = _issuer(part.table)
        moves = before and issuer and issuer.removesuffix("/") != before.removesuffix("/")
        if moves and part.layer.kind in {"variable", "argument"}:
            for key, holder in holders.items():
                if holder < number:
                    name = ".".join(key[1:])
                    yield KeyLocation(part.layer, (*part.above, "auth", "issuer")).problem(
                        "moves the profile to another identity provider, so the profile's own "
                        f"{name} is not sent there",
                        hint=f"set auth.{name} in the same place, or add a profile",
                    )
        before = issuer or before


def _issuer(table: Table) -> str:
    auth = table.get("auth")
    issuer = auth.get("issuer") if isinstance(auth, dict) else None
    return issuer if isinstance(issuer, str) else ""


def merge_tables(tables: Sequence[Table]) -> Table:
    """Merge tables key by key, the last one strongest.

    What is not plain to see, pydantic-settings does. Two at a time from below: all at once, a
    table above a plain value would let the keys of a table below that value come back.
    """
    below = tables[0] if tables else {}
    for table in tables[1:]:
        merged = fast_types.merge_simply(below, table)
        below = _as_settings(below, table) if merged is fast_types.UNDECIDED else merged
    return below


def _as_settings(lower: Table, upper: Table) -> Table:
    from gatepass._config.settings import Layered

    return Layered.over(lower, upper)
