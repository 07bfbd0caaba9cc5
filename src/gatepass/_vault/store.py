"""What the vault needs of a store: encrypted bytes by name, notes, and locks.

A store knows no key, identity or token. ``file_store`` is for one computer, ``redis_store`` for
many.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final, Protocol

from gatepass._value import Value
from gatepass._vault.records import InFlight
from gatepass.errors import VaultError

KEY: Final = b"key"
"""The name of the lock that is held while the vault's key is made."""


class StoredRecord(Value):
    """A record in a store, readable or not.

    Attributes:
        name: the identity's keyed hash; empty when somebody else has named it.
        where: the place of the record, for messages.
        data: the encrypted bytes, or why they cannot be read.
    """

    name: bytes
    where: str
    data: bytes | VaultError


class HolderCodec(Value):
    """How a lock names its holder, for the message of a wait that was too long.

    Attributes:
        encode: returns the bytes that name this process, now.
        decode: returns whom such bytes name; None when they name nobody.
    """

    encode: Callable[[], bytes]
    decode: Callable[[bytes], InFlight | None]


class HeldLock(Protocol):
    """A lock while it is held."""

    def keep(self) -> None:
        """Make sure that it is still held, and keep it so until the block ends.

        Raises:
            VaultError: it has ended already, or its end cannot be moved.
        """

    @property
    def passed(self) -> bool:
        """Whether it may have ended, as where this process was suspended for long."""


class Store(Protocol):
    """Encrypted records, locks and notes, by the keyed hash of an identity.

    All methods raise ``VaultError``, which names the place and the next step. A note says that a
    refresh has begun and not ended.
    """

    @property
    def shared(self) -> bool:
        """Whether others may read what is stored, and a lock may end before its holder does."""

    @property
    def shown(self) -> str:
        """The place of the store, for messages."""

    def where(self, name: bytes) -> str:
        """Return the place of a record, for messages."""

    def read(self, name: bytes) -> bytes | None:
        """Return a record's bytes; None when there is none."""

    def put(self, name: bytes, data: bytes, *, old: bytes | None) -> bool:
        """Write a record in the place of another; when it returns, it would survive a power cut.

        Args:
            name: the keyed hash of the identity.
            data: the new bytes, which differ from all earlier ones.
            old: what was read before; None when there was nothing.

        Returns:
            Whether it is written; false when something else is stored by now.

        Raises:
            TokenNotPersisted: it could not be written.
        """

    def remove(self, name: bytes) -> bool:
        """Remove a record and its note. Returns whether there was a record."""

    def was_removed(self, name: bytes) -> bool:
        """Whether a missing record was removed on purpose; otherwise the store has lost it."""

    def read_note(self, name: bytes) -> bytes | None:
        """Return a note; None when there is none, or it cannot be read."""

    def write_note(self, name: bytes, data: bytes | None, *, old: bytes | None = None) -> None:
        """Write a note, or with None remove it; with ``old`` only in the place of that one.

        With a note goes room for the record that a refresh is to bring.
        """

    def count(self) -> int:
        """Return how many records there are, readable or not."""

    def why_missing(self) -> str:
        """Say why a record may have disappeared; empty where that cannot be or is not known."""

    def list_records(self, *, but: bytes | None = None) -> list[StoredRecord]:
        """Return every record, readable or not, but those whose names begin with ``but``."""

    def lock(
        self,
        name: bytes,
        *,
        seconds: float,
        codec: HolderCodec,
        what: str = "the token",
        cancel_check: Callable[[], bool] | None = None,
    ) -> AbstractContextManager[HeldLock]:
        """Hold a lock during a block. Ctrl-C ends the wait; a forked child does not hold it.

        Args:
            name: the keyed hash of the identity.
            seconds: how long to wait for it.
            codec: writes who holds it, and reads that.
            what: what the lock protects, for the message.
            cancel_check: returns true to end the wait early.

        Raises:
            TokenLockTimeout: another holds it all that time; names the process.
            VaultError: it cannot be taken.
        """
