"""Runs the doctor, and looks into what it found."""

import json
import sys
from pathlib import Path

import pytest

from tests.support.home import Home

ROOT = str(Path(__file__).resolve().parents[2])
BACKENDS = "tests.support.keyring_backends."
URL = 'url = "https://mi.example.com/mi"\n'
ANONYMOUS = f'[profiles.dev]\n{URL}auth = {{ scheme = "anonymous" }}\n'
BY_KEYRING = f'[profiles.api]\n{URL}auth = {{ scheme = "bearer", token = "keyring:" }}\n'
BY_EITHER = BY_KEYRING.replace('"keyring:"', '["env:T", "keyring:"]')
BY_TICKET = f'[profiles.desk]\n{URL}auth = {{ scheme = "autologon" }}\n'


posix = pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")


Found = list[dict[str, str]]


def diagnosed(home: Home, *options: str) -> tuple[int, Found]:
    """Run the doctor, and see that each problem comes with a next step."""
    done = home.run("doctor", "--json", *options)
    assert done.stderr == "", done.stderr
    report = json.loads(done.stdout)
    assert report["ok"] == (done.returncode == 0)
    found: Found = report["findings"]
    assert all(each["hint"] for each in found if each["verdict"] == "problem")
    return done.returncode, found


def of(found: Found, subject: str) -> Found:
    return [each for each in found if each["subject"] == subject]


def one(found: Found, subject: str, words: str = "") -> dict[str, str]:
    """The only finding about a subject that says these words."""
    (only,) = (each for each in of(found, subject) if words in each["message"])
    return only


def problems_about(found: Found, subject: str) -> str:
    """What is said of a problem."""
    return " | ".join(
        each["message"] for each in of(found, subject) if each["verdict"] == "problem"
    )


def with_backend(home: Home, name: str) -> Home:
    home.path.append(ROOT)
    return home.having(PYTHON_KEYRING_BACKEND=BACKENDS + name)
