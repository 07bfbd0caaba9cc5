"""The layers that a profile is merged from, and the place of each key in them."""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

from gatepass._config.files import UnreadFile
from gatepass._config.locations import Locations
from gatepass._config.toml import Key, Places, Table
from gatepass._system.text import pattern, printable, quoted
from gatepass._value import Value, field, replace
from gatepass.errors import Problem, UntrustedFile
from gatepass.secrets import LayerKind

PROFILE_NAME: Final = pattern(r"[a-z0-9](?!.*__)[a-z0-9_-]*")
BAD_NAME: Final = (
    "a profile's name is made of a-z, 0-9, - and _, begins with a letter or digit, "
    "and holds no double _"
)
TOP_KEYS: Final = ("default_profile", "root", "profiles")
MACHINE_KEYS: Final = ("vault", "vault_key", "allow_commands", "allow_insecure_keyring")


def is_own(kind: LayerKind) -> bool:
    """Say whether a layer of this kind belongs to the user or the system, not to a project."""
    return kind in {"system", "user"}


def is_project(kind: LayerKind) -> bool:
    """Say whether a layer of this kind is a project's file that was found by the search."""
    return kind in {"project", "local"}


class ShadowedVariable(Value):
    """A variable that another one hides, kept for ``explain``.

    Attributes:
        variable: its name.
        key: the key that it would have given.
        value: its value.
        by: the other variable.
    """

    variable: str
    key: Key
    value: str = field(repr=False)
    by: str


class Layer(Value):
    """One layer: a file, the variables, or the arguments.

    Attributes:
        kind: what it is read from.
        label: how messages name it: a path, or ``overrides``.
        tables: its keys and values as parsed; those of variables stand below ``profiles``.
        base_dir: where relative paths start.
        text: the bytes of the file; empty for other layers.
        variables: for the layer of variables, which variable gave a key.
        shadowed: for the layer of variables, those that others of it hide.
    """

    kind: LayerKind
    label: str
    tables: Table = field(repr=False)
    base_dir: Path | None = None
    text: bytes = field(default=b"", repr=False)
    variables: Mapping[Key, str] = field(default_factory=dict)
    shadowed: tuple[ShadowedVariable, ...] = ()

    @property
    def is_own(self) -> bool:
        """Whether it belongs to the user or the system, not to a project."""
        return is_own(self.kind)

    @property
    def is_file(self) -> bool:
        """Whether it is a file, and neither the variables nor the arguments."""
        return self.kind not in {"variable", "argument"}

    @cached_property
    def places(self) -> Places:
        """The positions of the keys of the file, found when one is first asked for."""
        return Places(self.text)

    def profile(self, name: str) -> Table | None:
        """Return this layer's table of a profile; None when it has none."""
        profiles = self.tables.get("profiles")
        table = profiles.get(name) if isinstance(profiles, dict) else None
        return table if isinstance(table, dict) else None

    def names(self) -> Iterable[str]:
        """List the profiles that this layer has keys for."""
        profiles = self.tables.get("profiles")
        return profiles if isinstance(profiles, dict) else ()


class KeyLocation(Value):
    """Where one key was written.

    Attributes:
        layer: the layer.
        key: the key within that layer's text, such as ``("profiles", "prod", "url")``.
        above: the part of it that names the table, such as ``("profiles", "prod")``.
    """

    layer: Layer
    key: Key
    above: Key = ()

    @property
    def where(self) -> str:
        """The place in the form ``file:line:column``, the variable's name, or ``overrides``."""
        variable = self.layer.variables.get(self.key)
        if variable is not None:
            return printable(variable)
        place = self.layer.places.of(self.key) if self.layer.text else None
        label = printable(self.layer.label)
        return f"{label}:{place.line}:{place.column}" if place else label

    def problem(self, message: str, *, hint: str = "", key: Key | None = None) -> Problem:
        """Return a problem at this place; ``key`` is the one to name, where it is not this key."""
        place = self.layer.places.of(self.key) if self.layer.text else None
        shown = printable(".".join(key or self.key))
        return Problem(self.where, shown, message, place.excerpt if place else "", hint)


class Leaf:
    """One value with its place. Merging layers moves it, and never copies or compares it.

    Attributes:
        value: what stands there.
        location: where it was written.
    """

    __slots__ = ("location", "value")

    def __init__(self, value: Any, location: KeyLocation) -> None:
        self.value = value
        self.location = location


class FileSeen(Value):
    """One file that was looked for.

    Attributes:
        path: the file.
        layer: its kind: ``system``, ``user``, ``project``, ``local``, or ``file`` for one that was
            named explicitly.
        state: ``read``, ``absent`` or ``skipped``.
        why: the reason, such as ``not trusted``; may be empty.
    """

    path: Path
    layer: LayerKind
    state: Literal["read", "absent", "skipped"]
    why: str = ""


class Layers(Value):
    """All layers from which a profile is selected and merged.

    Attributes:
        file_layers: the files that take part, in rising order of precedence.
        variables: the layer of ``GATEPASS_PROFILES__*``.
        arguments: the layer of ``overrides=``.
        untrusted: project files that take no part, since they are not trusted.
        unread: project files that were not parsed; they take no part either.
        machine: the machine settings, each with its location; a key of the table ``vault`` that a
            variable gave is there once more, with its own location, as ``vault.KEY``.
        files: every file that was looked for.
        notices: warnings, one sentence each.
        wanted: the value of ``GATEPASS_PROFILE``; None when unset or empty.
        empty: those of ``GATEPASS_PROFILE`` and ``GATEPASS_CONFIG_FILE`` that are set and empty.
        stray: a ``profiles.toml`` in the working directory that is not read.
        own: the files of the system and the user, also where only their machine settings count.
        replaced_by: what named files instead of the search, ``config_file`` or
            ``GATEPASS_CONFIG_FILE``; empty when they were searched.
        locations: where files were looked for.
    """

    file_layers: tuple[Layer, ...]
    variables: Layer
    arguments: Layer
    untrusted: tuple[Layer, ...] = ()
    unread: tuple[UnreadFile, ...] = ()
    machine: Mapping[str, tuple[Any, KeyLocation]] = field(default_factory=dict, repr=False)
    files: tuple[FileSeen, ...] = ()
    notices: tuple[str, ...] = ()
    wanted: str | None = None
    empty: tuple[str, ...] = ()
    stray: Path | None = None
    own: tuple[Layer, ...] = ()
    replaced_by: str = ""
    locations: Locations | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Every profile that can be selected, sorted: these names are safe to show and to paste."""
        return tuple(filter(PROFILE_NAME.fullmatch, self.all_names))

    @cached_property
    def all_names(self) -> tuple[str, ...]:
        """Every profile, sorted, also one whose name is refused: such a name may be any text.

        A profile that stands in variables alone counts where they give its URL.
        """
        named = {name for layer in self.file_layers for name in layer.names()}
        alone = (
            name for name in self.variables.names() if "url" in (self.variables.profile(name) or {})
        )
        return tuple(sorted(named.union(alone)))

    def notices_beside(self, told: str) -> Iterator[str]:
        """Yield the notices, without what an error about one of the files tells already."""
        for notice in self.notices:
            file, is_untrusted, _ = notice.partition(" is not trusted")
            if not (is_untrusted and told.startswith(file)):
                yield notice

    def where(self, name: str) -> KeyLocation:
        """Return where a profile is defined: its table in the strongest file that has one."""
        key = ("profiles", name)
        defining = [layer for layer in self.group_of(name) if name in layer.names()]
        return KeyLocation((defining or [self.variables])[-1], key, key)

    def group_of(self, name: str) -> tuple[Layer, ...]:
        """Return the files that define a profile's content: one group, never both."""
        project, own = self._groups
        return project if any(name in layer.names() for layer in project) else own

    @cached_property
    def _groups(self) -> tuple[tuple[Layer, ...], tuple[Layer, ...]]:
        """The files of the project, and those of the user and the system."""
        project = tuple(layer for layer in self.file_layers if not layer.is_own)
        return project, tuple(layer for layer in self.file_layers if layer.is_own)


def leaves(table: Mapping[str, Any], above: Key = ()) -> Iterator[tuple[Key, Any]]:
    """Yield each key of a table that holds a value, with it; a command is one value."""
    for name, value in table.items():
        key = (*above, str(name))
        if isinstance(value, dict) and value and not _is_command(value):
            yield from leaves(value, key)
        else:
            yield key, value


def plain_table(mapping: Mapping[str, Any]) -> Table:
    """Return a copy as dicts with keys that are ``str``."""
    return {
        str(key): plain_table(value) if isinstance(value, Mapping) else value
        for key, value in mapping.items()
    }


def _is_command(table: Table) -> bool:
    return set(table) == {"command"} and isinstance(table["command"], list)


def refuse_untrusted(layers: Layers, name: str) -> None:
    """Raise UntrustedFile where a file that is not trusted defines a profile."""
    for layer in layers.untrusted:
        if name in layer.names():
            raise untrusted_file(layer, f"it defines the profile {printable(name)!r}", name)


def untrusted_file(layer: Layer, why: str, name: str = "") -> UntrustedFile:
    """Return the error about a file that is not trusted; it says what trusting it would allow."""
    from gatepass._config.abilities import summary

    path = quoted(layer.label)
    table = layer.profile(name) or {}
    alone = replace(layer, tables={"profiles": {name: table}})
    may = [f"if you trusted it: {line}" for line in summary([alone])] if table else []
    return UntrustedFile(
        "\n".join([f"{printable(layer.label)}: this file is not trusted, and {why}", *may]),
        hint=f"read it and trust it:     gatepass trust {path}\n"
        f"or name it for this run:  --config-file {path} (config_file= in Python)",
    )
