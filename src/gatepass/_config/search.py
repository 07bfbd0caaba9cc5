"""Find the files that may hold profiles, read each once, and judge whether it takes part.

Nothing is parsed here. Files form two groups. *Own*: the system's, then the user's. *Project*:
``gatepass.toml``, then ``gatepass.local.toml`` beside it.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from gatepass._config import permissions, trust
from gatepass._config.files import FileBytes, UnreadFile, absolute, read_file
from gatepass._config.locations import PROJECT_FILES, ConfigFile, Locations, project_folders
from gatepass._system import log
from gatepass._system.text import printable
from gatepass._value import Value
from gatepass.errors import Problem, ProfileError, UnsafePermissions
from gatepass.secrets import LayerKind


class Candidate(Value):
    """One file that may hold profiles.

    Attributes:
        path: the file.
        kind: the kind of layer that it would be.
        verdict: whether it takes part, and if not, why not.
        file: what was read; None where it is absent or was not read.
        unread: what is told of a file that was not read.
    """

    path: Path
    kind: LayerKind
    verdict: Literal["read", "absent", "untrusted", "unread"]
    file: FileBytes | None = None
    unread: UnreadFile | None = None


class Found(Value):
    """Every file that was looked for.

    Attributes:
        own: those of the system and the user, in rising order of precedence.
        others: those of the project, or those that were named instead of the search.
        replaced_by: what named files instead of the search, ``config_file`` or
            ``GATEPASS_CONFIG_FILE``; empty when they were searched.
        locations: where files were looked for.
    """

    own: tuple[Candidate, ...]
    others: tuple[Candidate, ...]
    replaced_by: str
    locations: Locations

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """All of them, in rising order of precedence."""
        return (*self.own, *self.others)


def find_files(
    config_file: ConfigFile | None, environ: Mapping[str, str], locations: Locations
) -> Found:
    """Find and read the files that may hold profiles. Parses none.

    Args:
        config_file: one file or several that replace the search; before the variable
            ``GATEPASS_CONFIG_FILE``.
        environ: the environment variables.
        locations: where files are looked for.

    Raises:
        ProfileError: a file is unreadable, or one that was named is absent.
        UnsafePermissions: others may write to a file.
    """
    reader = _Reader(locations, environ.get("SUDO_UID"))
    # Also where other files are named: the machine settings are always those of the own files.
    own = tuple(reader.read_own_files())
    named = _named_files(config_file, environ)
    if named is None:
        others = tuple(reader.read_project_files())
        replaced_by = ""
    else:
        others = tuple(map(reader.read_named_file, named))
        replaced_by = "GATEPASS_CONFIG_FILE" if config_file is None else "config_file"
    found = Found(own, others, replaced_by, locations)
    for name in empty_variables(environ):
        log.info("variable %s is set, but empty, so it counts as unset", name)
    for each in found.candidates:
        log.debug("file %s: %s", each.path, each.verdict)
    return found


def empty_variables(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the variables that would select a profile or its files, if they were not empty."""
    names = ("GATEPASS_CONFIG_FILE", "GATEPASS_PROFILE")
    return tuple(name for name in names if name in environ and not environ[name].strip(os.pathsep))


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


class _Reader:
    """Reads files one by one."""

    def __init__(self, locations: Locations, sudo_uid: str | None) -> None:
        self._locations = locations
        self._sudo_uid = sudo_uid
        self._store = trust.TrustStore(locations.state)

    def read_own_files(self) -> Iterator[Candidate]:
        """Read the files of the system and the user, in rising order of precedence."""
        for path in self._locations.system:
            yield self._read_safe_file(path, "system", own=True)
        yield self._read_safe_file(self._locations.user, "user", own=True)

    def read_named_file(self, path: Path) -> Candidate:
        """Read a file that was named explicitly: it must exist."""
        found = self._read_safe_file(path, "file", own=False)
        if found.file is None:
            raise ProfileError(
                problems=[Problem(printable(str(path)), "", "no such file")],
                hint="it was named by config_file=, --config-file or GATEPASS_CONFIG_FILE",
            )
        return found

    def _read_safe_file(self, path: Path, kind: LayerKind, *, own: bool) -> Candidate:
        """Read a file that takes part, unless others may write to it."""
        file = read_file(path)
        if file is None:
            return Candidate(path, kind, "absent")
        problem = permissions.unsafe_permissions(file, own=own)
        if problem is not None and not self._store.holds(file):
            raise UnsafePermissions(problems=[problem])
        return Candidate(path, kind, "read", file)

    def read_project_files(self) -> Iterator[Candidate]:
        """Find and read the project's files; the untrusted ones take no part.

        A folder where all of them belong to other users does not end the search.
        """
        for folder in project_folders(self._locations):
            found = [
                self._read_project_file(folder / name, kind) for name, kind in PROJECT_FILES.items()
            ]
            yield from found
            foreign = [each for each in found if each.unread and each.unread.owner]
            present = [name for name in PROJECT_FILES if os.path.lexists(folder / name)]
            if len(foreign) < len(present):
                return

    def _read_project_file(self, path: Path, kind: LayerKind) -> Candidate:
        file = trust.read_project_file(path, self._store, sudo_uid=self._sudo_uid)
        if file is None:
            return Candidate(path, kind, "absent")
        if isinstance(file, UnreadFile):
            return Candidate(file.path, kind, "unread", unread=file)
        return Candidate(file.path, kind, "read" if self._store.holds(file) else "untrusted", file)
