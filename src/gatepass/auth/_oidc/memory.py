"""What the sessions of one identity share in a process: a login that is not stored, and turns."""

import atexit
import copy
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock, RLock, Thread
from typing import Any, Final

from gatepass._system.fork import PerProcess
from gatepass._vault.records import Identity, InFlight, Record
from gatepass._vault.vault import Vault
from gatepass.errors import GatepassError, LoginRequired, TokenNotPersisted, VaultError
from gatepass.secrets import Secret

_SAVE_AGAIN_SECONDS: Final = 0.5  # in a shared vault the others wait for SETTLE_SECONDS


class MemoryLogin:
    """The login of one identity in one process, with the methods of a vault that a renewal uses.

    Attributes:
        record: a login that is not stored; None when there is none.
        spent: the refresh token that is still stored, where the record could not be written.
        newest: the newest record that was seen in the vault.
        untold: why the vault has not taken the record; None after it was told.
        turns: how often a person was asked to log in.
        failure: how the last of these ended; None when somebody logged in.
        belongs_to_parent: whether the process that this one was forked from has the login.
    """

    shared: Final = False
    passed: Final = False

    def __init__(self) -> None:
        self.record: Record | None = None
        self.spent: Secret | None = None
        self.newest: Record | None = None
        self.untold: TokenNotPersisted | None = None
        self.turns = 0
        self.failure: GatepassError | None = None
        self.belongs_to_parent = False
        self._locks = PerProcess(RLock)
        # Held while the record is renewed, also after a Ctrl-C.
        self._renewal_locks = PerProcess(Lock)
        self._pid = os.getpid()
        self._vault: tuple[Vault, Identity] | None = None  # where it belongs

    @property
    def turn(self) -> Any:
        """The lock of the sessions' turns; a forked process has one of its own."""
        lock = self._locks.get()
        if self._pid != os.getpid():
            with lock:
                self._notice_fork()
        return lock

    def _notice_fork(self) -> None:
        """In a forked process, leave a login that is not stored to the parent.

        Two processes that both renew it would end it for each other. The access token still serves.
        """
        if self._pid != os.getpid():
            self.belongs_to_parent |= self.record is not None
            self.forget()
            self._pid = os.getpid()

    def forget(self) -> None:
        """Forget the login that is not stored."""
        self.record = self.spent = None

    @contextmanager
    def person(self, seen: int) -> Iterator[None]:
        """Ask a person during a block, unless another session's attempt has just failed.

        Args:
            seen: what ``turns`` was before the wait for the turn.

        Raises:
            GatepassError: a copy of the error of the attempt that was waited for.
        """
        if seen != self.turns and self.failure is not None:
            raise copy.copy(self.failure)
        self.failure = LoginRequired("the login was given up in another thread")
        try:
            yield
        except GatepassError as error:
            self.failure = copy.copy(error)
            raise
        else:
            self.failure = None
        finally:
            self.turns += 1

    # ------------------------------------------------------------ what a renewal uses

    def read(self, _identity: Identity) -> Record | None:
        """Return the record."""
        return self.record

    @contextmanager
    def lock(self, _identity: Identity, **_: Any) -> Iterator[None]:
        """Let one thread renew the login."""
        with self._renewal_locks.get():
            yield

    def read_in_flight(self, _identity: Identity) -> None:
        """Return None: a renewal in memory ends with its process."""

    def begin_refresh(self, _identity: Identity) -> None:
        """Do nothing: no other process can find a note."""

    def end_refresh(self, _identity: Identity, *, restore: InFlight | None = None) -> None:
        """Do nothing."""

    def keep_lock(self, _identity: Identity) -> "MemoryLogin":
        """Return the lock, which does not end."""
        return self

    def write_refreshed(self, _identity: Identity, record: Record, *, spent: Secret) -> Record:  # noqa: ARG002 - as a vault does
        """Keep a record."""
        self.record = record
        return record

    # ------------------------------------------------------------ a record that could not be stored

    def keep_unsaved(
        self, vault: Vault, identity: Identity, record: Record, spent: Secret, why: VaultError
    ) -> None:
        """Keep a record that the vault does not take, and go on trying.

        Other processes would send the spent token once more.
        """
        self._vault = vault, identity
        self.record, self.spent = record, spent
        self.untold = TokenNotPersisted(
            f"a renewed token could not be stored: {why.message}",
            hint="keep this process running until the cause is mended, or log in again afterwards",
        )
        atexit.register(self.save)
        with suppress(RuntimeError):  # no more threads: then at the next need
            Thread(target=self._save_patiently, name="gatepass-save", daemon=True).start()

    def _save_patiently(self) -> None:
        while self.spent is not None:
            time.sleep(_SAVE_AGAIN_SECONDS)
            with self.turn:
                self.save()

    def save(self) -> None:
        """Try again to store an unsaved record, unless a later login has taken its place."""
        self._notice_fork()  # at the end of a forked process nothing else has
        if self.record is None or self.spent is None or self._vault is None:
            return
        vault, identity = self._vault
        try:
            vault.write_refreshed(identity, self.record, spent=self.spent)
            entry = vault.read_in_flight(identity)
            if entry is not None and (entry.pid, entry.host) == (os.getpid(), socket.gethostname()):
                vault.end_refresh(identity)
        except VaultError:
            return
        self.forget()
        atexit.unregister(self.save)


class Adoption(MemoryLogin):
    """A refresh token from elsewhere, until a renewal has shown that it is of use.

    What the renewal brings goes into the vault at once; a refusal of the token does not.

    Args:
        vault: the vault.
        record: the login with that token.
    """

    def __init__(self, vault: Vault, record: Record) -> None:
        super().__init__()
        self.record = record
        self.is_stored = False
        self._goal = vault

    @contextmanager
    def lock(self, _identity: Identity, **how: Any) -> Iterator[None]:
        """Let nobody else write meanwhile."""
        with self._goal.lock(_identity, **how):
            yield

    def begin_refresh(self, _identity: Identity) -> None:
        """Secure the room in the vault."""
        self._goal.begin_refresh(_identity)

    def end_refresh(self, _identity: Identity, *, restore: InFlight | None = None) -> None:
        """Remove the note."""
        self._goal.end_refresh(_identity, restore=restore)

    def write_refreshed(self, _identity: Identity, record: Record, *, spent: Secret) -> Record:  # noqa: ARG002 - as a vault does
        """Keep a record, in the vault where it is of use."""
        if record.refused is None and record.suspect is None:
            record, self.is_stored = self._goal.write(_identity, record), True
        self.record = record
        return record
