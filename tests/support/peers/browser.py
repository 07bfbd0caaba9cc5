"""Chromium, driven like a person who logs on: what `BROWSER` may name."""

import json
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from tests.support.peers.environ import clean_environ, is_root
from tests.support.peers.need import need_program
from tests.support.peers.node_packages import need_node
from tests.support.peers.waiting import wait_for

# Of the same kind; Ubuntu has no package with one.
_OTHERS = ("google-chrome", "google-chrome-stable", "chromium-browser")


@dataclass(frozen=True)
class LastPage:
    """Where the browser ended."""

    url: str
    title: str
    text: str
    visited: Sequence[str]  # addresses without their queries
    problem: str  # why the login did not go on; empty when it did


@dataclass(frozen=True)
class Browser:
    """A command that opens an address, logs on at the forms it meets, and ends.

    The command itself returns at once, as those of desktops do.
    """

    program: Path
    folder: Path

    @property
    def command(self) -> str:
        """The value of `BROWSER`."""
        return f"{quote(str(self.program))} %s"

    @property
    def screenshot(self) -> Path:
        """A picture of the last page, PNG; there as soon as `last_page` returns."""
        return self.folder / "screenshot.png"

    def last_page(self, seconds: float = 60) -> LastPage:
        """Wait until the browser has ended, and return the last page."""
        file = self.folder / "page.json"
        wait_for(file.exists, seconds, "the browser ends")
        return LastPage(**json.loads(file.read_text(encoding="utf-8")))


@contextmanager
def browser(folder: Path, *, login: str = "alice", password: str = "any") -> Iterator[Browser]:
    """Furnish a browser; nothing runs until somebody uses its command."""
    chromium = need_program("chromium", "chromium", *_OTHERS)
    argv = need_node(folder, "browse.mjs", "playwright-core")
    made = Browser(folder / "browse", folder)
    settings = folder / "settings.json"
    content = {
        "chromium": chromium,
        "login": login,
        "page": str(folder / "page.json"),
        "password": password,
        "root": is_root(),
        "screenshot": str(made.screenshot),
    }
    settings.write_text(json.dumps(content), encoding="utf-8")
    made.program.write_text(_script(folder, [*argv, str(settings)]), encoding="utf-8")
    made.program.chmod(0o755)
    try:
        yield made
    finally:
        _end(folder)


def _script(folder: Path, argv: Sequence[str]) -> str:
    """Return a program of the shell that starts another and does not wait for it."""
    # With an environment of its own: a browser must not find the keyring or home of a test.
    environ = [f"{name}={value}" for name, value in clean_environ(folder / "home").items()]
    words = " ".join(quote(word) for word in ("env", "-i", *environ, *argv))
    log, pid = (quote(str(folder / name)) for name in ("output.log", "pid"))
    return f'#!/bin/sh\n{words} "$1" </dev/null >>{log} 2>&1 &\necho $! >{pid}\n'


def _end(folder: Path) -> None:
    """Ask a browser that still runs to end; when it has ended by itself, there is its page."""
    pid = folder / "pid"
    if pid.exists() and not (folder / "page.json").exists():
        with suppress(ProcessLookupError):
            os.kill(int(pid.read_text()), signal.SIGTERM)
