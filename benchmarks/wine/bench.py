"""Run the Windows code of gatepass under wine, against real servers, and print what came of it.

    benchmarks/wine/build.sh FOLDER
    python benchmarks/wine/bench.py FOLDER

Runs on Linux with the packages of the extra ``test``. It starts the Kerberos realm and the Apache
of the tests on loopback, then with Windows' Python the folders of tests in ``TESTS``, and the
groups of ``checks.py``, each in a process of its own, and prints a table in Markdown. It ends with
1 when a check failed that wine can pass.

This is evidence about wine, not about Windows: see docs/explanation/windows-evidence.md.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pexpect

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT)]

from tests.support.peers import apache, ca, epa, kdc  # noqa: E402 - the tests are no package on the path
from tests.support.peers.oidc_provider import OidcAddress  # noqa: E402 - the same

# Test files that say nothing that only a POSIX system could hold. Each is a process of pytest.
TESTS = (
    "system",
    "config",
    "secrets",
    "net",
    "vault",
    "session",
)
GROUPS = (
    "secrets",
    "terminal",
    "console",
    "sessions",
    "autologon",
    "autologon-unchanged",
    "autologon-pywin32",
    "autologon-no-ticket",
)
# Tests that would have to pass on Windows, and fail for a reason that lies in wine 8.
WINE_CANNOT: tuple[str, ...] = ()
SECONDS = 300
# The console of wine draws each character on its own, with escape sequences between them.
_ESCAPE = r"\x1b\[[0-9;?]*[A-Za-z]"
_BETWEEN = f"(?:{_ESCAPE})*"
_PROMPT, _PASTE = _BETWEEN.join("word:"), _BETWEEN.join("it:")


def windows(path: Path) -> str:
    """Return how Windows programs under wine name a path of this system."""
    return "Z:" + str(path).replace("/", "\\")


@dataclass(frozen=True)
class Bench:
    """The interpreter, and the environment of all that it runs."""

    folder: Path
    environ: dict[str, str]

    def run(self, group: str, work: Path, **environ: str) -> list[dict[str, Any]]:
        """Run a group of checks and return its lines; a crash becomes a line too."""
        results = work / f"{group}.json"
        variables = self.environ | {"BENCH_RESULTS": windows(results)} | environ
        checks = windows(Path(__file__).with_name("checks.py"))
        status: int | str
        try:
            run = self._typed if group == "console" else self._piped
            status = run([checks, group], variables)
        except subprocess.TimeoutExpired as late:
            status = f"nothing within {late.timeout:.0f} s"
        lines = results.read_text("utf-8").splitlines() if results.exists() else []
        rows: list[dict[str, Any]] = [json.loads(line) for line in lines]
        if status:
            rows.append({"claim": group, "outcome": "FAIL", "seen": f"it ended with {status}"})
        return rows

    def test(self, folder: str) -> dict[str, Any]:
        """Run a folder of the project's tests with pytest, and return what it says at its end."""
        pytest = ["-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider"]
        pytest += ["--rootdir", windows(ROOT), "-c", windows(ROOT / "pyproject.toml")]
        known = [f"--deselect=tests/{name}" for name in WINE_CANNOT if name.startswith(folder)]
        try:
            done = subprocess.run(
                [str(self.folder / "wpy"), *pytest, *known, f"tests/{folder}"],
                cwd=ROOT,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
                timeout=4 * SECONDS,
            )
        except subprocess.TimeoutExpired as late:
            seen = f"it did not end within {late.timeout:.0f} s"
            return {"claim": f"tests/{folder}", "outcome": "FAIL", "seen": seen}
        lines = done.stdout.decode(errors="replace").split("\n")
        sys.stderr.writelines(f"{line}\n" for line in lines if line.startswith(("FAILED", "ERROR")))
        seen = next((line for line in reversed(lines) if " in " in line), "nothing")
        outcome = "FAIL" if done.returncode else "ok"
        return {"claim": f"tests/{folder}", "outcome": outcome, "seen": seen.partition(" in ")[0]}

    def _piped(self, arguments: list[str], environ: dict[str, str]) -> int:
        # A standard output that is a file would end Windows' Python at its start.
        done = subprocess.run(
            [self.folder / "wpy", *arguments],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=SECONDS,
        )
        if done.returncode:
            sys.stderr.write(done.stdout.decode(errors="replace"))
        return done.returncode

    def _typed(self, arguments: list[str], environ: dict[str, str]) -> int:
        """Run it in a terminal, before which somebody types a password, and pastes an address."""
        prefix = {"WINEPREFIX": str(self.folder / "prefix"), "WINEDEBUG": "-all", "TERM": "xterm"}
        program = str(self.folder / "pywin" / "python.exe")
        child = pexpect.spawn(
            "wine", [program, *arguments], env=environ | prefix, timeout=SECONDS, encoding="utf-8"
        )
        child.expect(_PROMPT)
        child.send("pw-alice\r")
        child.expect(_PASTE)
        screen = re.sub(_ESCAPE, "", child.before)
        child.send("https://localhost/?code=" + "c" * 600 + "\r")
        child.expect(pexpect.EOF)
        child.close()
        if "pw-alice" in screen:
            raise AssertionError("the password stood on the screen")
        return child.exitstatus or 0


def clean(environ: dict[str, str]) -> dict[str, str]:
    """Return the environment of wine, without what this machine says of itself."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    python = {"PYTHONPATH": windows(ROOT / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    return kept | {"LANG": "C.UTF-8"} | python | environ


def main(folder: Path) -> int:
    """Run all groups and print the table."""
    with ExitStack() as stack:
        # Apache's children may be another user, who must see its files.
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gatepass-")))
        work.chmod(0o755)
        authority = ca.make(work / "ca")
        realm = stack.enter_context(kdc.kdc(work / "kdc"))
        server = stack.enter_context(
            apache.apache(work / "apache", authority, realm.files, OidcAddress.free())
        )
        bound = stack.enter_context(
            epa.epa(
                work / "epa",
                chain=authority.server.chain,
                key=authority.server.key,
                krb5_conf=realm.files.krb5_conf,
                service_keytab=realm.files.service_keytab,
            )
        )
        names = ("open", "standalone", "mixed", "windows", "ntlm", "krb_unbound")
        rooms = {name: (server.room(name).http, server.room(name).https) for name in names}
        rooms |= {name: ("", server.room(name).https) for name in ("expired", "wrong_host")}
        rooms["bound"] = ("", bound.url)
        peers = json.dumps({"rooms": rooms, "ca": windows(authority.ca_file)})
        logged_on = realm.environ(realm.ccache(lifetime="8h"))
        bench = Bench(folder, clean({"BENCH_PEERS": peers, **logged_on}))
        rows = []
        for name in TESTS:
            print(f"tests/{name} ...", file=sys.stderr, flush=True)
            rows.append({"group": "tests", **bench.test(name)})
        for group in GROUPS:
            nobody = realm.environ() if group == "autologon-no-ticket" else {}
            print(f"{group} ...", file=sys.stderr, flush=True)
            rows += [{"group": group, **row} for row in bench.run(group, work, **nobody)]
    _show(rows)
    return int(any(row.get("outcome") == "FAIL" for row in rows))


def _show(rows: list[dict[str, Any]]) -> None:
    wine = subprocess.run(
        ["wine", "--version"],  # noqa: S607 - the one that the bench ran
        capture_output=True,
        text=True,
        check=True,
    )
    versions = next(row["versions"] for row in rows if "versions" in row)
    shown = ", ".join(f"{name} {version}" for name, version in versions.items())
    print(f"{datetime.now(UTC):%Y-%m-%d}: {wine.stdout.strip()}, {shown}\n")
    print("| group | what | outcome | seen |\n| --- | --- | --- | --- |")
    for row in rows:
        if "claim" in row:
            cells = (row["group"], row["claim"], row["outcome"], row["seen"])
            print("| " + " | ".join(_cell(cell) for cell in cells) + " |")


def _cell(text: str) -> str:
    line = " ".join(text.split())
    return line.replace("|", r"\|").replace("\\", "\\\\") if "\\" in line else line


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
