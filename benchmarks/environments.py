"""The Pythons that the benchmarks run in: one virtual environment for each peer.

They lie in ``.venv-bench`` of the checkout and are made once; pip takes the newest versions, which
the results then name. Needs nothing but Python.
"""

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
FOLDER: Final = ROOT / ".venv-bench"

OURS: Final = "gatepass"
BARE: Final = "bare"
OAC: Final = "ansys-openapi-common"
BOTO3: Final = "boto3"
GOOGLE: Final = "google-auth"
OPENSTACK: Final = "openstacksdk"
DATABRICKS: Final = "databricks-sdk"
PLOT: Final = "plot"

_INSTALLED: Final = "requirements-installed"
# Name → what pip is asked for; the first is the package whose version is told.
PACKAGES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        OURS: ("gatepass",),
        # keyring for the script that asks it by hand, requests-ntlm for NTLM by hand
        BARE: ("requests", "keyring", "requests-ntlm"),
        OAC: ("ansys-openapi-common[oidc]",),
        BOTO3: ("boto3",),
        GOOGLE: ("google-auth", "requests"),
        OPENSTACK: ("openstacksdk",),
        DATABRICKS: ("databricks-sdk",),
        PLOT: ("matplotlib",),
    }
)
_VERSION: Final = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"


@dataclass(frozen=True)
class Environment:
    """A Python to run scripts with.

    Attributes:
        python: the interpreter.
        version: name and version of the package that it is for; empty when not told.
        environ: variables that its scripts need.
    """

    python: Path
    version: str
    environ: Mapping[str, str] = field(default_factory=dict)


def of_this_python(source: Path) -> dict[str, Environment]:
    """Return environments without installing anything: ours and bare, both this very Python.

    Args:
        source: the folder that gatepass is imported from.
    """
    here = Environment(Path(sys.executable), "", {"PYTHONPATH": str(source)})
    return {OURS: here, BARE: here}


def provide(names: tuple[str, ...]) -> dict[str, Environment]:
    """Make the environments that are not there yet, and return those that could be made.

    Runs pip, which reads from the network. One that cannot be installed is left out, with a line
    on stderr.
    """
    made = {}
    for name in names:
        python = FOLDER / name / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
        if _install(name, python):
            package = PACKAGES[name][0].partition("[")[0]
            version = _output(python, "-c", _VERSION, package)
            made[name] = Environment(python, f"{package} {version}")
    return made


def _install(name: str, python: Path) -> bool:
    wanted = _fingerprint(name)
    marker = FOLDER / name / _INSTALLED
    if marker.exists() and marker.read_text(encoding="utf-8") == wanted:
        return True
    print(f"installing {name} into {FOLDER.name}/{name}", file=sys.stderr, flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(FOLDER / name)], check=True)
    packages = ["--editable", str(ROOT)] if name == OURS else list(PACKAGES[name])
    pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages]
    if subprocess.call(pip):
        print(f"{name} could not be installed and is left out", file=sys.stderr, flush=True)
        return False
    marker.write_text(wanted, encoding="utf-8")
    return True


def _fingerprint(name: str) -> str:
    """Return what an installation depends on."""
    project = (ROOT / "pyproject.toml").read_bytes() if name == OURS else b""
    parts = [json.dumps(PACKAGES[name]).encode(), sys.version.encode(), project]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _output(python: Path, *arguments: str) -> str:
    done = subprocess.run([str(python), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()
