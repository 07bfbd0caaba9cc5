"""May this file take part? Reading files once, permissions, and the record of trusted files.

A project file travels with a repository: whoever cloned it has not read it. It takes part only
after its owner has said so, for exactly these bytes, with ``gatepass trust``. Files of the user
and the system, and files that are named explicitly, take part by that, unless others can write
to them. A project file that belongs to another user is not even read: anybody can put one into a
folder above, such as ``/tmp``. ``gatepass trust FILE`` admits its owner too.
"""

import contextlib
import hashlib
import json
import os
import re
import stat
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from gatepass._system.text import printable as printable  # noqa: PLC0414 - is also said here
from gatepass._system.text import quoted as quoted  # noqa: PLC0414 - the same
from gatepass.errors import GatepassError, Problem, ProfileError, UnsafePermissions

T = TypeVar("T")

_MOST_BYTES: Final = 16 * 1024 * 1024
MOST_OF_PROJECT: Final = 1024 * 1024  # bytes of a project's file
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


@dataclass(frozen=True, slots=True)
class Unread:
    """A project file that is not parsed, so that nobody knows which profiles it holds.

    It takes no part, and blocks nothing: to put it there takes no more than a folder above that
    others may write to.

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


def read(path: Path, *, most: int = _MOST_BYTES) -> FileBytes | None:
    """Read a file that holds profiles; None when there is none.

    Args:
        path: the file.
        most: how many bytes it may have. No more than one beyond are read.

    Raises:
        ProfileError: it is a folder or a device, unreadable, or too large.
    """
    path = _with_real_folder(path)
    opened = _open(path)
    if opened is None:
        return None
    file = _content(path, *opened, most)
    if len(file.data) > most:
        raise _unreadable(path, _too_large(most))
    return file


def read_project(
    path: Path, store: "TrustStore", *, sudo_uid: str | None = None
) -> FileBytes | Unread | None:
    """Read a project's file; None when there is none.

    The owner is judged by the descriptor that the content is read from. Where the name is a link,
    the owner of the link is judged too: he chooses what it leads to.

    Args:
        path: the file.
        store: the record of trusted files. A file is recorded there with its owners.
        sudo_uid: the value of ``SUDO_UID``; counts for root alone.

    Raises:
        ProfileError: it is a folder or a device, unreadable, or both recorded and too large; or
            its record is damaged.
    """
    path = _with_real_folder(path)
    recorded = store.owners(path)
    admitted = _oneself(sudo_uid) | (recorded or frozenset())
    if recorded == frozenset():
        return _read_by_content(path, store, admitted)
    link = _seen(path)
    if link is not None and _is_foreign(link, admitted):  # also one that may not be opened
        return _of_another(path, link)
    opened = _open(path, follow=link is not None and stat.S_ISLNK(link.st_mode))
    return None if opened is None else _judged(path, opened, admitted, known=recorded is not None)


def _judged(
    path: Path,
    opened: tuple[int, os.stat_result],
    admitted: frozenset[int],
    *,
    known: bool,
) -> FileBytes | Unread:
    """Read an open file of a project, unless it belongs to another user or is too large."""
    descriptor, status = opened
    if _is_foreign(status, admitted):
        os.close(descriptor)
        return _of_another(path, status)
    file = _content(path, descriptor, status, MOST_OF_PROJECT)
    if len(file.data) <= MOST_OF_PROJECT:
        return file
    if known:
        raise _unreadable(path, _too_large(MOST_OF_PROJECT))
    return Unread(path, _too_large(MOST_OF_PROJECT), "remove it, or make it smaller")


def _read_by_content(
    path: Path, store: "TrustStore", admitted: frozenset[int]
) -> FileBytes | Unread | None:
    """Read a file whose record names no owner: one of another user counts as recorded only."""
    link = _seen(path)
    try:
        file = read(path, most=MOST_OF_PROJECT)
    except ProfileError:
        if link is not None and _is_foreign(link, admitted):
            return _of_another(path, link)
        raise
    if file is not None and not store.holds(file):
        for status in (link or file.status, file.status):
            if _is_foreign(status, admitted):
                return _of_another(path, status)
    return file


def _seen(path: Path) -> os.stat_result | None:
    """Return what is known of a file, or of the link that it is; None where there is none."""
    try:
        return path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unreadable(path, f"cannot be read: {error.strerror}") from None


def _with_real_folder(path: Path) -> Path:
    try:
        return Path(os.path.realpath(path.parent)) / path.name
    except ValueError:
        raise _no_path(path) from None


def _no_path(path: Path) -> ProfileError:
    """Return the complaint about a NUL, or what the file system cannot spell."""
    return _unreadable(Path(printable(str(path))), "is no path of a file")


def _open(path: Path, *, follow: bool = True) -> tuple[int, os.stat_result] | None:
    """Open a file; return its descriptor, and what that says of it. It may be a folder."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    flags |= getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOCTTY", 0)
    flags |= 0 if follow else getattr(os, "O_NOFOLLOW", 0)
    try:
        descriptor = _patiently(path, lambda: os.open(path, flags))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError:
        raise _no_path(path) from None
    except OSError as error:
        if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises for a name that is too long
            raise _unreadable(path, "is a folder, not a file") from None  # Windows opens none
        raise _unreadable(path, f"cannot be read: {error.strerror}") from None
    return descriptor, os.fstat(descriptor)


def _content(path: Path, descriptor: int, status: os.stat_result, most: int) -> FileBytes:
    """Read an open file, at most one byte more than it may have, and close it."""
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a device or a pipe"
        raise _unreadable(path, f"is {kind}, not a file")
    data = bytearray()
    with os.fdopen(descriptor, "rb", buffering=0) as stream:
        # In pieces, since on Windows nobody can replace the file meanwhile, and a buffer for the
        # most that may come takes longer than to read what is there.
        try:
            while len(data) <= most and (piece := stream.read(min(_PIECE, most + 1 - len(data)))):
                data += piece
        except OSError as error:  # such as /proc/self/mem
            raise _unreadable(path, f"cannot be read: {error.strerror}") from None
    return FileBytes(path, bytes(data), status)


def _too_large(most: int) -> str:
    return f"is larger than {most // 1024**2} MiB"


def _oneself(sudo_uid: str | None) -> frozenset[int]:
    """Return the users whose files are read: root, this one, and who became root by sudo."""
    if sys.platform == "win32":
        return frozenset()
    mine = os.geteuid()
    is_number = sudo_uid is not None and re.fullmatch("[0-9]{1,10}", sudo_uid) is not None
    through_sudo = {int(sudo_uid or "")} if mine == 0 and is_number else set()
    return frozenset({0, mine} | through_sudo)


def _is_foreign(status: os.stat_result, admitted: frozenset[int]) -> bool:
    return sys.platform != "win32" and status.st_uid not in admitted


def another_owner(file: FileBytes, *, sudo_uid: str | None = None) -> str:
    """Return the name of the user whose a file is; empty when it is one's own, or root's."""
    return _user(file.status.st_uid) if _is_foreign(file.status, _oneself(sudo_uid)) else ""


def _of_another(path: Path, status: os.stat_result) -> Unread:
    owner = _user(status.st_uid)
    way_out = f"if you know it: gatepass trust {quoted(str(path))}"
    return Unread(path, f"belongs to another user, {owner}", way_out, owner)


def _user(number: int) -> str:
    if sys.platform == "win32":
        return ""
    import pwd

    try:
        return printable(pwd.getpwuid(number).pw_name)
    except KeyError:
        return f"number {number}"


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


def _unreadable(path: Path, message: str) -> ProfileError:
    return ProfileError(problems=[Problem(printable(str(path)), "", message)])


State = Literal["unchanged", "changed", "other owner", "absent", "unreadable", "damaged record"]


@dataclass(frozen=True, slots=True)
class Trusted:
    """One file that is trusted.

    Attributes:
        path: the file.
        sha256: the content that is trusted, in hexadecimal; empty for a damaged record.
        since: when that was recorded, in seconds since 1970.
        state: ``unchanged``, ``changed`` since then and so not trusted as it stands, ``other
            owner`` than then and so not read as a project's, ``absent``, ``unreadable``, or
            ``damaged record``.
    """

    path: Path
    sha256: str
    since: float
    state: State


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
        entry = self._entry(file.path)
        return entry is not None and entry["sha256"] == file.digest

    def owners(self, path: Path) -> frozenset[int] | None:
        """Return who was admitted as the owner of this path, and of a link there.

        None where it is not recorded. Nobody where an older version recorded it: then only the
        recorded content counts.

        Raises:
            ProfileError: the record itself can be written by others, or is damaged.
        """
        entry = self._entry(path)
        return None if entry is None else _recorded_owners(entry)

    def add(self, file: FileBytes) -> None:
        """Record that these bytes are trusted at this path. Writes to disk.

        Raises:
            GatepassError: it cannot be recorded.
        """
        owners = {file.status.st_uid}
        with contextlib.suppress(OSError):  # gone meanwhile
            owners.add(file.path.lstat().st_uid)
        entry = json.dumps(
            {"path": str(file.path), "sha256": file.digest, "owners": sorted(owners)}
        )
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
            entry = _valid(json.loads(found.data))
            path, digest = Path(entry["path"]), entry["sha256"]
            is_its_own = record == self._record(path)  # a path may hold what none can
        except (ProfileError, ValueError, TypeError, KeyError, RecursionError):
            return Trusted(record, "", record.lstat().st_mtime, "damaged record")
        if not is_its_own or unsafe(found, own=True):
            return Trusted(record, "", since, "damaged record")
        return Trusted(path, digest, since, _state(path, digest, _recorded_owners(entry)))

    def _record(self, path: Path) -> Path:
        return self._folder / (hashlib.sha256(os.fsencode(path)).hexdigest() + ".json")

    def _entry(self, path: Path) -> dict[str, Any] | None:
        record = self._record(path)
        found = read(record)
        if found is None:
            return None
        problem = unsafe(found, own=True)
        if problem is not None:
            raise UnsafePermissions(problems=[problem])
        try:
            return _valid(json.loads(found.data))
        except (ValueError, TypeError, KeyError, RecursionError):
            raise ProfileError(
                problems=[Problem(printable(str(record)), "", "damaged record of a trusted file")],
                hint=f"delete {record} and run gatepass trust again",
            ) from None


def _valid(entry: Any) -> dict[str, Any]:
    """Return what a record says; raise TypeError or KeyError where that is not what we write."""
    if not isinstance(entry, dict) or not isinstance(entry["sha256"], str):
        raise TypeError
    _recorded_owners(entry)
    return entry


def _recorded_owners(entry: Mapping[str, Any]) -> frozenset[int]:
    owners = entry.get("owners", [])
    if not isinstance(owners, list) or not all(type(each) is int for each in owners):
        raise TypeError
    return frozenset(owners)


def _state(path: Path, digest: str, owners: frozenset[int]) -> State:
    try:
        file = read(path)
    except ProfileError:
        return "unreadable"
    if file is None:
        return "absent"
    if owners and _is_foreign(file.status, owners | _oneself(None)):
        return "other owner"
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
        return Problem(printable(place), "", "belongs to another user", hint=hint)
    if mode & stat.S_IWOTH:
        who = "anybody"
    elif mode & stat.S_IWGRP and not _is_private_group(file.status.st_gid):
        who = "its group"
    else:
        return None
    return Problem(
        printable(place),
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
    from gatepass._system import plugins

    source, colon, _ = text.partition(":")
    return bool(colon) and plugins.is_known(plugins.SECRETS, source)
