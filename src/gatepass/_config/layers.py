"""Files, variables and arguments → layers, with the origin of each key.

Two groups of files take part. *Own*: the system's, then the user's. *Project*: ``gatepass.toml``,
then ``gatepass.local.toml`` beside it. Within a group tables merge key by key. Between the groups
nothing merges: a project's profile replaces an own one of that name whole, so that no secret of
the user meets the URL of a project. Above the files stand variables and arguments.

pydantic-settings does the merging that is not plain to see; this module decides what is merged,
and can tell for each key of the result where it was written.
"""

import difflib
import heapq
import os
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from gatepass._config import fast_types, toml_bounds, trust
from gatepass._config.toml import Key, Place, Places, syntax_error
from gatepass.errors import (
    Problem,
    ProfileError,
    ProfileNotFound,
    UnsafePermissions,
    UntrustedFile,
)
from gatepass.secrets import Layer

Table = dict[str, Any]

NAME: Final = re.compile(r"[a-z0-9](?!.*__)[a-z0-9_-]*")
BAD_NAME: Final = (
    "a profile's name is made of a-z, 0-9, - and _, begins with a letter or digit, "
    "and holds no double _"
)
PROJECT_FILE: Final = "gatepass.toml"
LOCAL_FILE: Final = "gatepass.local.toml"
_PROJECT_FILES: Final[Mapping[str, Layer]] = {PROJECT_FILE: "project", LOCAL_FILE: "local"}
_MOST_NAMES: Final = 50
_TOO_MANY: Final = 500
_FEW_NAMES: Final = 10
_FEW_LETTERS: Final = 2
TOP_KEYS: Final = ("default_profile", "root", "profiles")
MACHINE_KEYS: Final = ("vault", "vault_key", "allow_commands", "allow_insecure_keyring")
_OWN: Final = frozenset({"system", "user"})
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

ConfigFile = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


@dataclass(frozen=True, slots=True)
class Locations:
    """Where files are looked for.

    Attributes:
        system: the files of the system, in rising order of precedence.
        user: the user's file.
        state: the folder for what gatepass remembers.
        working: the working directory; None when it no longer exists.
        home: the user's home folder; None when there is none. Then ``user`` and ``state``, unless
            variables name their folders, are places where nothing can be, and whose names say why.
    """

    system: tuple[Path, ...]
    user: Path
    state: Path
    working: Path | None
    home: Path | None

    @classmethod
    def of_this_process(cls) -> "Locations":
        """Return where the files of this process belong, after the habits of its system."""
        import platformdirs

        dirs = platformdirs.PlatformDirs("gatepass", appauthor=False, multipath=True)
        site = [] if sys.platform == "win32" else dirs.site_config_dir.split(os.pathsep)
        try:
            working = Path.cwd()
        except OSError:
            working = None
        return cls(
            system=tuple(Path(folder) / "profiles.toml" for folder in reversed(site)),
            user=(_at_home(lambda: dirs.user_config_path) or NO_HOME) / "profiles.toml",
            state=_at_home(lambda: dirs.user_state_path) or NO_HOME,
            working=working,
            home=_at_home(Path.home),
        )


# In a container the account may be a number only. Below a device nothing can be, not even of root.
NO_HOME: Final = Path(os.devnull, "HOME is not set", "gatepass")


def _at_home(place: Callable[[], Path]) -> Path | None:
    """Return a place in the home folder; None where there is no home folder."""
    try:
        found = place()
    except RuntimeError:
        return None
    return found if found.is_absolute() else None  # older releases of platformdirs leave the ~


@dataclass(frozen=True)
class Shadowed:
    """A variable that another one hides, kept for whoever asks why.

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


@dataclass(frozen=True)
class Source:
    """One layer: a file, the variables, or the arguments.

    Attributes:
        layer: which kind of place.
        label: how messages name it: a path, or ``overrides``.
        tables: what it says, as parsed; for variables and arguments below ``profiles``.
        base_dir: where relative paths start.
        text: the bytes of the file; empty for others.
        variables: for the layer of variables, which variable gave a key.
        shadowed: for the same layer, the variables that others of it hide.
    """

    layer: Layer
    label: str
    tables: Table = field(repr=False)
    base_dir: Path | None = None
    text: bytes = field(default=b"", repr=False)
    variables: Mapping[Key, str] = field(default_factory=dict)
    shadowed: tuple[Shadowed, ...] = ()

    @cached_property
    def places(self) -> Places:
        """The positions of the keys of the file, found at the first question."""
        return Places(self.text)

    def profile(self, name: str) -> Table | None:
        """Return this layer's table of a profile; None when it has none."""
        profiles = self.tables.get("profiles")
        table = profiles.get(name) if isinstance(profiles, dict) else None
        return table if isinstance(table, dict) else None

    def names(self) -> Iterable[str]:
        """List the profiles that this layer says something about."""
        profiles = self.tables.get("profiles")
        return profiles if isinstance(profiles, dict) else ()


@dataclass(frozen=True, slots=True)
class Origin:
    """Where one key was written.

    Attributes:
        source: the layer.
        key: the key within that layer's text, such as ``("profiles", "prod", "url")``.
        above: the part of it that names the table, such as ``("profiles", "prod")``.
    """

    source: Source
    key: Key
    above: Key = ()

    @property
    def where(self) -> str:
        """The place in the form ``file:line:column``, the variable's name, or ``overrides``."""
        variable = self.source.variables.get(self.key)
        if variable is not None:
            return trust.printable(variable)
        place = self.source.places.of(self.key) if self.source.text else None
        label = trust.printable(self.source.label)
        return f"{label}:{place.line}:{place.column}" if place else label

    def problem(self, message: str, *, hint: str = "", key: Key | None = None) -> Problem:
        """Return a complaint about this place; ``key`` is what it names, when not this key."""
        place = self.source.places.of(self.key) if self.source.text else None
        shown = trust.printable(".".join(key or self.key))
        return Problem(self.where, shown, message, place.excerpt if place else "", hint)


@dataclass(frozen=True, slots=True)
class FileSeen:
    """One file that was looked for.

    Attributes:
        path: the file.
        layer: its kind: ``system``, ``user``, ``project``, ``local``, or ``file`` for one that was
            named explicitly.
        state: ``read``, ``absent`` or ``skipped``.
        why: what else is to be said, such as ``not trusted``; may be empty.
    """

    path: Path
    layer: Layer
    state: Literal["read", "absent", "skipped"]
    why: str = ""


@dataclass(frozen=True)
class Layers:
    """All that may take part in choosing and taking a profile.

    Attributes:
        sources: the files that take part, in rising order of precedence.
        variables: the layer of ``GATEPASS_PROFILES__*``.
        arguments: the layer of ``overrides=``.
        untrusted: project files that take no part.
        unread: project files of which nobody knows what they hold; they take no part either.
        machine: the machine settings, each with its origin; a key of the table ``vault`` that a
            variable gave is there once more, with its own origin, as ``vault.KEY``.
        files: every file that was looked for.
        notices: warnings, one sentence each.
        wanted: the value of ``GATEPASS_PROFILE``; None when unset or empty.
        stray: a ``profiles.toml`` in the working directory that is not read.
        own: the system's and the user's file, also where they give machine settings alone.
        replaced_by: what names the files instead of the search, ``config_file`` or
            ``GATEPASS_CONFIG_FILE``; empty when they were searched.
        locations: where files were looked for.
    """

    sources: tuple[Source, ...]
    variables: Source
    arguments: Source
    untrusted: tuple[Source, ...] = ()
    unread: tuple[trust.Unread, ...] = ()
    machine: Mapping[str, tuple[Any, Origin]] = field(default_factory=dict, repr=False)
    files: tuple[FileSeen, ...] = ()
    notices: tuple[str, ...] = ()
    wanted: str | None = None
    stray: Path | None = None
    own: tuple[Source, ...] = ()
    replaced_by: str = ""
    locations: Locations | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Every profile that can be chosen, sorted: these names are safe to show and to paste."""
        return tuple(filter(NAME.fullmatch, self.written))

    @cached_property
    def written(self) -> tuple[str, ...]:
        """Every profile, sorted, also one whose name is refused: any text may be such a name.

        One that only variables name needs a URL.
        """
        named = {name for source in self.sources for name in source.names()}
        alone = (
            name for name in self.variables.names() if "url" in (self.variables.profile(name) or {})
        )
        return tuple(sorted(named.union(alone)))

    def where(self, name: str) -> Origin:
        """Where a profile is defined, as far as that needs no merging."""
        key = ("profiles", name)
        sources = [source for source in self.group_of(name) if name in source.names()]
        return Origin((sources or [self.variables])[-1], key, key)

    def group_of(self, name: str) -> tuple[Source, ...]:
        """Return the files that define a profile's content: one group, never both."""
        project = [source for source in self.sources if source.layer not in _OWN]
        if any(name in source.names() for source in project):
            return tuple(project)
        return tuple(source for source in self.sources if source.layer in _OWN)


@dataclass(frozen=True)
class Dropped:
    """Keys of one layer that a higher one made void, kept for whoever asks why.

    Attributes:
        table: the keys, in their table.
        by: the key that did it.
        why: the rule, one sentence.
    """

    table: Table = field(repr=False)
    by: Origin
    why: str


@dataclass(frozen=True)
class Contribution:
    """What one layer says about a profile, or about a parent of it.

    Attributes:
        source: the layer.
        table: its keys.
        above: the path of the table in the layer's text.
        dropped: keys of this layer that do not count any more.
    """

    source: Source
    table: Table = field(repr=False)
    above: Key
    dropped: tuple[Dropped, ...] = ()


@dataclass(frozen=True)
class Taken:
    """One profile's keys, merged, before they are checked.

    Attributes:
        name: the profile.
        table: the merged keys.
        contributions: what was merged, in rising order of precedence; keys that lost because
            another scheme was chosen are gone from their tables.
        problems: complaints about the merging itself.
        layers: what it was taken from; None for a profile without files.
        asked: the name that the caller asked for; None where one had to be chosen.
    """

    name: str
    table: Table = field(repr=False)
    contributions: tuple[Contribution, ...]
    problems: tuple[Problem, ...] = ()
    layers: Layers | None = field(default=None, repr=False)
    asked: str | None = None

    def origin(self, key: Key) -> Origin:
        """Return where a key of the merged table was written, else the table around it."""
        for length in range(len(key), 0, -1):
            for part in reversed(self.contributions):
                if _has(part.table, key[:length]):
                    return Origin(part.source, (*part.above, *key[:length]), part.above)
        # Nobody mentions it: a file that holds the profile is the place to add it.
        in_files = [part for part in self.contributions if part.source.text]
        part = (in_files or self.contributions)[-1]
        return Origin(part.source, part.above, part.above)


def leaves(table: Mapping[str, Any], above: Key = ()) -> Iterator[tuple[Key, Any]]:
    """Yield each key of a table that holds a value, with it; a command is one value."""
    for name, value in table.items():
        key = (*above, str(name))
        if isinstance(value, dict) and value and not _is_command(value):
            yield from leaves(value, key)
        else:
            yield key, value


def _is_command(table: Table) -> bool:
    return set(table) == {"command"} and isinstance(table["command"], list)


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


# ---------------------------------------------------------------- reading


def read(
    *,
    config_file: ConfigFile | None,
    overrides: Mapping[str, Any] | None,
    environ: Mapping[str, str],
    locations: Locations,
) -> Layers:
    """Read every layer. Reads files; no secret, no network.

    Args:
        config_file: one file or several, in rising order of precedence, that replace the search;
            before the variable ``GATEPASS_CONFIG_FILE``.
        overrides: keys of the chosen profile, above all else.
        environ: the environment variables.
        locations: where files are looked for.

    Raises:
        ProfileError: a file is malformed, unreadable or misplaced; all complaints of one file.
        UnsafePermissions: others may write to a file.
    """
    reader = _Reader(locations, environ.get("SUDO_UID"))
    own: list[tuple[Path, Layer]] = [(path, "system") for path in locations.system]
    own.append((locations.user, "user"))
    own_sources = [found for path, layer in own if (found := reader.own(path, layer)) is not None]
    named = _named_files(config_file, environ)
    if named is not None:
        sources = [reader.named(path) for path in named]
    else:
        sources = [*own_sources, *reader.project()]
    variables, notices = _variables(environ, sources, references_in=(*own_sources, *sources))
    return Layers(
        sources=tuple(sources),
        variables=variables,
        arguments=_arguments(overrides),
        untrusted=tuple(reader.untrusted),
        unread=tuple(reader.unread),
        machine=_machine(own_sources, environ),
        files=tuple(reader.files),
        notices=(*reader.notices, *notices),
        wanted=environ.get("GATEPASS_PROFILE") or None,
        stray=_stray(locations, reader.files),
        own=tuple(own_sources),
        replaced_by=_replaced_by(config_file, named),
        locations=locations,
    )


def _named_files(config_file: ConfigFile | None, environ: Mapping[str, str]) -> list[Path] | None:
    if config_file is None:
        listed = environ.get("GATEPASS_CONFIG_FILE", "")
        paths: Sequence[str | os.PathLike[str]] = [
            part for part in listed.split(os.pathsep) if part
        ]
        if not paths:
            return None
    elif isinstance(config_file, str | os.PathLike):
        paths = [config_file]
    else:
        paths = config_file
    # Path.expanduser raises where nobody is called like that; the file may be.
    return [trust.absolute(Path(os.path.expanduser(path))) for path in paths]  # noqa: PTH111


def _replaced_by(config_file: ConfigFile | None, named: list[Path] | None) -> str:
    if named is None:
        return ""
    return "GATEPASS_CONFIG_FILE" if config_file is None else "config_file"


class _Reader:
    """Reads files one by one and keeps what is to be told about them."""

    def __init__(self, locations: Locations, sudo_uid: str | None) -> None:
        self._locations = locations
        self._sudo_uid = sudo_uid
        self._store = trust.TrustStore(locations.state)
        self.files: list[FileSeen] = []
        self.untrusted: list[Source] = []
        self.unread: list[trust.Unread] = []
        self.notices: list[str] = []

    def own(self, path: Path, layer: Layer) -> Source | None:
        """Read a file of the user or the system."""
        return self._safe(path, layer, own=True)

    def named(self, path: Path) -> Source:
        """Read a file that was named explicitly: it must exist."""
        source = self._safe(path, "file", own=False)
        if source is None:
            raise ProfileError(
                problems=[Problem(trust.printable(str(path)), "", "no such file")],
                hint="it was named by config_file=, --config-file or GATEPASS_CONFIG_FILE",
            )
        return source

    def _safe(self, path: Path, layer: Layer, *, own: bool) -> Source | None:
        file = trust.read(path)
        if file is None:
            self.files.append(FileSeen(path, layer, "absent"))
            return None
        problem = trust.unsafe(file, own=own)
        if problem is not None and not self._store.holds(file):
            raise UnsafePermissions(problems=[problem])
        self.files.append(FileSeen(path, layer, "read"))
        return parse(file, layer)

    def project(self) -> list[Source]:
        """Find and read the project's files; the untrusted ones are kept apart.

        A folder where all of them belong to other users does not end the search.
        """
        for folder in project_folders(self._locations):
            already = len(self.unread)
            sources = list(self._project_in(folder))
            foreign = [each for each in self.unread[already:] if each.owner]
            present = [name for name in _PROJECT_FILES if os.path.lexists(folder / name)]
            if len(foreign) < len(present):
                return sources
        return []

    def _project_in(self, folder: Path) -> Iterator[Source]:
        for name, layer in _PROJECT_FILES.items():
            file = trust.read_project(folder / name, self._store, sudo_uid=self._sudo_uid)
            if file is None:
                self.files.append(FileSeen(folder / name, layer, "absent"))
            elif isinstance(file, trust.Unread):
                self._skip(file, layer)
            elif self._store.holds(file):
                self.files.append(FileSeen(file.path, layer, "read"))
                yield parse(file, layer)
            elif excess := out_of_bounds(file):
                way_out = "remove it, or correct it"
                self._skip(trust.Unread(file.path, f"has {excess}", way_out), layer)
            else:
                self.files.append(FileSeen(file.path, layer, "skipped", "not trusted"))
                self.untrusted.append(parse(file, layer, strict=False))
                self.notices.append(
                    f"{trust.printable(str(file.path))} is not trusted and was skipped; look at "
                    "it with: "
                    f"gatepass trust {trust.quoted(str(file.path))}"
                )

    def _skip(self, file: trust.Unread, layer: Layer) -> None:
        self.unread.append(file)
        self.files.append(FileSeen(file.path, layer, "skipped", file.why))
        self.notices.append(str(file))


def project_folder(locations: Locations) -> Path | None:
    """Return the nearest folder upward that holds a project file."""
    return next(project_folders(locations), None)


def project_folders(locations: Locations) -> Iterator[Path]:
    """Yield the folders upward that hold a project file, the nearest first.

    The folder that holds ``.git`` is the last one looked at; the home folder and all above it
    are never looked at.
    """
    if locations.working is None:
        return
    barred = {Path(locations.working.anchor)}
    if locations.home is not None:
        for home in (locations.home, Path(os.path.realpath(locations.home))):
            barred |= {home, *home.parents}
    for folder in (locations.working, *locations.working.parents):
        if folder in barred:
            return
        if any(os.path.lexists(folder / name) for name in _PROJECT_FILES):
            yield folder
        if os.path.lexists(folder / ".git"):
            return


def _stray(locations: Locations, files: Iterable[FileSeen]) -> Path | None:
    if locations.working is None:
        return None
    path = locations.working / "profiles.toml"
    is_there = os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises where it may not look
    return path if is_there and path not in {file.path for file in files} else None


def parse(file: trust.FileBytes, layer: Layer, *, strict: bool = True) -> Source:
    """Turn a file's bytes into a layer and check its top level.

    Args:
        file: the file as read.
        layer: its kind.
        strict: whether unknown or misplaced top-level keys, and tables nested too deeply, are
            errors; a file that takes no part is parsed only to see which names it holds.

    Raises:
        ProfileError: not UTF-8, out of bounds, not TOML, nested too deeply, or an unknown or
            misplaced key at the top level.
    """
    text = _decode(file)
    _refuse_excess(file.path, text)
    try:
        tables = tomllib.loads(text)
        if strict:
            _refuse_depth(tables)
    except tomllib.TOMLDecodeError as error:
        message, place = syntax_error(text, error)
        position = f"{file.path}:{place.line}:{place.column}"
        words = f"{message}{_LINE_ENDS}" if _ends_line(text, place) else message
        hint = next(hint for part, hint in _NEXT_STEPS if part in words)
        raise ProfileError(
            problems=[Problem(trust.printable(position), "", message, place.excerpt, hint)]
        ) from None
    except RecursionError:
        problem = Problem(
            trust.printable(str(file.path)), "", "nested too deeply", hint=_THREE_LEVELS
        )
        raise ProfileError(problems=[problem]) from None
    source = Source(layer, str(file.path), tables, file.path.parent, text.encode())
    problems = list(_top_level(source)) if strict else []
    if problems:
        raise ProfileError(problems=problems)
    return source


def out_of_bounds(file: trust.FileBytes) -> str:
    """Say what a file has too much of to be parsed; empty where nothing is, or it is no text."""
    try:
        text = _decode(file)
    except ProfileError:
        return ""
    found = toml_bounds.excess(text)
    return f"{found.message} in line {_position(text, found.offset)[0]}" if found else ""


def _refuse_excess(path: Path, text: str) -> None:
    found = toml_bounds.excess(text)
    if found is not None:
        line, column = _position(text, found.offset)
        message, hint = found.message, "correct the number"
        if found.of_levels:
            message, hint = f"{message}: nested too deeply", _THREE_LEVELS
        raise ProfileError(
            problems=[Problem(trust.printable(f"{path}:{line}:{column}"), "", message, hint=hint)]
        )


def _position(text: str, offset: int) -> tuple[int, int]:
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


_THREE_LEVELS: Final = (
    "take out the keys of many parts, or tables in tables: a profile needs three levels"
)
_NOT_CLOSED: Final = "the text is not closed: its last quote is missing"
_ONE_LINE: Final = "keep { ... } in one line, or write a table of its own: [profiles.NAME.auth]"
_LINE_ENDS: Final = " (where the line ends)"
# Words of tomllib's messages → the next step; the first that fits.
_NEXT_STEPS: Final = (
    (r"Illegal character '\n'", _NOT_CLOSED),
    ('Expected "\'"', _NOT_CLOSED),
    ("\\", r"write DOMAIN\user and Windows paths in single quotes: 'DOMAIN\user'"),
    ("Invalid value", 'write a text in straight quotes:   url = "https://mi.example.com"'),
    (f"key part{_LINE_ENDS}", _ONE_LINE),
    ("Unclosed inline table", _ONE_LINE),
    ("Expected '=' after a key", "a line is   key = value   or   [profiles.NAME]   or   # words"),
    ("twice", "merge the two tables, or give one of them another name"),
    ("Cannot overwrite", "each key may stand once: remove one of them"),
    ("", "correct the file there; how TOML is written: https://toml.io"),
)


_DEEPEST: Final = 100  # levels; what reads a table calls itself for each


def _refuse_depth(tables: Table) -> None:
    """Raise RecursionError as tomllib does, which reads a key of any number of parts."""
    level: list[Any] = [tables]
    for _ in range(_DEEPEST):
        inner = (each.values() if isinstance(each, dict) else each for each in level)
        level = [value for each in inner for value in each if isinstance(value, dict | list)]
        if not level:
            return
    raise RecursionError


def _ends_line(text: str, place: Place) -> bool:
    line = text.split("\n")[place.line - 1]
    return not line[place.column - 1 :].strip()


def _decode(file: trust.FileBytes) -> str:
    data = file.data.removeprefix(b"\xef\xbb\xbf")
    try:
        return data.decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        good = data[: error.start].decode().split("\n")
        utf16 = data[:2] in {b"\xff\xfe", b"\xfe\xff"}
        raise ProfileError(
            problems=[
                Problem(
                    trust.printable(f"{file.path}:{len(good)}:{len(good[-1]) + 1}"),
                    "",
                    "not UTF-8" + (" but UTF-16, as PowerShell writes by default" * utf16),
                    hint="save the file as UTF-8",
                )
            ]
        ) from None


def _top_level(source: Source) -> Iterator[Problem]:
    machine_here = source.layer in _OWN
    allowed = (*TOP_KEYS, *MACHINE_KEYS) if machine_here else TOP_KEYS
    for key, value in source.tables.items():
        origin = Origin(source, (key,))
        if key in MACHINE_KEYS and not machine_here:
            yield origin.problem(
                "a machine setting, which only the user's and the system's own file may hold",
                hint=f"move it there, or set GATEPASS_{key.upper()}",
            )
        elif key not in allowed:
            yield origin.problem(unknown(key, allowed, "key"), hint=_as_profile(key, value))
        elif key == "profiles" and not (
            isinstance(value, dict) and all(isinstance(table, dict) for table in value.values())
        ):
            yield origin.problem("holds a table for each profile: [profiles.NAME]")
        elif key == "default_profile" and not isinstance(value, str):
            yield origin.problem("should be the name of a profile, in quotes")
        elif key == "root" and not isinstance(value, bool):
            yield origin.problem("should be true or false")


def _as_profile(key: str, value: object) -> str:
    """How a profile is written, where an unknown key of the top level looks like one or a part."""
    if isinstance(value, dict) and not {"url", "auth"}.isdisjoint(value):
        return f"a profile is written [profiles.{key if NAME.fullmatch(key) else 'NAME'}]"
    of_profile = key in {"url", "auth", "scheme", "user_name", "password"}
    return "a key of a profile: write   [profiles.NAME]   above it" * of_profile


def unknown(word: str, allowed: Iterable[str], kind: str) -> str:
    """Return the sentence about a word that is not one of those allowed, with a guess."""
    choices = sorted(allowed)
    return f"unknown {kind}{_guess(word, choices)} (allowed here: {_some(choices) or 'none'})"


def unknown_profile(word: str, names: Iterable[str]) -> str:
    """Return the sentence about a name that no profile has; offers those that can be chosen."""
    return unknown(word, filter(NAME.fullmatch, names), "profile")


def _guess(word: str, choices: Sequence[str]) -> str:
    """Say which of the choices may have been meant, in words that follow a sentence.

    Of many, the few that begin alike, are about as long and have most letters in common are
    compared; of very many, none: a file may hold thousands of profiles, each with a wrong
    ``extends``, and comparing all with all would take minutes.
    """
    if len(choices) > _TOO_MANY:
        return ""
    if len(choices) > _MOST_NAMES:
        letters = set(word)
        alike = (
            each
            for each in choices
            if each[:1] == word[:1] and abs(len(each) - len(word)) <= _FEW_LETTERS
        )
        choices = heapq.nsmallest(_FEW_NAMES, alike, key=lambda each: len(letters ^ set(each)))
    near = difflib.get_close_matches(word, choices, n=1)
    return f'; did you mean "{near[0]}"?' if near else ""


def _some(names: Sequence[str]) -> str:
    """List names, and of very many the first."""
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _variables(
    environ: Mapping[str, str], sources: Iterable[Source], *, references_in: Iterable[Source]
) -> tuple[Source, list[str]]:
    """Turn ``GATEPASS_PROFILES__PROD__URL`` and the like into a layer, and warn of odd ones.

    A variable of the user's own is not odd where a reference names it: ``env:NAME``. Of two for one
    key the deeper one counts, then the one in capitals, whatever their order.
    """
    known = {name.replace("-", "_"): name for source in sources for name in source.names()}
    profiles: Table = {}
    origins: dict[Key, str] = {}
    shadowed: list[Shadowed] = []
    notices = []
    for variable in sorted(environ, key=lambda name: (name.count("__"), name.isupper(), name)):
        value = environ[variable]
        if not variable.startswith("GATEPASS_") or variable in _SWITCHES:
            continue
        if variable.startswith(_VAULT_PREFIX):
            continue  # a key of a machine setting
        name, *path = variable.removeprefix(_PREFIX).lower().split("__")
        if not variable.startswith(_PREFIX) or not path or not all((name, *path)):
            texts = (source.tables for source in references_in)
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
                shadowed.append(Shadowed(origins.pop(above), above, old, variable))
            if not isinstance(old, dict):
                table[part] = value if length == len(key) else {}
            table = table[part]
        origins[key] = variable
    notices += [
        f"the variables {_PREFIX}{trust.printable(name.upper())}__* match no profile; "
        + unknown_profile(name, known.values())
        for name, table in profiles.items()
        if name not in known.values() and "url" not in table
    ]
    tables = {"profiles": profiles}
    found = Source("variable", "variables", tables, None, b"", origins, tuple(shadowed))
    return found, notices


def _texts_in(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _texts_in(inner)


def _arguments(overrides: Mapping[str, Any] | None) -> Source:
    if overrides is not None and not isinstance(overrides, Mapping):
        raise ProfileError("overrides= takes a mapping of profile keys")
    return Source("argument", "overrides", _plain(overrides or {}))


def _plain(mapping: Mapping[str, Any]) -> Table:
    return {
        str(key): _plain(value) if isinstance(value, Mapping) else value
        for key, value in mapping.items()
    }


def _machine(own: Iterable[Source], environ: Mapping[str, str]) -> Mapping[str, tuple[Any, Origin]]:
    found: dict[str, tuple[Any, Origin]] = {}
    for source in own:
        for key in MACHINE_KEYS:
            if key in source.tables:
                found[key] = (source.tables[key], Origin(source, (key,)))
    for key in MACHINE_KEYS:
        value = environ.get(variable := f"GATEPASS_{key.upper()}")
        if value:
            source = Source("variable", variable, {key: value}, None, b"", {(key,): variable})
            found[key] = (value, Origin(source, (key,)))
    return found | _vault_parts(found.get("vault"), environ)


def _vault_parts(
    vault: tuple[Any, Origin] | None, environ: Mapping[str, str]
) -> dict[str, tuple[Any, Origin]]:
    """The keys of the table ``vault`` that come from variables, and the table with them.

    They add to what the strongest file or ``GATEPASS_VAULT`` says: that replaces all of the table
    below, so that the password of one server never goes to another.
    """
    table, origin = vault or ({}, None)
    table = dict(table) if isinstance(table, dict) else {"url": table}
    parts: dict[str, tuple[Any, Origin]] = {}
    for variable, value in environ.items():
        name = variable.removeprefix(_VAULT_PREFIX).lower()
        if variable.startswith(_VAULT_PREFIX) and value:
            key = ("vault", name)
            source = Source("variable", variable, {"vault": {}}, None, b"", {key: variable})
            parts[f"vault.{name}"] = (value, Origin(source, key))
            table[name] = value
    if not parts:
        return {}
    return {"vault": (table, origin or next(iter(parts.values()))[1]), **parts}


def of_variables(environ: Mapping[str, str]) -> Layers:
    """Return the machine settings that variables hold, and no profile. Reads no file."""
    variables, arguments = Source("variable", "variables", {}), Source("argument", "overrides", {})
    return Layers((), variables, arguments, machine=_machine((), environ))


# ---------------------------------------------------------------- choosing


def choose(layers: Layers, name: str | None) -> Taken:
    """Select a profile and merge what every layer says about it; see both."""
    return replace(take(layers, select(layers, name)), asked=name)


def select(layers: Layers, name: str | None) -> str:
    """Return the name of the profile to take.

    The order: the argument, ``GATEPASS_PROFILE``, the project's ``default_profile``, the own
    one, the only profile that is not protected.

    Raises:
        ProfileNotFound: no such profile, or none can be chosen; lists the names.
        UntrustedFile: a file that nobody trusts would decide.
    """
    if name is not None:
        return _existing(layers, name, "the argument")
    if layers.wanted is not None:
        return _existing(layers, layers.wanted, "GATEPASS_PROFILE")
    _refuse_untrusted_default(layers)
    for source in reversed(layers.sources):
        default = source.tables.get("default_profile")
        if default is not None:
            where = Origin(source, ("default_profile",)).where
            chosen = _existing(layers, default, where)
            if protected(layers, chosen):
                raise ProfileNotFound(
                    f"{where}: the default profile {chosen!r} is protected, and a protected "
                    "profile is only taken by name",
                    hint=f'name it: Session.from_profile("{chosen}"), or GATEPASS_PROFILE={chosen}',
                )
            return chosen
    open_ones = [each for each in layers.written if not protected(layers, each)]
    if len(open_ones) == 1:
        _refuse_misnamed(layers, open_ones[0])
        return open_ones[0]
    raise ProfileNotFound(
        "no profile was named, and no default can be chosen",
        hint=_listing(layers, "name one, or set GATEPASS_PROFILE or default_profile"),
    )


def _existing(layers: Layers, name: object, said_by: str) -> str:
    if isinstance(name, str) and "://" in name:  # not repeated: it may hold a password
        raise ProfileNotFound(
            f"a URL is not the name of a profile (named by {said_by})",
            hint=_listing(layers, "a profile holds the URL: gatepass init NAME --url URL"),
        )
    if isinstance(name, str):
        refuse_untrusted(layers, name)
        if name in layers.written:
            _refuse_misnamed(layers, name)
            refuse_twins(layers, name)
            return name
    shown = trust.printable(str(name)) if isinstance(name, str) else type(name).__name__
    guess = _guess(str(name).lower(), layers.names)
    raise ProfileNotFound(
        f'there is no profile "{shown}" (named by {said_by}){guess}', hint=_listing(layers, "")
    )


def _refuse_misnamed(layers: Layers, name: str) -> None:
    if not NAME.fullmatch(name):
        raise ProfileError(problems=[layers.where(name).problem(BAD_NAME)])


def _listing(layers: Layers, advice: str) -> str:
    lines = [advice] if advice else []
    if layers.names:
        lines.append(f"profiles: {_some(layers.names)}")
    elif layers.written:
        lines.append("no profile has a name that can be used; see why: gatepass validate")
    else:
        looked = ", ".join(trust.printable(str(file.path)) for file in layers.files) or "nowhere"
        lines.append(f"no profile was found; looked for {looked}\nmake one with: gatepass init")
    lines += map(str, layers.unread)
    if layers.stray is not None:
        lines.append(
            f"{trust.printable(str(layers.stray))} exists but is not read; name it with "
            f"--config-file {trust.quoted(str(layers.stray))}, or call it {PROJECT_FILE}"
        )
    return "\n".join(lines)


def _refuse_untrusted_default(layers: Layers) -> None:
    for source in layers.untrusted:
        if "default_profile" in source.tables:
            raise _untrusted(source, "it would choose the default profile")


def refuse_untrusted(layers: Layers, name: str) -> None:
    """Refuse when a file that nobody trusts says something about a profile."""
    for source in layers.untrusted:
        if name in source.names():
            raise _untrusted(source, f"it defines the profile {trust.printable(name)!r}")


def refuse_twins(layers: Layers, name: str) -> None:
    """Refuse a name that differs from another only in ``-`` and ``_``: variables see one name."""
    flat = name.replace("-", "_")
    twins = [each for each in layers.names if each.replace("-", "_") == flat]
    if len(twins) > 1:
        raise ProfileError(
            f"the profiles {' and '.join(twins)} are one name to variables, where - is _",
            hint="rename one of them",
        )


def _untrusted(source: Source, why: str) -> UntrustedFile:
    path = trust.quoted(source.label)
    return UntrustedFile(
        f"{trust.printable(source.label)}: this file is not trusted, and {why}",
        hint=f"read it and trust it:     gatepass trust {path}\n"
        f"or name it for this run:  --config-file {path} (config_file= in Python)",
    )


def protected(layers: Layers, name: str) -> bool:
    """Say whether a profile is protected, itself or by its parent."""
    try:
        table = take(layers, name).table
    except ProfileError:
        return False  # whoever chooses it learns what is broken
    return table.get("protected", False) is not False


# ---------------------------------------------------------------- merging


def take(layers: Layers, name: str) -> Taken:
    """Merge what every layer says about one profile.

    Raises:
        ProfileError: ``extends`` names no profile of the same group, or runs in a circle.
        UntrustedFile: a file that nobody trusts says something about it or its parent.
    """
    refuse_untrusted(layers, name)
    chain = _chain(layers, name)
    base_table = merge([part.table for part in chain])
    problems: list[Problem] = []
    for source, above in ((layers.variables, ("profiles", name)), (layers.arguments, ())):
        table = _copy(source.profile(name) if above else source.tables)
        if not table:
            continue
        part = Contribution(source, table, above)
        if "extends" in table:
            problems.append(Origin(source, (*above, "extends")).problem("only a file may set it"))
        chain, moved = _moved(chain, base_table, part)
        problems += moved
        chain = [*_yielding(chain, part), part]
        base_table = merge([each.table for each in chain])
    if not chain:
        raise ProfileNotFound(f"there is no profile {name!r}")
    return Taken(name, base_table, tuple(chain), tuple(problems), layers)


def _chain(layers: Layers, name: str) -> list[Contribution]:
    """What files say about a profile and its parents, in rising order of precedence."""
    group = layers.group_of(name)
    lineage, current = [name], name
    while (parent := _parent(group, current)) is not None:
        value, origin = parent
        if not isinstance(value, str):
            break  # the gate complains about the type
        if value in lineage:
            circle = " -> ".join(map(trust.printable, [*lineage, value]))
            raise ProfileError(problems=[origin.problem(f"extends runs in a circle: {circle}")])
        if origin.source.layer not in _OWN:
            refuse_untrusted(layers, value)
        if not any(value in source.names() for source in group):
            choices = {each for source in group for each in source.names()}
            raise ProfileError(
                problems=[
                    origin.problem(
                        unknown_profile(value, choices),
                        hint="extends reaches only profiles of the same group of files "
                        "(the project's, or your own)",
                    )
                ]
            )
        lineage.append(value)
        current = value
    chain: list[Contribution] = []
    for member in reversed(lineage):
        for source in group:
            table = source.profile(member)
            if table is not None:
                inherited = member != name
                own = {k: v for k, v in table.items() if not (inherited and k == "extends")}
                part = Contribution(source, _copy(own), ("profiles", member))
                chain = [*_yielding(chain, part), part]
    return chain


def _parent(group: Iterable[Source], name: str) -> tuple[Any, Origin] | None:
    found = None
    for source in group:
        table = source.profile(name) or {}
        if "extends" in table:
            found = table["extends"], Origin(source, ("profiles", name, "extends"))
    return found


def _copy(table: Table | None) -> Table:
    """A copy of the table and of the tables in it; lists and values are shared."""
    return {
        key: _copy(value) if isinstance(value, dict) else value
        for key, value in (table or {}).items()
    }


def _yielding(chain: Iterable[Contribution], upper: Contribution) -> list[Contribution]:
    """The lower layers without what the upper one makes void.

    Another scheme voids the whole ``auth`` below it: its keys belong to the other scheme. A
    variable or argument that sets another proxy voids the proxy's credentials.
    """
    chain = list(chain)
    scheme = _scheme(upper.table)
    lower = [found for part in chain if (found := _scheme(part.table)) is not None]
    if scheme is not None and lower and lower[-1] != scheme:
        chain = _without(chain, ("auth",), upper, ("auth", "scheme"), _OTHER_SCHEME)
    if upper.source.layer in {"variable", "argument"}:
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
    chain: Iterable[Contribution], key: Key, upper: Contribution, by: Key, why: str
) -> list[Contribution]:
    """The layers without one key, which a key of the upper layer makes void."""
    origin = Origin(upper.source, (*upper.above, *by), upper.above)
    return [
        replace(
            part,
            table=_cut(part.table, key),
            dropped=(*part.dropped, Dropped(_only(part.table, key), origin, why)),
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
    chain: list[Contribution], below: Table, upper: Contribution
) -> tuple[list[Contribution], list[Problem]]:
    """Keep credentials at home: a variable or argument that moves ``url`` brings its own auth."""
    new, old = upper.table.get("url"), below.get("url")
    if not isinstance(new, str) or not isinstance(old, str) or _origin(new) == _origin(old):
        return chain, []
    stripped = _without(chain, ("auth",), upper, ("url",), _OTHER_SERVER)
    if _scheme(upper.table) is not None:
        return stripped, []
    origin = Origin(upper.source, (*upper.above, "url"))
    return stripped, [
        origin.problem(
            "moves the profile to another server, so the profile's own auth is not used there",
            hint="set auth (scheme and its keys) in the same place, or add a profile",
        )
    ]


def _origin(url: str) -> tuple[str, str, int | None] | None:
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme.lower())
    except ValueError:
        return None
    return parts.scheme.lower(), (parts.hostname or "").lower(), port


def secrets_of_another_issuer(
    parts: Sequence[Contribution], secrets: Iterable[Key]
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
        if moves and part.source.layer in {"variable", "argument"}:
            for key, holder in holders.items():
                if holder < number:
                    name = ".".join(key[1:])
                    yield Origin(part.source, (*part.above, "auth", "issuer")).problem(
                        "moves the profile to another identity provider, so the profile's own "
                        f"{name} is not sent there",
                        hint=f"set auth.{name} in the same place, or add a profile",
                    )
        before = issuer or before


def _issuer(table: Table) -> str:
    auth = table.get("auth")
    issuer = auth.get("issuer") if isinstance(auth, dict) else None
    return issuer if isinstance(issuer, str) else ""


def merge(tables: Sequence[Table]) -> Table:
    """Merge tables key by key, the last one strongest.

    What is not plain to see, pydantic-settings does. Two at a time from below: all at once, a
    table above a plain value would let the keys of a table below that value come back.
    """
    below = tables[0] if tables else {}
    for table in tables[1:]:
        merged = fast_types.merged(below, table)
        below = _as_settings(below, table) if merged is fast_types.NOT_EVIDENT else merged
    return below


def _as_settings(lower: Table, upper: Table) -> Table:
    from gatepass._config.merge import Layered

    return Layered.over(lower, upper)
