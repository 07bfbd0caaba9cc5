"""The keyring of one test."""

import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from keyring.errors import KeyringError, PasswordDeleteError

from gatepass.testing._keyring import PrivateKeyring


def test_a_keyring_that_belongs_to_no_test_keeps_nothing() -> None:
    keyring = PrivateKeyring()  # type: ignore[no-untyped-call] # keyring has no types there

    with pytest.raises(KeyringError, match="belongs to a test"):
        keyring.set_password("s", "a", "x")
    with pytest.raises(KeyringError, match="belongs to a test"):
        keyring.get_password("s", "a")


def test_an_entry_is_kept_for_other_processes_and_for_its_owner_alone(tmp_path: Path) -> None:
    first, second = _keyring(tmp_path), _keyring(tmp_path)

    first.set_password("s", "a", "sésame")
    first.set_password("s", "b", "other")

    assert (second.get_password("s", "a"), second.get_password("s", "c")) == ("sésame", None)
    assert sys.platform == "win32" or stat.S_IMODE(Path(first.file).stat().st_mode) == 0o600
    second.delete_password("s", "a")
    assert (first.get_password("s", "a"), first.get_password("s", "b")) == (None, "other")
    with pytest.raises(PasswordDeleteError):
        first.delete_password("s", "a")


def test_entries_of_threads_that_write_at_once_are_all_kept(tmp_path: Path) -> None:
    keyring, names = _keyring(tmp_path), [str(number) for number in range(50)]

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda name: keyring.set_password("s", name, name), names))

    assert [keyring.get_password("s", name) for name in names] == names


def _keyring(folder: Path) -> PrivateKeyring:
    keyring = PrivateKeyring()  # type: ignore[no-untyped-call] # keyring has no types there
    keyring.file = str(folder / "keyring.json")
    return keyring
