"""Files: replaced in one step, private, read while others replace them."""

import os
import stat
import sys
from pathlib import Path

import pytest

from gatepass._system import files

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")


def test_windows_is_asked_again_while_a_file_is_in_use(tmp_path: Path) -> None:
    """And only Windows: elsewhere a refusal does not pass by itself."""
    tries = []

    def action() -> str:
        tries.append(1)
        if len(tries) < 3:
            raise PermissionError
        return "done"

    assert files.retry_while_in_use(tmp_path / "file", action, windows=True) == "done"
    for path, windows in ((tmp_path / "file", False), (tmp_path, True)):  # the latter is a folder
        tries.clear()
        with pytest.raises(PermissionError):
            files.retry_while_in_use(path, action, windows=windows)
        assert len(tries) == 1


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    target = tmp_path / "folder" / "occupied"
    target.mkdir(parents=True)

    with pytest.raises(OSError, match="occupied"):
        files.replace(target, b"new")

    assert [each.name for each in target.parent.iterdir()] == ["occupied"]


def test_a_file_is_not_replaced_when_the_last_look_objects(tmp_path: Path) -> None:
    target = tmp_path / "folder" / "file"
    files.make_private_folder(target.parent)
    files.create(target, b"old")

    def object_to_it() -> None:
        assert target.read_bytes() == b"old"
        raise LookupError

    with pytest.raises(LookupError):
        files.replace(target, b"new", before=object_to_it)

    assert target.read_bytes() == b"old"
    assert [each.name for each in target.parent.iterdir()] == ["file"]


@posix_only
@pytest.mark.parametrize("mask", [0o000, 0o777])
def test_modes_are_as_asked_for_under_any_umask(tmp_path: Path, mask: int) -> None:
    above = tmp_path / "above"
    folder = above / "folder"
    before = os.umask(mask)
    try:
        files.make_private_folder(folder)
        files.create(folder / "new", b"")
        files.replace(folder / "private", b"")
        files.replace(folder / "shown", b"", mode=0o644)
    finally:
        os.umask(before)

    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in above.rglob("*")}
    assert stat.S_IMODE(above.stat().st_mode) == 0o700
    assert modes == {
        "folder": 0o700,
        "new": 0o600,
        "private": 0o600,
        "shown": 0o644,
    }


def test_a_new_file_never_replaces_another(tmp_path: Path) -> None:
    files.create(tmp_path / "file", b"old")

    with pytest.raises(FileExistsError):
        files.create(tmp_path / "file", b"new")

    assert files.read(tmp_path / "file") == b"old"


def test_leftovers_of_one_file_are_removed_and_no_others(tmp_path: Path) -> None:
    for name in (".mine.abc.tmp", ".yours.abc.tmp", "mine.tmp"):
        (tmp_path / name).write_bytes(b"half")

    files.remove_leftovers(tmp_path / "mine")

    left = sorted(each.name for each in tmp_path.iterdir() if each.is_file())
    assert left == [".yours.abc.tmp", "mine.tmp"]


def test_what_is_missing_is_none_and_what_is_no_file_is_an_error(tmp_path: Path) -> None:
    assert files.read(tmp_path / "nothing") is None
    assert not files.remove(tmp_path / "nothing")

    with pytest.raises(OSError, match=r"not a regular file|denied"):
        files.read(tmp_path)
