"""Encrypted records: what is damaged or another's is refused, named, and left as it is."""

import pickle
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gatepass._vault.encryption import EncryptionKey
from gatepass._vault.key import decode
from gatepass._vault.vault import Vault
from gatepass.errors import VaultError
from gatepass.secrets import Secret
from tests.support.vaults import (
    IDENTITY,
    KEY,
    OTHER,
    OTHER_KEY,
    RECORD,
    REFRESH,
    Place,
    Use,
    below,
    only,
    token,
    vault,
)


def test_two_writes_of_the_same_record_share_no_encrypted_byte_run(folder: Path) -> None:
    """The nonce is new each time: the same content never looks the same."""
    its = vault(folder)
    its.write(IDENTITY, RECORD)
    first = only(folder).read_bytes()
    its.remove(IDENTITY)
    its.write(IDENTITY, RECORD)
    second = only(folder).read_bytes()

    head = len(b"gatepass vault 1\n") + 8
    assert first[:head] == second[:head]
    assert first[head : head + 12] != second[head : head + 12]
    assert first[head + 12 :] != second[head + 12 :]


def test_a_vault_with_its_key_in_memory_does_not_print_or_travel(place: Place) -> None:
    its = vault(place)
    its.write(IDENTITY, RECORD)

    assert repr(its._require_key()) == "EncryptionKey(...)"
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
        pickle.dumps(its)
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(its._require_key())


@pytest.fixture(scope="module")
def made() -> Iterator[tuple[Path, bytes]]:
    """The folder of a vault with one record, and the record's bytes before any test damages it."""
    with tempfile.TemporaryDirectory(prefix="gatepass-") as name:
        folder = Path(name, "vault")
        vault(folder).write(IDENTITY, RECORD)
        yield folder, only(folder).read_bytes()


@pytest.fixture(scope="module")
def shared(made: tuple[Path, bytes]) -> Path:
    """The folder of a vault with one record, for all tests that only damage that one."""
    return made[0]


@pytest.fixture(scope="module")
def good(made: tuple[Path, bytes]) -> bytes:
    """The bytes of a good record."""
    return made[1]


@pytest.fixture(scope="module")
def opened(shared: Path) -> Vault:
    """A vault whose key has been read."""
    its = vault(shared)
    its.read(IDENTITY)
    return its


def refused(its: Vault, path: Path, data: bytes) -> VaultError:
    """Put bytes in a record's place; they must be refused and survive a write."""
    path.write_bytes(data)
    with pytest.raises(VaultError) as caught:
        its.read(IDENTITY)
    with pytest.raises(VaultError):
        its.write(IDENTITY, RECORD)
    with pytest.raises(VaultError):
        its.write_refreshed(IDENTITY, RECORD, spent=Secret(REFRESH))
    assert path.read_bytes() == data
    assert str(path) in caught.value.message
    assert caught.value.hint
    assert "canary" not in str(caught.value)
    return caught.value


def parts_of(good: bytes) -> list[int]:
    """Return a position in each part of a record: format, key id, nonce, content and tag."""
    head = len(b"gatepass vault 1\n")
    return [0, 3, head - 2, head - 1, head, head + 7, head + 8, head + 19, head + 20, len(good) - 1]


def test_a_record_cut_off_anywhere_is_refused_and_kept(
    shared: Path, good: bytes, opened: Vault
) -> None:
    key = opened._require_key()
    for length in range(len(good)):
        with pytest.raises(VaultError, match="cut off") as caught:
            key.decrypt(good[:length], key.name_of(IDENTITY), "the record")
        assert "gatepass login" in caught.value.hint, length
    for length in parts_of(good):
        error = refused(opened, only(shared), good[:length])
        assert "cut off" in error.message, length
        assert "gatepass login" in error.hint


def test_a_flipped_bit_anywhere_is_refused_and_kept(
    shared: Path, good: bytes, opened: Vault
) -> None:
    key = opened._require_key()
    for position in range(len(good)):
        changed = bytearray(good)
        changed[position] ^= 1 << position % 8
        with pytest.raises(VaultError, match="the record"):
            key.decrypt(bytes(changed), key.name_of(IDENTITY), "the record")
        if position in parts_of(good):
            refused(opened, only(shared), bytes(changed))


def test_added_bytes_are_refused(shared: Path, good: bytes, opened: Vault) -> None:
    refused(opened, only(shared), good + b"\0")


@given(st.binary(max_size=200))
@example(b"gatepass vault 1\n" + b"\0" * 100)
@example(b"gatepass vault 01\n")
def test_any_bytes_as_a_record_are_an_error_of_the_vault_and_nothing_else(
    shared: Path, opened: Vault, data: bytes
) -> None:
    only(shared).write_bytes(data)

    with pytest.raises(VaultError):
        opened.read(IDENTITY)
    (problem,) = opened.list_records().unreadable
    assert isinstance(problem, VaultError)


@given(st.binary(max_size=200) | st.sampled_from([b"[" * 100_000, b'{"record": {}}']))
def test_any_content_under_the_right_seal_is_an_error_of_the_vault_and_nothing_else(
    shared: Path, opened: Vault, content: bytes
) -> None:
    key, path = opened._require_key(), only(shared)
    path.write_bytes(key.encrypt(content, key.name_of(IDENTITY)))

    with pytest.raises(VaultError, match="this version of gatepass does not know"):
        opened.read(IDENTITY)


def test_a_foreign_file_says_that_it_is_none_of_ours(shared: Path, opened: Vault) -> None:
    error = refused(opened, only(shared), b'{"refresh_token": "canary"}')

    assert "not a file of the vault" in error.message


def test_a_record_of_a_newer_version_asks_for_that_version(
    shared: Path, good: bytes, opened: Vault
) -> None:
    error = refused(opened, only(shared), good.replace(b"vault 1\n", b"vault 12\n", 1))

    assert "newer version" in error.message
    assert "nothing was changed or lost" in error.hint


def test_the_record_of_another_identity_does_not_open(tmp_path: Path) -> None:
    its = vault(tmp_path / "vault")
    its.write(IDENTITY, RECORD)
    mine = only(tmp_path / "vault")
    its.write(OTHER, RECORD)
    (theirs,) = set((tmp_path / "vault").glob("*.token")) - {mine}
    mine.write_bytes(theirs.read_bytes())

    with pytest.raises(VaultError, match="the copy of another record"):
        its.read(IDENTITY)
    assert its.read(OTHER) is not None


def test_another_key_is_named_and_nothing_is_lost(tmp_path: Path) -> None:
    """Under another key a record has another name; it must not seem to be missing."""
    folder = tmp_path / "vault"
    vault(folder).write(IDENTITY, RECORD)
    before = only(folder).read_bytes()
    uses: list[Use] = [
        lambda its: its.read(IDENTITY),
        lambda its: its.write(IDENTITY, RECORD),
        lambda its: its.write(OTHER, RECORD),
        lambda its: its.remove(IDENTITY),
    ]

    for use in uses:
        with pytest.raises(VaultError, match="another key than the one behind env:VAULT") as caught:
            use(vault(folder, OTHER_KEY))
        assert str(only(folder)) in str(caught.value)
        assert "nothing was changed or lost" in caught.value.hint

    assert only(folder).read_bytes() == before
    assert token(vault(folder).read(IDENTITY)) == REFRESH


def test_an_identity_that_is_not_there_is_looked_for_without_reading_the_others(
    tmp_path: Path,
) -> None:
    """Whoever has many logins does not wait for all of them at each new one."""
    folder = tmp_path / "vault"
    vault(folder).write(OTHER, RECORD)
    file = only(folder)
    of_another_key = vault(tmp_path / "theirs", OTHER_KEY)
    of_another_key.write(OTHER, RECORD)
    file.write_bytes(only(tmp_path / "theirs").read_bytes())  # whoever reads it, refuses it

    assert vault(folder).read(IDENTITY) is None
    assert vault(folder).write(IDENTITY, RECORD).generation > 0
    assert token(vault(folder).read(IDENTITY)) == REFRESH
    with pytest.raises(VaultError, match="another key"):
        vault(folder).read(OTHER)


def test_no_traceback_of_an_unreadable_record_leads_to_a_secret(
    shared: Path, opened: Vault
) -> None:
    """Not even one that shows local variables, as error reporters do."""
    key = EncryptionKey(decode(Secret(KEY)), "env:VAULT_KEY")
    content = b'{"identity": 1, "record": "canary-token"}'
    for data in (key.encrypt(content, key.name_of(IDENTITY)), key.encrypt(content, b"x")):
        only(shared).write_bytes(data)
        with pytest.raises(VaultError) as caught:
            opened.read(IDENTITY)

        shown = below(caught.value)
        assert "canary-token" not in shown
        assert KEY not in shown
