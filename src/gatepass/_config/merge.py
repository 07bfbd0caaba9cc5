"""Merge what every layer says about one profile: precedence, ``extends``, what voids what.

From the weakest to the strongest: the files of one group, parents before children, then variables,
then arguments. Tables merge key by key. Own files and a project's files are never merged with each
other: a project's profile replaces an own one of the same name whole, so that no secret of the
user meets the URL of a project.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, Final, Self

from gatepass._config import judge
from gatepass._config.layer import KeyLocation, Layer, Layers, Leaf, leaves, refuse_untrusted
from gatepass._config.suggest import unknown_profile
from gatepass._config.toml import Key, Table
from gatepass._net.urls import is_same_origin
from gatepass._system import log
from gatepass._system.text import printable
from gatepass._value import Value, field, replace
from gatepass.errors import Problem, ProfileError, ProfileNotFound
from gatepass.secrets import Secret


class VoidedKeys(Value):
    """Keys of one layer that a higher one made void, kept for ``explain``.

    Attributes:
        table: the keys, in their table.
        by: the key that did it.
        why: the rule, in one sentence.
    """

    table: Table = field(repr=False)
    by: KeyLocation
    why: str


class ProfileLayer(Value):
    """What one layer says about a profile, or about a parent of it.

    Attributes:
        layer: the layer.
        table: its keys.
        above: the path of the table in the layer's text.
        voided: keys of this layer that a higher one made void; they are not in ``table``.
        written: how keys are spelt in the layer's text, where ``table`` has another spelling.
    """

    layer: Layer
    table: Table = field(repr=False)
    above: Key
    voided: tuple[VoidedKeys, ...] = ()
    written: Mapping[Key, Key] = {}

    def location(self, key: Key = ()) -> KeyLocation:
        """Return where a key of it stands; without a key, where the table itself does."""
        return KeyLocation(self.layer, (*self.above, *self.written.get(key, key)), self.above)

    def tree(self) -> Table:
        """Return its tables with each value in a leaf that knows its place.

        An empty table stays one: it adds nothing to a table below it, and replaces a value.
        """
        tree: Table = {}
        for key, value in leaves(self.table):
            inside = tree
            for name in key[:-1]:
                inside = inside.setdefault(name, {})
            inside[key[-1]] = {} if value == {} else Leaf(value, self.location(key))
        return tree


class MergedProfile(Value, opaque=True):
    """One profile's keys, merged, before they are checked.

    Attributes:
        name: the profile.
        tree: the merged keys, each value with its place.
        profile_layers: what was merged, in rising order of precedence.
        problems: what is wrong with the merging itself.
        layers: what it was merged from; None for a profile without files.
        requested: the name that the caller asked for; None where one had to be selected.
    """

    name: str
    tree: Table = field(repr=False)
    profile_layers: tuple[ProfileLayer, ...]
    problems: tuple[Problem, ...] = ()
    layers: Layers | None = field(default=None, repr=False)
    requested: str | None = None

    @cached_property
    def table(self) -> Table:
        """The merged keys and values."""
        table: Table = _values_of(self.tree)
        return table

    @cached_property
    def locations(self) -> Mapping[Key, KeyLocation]:
        """Where each value was written."""
        return {key: leaf.location for key, leaf in leaves(self.tree) if isinstance(leaf, Leaf)}

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def hide_secrets(self, checked: Mapping[str, Any]) -> None:
        """Put the ``Secret`` of a checked value where a secret was given as text.

        In place: the location of each key refers to the layer with the text.

        Args:
            checked: the keys of the profile, checked, with the scheme as ``auth``.
        """
        arguments = [part for part in self.profile_layers if part.layer.kind == "argument"]
        for table in (self.tree, *(part.table for part in arguments)):
            _hide_secrets(table, checked)
        for part in arguments:
            _hide_secrets(part.layer.tables, checked)
        vars(self).pop("table", None)  # made of the text; the next use makes it anew

    def location(self, key: Key) -> KeyLocation:
        """Return where a key of the merged table was written, else the table around it."""
        for length in range(len(key), 0, -1):
            if (found := self.locations.get(key[:length])) is not None:
                return found
            for part in reversed(self.profile_layers):
                if isinstance(_get(part.table, key[:length]), dict):
                    return part.location(key[:length])
        # No layer mentions it: a file that holds the profile is the place to add it.
        in_files = [part for part in self.profile_layers if part.layer.text]
        return (in_files or self.profile_layers)[-1].location()


def _hide_secrets(table: Table, checked: Any) -> None:
    for name, value in table.items():
        is_table = isinstance(checked, Mapping)
        found = checked.get(name) if is_table else getattr(checked, name, None)
        if isinstance(value, dict):
            _hide_secrets(value, found)
        elif isinstance(found, Secret):
            table[name] = Leaf(found, value.location) if isinstance(value, Leaf) else found


def _values_of(tree: Any) -> Any:
    """Return the values of a merged tree, without their places."""
    if isinstance(tree, Leaf):
        return tree.value
    return {key: _values_of(inner) for key, inner in tree.items()}


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
    parts, problems = profile_layers_of(layers, name)
    if not parts:
        raise ProfileNotFound(f"there is no profile {name!r}")
    labels = ", ".join(dict.fromkeys(part.layer.label for part in parts))
    log.debug("profile %s: merged from %s", name, labels)
    tree = judge.merge(part.tree() for part in parts)
    return MergedProfile(name, tree, parts, problems, layers, requested)


def profile_layers_of(
    layers: Layers, name: str
) -> tuple[tuple[ProfileLayer, ...], tuple[Problem, ...]]:
    """Return what counts of what each layer says about a profile, the strongest last.

    Raises:
        ProfileError: as :func:`merge_profile`.
        UntrustedFile: likewise.
    """
    refuse_untrusted(layers, name)
    parts = _file_layers_of(layers, name)
    problems: list[Problem] = []
    for part in _layers_above_files(layers, name):
        if "extends" in part.table:
            problems.append(part.location(("extends",)).problem("only a file may set it"))
        parts, moved = _void_auth_of_another_server(parts, part)
        problems += moved
        parts = [*_void_lower_keys(parts, part), part]
    for above in _FREE_TABLES:
        if not any(_has(part.table, above) for part in parts):
            continue
        parts, doubled = _unite_names(parts, above)
        problems += doubled
    return tuple(parts), tuple(problems)


def reader_of(layers: Layers, name: str) -> Callable[[Key], Any]:
    """Return a function from a key of a profile to the value that counts; None where none does.

    A profile of one file, without a parent, is not merged: `profiles` lists thousands.

    Raises:
        ProfileError: as :func:`merge_profile`.
        UntrustedFile: likewise.
    """
    everything = (*layers.file_layers, layers.variables)
    tables = [table for layer in everything if (table := layer.profile(name)) is not None]
    if len(tables) == 1 and not layers.arguments.tables and "extends" not in tables[0]:
        return partial(_get, tables[0])
    return partial(strongest, profile_layers_of(layers, name)[0])


def strongest(parts: Sequence[ProfileLayer], key: Key) -> Any:
    """Return the value of a key in the strongest layer that has it; None where none has."""
    return next((_get(part.table, key) for part in reversed(parts) if _has(part.table, key)), None)


def _layers_above_files(layers: Layers, name: str) -> Iterator[ProfileLayer]:
    """Yield what variables and arguments say about a profile, where they say anything."""
    for layer, above in ((layers.variables, ("profiles", name)), (layers.arguments, ())):
        table = layer.profile(name) if above else layer.tables
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
                if member != name and "extends" in table:
                    table = _without(table, ("extends",))
                part = ProfileLayer(layer, table, ("profiles", member))
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


# ---------------------------------------------------------------- names that are one

_HEADERS: Final = ("headers",)
_RUN: Final = ("run",)
_FREE_TABLES: Final = (_HEADERS, _RUN, ("auth", "extra_params"), ("auth", "token_params"))


def _unite_names(
    parts: Iterable[ProfileLayer], above: Key
) -> tuple[list[ProfileLayer], list[Problem]]:
    """Give what is one name the same spelling in all layers: that of the weakest one.

    Headers match without case (RFC 9110, section 5.1). The name of a variable has no case, and
    ``_`` for ``-``. Names that meet in one layer are a problem.
    """
    known: list[str] = []
    united: list[ProfileLayer] = []
    problems: list[Problem] = []
    for part in parts:
        table = _get(part.table, above)
        spelt: Table = {}
        written: dict[Key, Key] = {}
        for name, value in table.items() if isinstance(table, dict) else ():
            spelling = _spelling(name, known, part.layer, above)
            if spelling in spelt:
                message = f"is the same name as {printable(written[*above, spelling][-1])}"
                location = part.location((*above, name))
                problems.append(location.problem(message, hint="keep one of the two"))
                continue
            spelt[spelling] = value
            written[*above, spelling] = (*above, name)
        known += [name for name in spelt if name not in known]
        if spelt and list(spelt) != list(table):
            without = _put(part.table, above, spelt)
            part = replace(part, table=without, written={**part.written, **written})  # noqa: PLW2901
        united.append(part)
    return united, problems


def _spelling(name: str, known: Iterable[str], layer: Layer, above: Key) -> str:
    """Return the spelling that a lower layer has for a name, else how a new one is spelt."""
    by_variable, is_header = layer.kind == "variable", above == _HEADERS
    alike = [each for each in known if each == name]
    if by_variable or is_header:
        alike += [each for each in known if each.lower() == name.lower()]
    flat = name.lower().replace("_", "-") if by_variable and is_header else name
    if by_variable and above == _RUN:
        flat = name.upper()
    if flat != name:
        alike += [each for each in known if each.lower().replace("_", "-") == flat]
    return (alike or [flat])[0]


def _put(table: Table, key: Key, value: Any) -> Table:
    name, *rest = key
    return {**table, name: _put(table[name], tuple(rest), value) if rest else value}


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
    location = upper.location(by)
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
    parts: list[ProfileLayer], upper: ProfileLayer
) -> tuple[list[ProfileLayer], list[Problem]]:
    """Void the lower ``auth`` where a variable or argument moves ``url`` to another origin.

    The login was meant for the server below. It is a problem where the upper layer does not bring
    a login of its own.
    """
    new, old = upper.table.get("url"), strongest(parts, ("url",))
    if not isinstance(new, str) or not isinstance(old, str) or is_same_origin(new, old):
        return parts, []
    parts = _void(parts, ("auth",), upper, ("url",), _OTHER_SERVER)
    if _scheme_of(upper.table) is not None:
        return parts, []
    problem = upper.location(("url",)).problem(
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
                    yield part.location(("auth", "issuer")).problem(
                        "moves the profile to another identity provider, so the profile's own "
                        f"{name} is not sent there",
                        hint=f"set auth.{name} in the same place, or add a profile",
                    )
        before = issuer or before
