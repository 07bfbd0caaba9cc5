"""What a store of the vault does: it keeps bytes under names, and lends locks.

A store knows no key, no identity and no token. There are two: ``in_files``, for one computer, and
``in_redis``, for many.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Protocol

from gatepass._vault.records import InFlight
from gatepass.errors import VaultError

KEY: Final = b"key"
"""The name of the lock under which the vault's key is made."""


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record that a store holds, readable or not.

    Attributes:
        name: the identity's keyed hash; empty where the store's own name is none of ours.
        where: what messages call it.
        data: the sealed bytes, or why they cannot be read.
    """

    name: bytes
    where: str
    data: bytes | VaultError


@dataclass(frozen=True, slots=True)
class HolderCodec:
    """How a lock tells those who wait in vain who holds it.

    Attributes:
        encode: returns the bytes that name this process, now.
        decode: returns whom such bytes name; None when they name nobody.
    """

    encode: Callable[[], bytes]
    decode: Callable[[bytes], InFlight | None]


class HeldLock(Protocol):
    """A lock while it is held."""

    def extend(self, seconds: float) -> None:
        """See that it does not end by itself within that time.

        Raises:
            VaultError: it has ended already, or its end cannot be moved.
        """


class Store(Protocol):
    """Sealed records, locks and notes, by the keyed hash of an identity.

    Everything raises ``VaultError``, which names the place and the next step.
    """

    @property
    def shared(self) -> bool:
        """Whether strangers may look in, and locks may end before their holder does."""

    @property
    def shown(self) -> str:
        """What messages call the whole."""

    def where(self, name: bytes) -> str:
        """Return what messages call a record."""

    def read(self, name: bytes) -> bytes | None:
        """Return a record's bytes; None when there is none."""

    def put(self, name: bytes, data: bytes, *, old: bytes | None) -> bool:
        """Keep a record in the place of another; when it returns, it would survive a power cut.

        Args:
            name: whose.
            data: the new bytes; never the same twice.
            old: what was read there; None when there was nothing.

        Returns:
            Whether it is kept; false when something else lies there by now.

        Raises:
            TokenNotPersisted: it could not be written.
        """

    def remove(self, name: bytes) -> bool:
        """Remove a record and its note. Returns whether there was a record."""

    def was_removed(self, name: bytes) -> bool:
        """Whether a record that is missing was removed on purpose; otherwise it was lost."""

    def read_note(self, name: bytes) -> bytes | None:
        """Return a note; None when there is none, or it cannot be read: it only explains."""

    def write_note(self, name: bytes, data: bytes | None, *, old: bytes | None = None) -> None:
        """Write a note, or with None remove it; with ``old`` only in the place of that one."""

    def count(self) -> int:
        """Return how many records there are, readable or not."""

    def list_records(self) -> list[StoredRecord]:
        """Return every record, readable or not."""

    def lock(
        self,
        name: bytes,
        *,
        seconds: float,
        codec: HolderCodec,
        what: str = "the token",
        cancel_check: Callable[[], bool] | None = None,
    ) -> AbstractContextManager[HeldLock]:
        """Hold a lock for the time of a block. Ctrl-C ends the wait; a fork does not hold it.

        Args:
            name: whose.
            seconds: how long to wait for it.
            codec: how it tells who holds it.
            what: what it guards, for the message.
            cancel_check: says whether to end the wait early.

        Raises:
            TokenLockTimeout: somebody else held it all the time; names the process.
            VaultError: it cannot be taken.
        """
