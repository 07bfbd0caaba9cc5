"""What a start costs as there are more profiles, more files, and longer chains of ``extends``.

Against tomllib alone, which has to read the same bytes whatever is done with them.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import homes
from benchmarks.environments import OURS, Environment
from benchmarks.measure import Script, alternately, script, stamp

PROFILES: Final = (1, 10, 100, 1000, 10_000)
FILES: Final = (1, 2, 3, 4, 5, 6)
PARENTS: Final = (0, 1, 2, 4, 8, 16)

_COMMAND: Final = "import sys; from gatepass.cli import main; sys.exit(main())"
_LOAD: Final = """
import sys, tomllib
for name in sys.argv[1:]:
    with open(name, "rb") as file:
        tomllib.load(file)
"""
_PROFILE: Final = """
[profiles.{name}]
url = "https://{name}.example.com/mi_servicelayer"
description = "one of many"

[profiles.{name}.auth]
scheme = "credentials"
user_name = "env:MI_USERNAME"
password = "env:MI_PASSWORD"
"""


def measured(
    environments: Mapping[str, Environment],
    rounds: int,
    profiles: Sequence[int] = PROFILES,
    files: Sequence[int] = FILES,
    parents: Sequence[int] = PARENTS,
) -> dict[str, Any]:
    """Return the rows of this part.

    Args:
        environments: by name.
        rounds: that count.
        profiles: numbers of profiles in one file.
        files: numbers of files that say something about one profile.
        parents: lengths of the chain of ``extends``.
    """
    python = environments[OURS]
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        grown = {
            "profiles": {count: many_profiles(home, count) for count in profiles},
            "files": {count: _many_files(home, count) for count in files},
            "parents": {count: _chain(home, count) for count in parents},
        }
        rows = [
            _row(python, home, rounds, what, count, found)
            for what, counts in grown.items()
            for count, found in counts.items()
        ]
    return {**stamp(environments, rounds), "rows": rows}


def many_profiles(folder: Path, count: int) -> tuple[str, list[Path]]:
    """Write so many profiles into one file; return the name of the last, and the files."""
    path = folder / f"many{count}.toml"
    names = [f"p{number}" for number in range(count)]
    path.write_text("".join(_PROFILE.format(name=name) for name in names), encoding="utf-8")
    return names[-1], [path]


def _many_files(folder: Path, count: int) -> tuple[str, list[Path]]:
    """Write one profile, and files above it that change a key each."""
    paths = [folder / f"layer{number}.toml" for number in range(count)]
    for number, path in enumerate(paths):
        text = f"[profiles.prod]\ntimeout = {number + 1}\n" if number else ""
        path.write_text(text or _PROFILE.format(name="prod"), encoding="utf-8")
    return "prod", paths


def _chain(folder: Path, count: int) -> tuple[str, list[Path]]:
    """Write one profile, and so many above it that extend one another."""
    path = folder / f"chain{count}.toml"
    text = _PROFILE.format(name="p0")
    for number in range(1, count + 1):
        text += f'\n[profiles.p{number}]\nextends = "p{number - 1}"\ntimeout = {number}\n'
    path.write_text(text, encoding="utf-8")
    return f"p{count}", [path]


def _row(
    python: Environment,
    home: Path,
    rounds: int,
    what: str,
    count: int,
    found: tuple[str, list[Path]],
) -> dict[str, Any]:
    name, paths = found
    places = [str(path) for path in paths]
    commands = {
        "pass": ("-c", "pass"),
        "tomllib": ("-c", _LOAD, *places),
        "from_profile": script("gatepass_files", name, *places),
        "gatepass profiles": ("-c", _COMMAND, "profiles"),
    }
    environ = {**homes.CREDENTIALS, "GATEPASS_CONFIG_FILE": ":".join(places)}
    scripts = [
        Script(key, python, arguments, home, environ if "gatepass" in key else homes.CREDENTIALS)
        for key, arguments in commands.items()
    ]
    costs = alternately(scripts, rounds)
    cpu = {key: [round(cost.cpu, 5) for cost in each] for key, each in costs.items()}
    return {
        "what": what,
        "count": count,
        "bytes": sum(path.stat().st_size for path in paths),
        "cpu": cpu,
    }
