"""Files that are replaced in one step, private to their owner, and read while others replace them.

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

WRITABLE: Final = "the folder must be yours and writable, and the disk must have space"
PRIVATE: Final = 0o600
_PRIVATE_FOLDER: Final = 0o700
_MOST_BYTES: Final = 16 * 1024 * 1024
_PATIENCE: Final = 2.0  # seconds; a reader holds a file for much less than one
_TEMPORARY: Final = ".tmp"
_BINARY: Final = getattr(os, "O_BINARY", 0)  # Windows only
_FLAGS: Final = (
    os.O_RDONLY
    | _BINARY
    | getattr(os, "O_NONBLOCK", 0)  # a pipe must not hang us
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOCTTY", 0)
)
_NO_FOLDER_SYNC: Final = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF})


def make_private_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing, with mode 0700. Writes to disk."""
    if folder.is_dir():
        return
    if folder.parent != folder:
        make_private_folder(folder.parent)
    with suppress(FileExistsError):  # another process was faster; or it is a file, which the
        # next step finds out
        folder.mkdir(mode=_PRIVATE_FOLDER)
        folder.chmod(_PRIVATE_FOLDER)  # whatever the umask took away
        _sync_folder(folder.parent)


def open_for_reading(path: Path, *, follow: bool = True) -> int | None:
    """Open a file, folder or device, and return the descriptor; None when there is none.

    Args:
        path: the file.
        follow: whether it may be a symbolic link; else that is an error.
    """
    flags = _FLAGS | (0 if follow else getattr(os, "O_NOFOLLOW", 0))
    with suppress(FileNotFoundError):
        return retry_while_in_use(path, lambda: os.open(path, flags))
    return None


def read(path: Path) -> bytes | None:
    """Return the content of a regular file; None when there is none. Reads from disk."""
    descriptor = open_for_reading(path)
    if descriptor is None:
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as stream:
            data = stream.read(_MOST_BYTES + 1)
    finally:
        os.close(descriptor)
    if data is None:  # such as /proc/kmsg, which looks like a regular file
        raise OSError(errno.EAGAIN, "nothing can be read from it now")
    if len(data) > _MOST_BYTES:
        raise OSError(errno.EFBIG, "it is too large")
    return data


def replace(
    path: Path,
    data: bytes,
    *,
    mode: int = PRIVATE,
    owner: tuple[int, int] | None = None,
    before: Callable[[], None] = lambda: None,
    room: Path | None = None,
) -> None:
    """Replace a file in one step, or make it. Writes to disk.

    Returns when the new content would survive a power cut. When it raises, the old content or
    the new one is there, and no temporary file.

    Args:
        path: the file; its folder exists.
        data: the new content.
        mode: the permissions of the new file.
        owner: its user and group, as numbers; this process' own when not given.
        before: called just before the old file is replaced; may raise to prevent that.
        room: a file that :func:`reserve` made; the new content takes its place on the disk.
    """
    import tempfile

    if room is not None and room.is_file():
        descriptor, temporary = os.open(room, os.O_WRONLY | _BINARY), room
    else:
        descriptor, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}.", suffix=_TEMPORARY
        )
        temporary = Path(name)
    try:
        _fill(descriptor, temporary, data, mode, owner)
        before()
        retry_while_in_use(path, lambda: temporary.replace(path))
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(path.parent)


def reserve(path: Path, size: int) -> None:
    """Write a file of so many bytes, whose place on the disk :func:`replace` can use.

    Where the disk is full, that raises now, and not when something is to be kept.
    """
    replace(path, os.urandom(size))  # zeros may take no room


def remove_leftovers(path: Path) -> None:
    """Remove what killed processes have left of :func:`replace`; nobody else may be in it now."""
    for stale in path.parent.glob(f".{path.name}.*{_TEMPORARY}"):
        with suppress(OSError):
            stale.unlink()


def create(path: Path, data: bytes) -> None:
    """Write a new file, mode 0600. Raises ``FileExistsError`` rather than replace one."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, PRIVATE)
    try:
        _fill(descriptor, path, data, PRIVATE)
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise
    _sync_folder(path.parent)


def remove(path: Path) -> bool:
    """Remove a file for good. Returns whether there was one."""
    try:
        retry_while_in_use(path, path.unlink)
    except FileNotFoundError:
        return False
    _sync_folder(path.parent)
    return True


def retry_while_in_use(
    path: Path, action: Callable[[], T], *, windows: bool = sys.platform == "win32"
) -> T:
    """Do something with a file; on Windows again for up to 2 seconds while others use it.

    There a file cannot be replaced or removed while somebody reads it, nor opened in the moment
    of its replacement: "access denied" and "sharing violation", both over in a moment.

    Args:
        path: the file; of a folder, "access denied" is the last word.
        action: what to do.
        windows: whether this is Windows.
    """
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return action()
        except PermissionError:
            if not windows or path.is_dir() or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def _fill(
    descriptor: int, path: Path, data: bytes, mode: int, owner: tuple[int, int] | None = None
) -> None:
    """Write into a new file, down to the disk, and close it."""
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.ftruncate(descriptor, len(data))
        if owner is not None and sys.platform != "win32":
            status = os.fstat(descriptor)
            if (status.st_uid, status.st_gid) != owner:
                os.fchown(descriptor, *owner)
        path.chmod(mode)  # whatever the umask took away
        _sync(descriptor)


def _sync_folder(folder: Path) -> None:
    """Bring the names in a folder down to the disk; Windows does that by itself."""
    if sys.platform == "win32":
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:
        return  # a folder above ours, which we may walk through and not read
    try:
        _sync(descriptor)
    except OSError as error:
        # Some file systems, such as SMB mounts, cannot do it for folders.
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(descriptor)


def _sync(descriptor: int) -> None:
    """Bring a file down to the disk itself."""
    if sys.platform == "darwin":
        # fsync leaves it in the drive's own cache there: fsync(2), F_FULLFSYNC.
        import fcntl

        with suppress(OSError):  # not every file system has it; then fsync is all there is
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
    os.fsync(descriptor)
