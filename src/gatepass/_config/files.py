"""Read a file of profiles once: the same bytes are checked, hashed and parsed."""

import hashlib
import os
import stat
from pathlib import Path
from typing import Final

from gatepass._system.files import open_for_reading
from gatepass._system.text import printable, shortened
from gatepass._value import Value
from gatepass.errors import Problem, ProfileError

_MOST_BYTES: Final = 16 * 1024 * 1024
MOST_OF_PROJECT: Final = 1024 * 1024  # bytes of a project's file
_PIECE: Final = 65536


class FileBytes(Value):
    """A file as it was read.

    Attributes:
        path: absolute; its folder with links resolved, its own name as it stands.
        data: the content.
        status: what the open file's descriptor said, not a second look at the path.
    """

    path: Path
    data: bytes
    status: os.stat_result

    @property
    def digest(self) -> str:
        """The SHA-256 of the content, in hexadecimal."""
        return hashlib.sha256(self.data).hexdigest()


class UnreadFile(Value):
    """A project file that is not parsed, so that its profiles are not known.

    It takes no part, and blocks nothing: any user who may write to a folder above could have put
    it there.

    Attributes:
        path: absolute, like that of :class:`FileBytes`.
        why: why not; it follows the name of the file in a sentence.
        way_out: what a person can do about it.
        owner: whose it is; empty where another reason keeps it out.
    """

    path: Path
    why: str
    way_out: str
    owner: str = ""

    def __str__(self) -> str:
        return f"{self.path} {self.why}, so it was skipped; {self.way_out}"


def read_file(path: Path, *, most: int = _MOST_BYTES) -> FileBytes | None:
    """Read a file that holds profiles; None when there is none.

    Args:
        path: the file.
        most: how many bytes it may have. No more than one beyond are read.

    Raises:
        ProfileError: it is a folder or a device, unreadable, or too large.
    """
    path = with_real_folder(path)
    opened = open_file(path)
    if opened is None:
        return None
    file = read_open_file(path, *opened, most)
    if len(file.data) > most:
        raise unreadable(path, too_large(most))
    return file


def lstat_file(path: Path) -> os.stat_result | None:
    """Return the status of a file, or of the link that it is; None where there is none."""
    try:
        return path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise unreadable(path, f"cannot be read: {error.strerror}") from None


def with_real_folder(path: Path) -> Path:
    try:
        return Path(os.path.realpath(path.parent)) / path.name
    except ValueError:
        raise _no_path(path) from None


def _no_path(path: Path) -> ProfileError:
    """Return the problem with a path that holds a NUL or what the file system cannot encode."""
    return unreadable(Path(printable(str(path))), "is no path of a file")


def open_file(path: Path, *, follow: bool = True) -> tuple[int, os.stat_result] | None:
    """Open a file, which may be a folder; return its descriptor and status."""
    try:
        descriptor = open_for_reading(path, follow=follow)
    except NotADirectoryError:
        return None
    except ValueError:
        raise _no_path(path) from None
    except OSError as error:
        if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises for a name that is too long
            raise unreadable(path, "is a folder, not a file") from None  # Windows opens none
        raise unreadable(path, f"cannot be read: {error.strerror}") from None
    return None if descriptor is None else (descriptor, os.fstat(descriptor))


def read_open_file(path: Path, descriptor: int, status: os.stat_result, most: int) -> FileBytes:
    """Read an open file, at most one byte more than it may have, and close it."""
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a device or a pipe"
        raise unreadable(path, f"is {kind}, not a file")
    data = bytearray()
    with os.fdopen(descriptor, "rb", buffering=0) as stream:
        # In pieces: on Windows the file cannot be replaced while it is open, and a buffer for the
        # largest file takes longer to make than most files take to read.
        try:
            while len(data) <= most and (piece := stream.read(min(_PIECE, most + 1 - len(data)))):
                data += piece
        except OSError as error:  # such as /proc/self/mem
            raise unreadable(path, f"cannot be read: {error.strerror}") from None
    return FileBytes(path, bytes(data), status)


def too_large(most: int) -> str:
    return f"is larger than {most // 1024**2} MiB"


def absolute(path: Path) -> Path:
    """Return a path from the root on. Asks for the working directory; looks at nothing else.

    Raises:
        ProfileError: it starts at the working directory, which does not exist any more.
    """
    try:
        return path.absolute()
    except OSError:
        message = "is a relative path, and the working directory does not exist any more"
        hint = "change into a folder that exists, or write the whole path"
        raise ProfileError(
            problems=[Problem(printable(str(path)), "", message, hint=hint)]
        ) from None


def unreadable(path: Path, message: str) -> ProfileError:
    return ProfileError(problems=[Problem(shortened(printable(str(path)), 4096), "", message)])
