"""Read all layers: the system's, the user's and the project's files, variables and arguments.

Files form two groups. *Own*: the system's, then the user's. *Project*: ``gatepass.toml``, then
``gatepass.local.toml`` beside it. Which layer wins is decided by ``_config.merge``.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gatepass._config import permissions, trust
from gatepass._config.files import FileBytes, UnreadFile, absolute, read_file
from gatepass._config.layer import (
    MACHINE_KEYS,
    PROFILE_NAME,
    TOP_KEYS,
    FileSeen,
    KeyLocation,
    Layer,
    Layers,
)
from gatepass._config.locations import PROJECT_FILES, ConfigFile, Locations, project_folders
from gatepass._config.suggest import unknown_name
from gatepass._config.toml import Table, out_of_bounds, parse_toml
from gatepass._config.variables import machine_settings, read_variables
from gatepass._system import log
from gatepass._system.text import printable, quoted
from gatepass.errors import Problem, ProfileError, UnsafePermissions
from gatepass.secrets import LayerKind


def read_layers(
    config_file: ConfigFile | None = None,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    locations: Locations | None = None,
) -> Layers:
    """Read every layer. Reads files; no secret, no network.

    Args:
        config_file: one file or several, in rising order of precedence, that replace the search;
            before the variable ``GATEPASS_CONFIG_FILE``.
        overrides: keys of the selected profile, above all else.
        environ: the environment variables; those of this process when not given.
        locations: where files are looked for; this process's when not given.

    Raises:
        ProfileError: a file is malformed, unreadable or misplaced; all problems of one file.
        UnsafePermissions: others may write to a file.
    """
    environ = os.environ if environ is None else environ
    locations = locations or Locations.of_this_process()
    reader = _Reader(locations, environ.get("SUDO_UID"))
    # Also where other files are named: the machine settings are always those of the own files.
    own = reader.read_own_files()
    named = _named_files(config_file, environ)
    if named is None:
        file_layers = [*own, *reader.read_project_files()]
    else:
        file_layers = [reader.read_named_file(path) for path in named]
    for file in reader.files:
        log.debug("file %s: %s%s", file.path, file.state, f" ({file.why})" if file.why else "")
    variables, notices = read_variables(environ, file_layers, references_in=(*own, *file_layers))
    return Layers(
        file_layers=tuple(file_layers),
        variables=variables,
        arguments=_arguments(overrides),
        untrusted=tuple(reader.untrusted),
        unread=tuple(reader.unread),
        machine=machine_settings(own, environ),
        files=tuple(reader.files),
        notices=(*reader.notices, *notices),
        wanted=environ.get("GATEPASS_PROFILE") or None,
        stray=_stray_file(locations, reader.files),
        own=tuple(own),
        replaced_by=_replaced_by(config_file, named),
        locations=locations,
    )


def _named_files(config_file: ConfigFile | None, environ: Mapping[str, str]) -> list[Path] | None:
    """Return the files that replace the search; None where it takes place."""
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
    # Path.expanduser raises where no user has that name; a file may have it.
    return [absolute(Path(os.path.expanduser(path))) for path in paths]  # noqa: PTH111


def _replaced_by(config_file: ConfigFile | None, named: list[Path] | None) -> str:
    if named is None:
        return ""
    return "GATEPASS_CONFIG_FILE" if config_file is None else "config_file"


class _Reader:
    """Reads files one by one, and records which were read, skipped or absent, and why."""

    def __init__(self, locations: Locations, sudo_uid: str | None) -> None:
        self._locations = locations
        self._sudo_uid = sudo_uid
        self._store = trust.TrustStore(locations.state)
        self.files: list[FileSeen] = []
        self.untrusted: list[Layer] = []
        self.unread: list[UnreadFile] = []
        self.notices: list[str] = []

    def read_own_files(self) -> list[Layer]:
        """Read the files of the system and the user, in rising order of precedence."""
        paths: list[tuple[Path, LayerKind]] = [(path, "system") for path in self._locations.system]
        paths.append((self._locations.user, "user"))
        layers = (self._read_safe_file(path, kind, own=True) for path, kind in paths)
        return [layer for layer in layers if layer is not None]

    def read_named_file(self, path: Path) -> Layer:
        """Read a file that was named explicitly: it must exist."""
        layer = self._read_safe_file(path, "file", own=False)
        if layer is None:
            raise ProfileError(
                problems=[Problem(printable(str(path)), "", "no such file")],
                hint="it was named by config_file=, --config-file or GATEPASS_CONFIG_FILE",
            )
        return layer

    def _read_safe_file(self, path: Path, kind: LayerKind, *, own: bool) -> Layer | None:
        """Read a file that takes part unless others may write to it; None where there is none."""
        file = read_file(path)
        if file is None:
            self.files.append(FileSeen(path, kind, "absent"))
            return None
        problem = permissions.unsafe_permissions(file, own=own)
        if problem is not None and not self._store.holds(file):
            raise UnsafePermissions(problems=[problem])
        self.files.append(FileSeen(path, kind, "read"))
        return parse_layer(file, kind)

    def read_project_files(self) -> list[Layer]:
        """Find and read the project's files; the untrusted ones are kept apart.

        A folder where all of them belong to other users does not end the search.
        """
        for folder in project_folders(self._locations):
            already = len(self.unread)
            layers = list(self._read_project_folder(folder))
            foreign = [each for each in self.unread[already:] if each.owner]
            present = [name for name in PROJECT_FILES if os.path.lexists(folder / name)]
            if len(foreign) < len(present):
                return layers
        return []

    def _read_project_folder(self, folder: Path) -> Iterator[Layer]:
        for name, kind in PROJECT_FILES.items():
            file = trust.read_project_file(folder / name, self._store, sudo_uid=self._sudo_uid)
            if file is None:
                self.files.append(FileSeen(folder / name, kind, "absent"))
            elif isinstance(file, UnreadFile):
                self._skip(file, kind)
            elif self._store.holds(file):
                self.files.append(FileSeen(file.path, kind, "read"))
                yield parse_layer(file, kind)
            elif excess := out_of_bounds(file):
                way_out = "remove it, or correct it"
                self._skip(UnreadFile(file.path, f"has {excess}", way_out), kind)
            else:
                self._keep_untrusted(file, kind)

    def _keep_untrusted(self, file: FileBytes, kind: LayerKind) -> None:
        self.files.append(FileSeen(file.path, kind, "skipped", "not trusted"))
        self.untrusted.append(parse_layer(file, kind, strict=False))
        self.notices.append(
            f"{printable(str(file.path))} is not trusted and was skipped; look at it with: "
            f"gatepass trust {quoted(str(file.path))}"
        )

    def _skip(self, file: UnreadFile, kind: LayerKind) -> None:
        self.unread.append(file)
        self.files.append(FileSeen(file.path, kind, "skipped", file.why))
        self.notices.append(str(file))


def _stray_file(locations: Locations, files: Iterable[FileSeen]) -> Path | None:
    """Return a ``profiles.toml`` in the working directory that nothing reads."""
    if locations.working is None:
        return None
    path = locations.working / "profiles.toml"
    is_there = os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises where it may not look
    return path if is_there and path not in {file.path for file in files} else None


def parse_layer(file: FileBytes, kind: LayerKind, *, strict: bool = True) -> Layer:
    """Turn a file's bytes into a layer and check its top level.

    Args:
        file: the file as read.
        kind: its kind.
        strict: whether unknown or misplaced top-level keys, and tables nested too deeply, are
            errors; a file that takes no part is parsed only to see which names it holds.

    Raises:
        ProfileError: it cannot be parsed, or has an unknown or misplaced key at the top level.
    """
    text, tables = parse_toml(file, strict=strict)
    layer = Layer(kind, str(file.path), tables, file.path.parent, text.encode())
    problems = list(_check_top_level(layer)) if strict else []
    if problems:
        raise ProfileError(problems=problems)
    return layer


def _check_top_level(layer: Layer) -> Iterator[Problem]:
    allowed = (*TOP_KEYS, *MACHINE_KEYS) if layer.is_own else TOP_KEYS
    for key, value in layer.tables.items():
        location = KeyLocation(layer, (key,))
        if key in MACHINE_KEYS and not layer.is_own:
            yield location.problem(
                "a machine setting, which only the user's and the system's own file may hold",
                hint=f"move it there, or set GATEPASS_{key.upper()}",
            )
        elif key not in allowed:
            yield location.problem(unknown_name(key, allowed, "key"), hint=_as_profile(key, value))
        elif key == "profiles" and not (
            isinstance(value, dict) and all(isinstance(table, dict) for table in value.values())
        ):
            yield location.problem("holds a table for each profile: [profiles.NAME]")
        elif key == "default_profile" and not isinstance(value, str):
            yield location.problem("should be the name of a profile, in quotes")
        elif key == "root" and not isinstance(value, bool):
            yield location.problem("should be a boolean")


def _as_profile(key: str, value: object) -> str:
    """How a profile is written, where an unknown key of the top level looks like one or a part."""
    if isinstance(value, dict) and not {"url", "auth"}.isdisjoint(value):
        return f"a profile is written [profiles.{key if PROFILE_NAME.fullmatch(key) else 'NAME'}]"
    of_profile = key in {"url", "auth", "scheme", "user_name", "password"}
    return "a key of a profile: write   [profiles.NAME]   above it" * of_profile


def _arguments(overrides: Mapping[str, Any] | None) -> Layer:
    if overrides is not None and not isinstance(overrides, Mapping):
        raise ProfileError("overrides= takes a mapping of profile keys")
    return Layer("argument", "overrides", _plain_table(overrides or {}))


def _plain_table(mapping: Mapping[str, Any]) -> Table:
    """The same as dicts with keys that are ``str``."""
    return {
        str(key): _plain_table(value) if isinstance(value, Mapping) else value
        for key, value in mapping.items()
    }
