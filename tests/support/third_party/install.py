"""Install a package of a folder for real, offline, into a folder of its own."""

import importlib.util
import subprocess
import sys
from pathlib import Path

from tests.support.peers.need import absent


def install(project: Path, target: Path) -> Path:
    """Build and install a project with pip; return the folder that Python must look into."""
    for module in ("pip", "hatchling"):
        if importlib.util.find_spec(module) is None:
            absent(f"{module} is not installed, so no package can be")
    quiet = ("--quiet", "--disable-pip-version-check", "--no-compile", "--no-cache-dir")
    offline = ("--no-index", "--no-deps", "--no-build-isolation")
    done = subprocess.run(
        (sys.executable, "-m", "pip", "install", *quiet, *offline, "--target", target, project),
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return target
