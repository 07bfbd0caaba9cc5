"""The vault: an encrypted record for each identity, with a lock and a note of a running refresh.

It reads and writes through a store: the files of one user, or a redis that many computers share.
Encryption, and which of two writes wins, are decided here. A record that cannot be read is neither
replaced nor removed, except by :meth:`Vault.remove`.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import get_ident
from typing import Final

from gatepass._system import log
from gatepass._value import Value, replace
from gatepass._vault import file_lock, serialization
from gatepass._vault.encryption import EncryptionKey
from gatepass._vault.key import VaultKey, decode
from gatepass._vault.records import Identity, InFlight, Record
from gatepass._vault.store import KEY, HeldLock, HolderCodec, Store
from gatepass.errors import TokenNotPersisted, VaultError
from gatepass.secrets import Secret, constant_time_compare

LOCK_SECONDS: Final = 60.0  # longer than two requests to an identity provider may take
_SECONDS_FOR_KEY: Final = 150.0  # another process may be waiting for the keyring's dialogs
_MOST_ATTEMPTS: Final = 50  # to write a record that others change meanwhile
_PAUSE: Final = 0.05  # seconds, at most, before the next attempt


class Listing(Value):
    """Everything in the vault.

    Attributes:
        readable: the records that can be decrypted, with their identities.
        unreadable: an error for each of the others, which names the record.
    """

    readable: tuple[tuple[Identity, Record], ...]
    unreadable: tuple[VaultError, ...]


class Vault:
    """The tokens of one user.

    The constructor reads nothing. The key is read once, when it is first needed; reading an empty
    store needs none. Where nobody has made a key yet and the vault may, the first lock or write
    does.

    Each change is made under the identity's lock: the one that this thread holds by :meth:`lock`,
    else one that is taken for the change alone. The lock of a shared store may end too early, so
    there each write also compares what it replaces.

    Args:
        store: for the encrypted records, notes and locks.
        key: reads and makes the key.
        clock: the wall time in seconds since 1970.
        lock_timeout: seconds for which a change waits for a lock that its caller does not hold;
            longer than a refresh takes.
    """

    def __init__(
        self,
        store: Store,
        key: VaultKey,
        *,
        clock: Callable[[], float] = time.time,
        lock_timeout: float = LOCK_SECONDS,
    ) -> None:
        self._store = store
        self._key = key
        self._clock = clock
        self._lock_timeout = lock_timeout
        self._encryption_key: EncryptionKey | None = None
        # By pid, since a forked child holds no lock, by thread and by name.
        self._held_locks: dict[tuple[int, int, bytes], HeldLock] = {}
        self._notes: dict[bytes, bytes] = {}  # the note that was last written here, by name

    @property
    def store(self) -> Store:
        """Where the records lie."""
        return self._store

    @property
    def key(self) -> VaultKey:
        """Where the key is."""
        return self._key

    @property
    def shared(self) -> bool:
        """Whether other computers use it, so that a lock may end before its holder does."""
        return self._store.shared

    def check_key(self) -> None:
        """Read the key that a person made. One in the keyring is made by the first login.

        Raises:
            VaultError: it cannot be read, or is no key.
        """
        if self._key.make is None:
            decode(self._key.read() or Secret(""))

    def read(self, identity: Identity) -> Record | None:
        """Return an identity's record; None when there is none. Reads from the store.

        Raises:
            VaultError: there is one, and it is cut off, damaged, foreign, of a newer version or
                encrypted with another key; or the key or the store cannot be used.
        """
        key = self._find_key()
        return None if key is None else self._read_with_bytes(key, identity)[0]

    def write(self, identity: Identity, record: Record) -> Record:
        """Write a record after a login, and return it with its generation and the time.

        When it returns, the record would survive a power cut. The generation is at least the time
        in milliseconds since 1970, which grows faster than generations do. So a login is later than
        all before it, also when the store was emptied meanwhile, and what a refresh of an earlier
        login still brings does not replace it.

        Args:
            identity: whose record.
            record: what to write; its ``generation`` and ``saved_at`` do not matter.

        Raises:
            TokenNotPersisted: it could not be written; the old one is as it was.
            VaultError: as for :meth:`read` and :meth:`lock`.
        """
        key = self._require_key()
        with self._locked(key, identity):
            after = int(self._clock() * 1000)
            return (
                self._replace_record(key, identity, lambda _stored: record, after=after) or record
            )

    def write_refreshed(
        self, identity: Identity, record: Record, *, spent: Secret
    ) -> Record | None:
        """Write what a refresh brought, unless somebody has logged in or out in the meantime.

        A shared store takes it also when the lock has ended by now, since it compares what is
        replaced. The new record replaces one

        - whose refresh token is the spent one, which is of no more use;
        - whose refresh token was removed: the provider has refused the spent one to another;
        - of an older generation, or a missing one that nobody removed: the store has lost writes.

        Any other record is of a later login or refresh, and stays.

        Args:
            identity: whose record.
            record: what to write, with the generation of the record that it was made from.
            spent: the refresh token that was sent for it.

        Returns:
            What is stored now: the new record with its generation, or the later one; None when
            somebody has logged out.

        Raises:
            TokenNotPersisted: it could not be written; the old one is as it was.
            VaultError: as for :meth:`read` and :meth:`lock`.
        """
        key = self._require_key()
        later: list[Record | None] = []

        def choose(stored: Record | None) -> Record | None:
            later[:] = [stored]
            if stored is None:
                lost = not self._store.was_removed(key.name_of(identity))
                return record if lost else None
            refused = stored.refresh_token is None and stored.refused is not None
            of_before = refused or constant_time_compare(stored.refresh_token, spent)
            return record if of_before or stored.generation < record.generation else None

        unguarded: AbstractContextManager[None] = nullcontext()
        with unguarded if self.shared else self._locked(key, identity):
            kept = self._replace_record(key, identity, choose, after=record.generation)
            return kept or later[0]

    def remove(self, identity: Identity) -> bool:
        """Remove an identity's record, also one that cannot be read, and its note.

        Returns:
            Whether there was a record.

        Raises:
            VaultError: it cannot be removed, or was encrypted with another key.
        """
        key = self._find_key()
        if key is None:
            return False
        with self._locked(key, identity):
            there_was = self._store.remove(key.name_of(identity))
        if not there_was:
            self._refuse_other_keys(key)
        return there_was

    @contextmanager
    def lock(
        self, identity: Identity, *, seconds: float, cancel_check: Callable[[], bool] | None = None
    ) -> Iterator[None]:
        """Hold an identity's lock during a block; no other thread or process holds it meanwhile.

        It is not reentrant. Ctrl-C ends the wait. A forked child does not hold it.

        Args:
            identity: whose lock.
            seconds: how long to wait for it.
            cancel_check: returns true to end the wait early.

        Raises:
            TokenLockTimeout: another holds it all that time; names the process.
            VaultError: the key, the store or the lock cannot be used.
        """
        key = self._require_key()
        began = time.monotonic()
        with self._lock(key, identity, seconds, cancel_check) as held:
            log.debug("vault: lock taken after %s s", f"{time.monotonic() - began:.2f}")
            lock_id = self._lock_id(key, identity)
            self._held_locks[lock_id] = held
            try:
                yield
            finally:
                self._held_locks.pop(lock_id, None)

    def keep_lock(self, identity: Identity) -> HeldLock:
        """Keep the lock, which this thread holds, until its block ends; return it.

        Raises:
            VaultError: it has ended already, or the store does not answer.
        """
        held = self._held_locks[self._lock_id(self._require_key(), identity)]
        held.keep()
        return held

    def read_in_flight(self, identity: Identity) -> InFlight | None:
        """Return the refresh that has begun and not ended; None when there is none.

        When the caller holds the lock, that is a refresh whose process was killed or got no usable
        answer; in a shared store it may also have lost its lease and still be running. A note that
        cannot be read counts as none, because it is used in messages only.

        Raises:
            VaultError: the key or the store cannot be used.
        """
        key = self._find_key()
        if key is None:
            return None
        name = key.name_of(identity)
        data = self._store.read_note(name)
        return None if data is None else self._codec(key, name, b"note").decode(data)

    def begin_refresh(self, identity: Identity) -> None:
        """Write a note that this process begins a refresh.

        This also finds out, before a token is spent, whether the store can be written.

        Raises:
            VaultError: it could not be written.
        """
        name, data = self._dump_note(identity, file_lock.this_process(self._clock()))
        self._store.write_note(name, data)
        self._notes[name] = data

    def check_writable(self, identity: Identity) -> None:
        """Make key and folder, write what a refresh writes first, and take it away again.

        So it is known before a token is spent, or a person has logged in, that there is room.

        Raises:
            VaultError: the key or the store cannot be used.
        """
        with self.lock(identity, seconds=self._lock_timeout):
            unfinished = self.read_in_flight(identity)
            self.begin_refresh(identity)
            self.end_refresh(identity, restore=unfinished)

    def end_refresh(self, identity: Identity, *, restore: InFlight | None = None) -> None:
        """Remove the note of the refresh; that of a later one, by another process, stays.

        Args:
            identity: whose note.
            restore: the earlier note of another process, to write in its place.

        Raises:
            VaultError: the note could not be removed.
        """
        if restore is not None:
            name, data = self._dump_note(identity, restore)
            self._store.write_note(name, data, old=self._notes.get(name))
        elif (key := self._find_key()) is not None:
            name = key.name_of(identity)
            self._store.write_note(name, None, old=self._notes.get(name))

    def list_records(self) -> Listing:
        """Return every record, and an error for each that cannot be read. Reads from the store.

        Raises:
            VaultError: the key or the store cannot be used.
        """
        key = self._find_key()
        if key is None:
            return Listing((), ())
        readable, unreadable = [], []
        for found in self._store.list_records():
            try:
                if isinstance(found.data, VaultError):
                    raise found.data
                readable.append(_decrypt_record(key, found.data, found.name, found.where))
            except VaultError as error:
                unreadable.append(error)
        return Listing(tuple(readable), tuple(unreadable))

    def _read_with_bytes(
        self, key: EncryptionKey, identity: Identity
    ) -> tuple[Record | None, bytes | None]:
        """Return the record and its encrypted bytes; None twice when there is none."""
        name = key.name_of(identity)
        data = self._store.read(name)
        if data is None:
            self._refuse_other_keys(key)
            log.debug("vault: no login is stored for %s", identity.origin)
            return None, None
        return _decrypt_record(key, data, name, self._store.where(name))[1], data

    def _replace_record(
        self,
        key: EncryptionKey,
        identity: Identity,
        choose: Callable[[Record | None], Record | None],
        *,
        after: int = 0,
    ) -> Record | None:
        """Write a record in the place of the stored one, and return it with its generation.

        Args:
            key: the key.
            identity: whose record.
            choose: gets the stored record, and returns the new one; None to write nothing.
            after: the new generation is greater than this one, though the store may be empty.
        """
        name = key.name_of(identity)
        for attempt in range(_MOST_ATTEMPTS):
            stored, old = self._read_with_bytes(key, identity)
            record = choose(stored)
            if record is None:
                return None
            generation = max(0 if stored is None else stored.generation, after) + 1
            kept = replace(record, generation=generation, saved_at=self._clock())
            data = key.encrypt(serialization.to_json(identity, kept), name)
            if self._store.put(name, data, old=old):
                log.debug("vault: login for %s written to %s", identity.origin, self._store.shown)
                return kept
            # A random pause, so that several writers do not try again at the same moment; the
            # last byte, of the tag, is random enough.
            time.sleep(min(0.001 * 2**attempt, _PAUSE) * data[-1] / 255)
        raise TokenNotPersisted(
            f"{self._store.where(name)} is changed by others all the time",
            hint="try again",
        )

    def _locked(
        self, key: EncryptionKey, identity: Identity
    ) -> "AbstractContextManager[HeldLock | None]":
        if self._lock_id(key, identity) in self._held_locks:
            return nullcontext()
        return self._lock(key, identity, self._lock_timeout)

    def _lock(
        self,
        key: EncryptionKey,
        identity: Identity,
        seconds: float,
        cancel_check: Callable[[], bool] | None = None,
    ) -> AbstractContextManager[HeldLock]:
        name = key.name_of(identity)
        codec = self._codec(key, name, b"lock")
        return self._store.lock(name, seconds=seconds, codec=codec, cancel_check=cancel_check)

    def _lock_id(self, key: EncryptionKey, identity: Identity) -> tuple[int, int, bytes]:
        return os.getpid(), get_ident(), key.name_of(identity)

    def _dump_note(self, identity: Identity, holder: InFlight) -> tuple[bytes, bytes]:
        """Return the name and the bytes of a note."""
        key = self._require_key()
        name = key.name_of(identity)
        text = file_lock.holder_to_json(holder)
        if self.shared:
            text = key.encrypt(text, name + b"note")
        return name, text

    def _codec(self, key: EncryptionKey, name: bytes, what: bytes) -> HolderCodec:
        """Return how a lock or a note names a process: encrypted where others may read it."""
        plain = file_lock.plain_codec(self._clock)
        if not self.shared:
            return plain

        def decode(data: bytes) -> InFlight | None:
            try:
                return file_lock.holder_from_json(key.decrypt(data, name + what, what.decode()))
            except VaultError:
                return None

        return HolderCodec(lambda: key.encrypt(plain.encode(), name + what), decode)

    def _find_key(self) -> EncryptionKey | None:
        """Return the key; None, without reading it, when the store is empty."""
        if self._encryption_key is None and not self._store.count():
            return None
        return self._require_key()

    def _require_key(self) -> EncryptionKey:
        """Return the key; make one when there is none and no record needs another."""
        if self._encryption_key is None:
            text = self._key.read() or self._make_key()
            self._encryption_key = EncryptionKey(decode(text), self._key.shown)
        return self._encryption_key

    def _make_key(self) -> Secret:
        if self.shared:  # each host would make a different one
            raise VaultError(
                f"the vault's key is missing: there is nothing behind {self._key.shown}",
                hint=f"all hosts that share {self._store.shown} need the same key: make one with "
                'gatepass secret new-key, copy it to each host, and name it: vault_key = "file:'
                'PATH"',
            )
        codec = file_lock.plain_codec(self._clock)
        with self._store.lock(KEY, seconds=_SECONDS_FOR_KEY, codec=codec, what="the vault's key"):
            text = self._key.read()  # another process may have made it by now
            if text is not None:
                return text
            count = self._store.count()
            if count or self._key.make is None:
                raise self._missing_key(count)
            return self._key.make()

    def _missing_key(self, count: int) -> VaultError:
        return VaultError(
            f"the vault's key is missing: there is nothing behind {self._key.shown}, and "
            f"{self._store.shown} holds {count} {'record' if count == 1 else 'records'} "
            "encrypted with it",
            hint="nothing was changed or lost, and no new key was made: bring back the key, or "
            "use the keyring of the login; only where it is gone for good, delete "
            f"{os.path.join(self._store.shown, '*.token')} and log in again",  # noqa: PTH118 - a text
        )

    def _refuse_other_keys(self, key: EncryptionKey) -> None:
        """Raise where a record seems to be missing because another key gives it another name.

        Raises:
            VaultError: a record in the store was encrypted with another key.
        """
        for found in self._store.list_records(but=key.id):
            if isinstance(found.data, bytes):
                key.check_key(found.data, found.where)


def _decrypt_record(
    key: EncryptionKey, data: bytes, name: bytes, where: str
) -> tuple[Identity, Record]:
    # One expression, so that no local variable in a traceback holds the tokens.
    found = serialization.from_json(key.decrypt(data, name, where))
    if found is None:
        raise VaultError(
            f"{where} holds something that this version of gatepass does not know",
            hint="nothing was changed or lost: use the version that wrote it",
        )
    return found
