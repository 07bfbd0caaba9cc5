"""Read project files, and keep the record of those that are trusted.

A project file comes with a repository, and its user may never have read it. It takes part only
after the user has trusted exactly these bytes with ``gatepass trust``. A project file that belongs
to another user is not read at all, because anybody can put one into a folder above, such as
``/tmp``; ``gatepass trust FILE`` admits its owner too.
"""

import contextlib
import hashlib
import json
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

from gatepass._config import tls_files
from gatepass._config.files import (
    MOST_OF_PROJECT,
    FileBytes,
    UnreadFile,
    absolute,
    lstat_file,
    open_file,
    read_file,
    read_open_file,
    too_large,
    unreadable,
    with_real_folder,
)
from gatepass._config.permissions import (
    belongs_to_another,
    own_users,
    unread_file_of_another,
    unsafe_permissions,
)
from gatepass._system import files
from gatepass._system.text import printable
from gatepass._value import Value
from gatepass.errors import GatepassError, Problem, ProfileError, UnsafePermissions

_TOLD: Final = ".txt"  # beside the record


def read_project_file(
    path: Path, store: "TrustStore", *, sudo_uid: str | None = None
) -> FileBytes | UnreadFile | None:
    """Read a project's file; None when there is none.

    The owner is that of the descriptor from which the content is read. Where the path is a link,
    the owner of the link counts too: he chooses what it leads to.

    Args:
        path: the file.
        store: the record of trusted files. A file is recorded there with its owners.
        sudo_uid: the value of ``SUDO_UID``; counts for root alone.

    Raises:
        ProfileError: it is a folder or a device, unreadable, or both recorded and too large; or
            its record is damaged.
    """
    path = with_real_folder(path)
    recorded = store.owners(path)
    admitted = own_users(sudo_uid) | (recorded or frozenset())
    link = lstat_file(path)
    if link is not None and belongs_to_another(link, admitted):  # also one that may not be opened
        return unread_file_of_another(path, link)
    opened = open_file(path, follow=link is not None and stat.S_ISLNK(link.st_mode))
    return (
        None if opened is None else _read_if_own(path, opened, admitted, known=recorded is not None)
    )


def _read_if_own(
    path: Path,
    opened: tuple[int, os.stat_result],
    admitted: frozenset[int],
    *,
    known: bool,
) -> FileBytes | UnreadFile:
    """Read an open file of a project, unless it belongs to another user or is too large."""
    descriptor, status = opened
    if belongs_to_another(status, admitted):
        os.close(descriptor)
        return unread_file_of_another(path, status)
    file = read_open_file(path, descriptor, status, MOST_OF_PROJECT)
    if len(file.data) <= MOST_OF_PROJECT:
        return file
    if known:
        raise unreadable(path, too_large(MOST_OF_PROJECT))
    return UnreadFile(path, too_large(MOST_OF_PROJECT), "remove it, or make it smaller")


State = Literal["unchanged", "changed", "other owner", "absent", "unreadable", "damaged record"]


class Trusted(Value):
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

        The files for TLS that it names below its folder must be those of that time too.

        Raises:
            ProfileError: the record itself can be written by others, or is damaged.
        """
        entry = self._entry(file.path)
        if entry is None or entry["sha256"] != file.digest:
            return False
        return not tls_files.changed(file.path.parent, entry["files"])

    def changes(self, file: FileBytes) -> list[str] | None:
        """Return which files for TLS have changed since; None where the path is not recorded."""
        entry = self._entry(file.path)
        if entry is None:
            return None
        return tls_files.changed(file.path.parent, entry["files"])

    def told(self, path: Path) -> list[str] | None:
        """Return what was told of a file when it was trusted; None where that is not known."""
        found = read_file(self._record(path).with_suffix(_TOLD))
        return None if found is None else found.data.decode(errors="replace").splitlines()

    def owners(self, path: Path) -> frozenset[int] | None:
        """Return the users who were admitted as owners of a path, be it a file or a link.

        None where the path is not recorded.

        Raises:
            ProfileError: the record itself can be written by others, or is damaged.
        """
        entry = self._entry(path)
        return None if entry is None else frozenset(entry["owners"])

    def add(
        self, file: FileBytes, digests: Mapping[str, str] | None = None, told: Iterable[str] = ()
    ) -> None:
        """Record that these bytes are trusted at this path. Writes to disk.

        Args:
            file: the file.
            digests: of the files for TLS that it names, as :func:`tls_files.digests` returns them.
            told: what a person was told of it; compared when it has changed.

        Raises:
            GatepassError: it cannot be recorded.
        """
        owners = {file.status.st_uid}
        with contextlib.suppress(OSError):  # gone meanwhile
            owners.add(file.path.lstat().st_uid)
        entry = {
            "path": str(file.path),
            "sha256": file.digest,
            "owners": sorted(owners),
            "files": dict(digests or {}),
        }
        record = self._record(file.path)
        try:
            files.make_private_folder(self._folder)
            if text := "\n".join(told):
                files.replace(record.with_suffix(_TOLD), text.encode())
            files.replace(record, json.dumps(entry).encode())
        except OSError as error:
            raise self._cannot_change(error) from None

    def trusted(self) -> tuple[Trusted, ...]:
        """List all files that are trusted, sorted. Reads each of them."""
        records = self._folder.glob("*.json") if self._folder.is_dir() else ()
        return tuple(sorted(filter(None, map(self._examine, records)), key=lambda one: one.path))

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
                record.with_suffix(_TOLD).unlink(missing_ok=True)
        except OSError as error:
            raise self._cannot_change(error) from None
        return bool(found)

    def _cannot_change(self, error: OSError) -> GatepassError:
        return GatepassError(
            f"cannot change the record of trusted files, {self._folder}: {error.strerror}",
            hint=files.WRITABLE,
        )

    def _examine(self, record: Path) -> Trusted | None:
        """Read a record and the file that it names."""
        try:
            found = read_file(record)
            if found is None:  # another process has just revoked it
                return None
            since = found.status.st_mtime
            entry = _checked_entry(json.loads(found.data))
            path, digest = Path(entry["path"]), entry["sha256"]
            in_place = record == self._record(path)  # raises for what cannot be a path
        except (ProfileError, ValueError, TypeError, KeyError, RecursionError):
            return Trusted(record, "", record.lstat().st_mtime, "damaged record")
        if not in_place or unsafe_permissions(found, own=True):
            return Trusted(record, "", since, "damaged record")
        state = _state(path, digest, frozenset(entry["owners"]))
        if state == "unchanged" and tls_files.changed(path.parent, entry["files"]):
            state = "changed"
        return Trusted(path, digest, since, state)

    def _record(self, path: Path) -> Path:
        return self._folder / (hashlib.sha256(os.fsencode(path)).hexdigest() + ".json")

    def _problem_of_folder(self) -> Problem | None:
        """Say what is wrong with the folder: who owns it, or may write there, chooses records."""
        status = self._folder.lstat()
        return unsafe_permissions(FileBytes(self._folder, b"", status), own=True)

    def _entry(self, path: Path) -> dict[str, Any] | None:
        record = self._record(path)
        found = read_file(record)
        if found is None:
            return None
        problem = self._problem_of_folder() or unsafe_permissions(found, own=True)
        if problem is not None:
            raise UnsafePermissions(problems=[problem])
        try:
            return _checked_entry(json.loads(found.data))
        except (ValueError, TypeError, KeyError, RecursionError):
            raise ProfileError(
                problems=[Problem(printable(str(record)), "", "damaged record of a trusted file")],
                hint=f"delete {record} and run gatepass trust again",
            ) from None


def _checked_entry(entry: Any) -> dict[str, Any]:
    """Return the content of a record; raise TypeError or KeyError where it is damaged."""
    if not isinstance(entry, dict) or not isinstance(entry["sha256"], str):
        raise TypeError
    owners, digests = entry["owners"], entry["files"]
    if not isinstance(owners, list) or not all(type(each) is int for each in owners):
        raise TypeError
    if not isinstance(digests, dict) or not all(type(each) is str for each in digests.values()):
        raise TypeError
    return entry


def _state(path: Path, digest: str, owners: frozenset[int]) -> State:
    try:
        file = read_file(path)
    except ProfileError:
        return "unreadable"
    if file is None:
        return "absent"
    if belongs_to_another(file.status, owners | own_users(None)):
        return "other owner"
    return "unchanged" if file.digest == digest else "changed"
