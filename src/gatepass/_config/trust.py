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
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gatepass._config.files import (
    MOST_OF_PROJECT,
    FileBytes,
    UnreadFile,
    absolute,
    content,
    open_regular,
    read_file,
    seen,
    too_large,
    unreadable,
    with_real_folder,
)
from gatepass._config.permissions import is_foreign, of_another, oneself, unsafe_permissions
from gatepass._net.urls import hide_userinfo
from gatepass._system import files
from gatepass._system.text import printable as printable  # noqa: PLC0414 - is also said here
from gatepass._system.text import quoted as quoted  # noqa: PLC0414 - the same
from gatepass.errors import GatepassError, Problem, ProfileError, UnsafePermissions


def read_project_file(
    path: Path, store: "TrustStore", *, sudo_uid: str | None = None
) -> FileBytes | UnreadFile | None:
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
    path = with_real_folder(path)
    recorded = store.owners(path)
    admitted = oneself(sudo_uid) | (recorded or frozenset())
    if recorded == frozenset():
        return _read_by_content(path, store, admitted)
    link = seen(path)
    if link is not None and is_foreign(link, admitted):  # also one that may not be opened
        return of_another(path, link)
    opened = open_regular(path, follow=link is not None and stat.S_ISLNK(link.st_mode))
    return None if opened is None else _judged(path, opened, admitted, known=recorded is not None)


def _judged(
    path: Path,
    opened: tuple[int, os.stat_result],
    admitted: frozenset[int],
    *,
    known: bool,
) -> FileBytes | UnreadFile:
    """Read an open file of a project, unless it belongs to another user or is too large."""
    descriptor, status = opened
    if is_foreign(status, admitted):
        os.close(descriptor)
        return of_another(path, status)
    file = content(path, descriptor, status, MOST_OF_PROJECT)
    if len(file.data) <= MOST_OF_PROJECT:
        return file
    if known:
        raise unreadable(path, too_large(MOST_OF_PROJECT))
    return UnreadFile(path, too_large(MOST_OF_PROJECT), "remove it, or make it smaller")


def _read_by_content(
    path: Path, store: "TrustStore", admitted: frozenset[int]
) -> FileBytes | UnreadFile | None:
    """Read a file whose record names no owner: one of another user counts as recorded only."""
    link = seen(path)
    try:
        file = read_file(path, most=MOST_OF_PROJECT)
    except ProfileError:
        if link is not None and is_foreign(link, admitted):
            return of_another(path, link)
        raise
    if file is not None and not store.holds(file):
        for status in (link or file.status, file.status):
            if is_foreign(status, admitted):
                return of_another(path, status)
    return file


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
            files.make_private_folder(self._folder)
            files.replace(self._record(file.path), entry.encode())
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
            found = read_file(record)
            if found is None:  # revoked in this moment
                return None
            since = found.status.st_mtime
            entry = _valid(json.loads(found.data))
            path, digest = Path(entry["path"]), entry["sha256"]
            is_its_own = record == self._record(path)  # a path may hold what none can
        except (ProfileError, ValueError, TypeError, KeyError, RecursionError):
            return Trusted(record, "", record.lstat().st_mtime, "damaged record")
        if not is_its_own or unsafe_permissions(found, own=True):
            return Trusted(record, "", since, "damaged record")
        return Trusted(path, digest, since, _state(path, digest, _recorded_owners(entry)))

    def _record(self, path: Path) -> Path:
        return self._folder / (hashlib.sha256(os.fsencode(path)).hexdigest() + ".json")

    def _entry(self, path: Path) -> dict[str, Any] | None:
        record = self._record(path)
        found = read_file(record)
        if found is None:
            return None
        problem = unsafe_permissions(found, own=True)
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
        file = read_file(path)
    except ProfileError:
        return "unreadable"
    if file is None:
        return "absent"
    if owners and is_foreign(file.status, owners | oneself(None)):
        return "other owner"
    return "unchanged" if file.digest == digest else "changed"


def abilities(tables: dict[str, object]) -> Iterable[str]:
    """Describe what a file of profiles may do, one line each, before a person trusts it.

    Names servers, issuers, references, commands, TLS files, proxies and plain http. A string
    that is neither a reference nor in a field without secrets is not shown: it may be one.

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


def _told(value: object, key: tuple[str, ...]) -> Iterable[str]:
    from gatepass._config.shown import may_be_shown  # only gatepass trust needs it

    if isinstance(value, dict):
        if set(value) == {"command"}:
            yield f"{_dotted(key)} runs a command: {printable(json.dumps(value['command']))}"
            return
        for name, inner in value.items():
            yield from _told(inner, (*key, str(name)))
    elif isinstance(value, list):
        for inner in value:
            yield from _told(inner, key)
    elif isinstance(value, bool | int | float):
        yield f"{_dotted(key)} = {json.dumps(value)}"
    elif isinstance(value, str) and _is_reference(value):
        yield _assignment(key, value)
    elif key[-1:] == ("description",):
        return
    elif isinstance(value, str) and may_be_shown(key, value):
        yield _assignment(key, value)
    else:
        yield f"{_dotted(key)}: a value that is not shown"


def _assignment(key: tuple[str, ...], text: str) -> str:
    shown = json.dumps(hide_userinfo(text), ensure_ascii=False)
    return f"{_dotted(key)} = {printable(shown)}"


def _dotted(key: tuple[str, ...]) -> str:
    return printable(".".join(key))


def _is_reference(text: str) -> bool:
    from gatepass._system import plugins

    source, colon, _ = text.partition(":")
    return bool(colon) and plugins.is_known(plugins.SECRETS, source)
