"""Files, variables and arguments → layers, with the origin of each key.

Two groups of files take part. *Own*: the system's, then the user's. *Project*: ``gatepass.toml``,
then ``gatepass.local.toml`` beside it. Within a group tables merge key by key. Between the groups
nothing merges: a project's profile replaces an own one of that name whole, so that no secret of
the user meets the URL of a project. Above the files stand variables and arguments.

pydantic-settings does the merging that is not plain to see; this module decides what is merged,
and can tell for each key of the result where it was written.
"""

import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gatepass._config import permissions, trust
from gatepass._config.files import FileBytes, UnreadFile, absolute, read_file
from gatepass._config.layer import (
    MACHINE_KEYS,
    OWN_KINDS,
    PROFILE_NAME,
    TOP_KEYS,
    FileSeen,
    KeyLocation,
    Layer,
    Layers,
)
from gatepass._config.locations import PROJECT_FILES, ConfigFile, Locations, project_folders
from gatepass._config.suggest import unknown_name
from gatepass._config.toml import (
    LINE_ENDS,
    NEXT_STEPS,
    THREE_LEVELS,
    Table,
    decode,
    ends_line,
    out_of_bounds,
    refuse_depth,
    refuse_excess,
    syntax_error,
)
from gatepass._config.variables import machine_settings, read_variables
from gatepass.errors import (
    Problem,
    ProfileError,
    UnsafePermissions,
)
from gatepass.secrets import LayerKind

# ---------------------------------------------------------------- reading


def read_layers(
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
    own: list[tuple[Path, LayerKind]] = [(path, "system") for path in locations.system]
    own.append((locations.user, "user"))
    own_sources = [found for path, layer in own if (found := reader.own(path, layer)) is not None]
    named = _named_files(config_file, environ)
    if named is not None:
        sources = [reader.named(path) for path in named]
    else:
        sources = [*own_sources, *reader.project()]
    variables, notices = read_variables(environ, sources, references_in=(*own_sources, *sources))
    return Layers(
        sources=tuple(sources),
        variables=variables,
        arguments=_arguments(overrides),
        untrusted=tuple(reader.untrusted),
        unread=tuple(reader.unread),
        machine=machine_settings(own_sources, environ),
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
    return [absolute(Path(os.path.expanduser(path))) for path in paths]  # noqa: PTH111


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
        self.untrusted: list[Layer] = []
        self.unread: list[UnreadFile] = []
        self.notices: list[str] = []

    def own(self, path: Path, layer: LayerKind) -> Layer | None:
        """Read a file of the user or the system."""
        return self._safe(path, layer, own=True)

    def named(self, path: Path) -> Layer:
        """Read a file that was named explicitly: it must exist."""
        source = self._safe(path, "file", own=False)
        if source is None:
            raise ProfileError(
                problems=[Problem(trust.printable(str(path)), "", "no such file")],
                hint="it was named by config_file=, --config-file or GATEPASS_CONFIG_FILE",
            )
        return source

    def _safe(self, path: Path, layer: LayerKind, *, own: bool) -> Layer | None:
        file = read_file(path)
        if file is None:
            self.files.append(FileSeen(path, layer, "absent"))
            return None
        problem = permissions.unsafe_permissions(file, own=own)
        if problem is not None and not self._store.holds(file):
            raise UnsafePermissions(problems=[problem])
        self.files.append(FileSeen(path, layer, "read"))
        return parse_layer(file, layer)

    def project(self) -> list[Layer]:
        """Find and read the project's files; the untrusted ones are kept apart.

        A folder where all of them belong to other users does not end the search.
        """
        for folder in project_folders(self._locations):
            already = len(self.unread)
            sources = list(self._project_in(folder))
            foreign = [each for each in self.unread[already:] if each.owner]
            present = [name for name in PROJECT_FILES if os.path.lexists(folder / name)]
            if len(foreign) < len(present):
                return sources
        return []

    def _project_in(self, folder: Path) -> Iterator[Layer]:
        for name, layer in PROJECT_FILES.items():
            file = trust.read_project_file(folder / name, self._store, sudo_uid=self._sudo_uid)
            if file is None:
                self.files.append(FileSeen(folder / name, layer, "absent"))
            elif isinstance(file, UnreadFile):
                self._skip(file, layer)
            elif self._store.holds(file):
                self.files.append(FileSeen(file.path, layer, "read"))
                yield parse_layer(file, layer)
            elif excess := out_of_bounds(file):
                way_out = "remove it, or correct it"
                self._skip(UnreadFile(file.path, f"has {excess}", way_out), layer)
            else:
                self.files.append(FileSeen(file.path, layer, "skipped", "not trusted"))
                self.untrusted.append(parse_layer(file, layer, strict=False))
                self.notices.append(
                    f"{trust.printable(str(file.path))} is not trusted and was skipped; look at "
                    "it with: "
                    f"gatepass trust {trust.quoted(str(file.path))}"
                )

    def _skip(self, file: UnreadFile, layer: LayerKind) -> None:
        self.unread.append(file)
        self.files.append(FileSeen(file.path, layer, "skipped", file.why))
        self.notices.append(str(file))


def _stray(locations: Locations, files: Iterable[FileSeen]) -> Path | None:
    if locations.working is None:
        return None
    path = locations.working / "profiles.toml"
    is_there = os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises where it may not look
    return path if is_there and path not in {file.path for file in files} else None


def parse_layer(file: FileBytes, layer: LayerKind, *, strict: bool = True) -> Layer:
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
    text = decode(file)
    refuse_excess(file.path, text)
    try:
        tables = tomllib.loads(text)
        if strict:
            refuse_depth(tables)
    except tomllib.TOMLDecodeError as error:
        message, place = syntax_error(text, error)
        position = f"{file.path}:{place.line}:{place.column}"
        words = f"{message}{LINE_ENDS}" if ends_line(text, place) else message
        hint = next(hint for part, hint in NEXT_STEPS if part in words)
        raise ProfileError(
            problems=[Problem(trust.printable(position), "", message, place.excerpt, hint)]
        ) from None
    except RecursionError:
        problem = Problem(
            trust.printable(str(file.path)), "", "nested too deeply", hint=THREE_LEVELS
        )
        raise ProfileError(problems=[problem]) from None
    source = Layer(layer, str(file.path), tables, file.path.parent, text.encode())
    problems = list(_top_level(source)) if strict else []
    if problems:
        raise ProfileError(problems=problems)
    return source


def _top_level(source: Layer) -> Iterator[Problem]:
    machine_here = source.layer in OWN_KINDS
    allowed = (*TOP_KEYS, *MACHINE_KEYS) if machine_here else TOP_KEYS
    for key, value in source.tables.items():
        origin = KeyLocation(source, (key,))
        if key in MACHINE_KEYS and not machine_here:
            yield origin.problem(
                "a machine setting, which only the user's and the system's own file may hold",
                hint=f"move it there, or set GATEPASS_{key.upper()}",
            )
        elif key not in allowed:
            yield origin.problem(unknown_name(key, allowed, "key"), hint=_as_profile(key, value))
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
        return f"a profile is written [profiles.{key if PROFILE_NAME.fullmatch(key) else 'NAME'}]"
    of_profile = key in {"url", "auth", "scheme", "user_name", "password"}
    return "a key of a profile: write   [profiles.NAME]   above it" * of_profile


def _arguments(overrides: Mapping[str, Any] | None) -> Layer:
    if overrides is not None and not isinstance(overrides, Mapping):
        raise ProfileError("overrides= takes a mapping of profile keys")
    return Layer("argument", "overrides", _plain(overrides or {}))


def _plain(mapping: Mapping[str, Any]) -> Table:
    return {
        str(key): _plain(value) if isinstance(value, Mapping) else value
        for key, value in mapping.items()
    }
