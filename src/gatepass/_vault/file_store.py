"""A vault in a folder of one computer, with a file for each record.

::

    <name>.token      the record: see ``encryption`` for its bytes, ``serialization`` for its fields
    <name>.lock       held while a record is changed, and during a whole refresh
    <name>.inflight   a refresh has begun and not ended: process, host and time, not encrypted
    <name>.room       while a refresh is under way: room on the disk for the record to come
    key.lock          held while the key is made

The name is a keyed hash of the identity, so that a copy of the folder does not tell which servers
and accounts somebody uses. No lock file is ever removed.
"""

import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from gatepass._system import files
from gatepass._system.text import printable, quoted
from gatepass._value import Value
from gatepass._vault import file_lock
from gatepass._vault.store import KEY, HeldLock, HolderCodec, StoredRecord
from gatepass.errors import TokenNotPersisted, VaultError

_RECORD: Final = ".token"
_NOTE: Final = ".inflight"
_ROOM: Final = ".room"
_ROOM_BYTES: Final = 32_768  # more than a record with the usual tokens


class _HeldFileLock:
    """A lock of the operating system: it does not end before its process."""

    passed: Final = False

    def keep(self) -> None:
        """Do nothing: the lock does not end."""


class FileStore(Value):
    """The files of one user.

    Attributes:
        folder: where they lie; made with mode 0700.
    """

    folder: Path

    @property
    def shared(self) -> bool:
        """False: others cannot read what is stored, and a lock does not end before its process."""
        return False

    @property
    def shown(self) -> str:
        """The folder."""
        return str(self.folder)

    def where(self, name: bytes) -> str:
        """Return the path of a record."""
        return str(self._path(name, _RECORD))

    def read(self, name: bytes) -> bytes | None:
        """Return a record's bytes; None when there is none. Reads from disk."""
        return _read(self._path(name, _RECORD))

    def put(self, name: bytes, data: bytes, *, old: bytes | None) -> bool:  # noqa: ARG002 - under the lock nobody else has written
        """Write a record. Its lock must be held. Writes to disk."""
        path = self._path(name, _RECORD)
        try:
            files.remove_leftovers(path)  # under the lock nobody else writes it
            files.replace(path, data, room=self._path(name, _ROOM))
        except OSError as error:
            raise _not_written(TokenNotPersisted, path, error) from None
        return True

    def remove(self, name: bytes) -> bool:
        """Remove a record and its note. Returns whether there was a record."""
        there_was = _remove(self._path(name, _RECORD))
        self.write_note(name, None)
        return there_was

    def was_removed(self, name: bytes) -> bool:  # noqa: ARG002 - the same for each
        """Return true: a file does not disappear by itself."""
        return True

    def read_note(self, name: bytes) -> bytes | None:
        """Return a note; None when there is none, or it cannot be read. Reads from disk."""
        try:
            return files.read(self._path(name, _NOTE))
        except OSError:
            return None

    def write_note(self, name: bytes, data: bytes | None, *, old: bytes | None = None) -> None:  # noqa: ARG002 - under the lock nobody else has written
        """Write a note, or with None remove it. Its lock must be held. Writes to disk.

        With a note goes room for the record: a full disk is noticed before a token is spent.
        """
        path, room = self._path(name, _NOTE), self._path(name, _ROOM)
        if data is None:
            _remove(path)
            _remove(room)
            return
        try:
            self._make_folder()
            files.remove_leftovers(path)
            files.remove_leftovers(room)
            files.reserve(room, _ROOM_BYTES)
            files.replace(path, data)
        except OSError as error:
            with suppress(OSError):
                files.remove(room)
            raise _not_written(VaultError, path, error) from None

    def count(self) -> int:
        """Return how many records there are."""
        return len(self._records())

    def why_missing(self) -> str:
        """Return nothing: a file does not disappear by itself."""
        return ""

    def list_records(self, *, but: bytes | None = None) -> list[StoredRecord]:
        """Return every record, readable or not. Reads from disk.

        Args:
            but: leave out, and do not read, those whose names begin with it.
        """
        found = []
        for path in self._records():
            if but and _name(path).startswith(but):
                continue
            try:
                data = _read(path)
            except VaultError as error:
                found.append(StoredRecord(_name(path), str(path), error))
            else:  # None: another process has removed it since the folder was listed
                found += [] if data is None else [StoredRecord(_name(path), str(path), data)]
        return found

    @contextmanager
    def lock(
        self,
        name: bytes,
        *,
        seconds: float,
        codec: HolderCodec,
        what: str = "the token",
        cancel_check: Callable[[], bool] | None = None,
    ) -> Iterator[HeldLock]:
        """Hold a lock of the operating system on a file; see :mod:`gatepass._vault.file_lock`."""
        self._make_folder()
        path = self.folder / "key.lock" if name == KEY else self._path(name, ".lock")
        with file_lock.hold(
            path, seconds=seconds, codec=codec, what=what, cancel_check=cancel_check
        ):
            yield _HeldFileLock()

    def _path(self, name: bytes, suffix: str) -> Path:
        return self.folder / (name.hex() + suffix)

    def _records(self) -> list[Path]:
        self._check_folder()
        try:
            return sorted(path for path in self.folder.iterdir() if path.name.endswith(_RECORD))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise VaultError(f"cannot read {self.folder}: {error.strerror}") from None

    def _make_folder(self) -> None:
        try:
            files.make_private_folder(self.folder)
        except OSError as error:
            raise VaultError(
                f"cannot make the folder {self.folder}: {error.strerror}",
                hint=f"{files.WRITABLE}; or name another for the vault: GATEPASS_VAULT=PATH, or "
                'vault = "PATH" in your own profiles.toml',
            ) from None
        self._check_folder()

    def _check_folder(self) -> None:
        """Refuse a folder in which others could replace a record or a lock."""
        if sys.platform == "win32":
            return
        with suppress(OSError):
            status = self.folder.stat()
            if status.st_uid not in {0, os.geteuid()}:
                shown = printable(str(self.folder))
                raise VaultError(
                    f"the folder of the vault, {shown}, belongs to another user "
                    f"(number {status.st_uid}), who could replace a login in it",
                    hint="name a folder of your own in the setting vault (or GATEPASS_VAULT), or "
                    f"take it over:\n    chown {os.geteuid()} {quoted(str(self.folder))}",
                )
            if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise VaultError(
                    f"others can write to the folder of the vault, {printable(str(self.folder))}",
                    hint=f"    chmod 700 {quoted(str(self.folder))}\nor name a folder inside "
                    "it, which is then made with that mode",
                )


def _read(path: Path) -> bytes | None:
    try:
        return files.read(path)
    except OSError as error:
        raise VaultError(f"cannot read {path}: {error.strerror}") from None


def _name(path: Path) -> bytes:
    """Return the keyed hash from a record's file name; empty for a name that is not ours."""
    try:
        return bytes.fromhex(path.name.removesuffix(_RECORD))
    except ValueError:
        return b""


def _remove(path: Path) -> bool:
    try:
        return files.remove(path)
    except OSError as error:
        raise VaultError(f"cannot remove {path}: {error.strerror}") from None


def _not_written(kind: type[VaultError], path: Path, error: OSError) -> VaultError:
    return kind(
        f"cannot write {path}: {error.strerror}",
        hint=f"what was there before is unharmed; {path.parent} must be writable and have space",
    )
