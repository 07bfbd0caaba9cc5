"""Many threads and processes at one vault, and some of them killed."""

import json
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gatepass.errors import TokenLockTimeout, VaultError
from tests.support.vaults import (
    FIRST,
    IDENTITY,
    OTHER,
    RECORD,
    Place,
    answer,
    finish,
    only,
    start,
    together,
    vault,
)

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a vault will be."""
    return tmp_path / "vault"


@pytest.fixture(params=["files", "redis"])
def place(request: pytest.FixtureRequest, folder: Path) -> Place:
    """Where a vault of either kind will be."""
    return folder if request.param == "files" else request.getfixturevalue("redis").url


def line(process: "subprocess.Popen[str]") -> str:
    """Return the next line that a process prints."""
    assert process.stdout is not None
    return process.stdout.readline()


def test_threads_of_one_process_take_turns(place: Place, tmp_path: Path) -> None:
    its, counter = vault(place), tmp_path / "counter"
    counter.write_text("0")

    def count(_number: int) -> None:
        with its.lock(IDENTITY, seconds=60):
            counter.write_text(str(int(counter.read_text()) + 1))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(count, range(80)))

    assert counter.read_text() == "80"


def test_no_write_of_many_processes_is_lost(place: Place, tmp_path: Path) -> None:
    together(4, tmp_path, "write", place, 25, environ={})

    record = vault(place).read(IDENTITY)
    assert record is not None
    assert record.generation == FIRST + 99


def test_a_wait_in_vain_names_the_holder(place: Place, tmp_path: Path) -> None:
    """Process, host and time; and neither the server nor the account."""
    vault(place).write(IDENTITY, RECORD)
    if isinstance(place, Path):
        only(place, "*.lock").write_bytes(b" " * 1000 + b"longer than a holder")
    with start(tmp_path, "hold", place) as holder:
        assert line(holder) == "ready\n"
        with (
            pytest.raises(TokenLockTimeout) as caught,
            vault(place).lock(IDENTITY, seconds=0),
        ):
            raise AssertionError("two hold the lock")
        with pytest.raises(TokenLockTimeout):
            vault(place, lock_timeout=0).write(IDENTITY, RECORD)
        with vault(place).lock(OTHER, seconds=0):
            pass  # another identity is free
        finish(holder)

    assert f"process {holder.pid} on {socket.gethostname()} since 20" in caught.value.message
    assert "within 0 s" in caught.value.message
    assert "canary" not in str(caught.value)
    with vault(place).lock(IDENTITY, seconds=0):
        pass


def test_a_lock_ends_with_its_killed_holder(folder: Path, tmp_path: Path) -> None:
    with start(tmp_path, "hold", folder) as holder:
        assert line(holder) == "ready\n"
        holder.kill()
        holder.wait()

    with vault(folder).lock(IDENTITY, seconds=0):
        pass


def test_a_lock_file_stays_the_same_file(folder: Path) -> None:
    """Removed and made anew, two processes could hold two locks of one name."""
    its = vault(folder)
    with its.lock(IDENTITY, seconds=5):
        before = only(folder, "*.lock").stat().st_ino
    its.write(IDENTITY, RECORD)
    its.remove(IDENTITY)

    assert only(folder, "*.lock").stat().st_ino == before


@pytest.mark.parametrize("text", ["", "{", "null", '{"pid": 1}', "\x1b[31m" * 3000])
def test_a_holder_that_cannot_be_named_is_another_process(folder: Path, text: str) -> None:
    its = vault(folder)
    with its.lock(IDENTITY, seconds=5):
        only(folder, "*.lock").write_text(text)
        with (
            pytest.raises(TokenLockTimeout, match="in use by another process"),
            vault(folder).lock(IDENTITY, seconds=0),
        ):
            raise AssertionError("two hold the lock")


def test_an_error_in_the_block_frees_the_lock(place: Place) -> None:
    its = vault(place, lock_timeout=0)
    with pytest.raises(ZeroDivisionError), its.lock(IDENTITY, seconds=5):
        raise ZeroDivisionError

    with vault(place).lock(IDENTITY, seconds=0), pytest.raises(TokenLockTimeout):
        its.write(IDENTITY, RECORD)


def test_something_that_cannot_be_locked_is_an_error_of_the_vault(folder: Path) -> None:
    its = vault(folder)
    its.write(IDENTITY, RECORD)
    lock = only(folder, "*.lock")
    lock.unlink()
    lock.mkdir()

    with pytest.raises(VaultError, match="cannot lock"), its.lock(IDENTITY, seconds=0):
        raise AssertionError("a folder was locked")


@posix_only
def test_ctrl_c_ends_the_wait(place: Place, tmp_path: Path) -> None:
    with (
        vault(place).lock(IDENTITY, seconds=5),
        start(tmp_path, "wait_in_vain", place) as waiting,
    ):
        assert line(waiting) == "ready\n"
        waiting.send_signal(signal.SIGINT)

        assert finish(waiting) == "interrupted"


@posix_only
def test_a_fork_does_not_hold_the_lock_and_does_not_write(place: Place, tmp_path: Path) -> None:
    assert answer(tmp_path, "forked", place) == {
        "refusals of the child": 2,
        "free afterwards": True,
    }


@posix_only
def test_a_fork_that_leaves_the_block_first_does_not_free_the_lock(
    place: Place, tmp_path: Path
) -> None:
    assert answer(tmp_path, "forked_inside", place) is True


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

    for use in (its.write, lambda identity, _record: its.begin_refresh(identity)):
        sys.setprofile(profile)
        try:
            use(IDENTITY, RECORD)
        finally:
            sys.setprofile(None)
        assert calls == ["fsync", "replace", "fsync"]
        calls.clear()

    sys.setprofile(profile)
    try:
        its.remove(IDENTITY)
    finally:
        sys.setprofile(None)
    assert calls == ["unlink", "fsync"] * 2


@posix_only
def test_a_writer_killed_before_any_step_leaves_the_old_record_or_the_new_one(
    folder: Path, tmp_path: Path
) -> None:
    *killed, last = answer(tmp_path, "killed_at_each_step", folder)

    assert last == [1, "new"]
    assert len(killed) > 5
    assert {json.dumps(one) for one in killed} == {'[0, "old"]', '[1, "new"]'}
