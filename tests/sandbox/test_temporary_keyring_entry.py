"""The entry that the demo lends to the keyring is removed, however the demo ends."""

import json
import sys
from pathlib import Path

import pytest

from tests.support.demos import PROGRAM, SOURCE, go, run
from tests.support.peers import secret_service


@pytest.mark.skipif(sys.platform != "linux", reason="the Secret Service is of Linux desktops")
def test_an_unlocked_keyring_is_used_and_the_entry_removed(home: Path) -> None:
    program = (
        PROGRAM.replace("print(json.dumps({", "printed = (json.dumps({")
        + """
import keyring
from urllib.parse import urlsplit
printed = json.loads(printed)
service = "gatepass:http://" + urlsplit(printed["url"]).netloc
printed["entry"] = keyring.get_password(service, "alice")
print(json.dumps(printed))
"""
    )
    with secret_service.unlocked(home) as desktop:
        found = run(program, desktop | {"PYTHONPATH": SOURCE}, "[false, null]")
    trial = found["sources"]["keyring"]
    assert (trial["problem"], trial["skipped"], trial["requests"]) == ("", "", 1)
    assert trial["ok"]
    assert found["entry"] is None


@pytest.mark.skipif(sys.platform == "win32", reason="there a process cannot interrupt itself")
def test_ctrl_c_while_the_keyring_writes_leaves_no_entry(own_keyring: dict[str, str]) -> None:
    own_keyring["PYTHON_KEYRING_BACKEND"] = "backend.Interrupts"
    program = """
import backend, json
from gatepass.sandbox.demo import practice
try:
    with practice() as run:
        folder = run.folder
        for attempt in run.attempts():
            pass
except KeyboardInterrupt:
    left = [str(key) for key in backend.entries]
    print(json.dumps({"entries": left, "folder": folder.exists(), "last": attempt.name}))
"""
    assert run(program, own_keyring) == {
        "entries": [],
        "folder": False,
        "last": 'password = "file:password.txt"',
    }


def test_an_entry_that_was_not_kept_as_it_was_written_is_removed_too(
    own_keyring: dict[str, str],
) -> None:
    own_keyring["PYTHON_KEYRING_BACKEND"] = "backend.Changes"
    program = """
import backend, json
from gatepass.sandbox.demo import practice
with practice() as run:
    skipped = [attempt.skipped for attempt in run.attempts()]
print(json.dumps([skipped[2], len(backend.entries)]))
"""
    reason, entries = run(program, own_keyring)
    assert "read back" in reason
    assert entries == 0


def test_an_entry_that_cannot_be_removed_is_told(own_keyring: dict[str, str]) -> None:
    own_keyring["PYTHON_KEYRING_BACKEND"] = "backend.Holds"
    trial = go(own_keyring)["sources"]["keyring"]
    assert "could not be removed" in trial["problem"]
    assert "keyring del" in trial["hint"]
    assert "sesame" not in json.dumps(trial)
