"""How much CPU a script pays for a profile instead of a few lines of its own.

    python benchmarks/cold_start.py [PAIRS]

The scripts read a TOML file and a variable, build a session, and make one request to a server of
the sandbox. *Bare* uses requests and tomllib as people do by hand; *gatepass* uses
``Session.from_profile``; *pydantic* is the bare one that also checks one value with pydantic. They
run in fresh processes, one after the other in an order that alternates, so that what else the
machine does falls on all. What is counted is the CPU time of the process, user and system, which
its parent reads after its end (POSIX only). The first round only warms the disk.
"""

import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import gatepass
from gatepass.sandbox import Server

PAIRS = 30

BARE = """
import os, sys, tomllib
import requests

with open(sys.argv[1], "rb") as file:
    profile = tomllib.load(file)["profiles"]["prod"]
session = requests.Session()
session.trust_env = False
session.auth = (profile["auth"]["user_name"], os.environ["MI_PASSWORD"])
assert session.get(profile["url"] + "Health/v2.svc", timeout=(10, 60)).json()["user"] == "alice"
"""

OURS = """
import sys
from gatepass import Session

session = Session.from_profile("prod", config_file=sys.argv[1])
assert session.get("Health/v2.svc").json()["user"] == "alice"
"""

# The same as BARE, and one value checked by pydantic: what any use of it costs.
WITH_PYDANTIC = f"""
from pydantic import TypeAdapter

TypeAdapter(str).validate_python("x", strict=True)
{BARE}
"""

PROFILE = """
[profiles.prod]
url = "{url}"
proxy = "none"

[profiles.prod.auth]
scheme = "basic"
user_name = "alice"
password = "env:MI_PASSWORD"
"""


@dataclass(frozen=True)
class Sample:
    """CPU seconds of one kind of script, one number for each pair."""

    name: str
    seconds: list[float]

    def row(self) -> str:
        """Median and the middle half."""
        low, middle, high = statistics.quantiles(self.seconds, n=4)
        return f"{self.name:<10} {middle * 1000:8.0f} ms   {low * 1000:.0f} to {high * 1000:.0f} ms"


def cpu_seconds(script: str, config_file: Path, environ: dict[str, str]) -> float:
    """Run a script to its end and return the CPU time that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", script, str(config_file)], env=environ, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measured(pairs: int) -> list[Sample]:
    """Run all scripts alternately."""
    scripts = {"bare": BARE, "pydantic": WITH_PYDANTIC, "gatepass": OURS}
    seconds: dict[str, list[float]] = {name: [] for name in scripts}
    with (
        tempfile.TemporaryDirectory() as folder,
        Server(mode="standalone", users={"alice": "sesame"}) as server,
    ):
        config_file = Path(folder, "profiles.toml")
        config_file.write_text(PROFILE.format(url=server.url), encoding="utf-8")
        environ = surroundings(Path(folder))
        for number in range(pairs + 1):
            order = list(scripts) if number % 2 else list(reversed(scripts))
            for name in order:
                spent = cpu_seconds(scripts[name], config_file, environ)
                if number:
                    seconds[name].append(spent)
    return [Sample(name, found) for name, found in seconds.items()]


def surroundings(home: Path) -> dict[str, str]:
    """An environment without settings of the machine, in which both scripts find their packages."""
    kept = ("PATH", "SYSTEMROOT", "WINDIR", "TEMP", "TMP")
    environ = {name: os.environ[name] for name in kept if name in os.environ}
    source = str(Path(gatepass.__file__).parent.parent)
    return {**environ, "HOME": str(home), "PYTHONPATH": source, "MI_PASSWORD": "sesame"}


def main() -> None:
    """Measure, and print a table."""
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else PAIRS
    samples = measured(pairs)
    print(f"Python {platform.python_version()}, {platform.system()}, {pairs} pairs, CPU time\n")
    print(f"{'script':<10} {'median':>11}   middle half")
    for sample in samples:
        print(sample.row())
    print()
    bare, *others = samples
    for sample in others:
        pairs_of = zip(sample.seconds, bare.seconds, strict=True)
        low, middle, high = statistics.quantiles([mine / theirs for mine, theirs in pairs_of], n=4)
        print(f"{sample.name} / bare: {middle:.2f} (middle half {low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
