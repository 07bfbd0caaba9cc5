"""Runs of pytest in a process of their own, as a user's."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import gatepass
from tests.support.distribution import install
from tests.support.peers.environ import clean_environ
from tests.support.peers.terminal import without_terminal

SOURCES = Path(gatepass.__file__).parent.parent
SUPPORT = Path(__file__).parent
_PROJECT_FILE = Path(__file__).parents[2] / "pyproject.toml"


@dataclass(frozen=True)
class Project:
    """A folder with tests, in which gatepass is installed."""

    folder: Path
    environ: Mapping[str, str]

    @classmethod
    def new(cls, folder: Path) -> "Project":
        """Make one; pytest finds our plug-in by its entry point, as pyproject.toml says it."""
        declared = tomllib.loads(_PROJECT_FILE.read_text(encoding="utf-8"))["project"]
        packages, project = folder / "packages", folder / "project"
        install(packages, "gatepass", {"pytest11": declared["entry-points"]["pytest11"]})
        project.mkdir()
        path = os.pathsep.join([str(packages), str(project), str(SOURCES)])
        return cls(project, {**clean_environ(folder / "home"), "PYTHONPATH": path})

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
        return path

    def pytest(
        self,
        *arguments: str,
        seconds: float = 60,
        variables: Mapping[str, str] = MappingProxyType({}),
    ) -> "subprocess.CompletedProcess[str]":
        """Run pytest where nobody is."""
        argv = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "error", *arguments)
        environ = {**self.environ, **variables}
        return without_terminal(argv, environ, cwd=self.folder, timeout=seconds)


def outcomes(printed: str) -> dict[str, str]:
    """Return test → outcome, from what ``pytest -rA`` prints; reasons are left out."""
    found = re.findall(r"^(PASSED|FAILED|ERROR) (\S+)", printed, re.MULTILINE)
    return {test.partition("::")[2]: outcome for outcome, test in found}
