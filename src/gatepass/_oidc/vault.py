"""The vault: one sealed file for each identity, and beside it a lock and a journal.

::

    <name>.token      the record: ``sealing`` says how it looks, ``contents`` what it holds
    <name>.lock       held while a record is changed, and around a whole refresh
    <name>.inflight   a refresh has begun and not ended: process, host and time, in clear
    key.lock          held while the key is made

The name is a keyed hash of the identity, so that a copy of the folder does not tell which servers
and accounts somebody has. No lock file is ever removed.

A record that cannot be read is neither replaced nor removed, except by :meth:`Vault.forget`.
"""

import os
import shlex
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from hmac import compare_digest
from pathlib import Path
from threading import get_ident
from typing import Final

from gatepass._oidc import contents, durable, keys, locks
from gatepass._oidc.keys import VaultKey
from gatepass._oidc.sealing import SealingKey
from gatepass._oidc.values import Identity, InFlight, Record
from gatepass.errors import TokenNotPersisted, VaultError
from gatepass.secrets import Secret

_RECORD: Final = ".token"
_SECONDS_FOR_KEY: Final = 150.0  # the one before may be answering the keyring's dialogs


@dataclass(frozen=True, slots=True)
class Listing:
    """Everything in the vault.

    Attributes:
        readable: the records that open, with their identities.
        unreadable: for each of the others, what is wrong; names the file.
    """

    readable: tuple[tuple[Identity, Record], ...]
    unreadable: tuple[VaultError, ...]


@dataclass(frozen=True, slots=True)
class _Place:
    """The files of one identity.

    Attributes:
        folder: where they lie.
        name: the identity's keyed hash.
    """

    folder: Path
    name: bytes

    @property
    def record(self) -> Path:
        return self.folder / (self.name.hex() + _RECORD)

    @property
    def lock(self) -> Path:
        return self.folder / (self.name.hex() + ".lock")

    @property
    def journal(self) -> Path:
        return self.folder / (self.name.hex() + ".inflight")


class Vault:
    """The tokens of one user.

    Building it touches nothing. The key is read once, at the first need; where the folder holds
    no record, reading needs none. It is made, where it may be, by the first lock or write.

    Every change happens under the identity's lock: the one that this thread holds by :meth:`lock`,
    else one that is taken for the time of the change.

    Args:
        folder: where the files lie; made with mode 0700.
        key: where the key is.
        clock: the wall time in seconds since 1970.
        patience: for how many seconds a change waits for the lock that its caller does not hold;
            longer than a refresh takes.
    """

    def __init__(
        self,
        folder: Path,
        key: VaultKey,
        *,
        clock: Callable[[], float] = time.time,
        patience: float = 30.0,
    ) -> None:
        self._folder = folder
        self._key = key
        self._clock = clock
        self._patience = patience
        self._sealing: SealingKey | None = None
        self._locked: set[tuple[int, int, bytes]] = (
            set()
        )  # process (a fork holds none), thread, name

    def read(self, identity: Identity) -> Record | None:
        """Return an identity's record; None when there is none. Reads from disk.

        Raises:
            VaultError: there is one, and it is cut off, damaged, foreign, of a newer version or
                sealed with another key; or the key or the folder cannot be used.
        """
        sealing = self._known_key()
        if sealing is None:
            return None
        found = self._open(self._place(sealing, identity).record, sealing)
        if found is None:
            self._refuse_other_keys(sealing)
            return None
        return found[1]

    def write(self, identity: Identity, record: Record) -> Record:
        """Keep a record, and return it as kept: one generation on, with the time of writing.

        When it returns, the record would survive a power cut.

        Args:
            identity: whose it is.
            record: what to keep; its ``generation`` and ``saved_at`` do not matter.

        Raises:
            TokenNotPersisted: it could not be written; the old one is as it was.
            VaultError: as for :meth:`read` and :meth:`lock`.
        """
        sealing = self._needed_key()
        with self._changing(self._place(sealing, identity)):
            return self._put(sealing, identity, record)

    def write_if(self, identity: Identity, record: Record, *, expected_generation: int) -> bool:
        """Keep a record like :meth:`write`, if the stored one is the one that was expected.

        Args:
            identity: whose it is.
            record: what to keep.
            expected_generation: the stored record's; 0 when there should be none.

        Returns:
            Whether it was written.

        Raises:
            TokenNotPersisted: it could not be written; the old one is as it was.
            VaultError: as for :meth:`read` and :meth:`lock`.
        """
        sealing = self._needed_key()
        with self._changing(self._place(sealing, identity)):
            if self._generation(identity) != expected_generation:
                return False
            self._put(sealing, identity, record)
            return True

    def forget(self, identity: Identity) -> bool:
        """Remove an identity's record, also one that cannot be read, and its journal.

        Returns:
            Whether there was a record.

        Raises:
            VaultError: it cannot be removed, or lies under another key.
        """
        sealing = self._known_key()
        if sealing is None:
            return False
        place = self._place(sealing, identity)
        with self._changing(place):
            there_was = _remove(place.record)
            _remove(place.journal)
        if not there_was:
            self._refuse_other_keys(sealing)
        return there_was

    def forget_refresh_token(self, identity: Identity, dead: Secret) -> bool:
        """Remove a refresh token that the provider has refused, unless another has taken its place.

        Args:
            identity: whose it is.
            dead: the refused token.

        Returns:
            Whether it was there, and is removed.

        Raises:
            TokenNotPersisted: the record could not be written.
            VaultError: as for :meth:`read` and :meth:`lock`.
        """
        sealing = self._known_key()
        if sealing is None:
            return False
        with self._changing(self._place(sealing, identity)):
            record = self.read(identity)
            if record is None or not _same(record.refresh_token, dead):
                return False
            self._put(sealing, identity, replace(record, refresh_token=None))
            return True

    @contextmanager
    def lock(
        self, identity: Identity, *, seconds: float, given_up: Callable[[], bool] | None = None
    ) -> Iterator[None]:
        """Hold an identity's lock, against all processes and threads, for the time of a block.

        The same thread must not take it twice. Ctrl-C ends the wait. A fork does not hold it.

        Args:
            identity: whose.
            seconds: how long to wait for it.
            given_up: says whether to end the wait early.

        Raises:
            TokenLockTimeout: somebody else held it all the time; names the process.
            VaultError: the key, the folder or the lock cannot be used.
        """
        place = self._place(self._needed_key(), identity)
        with self._lock(place, seconds, given_up):
            mark = os.getpid(), get_ident(), place.name
            self._locked.add(mark)
            try:
                yield
            finally:
                self._locked.discard(mark)

    def in_flight(self, identity: Identity) -> InFlight | None:
        """Return the refresh that has begun and not ended; None when there is none.

        While the caller holds the lock, that is one whose process died. A journal that cannot be
        read counts as none: it only explains.

        Raises:
            VaultError: the key or the folder cannot be used.
        """
        sealing = self._known_key()
        if sealing is None:
            return None
        journal = self._place(sealing, identity).journal
        try:
            text = durable.read(journal)
        except OSError:
            return None
        return None if text is None else locks.parsed(text)

    def begin(self, identity: Identity) -> None:
        """Note that a refresh begins, by this process. When it returns, the note is on disk.

        It also shows, before a token is spent, that the disk takes what is written.

        Raises:
            VaultError: it could not be written.
        """
        place = self._place(self._needed_key(), identity)
        try:
            self._make_folder()
            durable.replace(place.journal, locks.written(locks.here(self._clock())))
        except OSError as error:
            raise _not_written(VaultError, place.journal, error) from None

    def done(self, identity: Identity) -> None:
        """Note that the refresh has ended.

        Raises:
            VaultError: the note could not be removed.
        """
        sealing = self._known_key()
        if sealing is not None:
            _remove(self._place(sealing, identity).journal)

    def entries(self) -> Listing:
        """Open every record, those that do not open included. Reads from disk.

        Raises:
            VaultError: the key or the folder cannot be used.
        """
        sealing = self._known_key()
        if sealing is None:
            return Listing((), ())
        readable, unreadable = [], []
        for path in self._records():
            try:
                found = self._open(path, sealing)
            except VaultError as error:
                unreadable.append(error)
            else:
                readable += [found] if found else []  # None: removed in this moment
        return Listing(tuple(readable), tuple(unreadable))

    def _open(self, path: Path, sealing: SealingKey) -> tuple[Identity, Record] | None:
        try:
            data = durable.read(path)
        except OSError as error:
            raise VaultError(f"cannot read {path}: {error.strerror}") from None
        if data is None:
            return None
        # In one step, so that no local variable of a frame in a traceback holds the tokens.
        found = contents.decoded(sealing.unseal(data, _name(path), path))
        if found is None:
            raise VaultError(
                f"{path} holds something that this version of gatepass does not know",
                hint="nothing was changed or lost: use the version that wrote it",
            )
        return found

    def _put(self, sealing: SealingKey, identity: Identity, record: Record) -> Record:
        place = self._place(sealing, identity)
        kept = replace(record, generation=self._generation(identity) + 1, saved_at=self._clock())
        data = sealing.seal(contents.encoded(identity, kept), place.name)
        try:
            durable.replace(place.record, data)
        except OSError as error:
            raise _not_written(TokenNotPersisted, place.record, error) from None
        return kept

    def _generation(self, identity: Identity) -> int:
        stored = self.read(identity)
        return 0 if stored is None else stored.generation

    @contextmanager
    def _changing(self, place: _Place) -> Iterator[None]:
        if (os.getpid(), get_ident(), place.name) in self._locked:
            yield
        else:
            with self._lock(place, self._patience):
                yield

    @contextmanager
    def _lock(
        self, place: _Place, seconds: float, given_up: Callable[[], bool] | None = None
    ) -> Iterator[None]:
        self._make_folder()
        with locks.held(place.lock, seconds=seconds, clock=self._clock, given_up=given_up):
            yield

    def _place(self, sealing: SealingKey, identity: Identity) -> _Place:
        return _Place(self._folder, sealing.name(identity))

    def _records(self) -> list[Path]:
        """Every record, readable or not."""
        self._check_folder()
        try:
            return sorted(path for path in self._folder.iterdir() if path.name.endswith(_RECORD))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise VaultError(f"cannot read {self._folder}: {error.strerror}") from None

    def _make_folder(self) -> None:
        try:
            durable.make_folder(self._folder)
        except OSError as error:
            raise VaultError(f"cannot make the folder {self._folder}: {error.strerror}") from None
        self._check_folder()

    def _check_folder(self) -> None:
        """Refuse a folder in which others could put back an old record, or a lock of their own."""
        with suppress(OSError):
            mode = self._folder.stat().st_mode
            if sys.platform != "win32" and mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise VaultError(
                    f"others can write to the folder of the vault, {self._folder}",
                    hint=f"    chmod 700 {shlex.quote(str(self._folder))}\nor name a folder inside "
                    "it, which is then made with that mode",
                )

    def _known_key(self) -> SealingKey | None:
        """The key; None, without asking for it, when there is nothing that it could open."""
        if self._sealing is None and not self._records():
            return None
        return self._needed_key()

    def _needed_key(self) -> SealingKey:
        """The key; made when there is none and nothing would be lost by that."""
        if self._sealing is None:
            text = self._key.read() or self._made_key()
            self._sealing = SealingKey(keys.decode(text), self._key.shown)
        return self._sealing

    def _made_key(self) -> Secret:
        self._make_folder()
        with locks.held(
            self._folder / "key.lock",
            seconds=_SECONDS_FOR_KEY,
            clock=self._clock,
            what="the vault's key",
        ):
            text = self._key.read()  # another process may have made it by now
            if text is not None:
                return text
            if self._records() or self._key.make is None:
                raise self._key_is_missing()
            return self._key.make()

    def _key_is_missing(self) -> VaultError:
        count = len(self._records())
        return VaultError(
            f"the vault's key is missing: there is nothing behind {self._key.shown}, and "
            f"{self._folder} holds {count} {'record' if count == 1 else 'records'} sealed with it",
            hint="nothing was changed or lost, and no new key was made: bring back the key, or "
            "use the keyring of the login; only where it is gone for good, delete "
            f"{self._folder / ('*' + _RECORD)} and log in again",
        )

    def _refuse_other_keys(self, sealing: SealingKey) -> None:
        """Refuse to say that a record is missing when another key may have named it.

        Raises:
            VaultError: a record in the folder was sealed with another key.
        """
        for path in self._records():
            with suppress(OSError):
                sealing.check_key(durable.read(path) or b"", path)


def _name(path: Path) -> bytes:
    """The identity's keyed hash, by a record's file name; foreign names give what opens nothing."""
    try:
        return bytes.fromhex(path.name.removesuffix(_RECORD))
    except ValueError:
        return b""


def _remove(path: Path) -> bool:
    try:
        return durable.remove(path)
    except OSError as error:
        raise VaultError(f"cannot remove {path}: {error.strerror}") from None


def _same(stored: Secret | None, dead: Secret) -> bool:
    return stored is not None and compare_digest(
        stored.reveal().encode(errors="surrogatepass"),
        dead.reveal().encode(errors="surrogatepass"),
    )


def _not_written(kind: type[VaultError], path: Path, error: OSError) -> VaultError:
    return kind(
        f"cannot write {path}: {error.strerror}",
        hint=f"what was there before is unharmed; {path.parent} must be writable and have space",
    )
