"""May this file take part? Reading files once, permissions, and the record of trusted files.

A project file travels with a repository: whoever cloned it has not read it. It takes part only
after its owner has said so, for exactly these bytes, with ``gatepass trust``. Files of the user
and the system, and files that are named explicitly, take part by that, unless others can write
to them.
"""

import hashlib
import json
import os
import re
import stat
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeVar

from gatepass._text import printable as printable  # noqa: PLC0414 - is also said here
from gatepass._text import quoted as quoted  # noqa: PLC0414 - the same
from gatepass.errors import GatepassError, Problem, ProfileError, UnsafePermissions

T = TypeVar("T")

_MOST_BYTES: Final = 16 * 1024 * 1024
_PIECE: Final = 65536
_SECONDS_FOR_OTHERS: Final = 1.0


@dataclass(frozen=True, slots=True)
class FileBytes:
    """A file as it was read, once: the same bytes are judged, hashed and parsed.

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


def read(path: Path) -> FileBytes | None:
    """Read a file that holds profiles; None when there is none.

    Raises:
        ProfileError: it is a folder or a device, unreadable, or larger than 16 MiB.
    """
    path = Path(os.path.realpath(path.parent)) / path.name
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    flags |= getattr(os, "O_CLOEXEC", 0)
    try:
        descriptor = _patiently(path, lambda: os.open(path, flags))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if path.is_dir():  # Windows refuses to open one
            raise _unreadable(path, "is a folder, not a file") from None
        raise _unreadable(path, f"cannot be read: {error.strerror}") from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a device or a pipe"
        raise _unreadable(path, f"is {kind}, not a file")
    data = bytearray()
    with os.fdopen(descriptor, "rb") as stream:
        # In pieces, since on Windows nobody can replace the file meanwhile, and a buffer for the
        # most that may come takes longer than to read what is there.
        while len(data) <= _MOST_BYTES and (piece := stream.read(_PIECE)):
            data += piece
    if len(data) > _MOST_BYTES:
        raise _unreadable(path, f"is larger than {_MOST_BYTES // 1024**2} MiB")
    return FileBytes(path, bytes(data), status)


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
        raise ProfileError(problems=[Problem(str(path), "", message, hint=hint)]) from None


def _unreadable(path: Path, message: str) -> ProfileError:
    return ProfileError(problems=[Problem(str(path), "", message)])


@dataclass(frozen=True, slots=True)
class Trusted:
    """One file that is trusted.

    Attributes:
        path: the file.
        sha256: the content that is trusted, in hexadecimal; empty for a damaged record.
        since: when that was recorded, in seconds since 1970.
        state: ``unchanged``, ``changed`` since then and so not trusted as it stands, ``absent``,
            ``unreadable``, or ``damaged record``.
    """

    path: Path
    sha256: str
    since: float
    state: Literal["unchanged", "changed", "absent", "unreadable", "damaged record"]


class TrustStore:
    """The record of trusted files: one small file each, in the user's state folder.

    Args:
        folder: gatepass's state folder; made with mode 0700 at the first record.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "trust"

    def holds(self, file: FileBytes) -> bool:
        """Say whether exactly these bytes are trusted at this path.

        Raises:
            ProfileError: the record itself can be written by others, or is damaged.
        """
        return self._digest(self._record(file.path)) == file.digest

    def add(self, file: FileBytes) -> None:
        """Record that these bytes are trusted at this path. Writes to disk.

        Raises:
            GatepassError: it cannot be recorded.
        """
        entry = json.dumps({"path": str(file.path), "sha256": file.digest})
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomically(self._record(file.path), entry.encode())
        except OSError as error:
            raise self._stays_as_it_is(error) from None

    def trusted(self) -> tuple[Trusted, ...]:
        """List all files that are trusted, sorted. Reads each of them."""
        records = self._folder.glob("*.json") if self._folder.is_dir() else ()
        return tuple(sorted(filter(None, map(self._described, records)), key=lambda one: one.path))

    def revoke(self, path: Path) -> bool:
        """Forget a file, which need not exist any more; say whether it was trusted.

        Args:
            path: the file, or a damaged record as :meth:`trusted` lists it.

        Raises:
            GatepassError: the record cannot be removed.
        """
        path = absolute(path)
        real = Path(os.path.realpath(path.parent)) / path.name
        records = {self._record(path), self._record(real)}
        if path.parent == self._folder and path.suffix == ".json":
            records.add(path)
        found = [record for record in records if os.path.lexists(record)]
        try:
            for record in found:
                record.unlink(missing_ok=True)
        except OSError as error:
            raise self._stays_as_it_is(error) from None
        return bool(found)

    def _stays_as_it_is(self, error: OSError) -> GatepassError:
        return GatepassError(
            f"cannot change the record of trusted files, {self._folder}: {error.strerror}",
            hint="the folder must be yours and writable, and the disk must have space",
        )

    def _described(self, record: Path) -> Trusted | None:
        try:
            found = read(record)
            if found is None:  # revoked in this moment
                return None
            since = found.status.st_mtime
            entry = json.loads(found.data)
            path, digest = Path(entry["path"]), entry["sha256"]
            is_its_own = record == self._record(path)  # a path may hold what none can
        except (ProfileError, ValueError, TypeError, KeyError, RecursionError):
            return Trusted(record, "", record.lstat().st_mtime, "damaged record")
        if not isinstance(digest, str) or not is_its_own or unsafe(found, own=True):
            return Trusted(record, "", since, "damaged record")
        return Trusted(path, digest, since, _state(path, digest))

    def _record(self, path: Path) -> Path:
        return self._folder / (hashlib.sha256(os.fsencode(path)).hexdigest() + ".json")

    def _digest(self, record: Path) -> str | None:
        found = read(record)
        if found is None:
            return None
        problem = unsafe(found, own=True)
        if problem is not None:
            raise UnsafePermissions(problems=[problem])
        try:
            digest = json.loads(found.data)["sha256"]
        except (ValueError, TypeError, KeyError):
            digest = None
        if not isinstance(digest, str):
            raise ProfileError(
                problems=[Problem(str(record), "", "damaged record of a trusted file")],
                hint=f"delete {record} and run gatepass trust again",
            )
        return digest


def _state(path: Path, digest: str) -> Literal["unchanged", "changed", "absent", "unreadable"]:
    try:
        file = read(path)
    except ProfileError:
        return "unreadable"
    if file is None:
        return "absent"
    return "unchanged" if file.digest == digest else "changed"


def unsafe(file: FileBytes, *, own: bool) -> Problem | None:
    """Say what is wrong with a file's permissions; None when nothing is (always on Windows).

    A file that decides where secrets go must not be writable by others. A group counts as others
    unless it is the user's private one, as umask 002 of Ubuntu and Fedora makes: the primary
    group, of the same name, without another member.

    Args:
        file: the file as read.
        own: whether it is a file of the user or the system, which must also belong to the user
            or to root.
    """
    if sys.platform == "win32":
        return None
    mode, place = file.status.st_mode, str(file.path)
    if own and file.status.st_uid not in {0, os.getuid()}:
        hint = f"    sudo chown {os.getuid()} {quoted(place)}"
        return Problem(place, "", "belongs to another user", hint=hint)
    if mode & stat.S_IWOTH:
        who = "anybody"
    elif mode & stat.S_IWGRP and not _is_private_group(file.status.st_gid):
        who = "its group"
    else:
        return None
    return Problem(
        place,
        "",
        f"can be written by {who}, who could send your secrets to another server",
        hint=f"    chmod go-w {quoted(place)}\nor, where that cannot be changed:\n"
        f"    gatepass trust {quoted(place)}",
    )


def _is_private_group(group: int) -> bool:
    if sys.platform == "win32":
        return True
    import grp
    import pwd

    try:
        user = pwd.getpwuid(os.getuid())
        entry = grp.getgrgid(group)
    except KeyError:  # a container without these names
        return False
    return (
        user.pw_gid == group
        and entry.gr_name == user.pw_name
        and set(entry.gr_mem) <= {user.pw_name}
    )


def write_atomically(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Replace a file in one step: after a crash there is the old content or the new one.

    Args:
        path: the file.
        data: its new content, in bytes.
        mode: the permissions of the new file.
    """
    import tempfile

    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(mode)
        _patiently(path, lambda: Path(temporary).replace(path))
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _patiently(path: Path, action: Callable[[], T]) -> T:
    """Do something with a file; on Windows again for a second, while others are in the way.

    There a file that anybody has open cannot be replaced, and one that is being replaced cannot
    be opened: "access denied" and "sharing violation", both over in a moment.
    """
    if sys.platform != "win32":
        return action()
    import time

    deadline = time.monotonic() + _SECONDS_FOR_OTHERS
    while True:
        try:
            return action()
        except PermissionError:
            if path.is_dir() or time.monotonic() > deadline:
                raise
        time.sleep(0.005)


def abilities(tables: dict[str, object]) -> Iterable[str]:
    """Describe what a file of profiles may do, one line each, before a person trusts it.

    Names servers, issuers, references, commands, TLS files, proxies and plain http. A text that
    is neither a reference nor one of the known harmless keys is not shown: it may be a secret.

    Args:
        tables: the parsed file.
    """
    default = tables.get("default_profile")
    if default is not None:
        yield f"chooses the default profile: {printable(str(default))}"
    profiles = tables.get("profiles")
    for name, profile in profiles.items() if isinstance(profiles, dict) else ():
        yield f"profile {printable(str(name))}:"
        for line in _told(profile, ()):
            yield f"  {line}"


# Keys that say where secrets go or how connections are made; their texts are shown.
_SHOWN: Final = frozenset(
    "url scheme extends issuer client_id redirect_uri audience account principal ca_file verify "
    "client_cert client_key proxy allow_http user_name domain".split()
)

_USERINFO: Final = re.compile(r"//[^/?#]*@")


def without_userinfo(text: str) -> str:
    """Return a text without the user and password of the URL that it may be."""
    return _USERINFO.sub("//...@", text)


def _told(value: object, key: tuple[str, ...]) -> Iterable[str]:
    if isinstance(value, dict):
        if set(value) == {"command"}:
            yield f"{_dotted(key)} runs a command: {printable(json.dumps(value['command']))}"
            return
        for name, inner in value.items():
            yield from _told(inner, (*key, str(name)))
    elif isinstance(value, list):
        for inner in value:
            yield from _told(inner, key)
    elif isinstance(value, str) and (_is_reference(value) or (key and key[-1] in _SHOWN)):
        shown = without_userinfo(value)
        yield f"{_dotted(key)} = {printable(json.dumps(shown, ensure_ascii=False))}"
    elif isinstance(value, bool | int | float):
        yield f"{_dotted(key)} = {json.dumps(value)}"
    elif key[-1:] != ("description",):
        yield f"{_dotted(key)}: a text that is not shown"


def _dotted(key: tuple[str, ...]) -> str:
    return printable(".".join(key))


def _is_reference(text: str) -> bool:
    from gatepass import _plugins

    source, colon, _ = text.partition(":")
    return bool(colon) and _plugins.is_known(_plugins.SECRETS, source)
