"""What to do where a peer is not installed: skip on a laptop, fail where peers are required."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

import pytest

REQUIRED = os.environ.get("GATEPASS_TEST_PEERS") == "required"

# An ordinary user's PATH may lack the sbin folders, where servers live. Windows has none; under
# wine they hold programs of another system.
_SBIN = () if sys.platform == "win32" else ("/usr/local/sbin", "/usr/sbin", "/sbin")
_SEARCH = os.pathsep.join((os.environ.get("PATH", ""), *_SBIN))


def absent(reason: str) -> NoReturn:
    """Skip the test, or fail it under `GATEPASS_TEST_PEERS=required`."""
    if REQUIRED:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def need_program(name: str, package: str, *others: str) -> str:
    """Return the path of a program from that Debian package, or of another that does as well."""
    paths = (shutil.which(each, path=_SEARCH) for each in (name, *others))
    found = next(filter(None, paths), None)
    return found or absent(f"{name} is not installed (Debian package: {package})")


def need_gssapi() -> None:
    """Do the same where Kerberos is to come from the package gssapi; Windows needs none."""
    if sys.platform != "win32" and importlib.util.find_spec("gssapi") is None:
        absent("gssapi is not installed (Debian package: python3-gssapi)")


def need_file(pattern: str, package: str) -> Path:
    """Return the first file that matches an absolute pattern, from that Debian package."""
    found = (
        None if sys.platform == "win32" else next(Path("/").glob(pattern.removeprefix("/")), None)
    )
    return found or absent(f"{pattern} is not installed (Debian package: {package})")
