"""Programs for Node, and the npm packages that they import."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.peers.need import absent, need_program

# `dev.py test` puts them there, beside the Python packages.
MODULES = Path(sys.prefix) / "npm" / "node_modules"
SOURCES = Path(__file__).with_name("node")
OLDEST_NODE = 20  # what oidc-provider runs on


def need_node(folder: Path, script: str, package: str) -> list[str]:
    """Put a script of `node` beside this file into a folder, and return the command that runs it.

    Node looks for packages beside the script, so they are linked there.
    """
    node = need_npm_package(package)
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "node_modules"
    if not link.is_symlink():
        link.symlink_to(MODULES, target_is_directory=True)
    return [node, str(shutil.copy(SOURCES / script, folder / script))]


def need_npm_package(package: str) -> str:
    """Return the Node that runs this installed npm package."""
    own = next(MODULES.glob("node-linux-*/bin/node"), None)  # where the system's is too old
    node = str(own) if own else need_program("node", "nodejs")
    if _major_version(node) < OLDEST_NODE:
        absent(f"{node} is older than version {OLDEST_NODE}")
    if not (MODULES / package / "package.json").exists():
        absent(f"the npm package {package} is not installed (python3 dev.py test does it)")
    return node


def _major_version(node: str) -> int:
    done = subprocess.run([node, "--version"], capture_output=True, text=True, check=True)
    return int(done.stdout.lstrip("v").partition(".")[0])
