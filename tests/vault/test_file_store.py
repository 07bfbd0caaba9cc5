"""The files of a vault: what they show, their modes, full disks, kills, and what is no record."""

import base64
import json
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from gatepass.errors import TokenNotPersisted, VaultError
from tests.support.vaults import (
    ACCESS,
    IDENTITY,
    KEY,
    OTHER,
    RECORD,
    REFRESH,
    SPENT,
    Use,
    answer,
    line,
    only,
    start,
    token,
    vault,
    with_token,
)

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        b'{"pid": "1", "host": "h", "since": 1}',
        b'{"pid": 1, "host": 2, "since": 1}',
        b'{"pid": 1, "host": "h", "since": 1e300}',
        b'{"pid": 1, "host": "h", "since": NaN}',
    ],
)
def test_a_damaged_journal_counts_as_none(folder: Path, text: bytes) -> None:
    its = vault(folder)
    its.write(IDENTITY, RECORD)
    its.begin_refresh(IDENTITY)
    only(folder, "*.inflight").write_bytes(text)

    assert its.read_in_flight(IDENTITY) is None


def test_a_journal_that_cannot_be_read_counts_as_none(folder: Path) -> None:
    its = vault(folder)
    its.write(IDENTITY, RECORD)
    (folder / only(folder).with_suffix(".inflight")).mkdir()

    assert its.read_in_flight(IDENTITY) is None


def test_a_forged_journal_cannot_steer_the_terminal(folder: Path) -> None:
    its = vault(folder)
    its.write(IDENTITY, RECORD)
    its.begin_refresh(IDENTITY)
    forged = {"pid": 1, "host": "\x1b[31m" + "h" * 9999, "since": 1}
    only(folder, "*.inflight").write_text(json.dumps(forged))

    journal = its.read_in_flight(IDENTITY)

    assert journal is not None
    assert "\x1b" not in journal.host
    assert len(journal.host) <= 200


def test_no_file_tells_a_token_an_identity_or_the_key(folder: Path) -> None:
    its = vault(folder)
    with its.lock(IDENTITY, seconds=5):
        its.write(IDENTITY, RECORD)
        its.begin_refresh(IDENTITY)
    raw = base64.urlsafe_b64decode(KEY + "=")
    secrets = [b"canary", REFRESH.encode(), ACCESS.encode(), KEY.encode(), raw]
    secrets += [base64.b64encode(b"canary-")[:8], raw.hex().encode(), b"CANARY"]

    files = [path for path in folder.rglob("*") if path.is_file()]

    assert sorted(path.suffix for path in files) == [".inflight", ".lock", ".room", ".token"]
    for path in files:
        shown = path.read_bytes() + os.fsencode(path.name)
        assert [secret for secret in secrets if secret in shown] == []


@posix_only
@pytest.mark.parametrize("mask", [0o000, 0o022, 0o777])
def test_files_and_folders_are_for_their_owner_alone_under_any_umask(
    folder: Path, mask: int
) -> None:
    before = os.umask(mask)
    try:
        its = vault(folder)
        with its.lock(IDENTITY, seconds=5):
            its.write(IDENTITY, RECORD)
            its.begin_refresh(IDENTITY)
    finally:
        os.umask(before)

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert set(modes.values()) == {0o600}
    assert len(modes) == 4
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700


@posix_only
@pytest.mark.parametrize("mode", [0o770, 0o702])
def test_a_folder_that_others_can_write_to_is_refused(folder: Path, mode: int) -> None:
    vault(folder).write(IDENTITY, RECORD)
    folder.chmod(mode)

    uses: list[Use] = [lambda its: its.read(IDENTITY), lambda its: its.write(IDENTITY, RECORD)]
    for use in uses:
        with pytest.raises(VaultError, match="others can write") as caught:
            use(vault(folder))
        assert f"chmod 700 {folder}" in caught.value.hint


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """Limit the files of this process to so many bytes, as a full disk does."""
    if sys.platform == "win32":
        pytest.skip("needs POSIX")
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@posix_only
@pytest.mark.parametrize("pages", [0, 1, 2])
def test_a_disk_without_room_for_a_record_is_noticed_before_a_token_is_spent(
    folder: Path, pages: int
) -> None:
    """The note alone would fit."""
    its = vault(folder)
    its.write(IDENTITY, with_token("old"))
    before = sorted(path.name for path in folder.iterdir())
    with no_file_larger_than(pages * 4096), pytest.raises(VaultError, match="cannot write"):
        its.begin_refresh(IDENTITY)

    assert sorted(path.name for path in folder.iterdir()) == before
    assert its.read_in_flight(IDENTITY) is None


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file system of a known size")
def test_the_room_of_a_record_is_not_lost_to_others_that_fill_the_disk(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k,mode=700", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("may not mount a file system")
    try:
        its = vault(small / "vault")
        its.write(IDENTITY, with_token("spent"))
        with its.lock(IDENTITY, seconds=5):
            its.begin_refresh(IDENTITY)
            with suppress(OSError), (small / "others").open("wb", buffering=0) as others:
                while True:
                    others.write(b"x" * 512)
            kept = its.write_refreshed(IDENTITY, with_token("fresh" * 1000), spent=SPENT)
            its.end_refresh(IDENTITY)

        assert token(kept) == token(vault(small / "vault").read(IDENTITY)) == "fresh" * 1000
        assert not list((small / "vault").glob("*.room"))
    finally:
        subprocess.run(["umount", str(small)], check=True)


@posix_only
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs to be root")
def test_a_folder_of_another_user_is_refused(folder: Path) -> None:
    vault(folder).write(IDENTITY, RECORD)
    os.chown(folder, 12345, -1)

    uses: list[Use] = [lambda its: its.read(IDENTITY), lambda its: its.write(IDENTITY, RECORD)]
    for use in uses:
        with pytest.raises(VaultError, match="belongs to another user") as caught:
            use(vault(folder))
        assert "GATEPASS_VAULT" in caught.value.hint


@posix_only
def test_a_full_disk_leaves_the_old_record_and_no_rubbish(folder: Path) -> None:
    its = vault(folder)
    its.write(IDENTITY, with_token("old"))
    before = sorted(path.name for path in folder.iterdir())
    with no_file_larger_than(0):
        with pytest.raises(TokenNotPersisted, match="cannot write") as caught:
            its.write(IDENTITY, with_token("new"))
        with pytest.raises(VaultError, match="cannot write"):
            its.begin_refresh(IDENTITY)

    assert "unharmed" in caught.value.hint
    assert sorted(path.name for path in folder.iterdir()) == before
    assert token(its.read(IDENTITY)) == "old"
    assert its.read_in_flight(IDENTITY) is None


@posix_only
def test_a_read_only_folder_is_read_and_each_change_says_what_is_wrong(
    tmp_path: Path, peers_folder: Path
) -> None:

    with tempfile.TemporaryDirectory(dir=peers_folder) as name:
        Path(name).chmod(0o755)  # for the user to whom root steps down
        said, kept = answer(tmp_path, "read_only", Path(name, "vault"))

    assert kept == "old"
    assert [one["error"] for one in said] == ["TokenNotPersisted", *["VaultError"] * 3]
    assert [one["message"].split()[1] for one in said] == ["write", "write", "remove", "lock"]
    assert all("Permission denied" in one["message"] for one in said)


def test_a_folder_that_cannot_be_made_is_an_error_of_the_vault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(VaultError, match="cannot make the folder") as caught:
        vault(tmp_path / "file" / "vault").write(IDENTITY, RECORD)

    assert "GATEPASS_VAULT=PATH" in caught.value.hint


def test_a_huge_file_is_refused(folder: Path) -> None:
    its = vault(folder)
    its.write(IDENTITY, RECORD)
    with only(folder).open("r+b") as stream:
        stream.truncate(2**25)

    with pytest.raises(VaultError, match="it is too large"):
        its.read(IDENTITY)


def test_something_that_is_not_a_regular_file_is_refused(tmp_path: Path) -> None:
    its = vault(tmp_path / "vault")
    its.write(IDENTITY, RECORD)
    path = only(tmp_path / "vault")
    path.unlink()
    path.mkdir()

    with pytest.raises(VaultError, match="cannot read"):
        its.read(IDENTITY)


def test_a_pipe_in_a_records_place_does_not_hang(tmp_path: Path) -> None:
    os = pytest.importorskip("posix")
    its = vault(tmp_path / "vault")
    its.write(IDENTITY, RECORD)
    path = only(tmp_path / "vault")
    path.unlink()
    os.mkfifo(path)
    said = []

    def read() -> None:
        with pytest.raises(VaultError) as caught:
            its.read(IDENTITY)
        said.append(caught.value.message)

    reader = Thread(target=read, daemon=True)
    reader.start()
    reader.join(60)

    assert said == [f"cannot read {path}: it is not a regular file"]


@pytest.mark.parametrize("acknowledged", [1, 40, 150])
def test_a_writer_killed_in_the_middle_has_lost_nothing_that_it_acknowledged(
    folder: Path, tmp_path: Path, acknowledged: int
) -> None:
    with start(tmp_path, "write", folder, 200) as writer:
        assert line(writer) == "ready\n"
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
        for _ in range(acknowledged):
            last = line(writer)
        writer.kill()
        assert writer.stdout is not None
        rest = [text for text in writer.stdout.read().splitlines(keepends=True) if "\n" in text]

    its = vault(folder)
    record = its.read(IDENTITY)
    assert record is not None
    assert record.generation >= int([last, *rest][-1])
    its.write(IDENTITY, RECORD)
    assert sorted(path.suffix for path in folder.iterdir()) == [".lock", ".token"]


def test_what_a_killed_writer_left_is_removed_by_the_next_write(folder: Path) -> None:
    its = vault(folder)
    its.write(IDENTITY, RECORD)
    its.write(OTHER, RECORD)
    mine, theirs = (
        f".{its._require_key().name_of(i).hex()}.token.x.tmp" for i in (IDENTITY, OTHER)
    )
    for name in (mine, theirs):
        (folder / name).write_bytes(b"half")

    its.write(IDENTITY, RECORD)

    assert [path.name for path in folder.glob(".*")] == [theirs]


@posix_only
def test_a_record_is_on_the_disk_before_it_takes_its_place_and_before_write_returns(
    folder: Path,
) -> None:
    """What a kill cannot show: a power cut. The order of the calls to the system is the claim."""
    its = vault(folder)
    its.write(IDENTITY, RECORD)
    calls = []

    def profile(_frame: object, event: str, called: Any) -> None:
        if event == "c_call" and called in (os.fsync, os.replace, os.unlink):
            calls.append(called.__name__)

    for use, files in ((its.write, 1), (lambda identity, _: its.begin_refresh(identity), 2)):
        sys.setprofile(profile)
        try:
            use(IDENTITY, RECORD)
        finally:
            sys.setprofile(None)
        assert calls == ["fsync", "replace", "fsync"] * files
        calls.clear()

    sys.setprofile(profile)
    try:
        its.remove(IDENTITY)
    finally:
        sys.setprofile(None)
    assert calls == ["unlink", "fsync"] * 3


@posix_only
def test_a_writer_killed_before_any_step_leaves_the_old_record_or_the_new_one(
    folder: Path, tmp_path: Path
) -> None:
    *killed, last = answer(tmp_path, "killed_at_each_step", folder)

    assert last == [1, "new"]
    assert len(killed) > 5
    assert {json.dumps(one) for one in killed} == {'[0, "old"]', '[1, "new"]'}
