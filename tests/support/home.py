"""A person's home folder in which the command runs, and its ways to run."""

import os
import subprocess
import sys
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gatepass
from tests.support.in_process import needs_a_process, run_in_process
from tests.support.peers.terminal import terminal, without_terminal

if TYPE_CHECKING:
    import pexpect

ARGV = (sys.executable, "-m", "gatepass")
SOURCES = str(Path(gatepass.__file__).parent.parent)


@dataclass(frozen=True)
class Home:
    """A home folder, a working directory that is a repository, and an environment.

    Attributes:
        environ: all variables.
        work: the working directory.
        path: folders of more packages.
        in_process: whether a command is run in the process of the tests, where that can be.
    """

    environ: dict[str, str]
    work: Path
    path: list[str] = field(default_factory=list)
    in_process: bool = False

    @property
    def user_file(self) -> Path:
        return Path(self.environ["XDG_CONFIG_HOME"], "gatepass", "profiles.toml")

    @property
    def project_file(self) -> Path:
        return self.work / "gatepass.toml"

    def write(self, path: Path, content: str | bytes) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(0o600)
        return path

    def user(self, content: str | bytes) -> Path:
        return self.write(self.user_file, content)

    def project(self, content: str | bytes) -> Path:
        return self.write(self.project_file, content)

    def having(self, **variables: str) -> "Home":
        return replace(self, environ=self.environ | variables)

    @property
    def apart(self) -> "Home":
        """The same, where each command is a process of its own."""
        return replace(self, in_process=False)

    def run(self, *arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        """Run the command where nobody is; in this process where ``in_process`` says so."""
        if self.in_process and not needs_a_process(self.environ, self.path):
            return run_in_process(
                arguments, self.environ, stdin=stdin, cwd=self.work, packages=self.path
            )
        return without_terminal((*ARGV, *arguments), self._environ(), stdin=stdin, cwd=self.work)

    def sit(
        self, *arguments: str, columns: int = 100
    ) -> "AbstractContextManager[pexpect.spawn[str]]":
        """Run the command before a person."""
        return terminal((*ARGV, *arguments), self._environ(), cwd=self.work, columns=columns)

    def python(self, script: str) -> "subprocess.CompletedProcess[str]":
        return without_terminal((sys.executable, "-c", script), self._environ(), cwd=self.work)

    def _environ(self) -> dict[str, str]:
        # Warnings of Python itself are errors here too.
        path = os.pathsep.join([*self.path, SOURCES])  # SOURCES may be where all packages lie
        return {"PYTHONWARNINGS": "error"} | self.environ | {"PYTHONPATH": path}


def ended(child: Any) -> int:
    """Wait for the end of a program on a terminal and return its exit code."""
    import pexpect

    child.expect(pexpect.EOF)
    child.close()
    return int(child.exitstatus)


def screen(child: Any) -> str:
    return str(child.logfile_read.getvalue())
