"""Measures gatepass beside its peers, in one run, and writes the page about it.

    python benchmarks/run.py                  everything
    python benchmarks/run.py cold wire        some parts: cold, start, wire, expiry, steady, growth
    python benchmarks/run.py --rounds 10      fewer rounds than 30
    python benchmarks/run.py --quick          one small round: prints the tables, writes nothing
    python benchmarks/run.py --here           installs nothing: gatepass and bare, in this Python

Needs Python 3.11 or newer, Linux or macOS, and the network once, for pip. It makes a virtual
environment for each peer in ``.venv-bench``, and writes ``benchmarks/results.json``, and the tables
and the plot of ``docs/explanation/benchmarks.md``. Servers run on loopback; nothing else is asked.
"""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from benchmarks import environments as places  # noqa: E402 - after its place is known
from benchmarks.environments import Environment  # noqa: E402 - the same

RESULTS: Final = ROOT / "benchmarks" / "results.json"
PAGE: Final = ROOT / "docs" / "explanation" / "benchmarks.md"
PLOT: Final = PAGE.with_name("benchmarks-cold.svg")
PARTS: Final = ("cold", "start", "wire", "expiry", "steady", "growth")
ROUNDS: Final = 30

_OIDC: Final = (places.OURS, places.BARE, places.OAC)
_NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "cold": (
        *_OIDC,
        places.BOTO3,
        places.GOOGLE,
        places.OPENSTACK,
        places.DATABRICKS,
    ),
    "start": (places.OURS, places.BARE),
    "wire": _OIDC,
    "expiry": _OIDC,
    "steady": (places.OURS, places.BARE),
    "growth": (places.OURS,),
}


def main(arguments: Sequence[str]) -> int:
    """Prepare, measure, write."""
    asked = _parser().parse_args(arguments)
    parts = tuple(part for part in PARTS if part in (asked.parts or PARTS))
    if asked.inside:
        return _measure(parts, asked, _told(asked.inside))
    if asked.here:
        import gatepass

        source = Path(gatepass.__file__).parent.parent
        return _measure(parts, asked, places.of_this_python(source))
    # Ours runs the measuring; bare is what is compared with.
    names = [places.OURS, places.BARE, *(name for part in parts for name in _NEEDS[part])]
    made = places.provide(tuple(dict.fromkeys([*names, *([] if asked.quick else [places.PLOT])])))
    if not {places.OURS, places.BARE} <= set(made):
        return 1
    inside = json.dumps({name: [str(each.python), each.version] for name, each in made.items()})
    command = [str(made[places.OURS].python), __file__, *arguments, "--inside", inside]
    code = subprocess.call(command)
    if not (code or asked.quick) and "cold" in parts and places.PLOT in made:
        plot = [str(made[places.PLOT].python), str(ROOT / "benchmarks" / "plot.py")]
        code = subprocess.call([*plot, str(RESULTS), str(PLOT)])
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--here", action="store_true")
    # The environments, as JSON, for the second half: it runs in the environment of gatepass.
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    return parser


def _told(text: str) -> dict[str, Environment]:
    return {
        name: Environment(Path(python), version)
        for name, (python, version) in json.loads(text).items()
    }


def _measure(parts: Sequence[str], asked: argparse.Namespace, made: dict[str, Environment]) -> int:
    """Measure each part, print its tables, and write what was found."""
    from benchmarks import page

    results = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    for part in parts:
        print(f"measuring {part}", file=sys.stderr, flush=True)
        rounds = 1 if asked.quick else asked.rounds
        needed = {name: made[name] for name in _NEEDS[part] if name in made}
        found = {part: _MEASURE[part](needed, rounds, asked.quick)}
        for name, table in page.tables(found).items():
            print(f"\n{name}\n\n{table}", flush=True)
        results |= found
        if not asked.quick:  # after each part, so that one that fails loses no other
            RESULTS.write_text(_json(results), encoding="utf-8")
            text = page.written(PAGE.read_text("utf-8"), results)
            PAGE.write_text(text, encoding="utf-8")
    return 0


def _json(results: dict[str, Any]) -> str:
    """Write lists of numbers into one line each."""
    text = json.dumps({part: results[part] for part in PARTS if part in results}, indent=1)
    numbers = re.compile(r"\[[\d\s.,e-]*\]")
    return numbers.sub(lambda match: " ".join(match[0].split()), text) + "\n"


def _cold(made: dict[str, Environment], rounds: int, _quick: bool) -> dict[str, Any]:
    from benchmarks import cold

    return cold.measured(made, rounds)


def _start(made: dict[str, Environment], rounds: int, quick: bool) -> dict[str, Any]:
    from benchmarks import start

    return start.measured(made, rounds, 0 if quick else start.MANY)


def _wire(made: dict[str, Environment], _rounds: int, _quick: bool) -> dict[str, Any]:
    from benchmarks import wire

    return wire.measured(made)


def _expiry(made: dict[str, Environment], _rounds: int, quick: bool) -> dict[str, Any]:
    from benchmarks import expiry

    return (
        expiry.measured(made, (2,), tuple(expiry.POLICIES)[-1:]) if quick else expiry.measured(made)
    )


def _steady(made: dict[str, Environment], rounds: int, quick: bool) -> dict[str, Any]:
    from benchmarks import steady

    return (
        steady.measured(made, rounds, 64, ("basic",), (2,))
        if quick
        else steady.measured(made, rounds)
    )


def _growth(made: dict[str, Environment], rounds: int, quick: bool) -> dict[str, Any]:
    from benchmarks import growth

    return (
        growth.measured(made, rounds, (10,), (2,), (1,)) if quick else growth.measured(made, rounds)
    )


_MEASURE: Final[Mapping[str, Callable[[dict[str, Environment], int, bool], dict[str, Any]]]] = {
    "cold": _cold,
    "start": _start,
    "wire": _wire,
    "expiry": _expiry,
    "steady": _steady,
    "growth": _growth,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
