"""Runs the logins of `gatepass demo` in a process of their own."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import gatepass

SOURCE = str(Path(str(gatepass.__file__)).parents[1])
DEADLINE = 120.0  # seconds; nothing takes that long
NULL = "keyring.backends.null.Keyring"


# Makes all attempts and tells what came of them, and what is left afterwards.
PROGRAM = """
import dataclasses, json, os, sys
from gatepass._system.terminal import Terminal
from gatepass.sandbox.demo import practice

ask, typed = json.loads(sys.argv[1])
terminal = Terminal(interactive=typed is not None, read_hidden=lambda label: typed)
before = dict(os.environ)
with practice(terminal=terminal, ask=ask) as run:
    toml, url = run.config_file.read_text(), run.base_profile["url"]
    attempts, oidc = list(run.attempts()), list(run.oidc_attempts())
    inside = [run.folder, *run.folder.rglob("*")]
    modes = {each.name: oct(each.stat().st_mode & 0o777) for each in inside}
    kinds = {each.name: each.is_dir() for each in inside}
told = [{**dataclasses.asdict(each), "ok": each.ok} for each in attempts]
print(json.dumps({
    "toml": toml,
    "url": url,
    "sources": dict(zip(["env", "file", "command", "prompt"], told[:4])),
    "schemes": told[4:],
    "oidc": [{**dataclasses.asdict(each), "ok": each.ok} for each in oidc],
    "modes": [[kinds[name], mode] for name, mode in modes.items()],
    "left": run.folder.exists() or dict(os.environ) != before,
}, default=str))
"""


def run(program: str, environ: dict[str, str], *arguments: str) -> Any:
    """Run a program and return the JSON that it prints; nothing else may be printed."""
    process = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", program, *arguments],
        env=environ,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=DEADLINE,
        check=False,
    )
    assert process.stderr == ""
    return json.loads(process.stdout)


def go(environ: dict[str, str], *, ask: bool = False, typed: str | None = None) -> Any:
    return run(PROGRAM, environ, json.dumps([ask, typed]))
