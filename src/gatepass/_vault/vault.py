"""The vault: one sealed record for each identity, and beside it a lock and a journal.

Where these lie is for a store to say: in the files of one user (``in_files``), or in a redis that
many computers share (``in_redis``). What is sealed, what is compared and what wins is the same for
both, and decided here.

A record that cannot be read is neither replaced nor removed, except by :meth:`Vault.forget`.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from threading import get_ident
from typing import Final

from gatepass._vault import file_lock, serialization
from gatepass._vault.encryption import SealingKey
from gatepass._vault.key import VaultKey, decode
from gatepass._vault.records import Identity, InFlight, Record
from gatepass._vault.store import KEY, Hold, Store, Words
from gatepass.errors import TokenNotPersisted, VaultError
from gatepass.secrets import Secret, constant_time_compare

LOCK_SECONDS: Final = 60.0  # longer than two requests to an identity provider may take
_SECONDS_FOR_KEY: Final = 150.0  # the one before may be answering the keyring's dialogs
_TURNS: Final = 50  # how often somebody else may be faster
_PAUSE: Final = 0.05  # seconds, at most, before the next turn


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
        patience: for how many seconds a change waits for the lock that its caller does not hold;
            longer than a refresh takes.
    """

    def __init__(
        self,
        store: Store,
        key: VaultKey,
        *,
        clock: Callable[[], float] = time.time,
        patience: float = LOCK_SECONDS,
    ) -> None:
        self._store = store
        self._key = key
        self._clock = clock
        self._patience = patience
        self._sealing: SealingKey | None = None
        # By process (a fork holds none), thread and name.
        self._holds: dict[tuple[int, int, bytes], Hold] = {}
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
        sealing = self._known_key()
        return None if sealing is None else self._look(sealing, identity)[0]

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
        sealing = self._needed_key()
        with self._changing(sealing, identity):
            after = int(self._clock() * 1000)
            return self._put(sealing, identity, lambda _stored: record, after=after) or record

    def keep(self, identity: Identity, record: Record, *, spent: Secret) -> Record | None:
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
        sealing = self._needed_key()
        later: list[Record | None] = []

        def chosen(stored: Record | None) -> Record | None:
            later[:] = [stored]
            if stored is None:
                lost = not self._store.was_removed(sealing.name(identity))
                return record if lost else None
            of_before = stored.refresh_token is None or constant_time_compare(
                stored.refresh_token, spent
            )
            return record if of_before or stored.generation < record.generation else None

        unguarded: AbstractContextManager[None] = nullcontext()
        with unguarded if self.shared else self._changing(sealing, identity):
            kept = self._put(sealing, identity, chosen, after=record.generation)
            return kept or later[0]

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
        with self._changing(sealing, identity):
            there_was = self._store.remove(sealing.name(identity))
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

        def without(stored: Record | None) -> Record | None:
            if stored is None or not constant_time_compare(stored.refresh_token, dead):
                return None
            return replace(stored, refresh_token=None)

        with self._changing(sealing, identity):
            return self._put(sealing, identity, without) is not None

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
            VaultError: the key, the store or the lock cannot be used.
        """
        sealing = self._needed_key()
        with self._lock(sealing, identity, seconds, given_up) as hold:
            mark = self._mark(sealing, identity)
            self._holds[mark] = hold
            try:
                yield
            finally:
                self._holds.pop(mark, None)

    def outlast(self, identity: Identity, seconds: float) -> None:
        """See that the lock, which this thread holds, does not end within that time.

        Raises:
            VaultError: it has ended already, or that cannot be made sure.
        """
        self._holds[self._mark(self._needed_key(), identity)].outlast(seconds)

    def in_flight(self, identity: Identity) -> InFlight | None:
        """Return the refresh that has begun and not ended; None when there is none.

        While the caller holds the lock, that is one whose process died or got no usable answer; in
        a shared store it may still be at work. A journal that cannot be read counts as none: it
        only explains.

        Raises:
            VaultError: the key or the store cannot be used.
        """
        sealing = self._known_key()
        if sealing is None:
            return None
        name = sealing.name(identity)
        data = self._store.note(name)
        return None if data is None else self._words(sealing, name, b"note").read(data)

    def begin(self, identity: Identity) -> None:
        """Note that a refresh begins, by this process. When it returns, the note is kept.

        It also shows, before a token is spent, that the store takes what is written.

        Raises:
            VaultError: it could not be written.
        """
        name, data = self._noted(identity, file_lock.here(self._clock()))
        self._store.set_note(name, data)
        self._notes[name] = data

    def done(self, identity: Identity, *, before: InFlight | None = None) -> None:
        """Note that the refresh has ended; the note of a later one, by another, stays.

        Args:
            identity: whose.
            before: the note of another process that still explains something; it comes back.

        Raises:
            VaultError: the note could not be removed.
        """
        if before is not None:
            name, data = self._noted(identity, before)
            self._store.set_note(name, data, old=self._notes.get(name))
        elif (sealing := self._known_key()) is not None:
            name = sealing.name(identity)
            self._store.set_note(name, None, old=self._notes.get(name))

    def entries(self) -> Listing:
        """Open every record, those that do not open included. Reads from the store.

        Raises:
            VaultError: the key or the store cannot be used.
        """
        sealing = self._known_key()
        if sealing is None:
            return Listing((), ())
        readable, unreadable = [], []
        for found in self._store.records():
            try:
                if isinstance(found.data, VaultError):
                    raise found.data
                readable.append(_opened(sealing, found.data, found.name, found.where))
            except VaultError as error:
                unreadable.append(error)
        return Listing(tuple(readable), tuple(unreadable))

    def _look(self, sealing: SealingKey, identity: Identity) -> tuple[Record | None, bytes | None]:
        """Return the record, and its sealed bytes; None twice when there is none."""
        name = sealing.name(identity)
        data = self._store.read(name)
        if data is None:
            self._refuse_other_keys(sealing)
            return None, None
        return _opened(sealing, data, name, self._store.where(name))[1], data

    def _put(
        self,
        sealing: SealingKey,
        identity: Identity,
        chosen: Callable[[Record | None], Record | None],
        *,
        after: int = 0,
    ) -> Record | None:
        """Write what is chosen in view of what is stored, and return it as kept.

        Args:
            sealing: the key.
            identity: whose it is.
            chosen: gets the stored record, and returns what takes its place; None for nothing.
            after: a generation that has been; a store that lost writes must not bring it twice.
        """
        name = sealing.name(identity)
        for turn in range(_TURNS):
            stored, old = self._look(sealing, identity)
            record = chosen(stored)
            if record is None:
                return None
            generation = max(0 if stored is None else stored.generation, after) + 1
            kept = replace(record, generation=generation, saved_at=self._clock())
            data = sealing.seal(serialization.encoded(identity, kept), name)
            if self._store.put(name, data, old=old):
                return kept
            # The last byte is as good as a random one: not all come back at the same moment.
            time.sleep(min(0.001 * 2**turn, _PAUSE) * data[-1] / 255)
        raise TokenNotPersisted(
            f"{self._store.where(name)} is changed by others all the time",
            hint="try again",
        )

    def _changing(
        self, sealing: SealingKey, identity: Identity
    ) -> "AbstractContextManager[Hold | None]":
        if self._mark(sealing, identity) in self._holds:
            return nullcontext()
        return self._lock(sealing, identity, self._patience)

    def _lock(
        self,
        sealing: SealingKey,
        identity: Identity,
        seconds: float,
        given_up: Callable[[], bool] | None = None,
    ) -> AbstractContextManager[Hold]:
        name = sealing.name(identity)
        words = self._words(sealing, name, b"lock")
        return self._store.lock(name, seconds=seconds, words=words, given_up=given_up)

    def _mark(self, sealing: SealingKey, identity: Identity) -> tuple[int, int, bytes]:
        return os.getpid(), get_ident(), sealing.name(identity)

    def _noted(self, identity: Identity, holder: InFlight) -> tuple[bytes, bytes]:
        """The name and the bytes of a note."""
        sealing = self._needed_key()
        name = sealing.name(identity)
        text = file_lock.written(holder)
        if self.shared:
            text = sealing.seal(text, name + b"note")
        return name, text

    def _words(self, sealing: SealingKey, name: bytes, what: bytes) -> Words:
        """How a lock or a note names a process: sealed where strangers may look in."""
        clear = file_lock.in_clear(self._clock)
        if not self.shared:
            return clear

        def read(data: bytes) -> InFlight | None:
            try:
                return file_lock.parsed(sealing.unseal(data, name + what, what.decode()))
            except VaultError:
                return None

        return Words(lambda: sealing.seal(clear.write(), name + what), read)

    def _known_key(self) -> SealingKey | None:
        """The key; None, without asking for it, when there is nothing that it could open."""
        if self._sealing is None and not self._store.count():
            return None
        return self._needed_key()

    def _needed_key(self) -> SealingKey:
        """The key; made when there is none and nothing would be lost by that."""
        if self._sealing is None:
            text = self._key.read() or self._made_key()
            self._sealing = SealingKey(decode(text), self._key.shown)
        return self._sealing

    def _made_key(self) -> Secret:
        if self.shared:  # each host would make its own
            raise VaultError(
                f"the vault's key is missing: there is nothing behind {self._key.shown}",
                hint=f"all hosts that share {self._store.shown} need the same key: make one with "
                'gatepass secret new-key, copy it to each host, and name it: vault_key = "file:'
                'PATH"',
            )
        words = file_lock.in_clear(self._clock)
        with self._store.lock(KEY, seconds=_SECONDS_FOR_KEY, words=words, what="the vault's key"):
            text = self._key.read()  # another process may have made it by now
            if text is not None:
                return text
            count = self._store.count()
            if count or self._key.make is None:
                raise self._key_is_missing(count)
            return self._key.make()

    def _key_is_missing(self, count: int) -> VaultError:
        return VaultError(
            f"the vault's key is missing: there is nothing behind {self._key.shown}, and "
            f"{self._store.shown} holds {count} {'record' if count == 1 else 'records'} sealed "
            "with it",
            hint="nothing was changed or lost, and no new key was made: bring back the key, or "
            "use the keyring of the login; only where it is gone for good, delete "
            f"{os.path.join(self._store.shown, '*.token')} and log in again",  # noqa: PTH118 - a text
        )

    def _refuse_other_keys(self, sealing: SealingKey) -> None:
        """Refuse to say that a record is missing when another key may have named it.

        Raises:
            VaultError: a record in the store was sealed with another key.
        """
        for found in self._store.records():
            if isinstance(found.data, bytes):
                sealing.check_key(found.data, found.where)


def _opened(sealing: SealingKey, data: bytes, name: bytes, where: str) -> tuple[Identity, Record]:
    # In one step, so that no local variable of a frame in a traceback holds the tokens.
    found = serialization.decoded(sealing.unseal(data, name, where))
    if found is None:
        raise VaultError(
            f"{where} holds something that this version of gatepass does not know",
            hint="nothing was changed or lost: use the version that wrote it",
        )
    return found
