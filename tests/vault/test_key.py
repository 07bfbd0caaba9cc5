"""The key of the vault: one, never replaced, never shown, for its owner alone."""

import base64
import os
import stat
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gatepass._vault.file_store import FileStore
from gatepass._vault.key import (
    VaultKey,
    _bytes_of,
    check_key_file,
    decode,
    new_key_text,
    referenced_key,
    write_key_file,
)
from gatepass._vault.vault import Vault
from gatepass.errors import SecretUnavailable, VaultError
from gatepass.secrets import Secret
from tests.support.vaults import IDENTITY, KEY, RECORD, Use, answer, below, only, together, vault

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")


def test_a_new_key_is_32_bytes_and_never_the_same() -> None:
    texts = {new_key_text() for _ in range(50)}

    assert len(texts) == 50
    assert {len(decode(Secret(text))) for text in texts} == {32}


def test_a_key_may_end_in_its_padding() -> None:
    assert decode(Secret(KEY + "=")) == decode(Secret(KEY))


@given(st.text() | st.from_regex(r"[A-Za-z0-9_-]{43}=?", fullmatch=True))
@example(KEY + "==")
@example(KEY + "\n")
@example(" " + KEY)
@example(KEY[:-1])
@example("+" + KEY[1:])
@example(KEY[:-1] + "N")  # the same 32 bytes as KEY to a careless reader
def test_a_text_is_a_key_or_an_error_that_does_not_repeat_it(text: str) -> None:
    if _bytes_of(Secret(text)) is None:
        with pytest.raises(VaultError) as caught:
            decode(Secret(text))
        assert len(text) < 8 or text not in below(caught.value)
    else:
        key = decode(Secret(text))
        assert base64.urlsafe_b64encode(key).decode().rstrip("=") == text.removesuffix("=")


def test_a_key_file_holds_a_key_and_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "vault.key"
    write_key_file(path)
    text = path.read_text()

    with pytest.raises(VaultError, match="never replaced"):
        write_key_file(path)

    assert path.read_text() == text
    assert len(decode(Secret(text.rstrip("\n")))) == 32


def test_a_key_file_in_no_folder_is_an_error_of_the_vault(tmp_path: Path) -> None:
    with pytest.raises(VaultError, match="cannot write") as caught:
        write_key_file(tmp_path / "missing" / "vault.key")

    assert "choose another path" in caught.value.hint


@posix_only
def test_a_key_file_that_does_not_fit_on_the_disk_is_not_left_half(tmp_path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("needs POSIX")
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(VaultError, match="cannot write"):
            write_key_file(tmp_path / "vault.key")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert not (tmp_path / "vault.key").exists()


@posix_only
@pytest.mark.parametrize("mask", [0o000, 0o777])
def test_a_key_file_is_for_its_owner_alone_under_any_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        write_key_file(tmp_path / "vault.key")
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "vault.key").stat().st_mode) == 0o600
    check_key_file(tmp_path / "vault.key")


@posix_only
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602])
def test_a_key_file_that_others_can_read_or_write_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "vault.key"
    write_key_file(path)
    path.chmod(mode)
    its = Vault(
        FileStore(tmp_path / "vault"),
        referenced_key(f"file:{path}", lambda: Secret(path.read_text().strip()), file=path),
    )

    with pytest.raises(VaultError, match="others can read") as caught:
        its.write(IDENTITY, RECORD)
    assert f"chmod 600 {path}" in caught.value.hint

    path.chmod(0o400)
    its.write(IDENTITY, RECORD)


@posix_only
def test_a_key_file_of_root_may_be_readable_by_the_services_group(tmp_path: Path) -> None:
    """As systemd and Kubernetes mount one."""
    if sys.platform == "win32":
        pytest.skip("needs POSIX")
    if os.geteuid() != 0:
        pytest.skip("only root can give a file to another user")
    path = tmp_path / "vault.key"
    write_key_file(path)
    os.chown(path, 65534, 65534)
    path.chmod(0o640)

    check_key_file(path)

    path.chmod(0o644)
    with pytest.raises(VaultError, match="others can read") as caught:
        check_key_file(path)
    assert "chmod" not in caught.value.hint, "nobody but its owner could run it"
    assert "it belongs to user 65534, so its mode is set where the file comes from" in (
        caught.value.hint
    )
    os.chown(path, 0, 0)
    path.chmod(0o444)
    with pytest.raises(VaultError) as caught:
        check_key_file(path)
    assert f"chmod 600 {path}" in caught.value.hint, "root can run it"


def test_a_reference_that_does_not_answer_says_why_and_makes_nothing(tmp_path: Path) -> None:
    def refuse() -> Secret:
        raise SecretUnavailable("the variable VAULT_KEY is not set", hint="set it")

    its = Vault(FileStore(tmp_path / "vault"), referenced_key("env:VAULT_KEY", refuse))

    with pytest.raises(VaultError, match="the variable VAULT_KEY is not set") as caught:
        its.write(IDENTITY, RECORD)

    assert caught.value.hint.startswith("set it\n")
    assert not (tmp_path / "vault").exists()


def test_a_missing_key_is_made_only_where_no_record_exists(tmp_path: Path) -> None:
    """Also not when the record is damaged: a copy of it may lie elsewhere."""
    kept: list[Secret] = []

    def make() -> Secret:
        kept.append(Secret(new_key_text()))
        return kept[-1]

    key = VaultKey("keyring:gatepass/vault-key", lambda: kept[-1] if kept else None, make)
    Vault(FileStore(tmp_path / "vault"), key).write(IDENTITY, RECORD)
    assert len(kept) == 1
    kept.clear()
    only(tmp_path / "vault").write_bytes(b"")

    uses: list[Use] = [lambda its: its.read(IDENTITY), lambda its: its.write(IDENTITY, RECORD)]
    for use in uses:
        with pytest.raises(VaultError, match="1 record encrypted with it") as caught:
            use(Vault(FileStore(tmp_path / "vault"), key))
        assert "keyring:gatepass/vault-key" in caught.value.message
        assert "no new key was made" in caught.value.hint
    assert kept == []

    with pytest.raises(VaultError, match="key is missing"):
        Vault(FileStore(tmp_path / "elsewhere"), replace(key, make=None)).write(IDENTITY, RECORD)


def test_a_key_that_is_not_one_is_refused_without_showing_it(tmp_path: Path) -> None:
    with pytest.raises(VaultError, match="not base64url of 32 bytes") as caught:
        vault(tmp_path / "vault", "hunter2-is-my-password").write(IDENTITY, RECORD)

    assert "hunter2" not in str(caught.value)


def test_four_processes_that_start_together_make_one_key_in_the_keyring(
    tmp_path: Path, unlocked_keyring: dict[str, str]
) -> None:
    folder = tmp_path / "vault"

    ids = together(4, tmp_path, "with_keyring_key", folder, environ=unlocked_keyring)

    assert [each for each in ids if not isinstance(each, str)] == []
    assert len(set(ids)) == 1
    assert len(list(folder.glob("*.token"))) == 4


def test_a_key_that_left_the_keyring_is_not_made_anew(
    tmp_path: Path, unlocked_keyring: dict[str, str]
) -> None:
    answer(tmp_path, "with_keyring_key", tmp_path / "vault", **unlocked_keyring)

    said, still_missing = answer(tmp_path, "removed_key", tmp_path / "vault", **unlocked_keyring)

    assert [one["error"] for one in said] == ["VaultError", "VaultError"]
    assert all("nothing behind keyring:gatepass/vault-key" in one["message"] for one in said)
    assert still_missing


def test_a_locked_keyring_is_an_error_and_no_missing_key(
    tmp_path: Path, locked_keyring: dict[str, str]
) -> None:
    said = answer(tmp_path, "with_keyring_key", tmp_path / "vault", **locked_keyring)

    assert said["error"] == "VaultError"
    assert "the keyring is locked" in said["message"]
    assert "gatepass secret new-key" in said["hint"]
    assert not (tmp_path / "vault").exists()


def test_of_four_processes_that_make_one_key_file_one_succeeds(tmp_path: Path) -> None:
    path = tmp_path / "vault.key"

    made = together(4, tmp_path, "new_key_file", path, environ={})

    assert sorted(made) == [False] * 3 + [True]
    assert len(decode(Secret(path.read_text().rstrip("\n")))) == 32
