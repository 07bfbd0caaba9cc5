"""Files that are there whole or not at all, also after a crash or a power cut.

Everything here raises :class:`OSError` and nothing else; the callers say what it means.
"""

import errno
import os
import stat
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

T = TypeVar("T")

_MOST_BYTES: Final = 16 * 1024 * 1024
_PATIENCE: Final = 2.0  # seconds; a reader holds a file for much less than one
_BINARY: Final = getattr(os, "O_BINARY", 0)  # Windows only
_NO_FOLDER_SYNC: Final = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF})


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing, with mode 0700. Writes to disk."""
    if folder.is_dir():
        return
    if folder.parent != folder:
        make_folder(folder.parent)
    with suppress(FileExistsError):  # another process was faster; or it is a file, which the
        # next step finds out
        folder.mkdir(mode=0o700)
        folder.chmod(0o700)  # whatever the umask took away
        _sync_folder(folder.parent)


def read(path: Path) -> bytes | None:
    """Return the content of a regular file; None when there is none. Reads from disk."""

    def once() -> int | None:
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _BINARY  # a pipe must not hang us
        try:
            return os.open(path, flags)
        except FileNotFoundError:
            return None

    descriptor = patiently(once)
    if descriptor is None:
        return None
    with os.fdopen(descriptor, "rb", closefd=False) as stream:
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, "it is not a regular file")
            data = stream.read(_MOST_BYTES + 1)
        finally:
            os.close(descriptor)
    if len(data) > _MOST_BYTES:
        raise OSError(errno.EFBIG, "it is too large")
    return data


def replace(path: Path, data: bytes) -> None:
    """Put a content in the place of a file's old one, in one step, mode 0600.

    Returns when the new content would survive a power cut. When it raises, the old content or
    the new one is there. Removes what writers of the same file that were killed have left; so
    only one may write.

    Args:
        path: the file; its folder exists.
        data: the new content.
    """
    import tempfile

    for stale in path.parent.glob(f".{path.name}.*.tmp"):
        with suppress(OSError):
            stale.unlink()
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    temporary = Path(name)
    try:
        _fill(descriptor, temporary, data)
        patiently(lambda: temporary.replace(path))
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(path.parent)


def create(path: Path, data: bytes) -> None:
    """Write a new file, mode 0600. Raises ``FileExistsError`` rather than replace one."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o600)
    try:
        _fill(descriptor, path, data)
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise
    _sync_folder(path.parent)


def remove(path: Path) -> bool:
    """Remove a file for good. Returns whether there was one."""
    try:
        patiently(path.unlink)
    except FileNotFoundError:
        return False
    _sync_folder(path.parent)
    return True


def patiently(step: Callable[[], T], *, again: bool = sys.platform == "win32") -> T:
    """Do a step, and again for up to 2 seconds while Windows says that the file is in use.

    There a file cannot be replaced or removed while somebody reads it, nor opened in the moment
    of its replacement.

    Args:
        step: what to do.
        again: whether a ``PermissionError`` may pass by itself.
    """
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return step()
        except PermissionError:
            if not again or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def _fill(descriptor: int, path: Path, data: bytes) -> None:
    """Write into a new file, down to the disk, and close it."""
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        path.chmod(0o600)  # whatever the umask took away
        os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    """Bring the names in a folder down to the disk; Windows does that by itself."""
    if sys.platform == "win32":
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:
        return  # a folder above ours, which we may walk through and not read
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems, such as SMB mounts, cannot do it for folders.
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(descriptor)
