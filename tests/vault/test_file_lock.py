"""Many threads and processes at one vault, and some of them killed."""

import signal
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gatepass.errors import TokenLockTimeout, VaultError
from tests.support.vaults import (
    IDENTITY,
    OTHER,
    RECORD,
    Place,
    answer,
    finish,
    line,
    only,
    start,
    vault,
)

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")


def test_threads_of_one_process_take_turns(place: Place, tmp_path: Path) -> None:
    its, counter = vault(place), tmp_path / "counter"
    counter.write_text("0")

    def count(_number: int) -> None:
        with its.lock(IDENTITY, seconds=60):
            counter.write_text(str(int(counter.read_text()) + 1))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(count, range(80)))

    assert counter.read_text() == "80"


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
