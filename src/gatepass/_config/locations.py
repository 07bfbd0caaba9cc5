"""Where files of profiles are looked for: of the system, the user and the project."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from gatepass._value import Value
from gatepass.secrets import LayerKind

PROJECT_FILE: Final = "gatepass.toml"
LOCAL_FILE: Final = "gatepass.local.toml"
PROJECT_FILES: Final[Mapping[str, LayerKind]] = {PROJECT_FILE: "project", LOCAL_FILE: "local"}

ConfigFile = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


class Locations(Value):
    """Where files are looked for.

    Attributes:
        system: the files of the system, in rising order of precedence.
        user: the user's file.
        state: the folder for what gatepass remembers.
        working: the working directory; None when it no longer exists.
        home: the user's home folder; None when there is none. Then ``user`` and ``state``, unless
            variables name their folders, are places where nothing can be, and whose names say why.
        cache: the folder for what can be made again; None keeps nothing.
    """

    system: tuple[Path, ...]
    user: Path
    state: Path
    working: Path | None
    home: Path | None
    cache: Path | None = None

    @classmethod
    def of_this_process(cls) -> "Locations":
        """Return where the files of this process belong, by the conventions of its system.

        docs/reference/files.md lists them.
        """
        try:
            working = Path.cwd()
        except OSError:
            working = None
        if sys.platform == "darwin":
            return cls.on_macos(_at_home(Path.home), working)
        import platformdirs

        dirs = platformdirs.PlatformDirs("gatepass", appauthor=False, multipath=True)
        site = [] if sys.platform == "win32" else dirs.site_config_dir.split(os.pathsep)
        return cls(
            system=tuple(Path(folder) / "profiles.toml" for folder in reversed(site)),
            user=(_at_home(lambda: dirs.user_config_path) or NO_HOME) / "profiles.toml",
            state=_at_home(lambda: dirs.user_state_path) or NO_HOME,
            working=working,
            home=_at_home(Path.home),
            cache=_at_home(lambda: dirs.user_cache_path),
        )

    @classmethod
    def on_macos(cls, home: Path | None, working: Path | None) -> "Locations":
        """Return where the files belong on macOS (Apple's File System Programming Guide).

        Not by platformdirs: there its releases differ in what they make of XDG's variables and of
        Homebrew's folders, and with an update the files of a user would be gone.
        """
        library = (home or NO_HOME) / "Library"
        own = library / "Application Support" / "gatepass"
        return cls(
            system=(Path("/Library/Application Support/gatepass/profiles.toml"),),
            user=own / "profiles.toml",
            state=own,
            working=working,
            home=home,
            cache=library / "Caches" / "gatepass" if home else None,
        )


# In a container the account may have no home folder. Below a device no file can exist.
NO_HOME: Final = Path(os.devnull, "HOME is not set", "gatepass")


def _at_home(place: Callable[[], Path]) -> Path | None:
    """Return a place in the home folder; None where there is no home folder."""
    try:
        found = place()
    except RuntimeError:
        return None
    return found if found.is_absolute() else None  # older releases of platformdirs leave the ~


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
        if any(os.path.lexists(folder / name) for name in PROJECT_FILES):
            yield folder
        if os.path.lexists(folder / ".git"):
            return
