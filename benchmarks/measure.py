"""Fresh processes side by side: what each costs, and how that compares.

All scripts of a comparison run once in each round, in an order that alternates, so that whatever
else the machine does falls on all. The first round warms the disk and is dropped. What counts is
CPU time, user and system, of exactly that process, and its peak memory.
"""

import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final, TypeVar

from benchmarks.environments import Environment

T = TypeVar("T")

SCRIPTS: Final = Path(__file__).with_name("scripts")
_LAUNCHER: Final = Path(__file__).with_name("launcher.py")
_MOST_OF_AN_ERROR: Final = 2000  # characters
_FOLDERS: Final = ("CACHE", "CONFIG", "DATA", "STATE")


@dataclass(frozen=True)
class Script:
    """One program of a comparison.

    Attributes:
        name: what the tables call it.
        python: its interpreter and that one's variables.
        arguments: after the interpreter.
        home: its home folder; nothing else of this machine is known to it.
        environ: variables.
        folder: where it runs, below its home; the home itself when empty.
        note: what it does, in few words.
    """

    name: str
    python: Environment
    arguments: Sequence[str]
    home: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    folder: str = ""
    note: str = ""

    @property
    def argv(self) -> list[str]:
        """The whole command."""
        return [str(self.python.python), *self.arguments]

    def variables(self) -> dict[str, str]:
        """Return the whole environment."""
        found = {"PATH": os.defpath, "LANG": "C.UTF-8", "HOME": str(self.home)}
        for name in _FOLDERS:
            found[f"XDG_{name}_HOME"] = str(self.home / f".{name.lower()}")
        paths = [
            both["PYTHONPATH"]
            for both in (self.python.environ, self.environ)
            if "PYTHONPATH" in both
        ]
        found |= {**self.python.environ, **self.environ}
        return found | ({"PYTHONPATH": os.pathsep.join(paths)} if paths else {})


def script(name: str, *arguments: str) -> tuple[str, ...]:
    """Return the arguments that run a file of ``scripts``, without its folder on the path."""
    return ("-P", str(SCRIPTS / f"{name}.py"), *arguments)


@dataclass(frozen=True)
class Cost:
    """What one process cost.

    Attributes:
        cpu: seconds, user and system.
        peak: bytes of memory.
    """

    cpu: float
    peak: int


class Failed(Exception):
    """A script did not do what it should.

    Attributes:
        kind: the name of the exception that ended it, or its last word.
    """

    def __init__(self, name: str, code: int, errors: str) -> None:
        super().__init__(f"{name} ended with {code}:\n{errors[-_MOST_OF_AN_ERROR:]}")
        last = (errors.strip().splitlines() or [str(code)])[-1]
        self.kind = last.partition(":")[0].rpartition(".")[2]


class Launcher:
    """Starts scripts from a small process; see ``launcher.py``."""

    def __init__(self, process: "subprocess.Popen[str]", folder: Path) -> None:
        self._process = process
        self._errors = folder / "stderr"

    def cost(self, asked: Script) -> Cost:
        """Run a script to its end.

        Raises:
            Failed: it ended with another code than 0.
        """
        line = {
            "argv": asked.argv,
            "environ": asked.variables(),
            "folder": str(asked.home / asked.folder),
            "errors": str(self._errors),
        }
        writer, reader = _both(self._process)
        writer.write(json.dumps(line) + "\n")
        writer.flush()
        answer = json.loads(reader.readline())
        if answer["code"]:
            text = self._errors.read_text(encoding="utf-8", errors="replace")
            raise Failed(asked.name, answer["code"], text)
        return Cost(answer["cpu"], answer["peak"])


def _both(process: "subprocess.Popen[str]") -> tuple[IO[str], IO[str]]:
    if process.stdin is None or process.stdout is None:
        raise AssertionError("both are pipes")
    return process.stdin, process.stdout


@contextmanager
def launcher() -> Iterator[Launcher]:
    """Start the small process for the time of the block."""
    command = [sys.executable, "-I", "-S", str(_LAUNCHER)]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process,
    ):
        yield Launcher(process, Path(folder))


def alternately(scripts: Sequence[Script], rounds: int) -> dict[str, list[Cost]]:
    """Run all scripts once a round, and one round more that does not count.

    Args:
        scripts: in the order of the first round that counts.
        rounds: how many count; with 1 there is no other.
    """
    found: dict[str, list[Cost]] = {each.name: [] for each in scripts}
    with launcher() as starter:
        for each, counts in turns(scripts, rounds):
            cost = starter.cost(each)
            if counts:
                found[each.name].append(cost)
    return found


def turns(things: Sequence[T], rounds: int) -> Iterator[tuple[T, bool]]:
    """Yield what is to be measured, round after round in alternate order, and whether it counts."""
    for number in range(0 if rounds > 1 else 1, rounds + 1):
        for each in things if number % 2 else reversed(things):
            yield each, number > 0


def row(asked: Script, costs: Sequence[Cost]) -> dict[str, Any]:
    """Return the raw numbers of a script as the results keep them."""
    return {
        "name": asked.name,
        "note": asked.note,
        "cpu": [round(cost.cpu, 5) for cost in costs],
        "peak": [cost.peak for cost in costs],
    }


def instructions(asked: Script) -> int | None:
    """Return how many instructions a script takes; None where valgrind is not installed.

    They do not move with the load of the machine, and leave out what the system does for it. The
    script runs once before, so that what it keeps for its next start is there.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        return None
    count = [valgrind, "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    for command in (asked.argv, [*count, *asked.argv]):
        done = subprocess.run(
            command,
            env={**asked.variables(), "PYTHONHASHSEED": "0"},
            cwd=asked.home / asked.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Failed(asked.name, done.returncode, done.stderr)
    return int(re.findall(r"I\s+refs:\s+([\d,]+)", done.stderr)[-1].replace(",", ""))


@dataclass(frozen=True)
class Spread:
    """The median and the middle half of some numbers."""

    low: float
    middle: float
    high: float

    @classmethod
    def of(cls, numbers: Sequence[float]) -> "Spread":
        """Return it; all three are the same for a single number."""
        if len(numbers) == 1:
            return cls(numbers[0], numbers[0], numbers[0])
        return cls(*statistics.quantiles(numbers, n=4, method="inclusive"))


def ratios(mine: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Return the ratio of each round."""
    return [one / other for one, other in zip(mine, theirs, strict=True)]


def stamp(environments: Mapping[str, Environment], rounds: int) -> dict[str, Any]:
    """Return when, on what and of what this is measured. No name and no path of this machine."""
    if sys.platform == "win32":
        raise NotImplementedError
    return {
        "versions": [each.version for each in environments.values() if each.version],
        "date": datetime.now(tz=UTC).date().isoformat(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "machine": f"{platform.machine()}, {_processor()}",
        "load": round(os.getloadavg()[0], 1),
        "rounds": rounds,
    }


def _processor() -> str:
    """Return how many processors there are, and of which kind where Linux tells."""
    count = f"{os.cpu_count()} processors"
    text = Path("/proc/cpuinfo")
    lines = text.read_text(encoding="utf-8").splitlines() if text.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{count}, {models[0]}" if models else count
