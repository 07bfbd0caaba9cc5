"""The vault: one sealed record for each identity, and beside it a lock and a journal.

Where these lie is for a store to say: in the files of one user (``in_files``), or in a redis that
many computers share (``in_redis``). What is sealed, what is compared and what wins is the same for
both, and decided here.

A record that cannot be read is neither replaced nor removed, except by :meth:`Vault.remove`.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from threading import get_ident
from typing import Final

from gatepass._vault import file_lock, serialization
from gatepass._vault.encryption import EncryptionKey
from gatepass._vault.key import VaultKey, decode
from gatepass._vault.records import Identity, InFlight, Record
from gatepass._vault.store import KEY, HeldLock, HolderCodec, Store
from gatepass.errors import TokenNotPersisted, VaultError
from gatepass.secrets import Secret, constant_time_compare

LOCK_SECONDS: Final = 60.0  # longer than two requests to an identity provider may take
_SECONDS_FOR_KEY: Final = 150.0  # the one before may be answering the keyring's dialogs
_MOST_ATTEMPTS: Final = 50  # how often somebody else may be faster
_PAUSE: Final = 0.05  # seconds, at most, before the next attempt


@dataclass(frozen=True, slots=True)
class Listing:
    """Everything in the vault.

    Attributes:
        readable: the records that open, with their identities.
        unreadable: for each of the others, what is wrong; names the record.
    """

    readable: tuple[tuple[Identity, Record], ...]
    unreadable: tuple[VaultError, ...]


class Vault:
    """The tokens of one user.

    Building it touches nothing. The key is read once, at the first need; where the store holds
    no record, reading needs none. It is made, where it may be, by the first lock or write.

    Every change happens under the identity's lock: the one that this thread holds by :meth:`lock`,
    else one that is taken for the time of the change. The lock of a shared store may end early, so
    there each write also compares what it replaces.

    Args:
        store: where the records lie.
        key: where the key is.
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
        # By process (a fork holds none), thread and name.
        self._held_locks: dict[tuple[int, int, bytes], HeldLock] = {}
        self._notes: dict[bytes, bytes] = {}  # what was last begun here, by name

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

    def is_empty(self) -> bool:
        """Whether there is no record at all. Reads from the store, and needs no key.

        Raises:
            VaultError: the store cannot be used.
        """
        return not self._store.count()

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
                sealed with another key; or the key or the store cannot be used.
        """
        key = self._find_key()
        return None if key is None else self._read_with_bytes(key, identity)[0]

    def write(self, identity: Identity, record: Record) -> Record:
        """Keep a record, and return it as kept: one generation on, with the time of writing.

        When it returns, the record would survive a power cut. In milliseconds since 1970, time
        goes on faster than generations do: so a login is later than all before it, also those
        that an emptied store has forgotten, and what they still bring does not replace it.

        Args:
            identity: whose it is.
            record: what to keep; its ``generation`` and ``saved_at`` do not matter.

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
        """Keep what a refresh brought, unless somebody has logged in or out in the meantime.

        In a shared store it is tried whoever holds the lock by now: what it replaces is compared.
        It takes the place of a record

        - whose refresh token is the spent one: nothing else can be done with that;
        - without a refresh token: the provider has refused the spent one to somebody else;
        - of an older generation, or a missing one that nobody removed: the store has lost writes.

        Any other record is of a later login or refresh, and stays.

        Args:
            identity: whose it is.
            record: what to keep, with the generation of the record that it was made from.
            spent: the refresh token that was sent for it.

        Returns:
            What is stored now: the record as kept, or the later one; None when somebody has logged
            out.

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
            of_before = stored.refresh_token is None or constant_time_compare(
                stored.refresh_token, spent
            )
            return record if of_before or stored.generation < record.generation else None

        unguarded: AbstractContextManager[None] = nullcontext()
        with unguarded if self.shared else self._locked(key, identity):
            kept = self._replace_record(key, identity, choose, after=record.generation)
            return kept or later[0]

    def remove(self, identity: Identity) -> bool:
        """Remove an identity's record, also one that cannot be read, and its journal.

        Returns:
            Whether there was a record.

        Raises:
            VaultError: it cannot be removed, or lies under another key.
        """
        key = self._find_key()
        if key is None:
            return False
        with self._locked(key, identity):
            there_was = self._store.remove(key.name_of(identity))
        if not there_was:
            self._refuse_other_keys(key)
        return there_was

    def remove_refresh_token(self, identity: Identity, dead: Secret) -> bool:
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
        key = self._find_key()
        if key is None:
            return False

        def without(stored: Record | None) -> Record | None:
            if stored is None or not constant_time_compare(stored.refresh_token, dead):
                return None
            return replace(stored, refresh_token=None)

        with self._locked(key, identity):
            return self._replace_record(key, identity, without) is not None

    @contextmanager
    def lock(
        self, identity: Identity, *, seconds: float, cancel_check: Callable[[], bool] | None = None
    ) -> Iterator[None]:
        """Hold an identity's lock, against all processes and threads, for the time of a block.

        The same thread must not take it twice. Ctrl-C ends the wait. A fork does not hold it.

        Args:
            identity: whose.
            seconds: how long to wait for it.
            cancel_check: says whether to end the wait early.

        Raises:
            TokenLockTimeout: somebody else held it all the time; names the process.
            VaultError: the key, the store or the lock cannot be used.
        """
        key = self._require_key()
        with self._lock(key, identity, seconds, cancel_check) as held:
            lock_id = self._lock_id(key, identity)
            self._held_locks[lock_id] = held
            try:
                yield
            finally:
                self._held_locks.pop(lock_id, None)

    def extend_lock(self, identity: Identity, seconds: float) -> None:
        """See that the lock, which this thread holds, does not end within that time.

        Raises:
            VaultError: it has ended already, or that cannot be made sure.
        """
        self._held_locks[self._lock_id(self._require_key(), identity)].extend(seconds)

    def read_in_flight(self, identity: Identity) -> InFlight | None:
        """Return the refresh that has begun and not ended; None when there is none.

        While the caller holds the lock, that is one whose process died or got no usable answer; in
        a shared store it may still be at work. A journal that cannot be read counts as none: it
        only explains.

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
        """Note that a refresh begins, by this process. When it returns, the note is kept.

        It also shows, before a token is spent, that the store takes what is written.

        Raises:
            VaultError: it could not be written.
        """
        name, data = self._dump_note(identity, file_lock.this_process(self._clock()))
        self._store.write_note(name, data)
        self._notes[name] = data

    def end_refresh(self, identity: Identity, *, restore: InFlight | None = None) -> None:
        """Note that the refresh has ended; the note of a later one, by another, stays.

        Args:
            identity: whose.
            restore: the note of another process that still explains something; it comes back.

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
        """Open every record, those that do not open included. Reads from the store.

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
        """Return the record, and its sealed bytes; None twice when there is none."""
        name = key.name_of(identity)
        data = self._store.read(name)
        if data is None:
            self._refuse_other_keys(key)
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
        """Write what is chosen in view of what is stored, and return it as kept.

        Args:
            key: the key.
            identity: whose it is.
            choose: gets the stored record, and returns what takes its place; None for nothing.
            after: a generation that has been; a store that lost writes must not bring it twice.
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
                return kept
            # The last byte is as good as a random one: not all come back at the same moment.
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
        """The name and the bytes of a note."""
        key = self._require_key()
        name = key.name_of(identity)
        text = file_lock.holder_to_json(holder)
        if self.shared:
            text = key.encrypt(text, name + b"note")
        return name, text

    def _codec(self, key: EncryptionKey, name: bytes, what: bytes) -> HolderCodec:
        """How a lock or a note names a process: sealed where strangers may look in."""
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
        """The key; None, without asking for it, when there is nothing that it could open."""
        if self._encryption_key is None and not self._store.count():
            return None
        return self._require_key()

    def _require_key(self) -> EncryptionKey:
        """The key; made when there is none and nothing would be lost by that."""
        if self._encryption_key is None:
            text = self._key.read() or self._make_key()
            self._encryption_key = EncryptionKey(decode(text), self._key.shown)
        return self._encryption_key

    def _make_key(self) -> Secret:
        if self.shared:  # each host would make its own
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
            f"{self._store.shown} holds {count} {'record' if count == 1 else 'records'} sealed "
            "with it",
            hint="nothing was changed or lost, and no new key was made: bring back the key, or "
            "use the keyring of the login; only where it is gone for good, delete "
            f"{os.path.join(self._store.shown, '*.token')} and log in again",  # noqa: PTH118 - a text
        )

    def _refuse_other_keys(self, key: EncryptionKey) -> None:
        """Refuse to say that a record is missing when another key may have named it.

        Raises:
            VaultError: a record in the store was sealed with another key.
        """
        for found in self._store.list_records():
            if isinstance(found.data, bytes):
                key.check_key(found.data, found.where)


def _decrypt_record(
    key: EncryptionKey, data: bytes, name: bytes, where: str
) -> tuple[Identity, Record]:
    # In one step, so that no local variable of a frame in a traceback holds the tokens.
    found = serialization.from_json(key.decrypt(data, name, where))
    if found is None:
        raise VaultError(
            f"{where} holds something that this version of gatepass does not know",
            hint="nothing was changed or lost: use the version that wrote it",
        )
    return found
