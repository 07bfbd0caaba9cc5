"""A lock between all threads and processes of one computer, by a file that names its holder.

The operating system releases it when the process ends, however it ends. The file is never removed:
if it were, one process could hold the removed file's lock and another that of the new file.
"""

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from gatepass._system.files import PRIVATE
from gatepass._system.text import local_time
from gatepass._vault.records import InFlight
from gatepass._vault.store import HolderCodec
from gatepass.errors import TokenLockTimeout, VaultError

_MOST_BYTES: Final = 4096
_MOST_CHARACTERS: Final = 200


@contextmanager
def hold(
    path: Path,
    *,
    seconds: float,
    codec: HolderCodec,
    what: str = "the token",
    cancel_check: Callable[[], bool] | None = None,
) -> Iterator[None]:
    """Hold a lock during a block. Ctrl-C ends the wait; a forked child does not hold it.

    Args:
        path: the lock's file; its folder exists.
        seconds: how long to wait for it.
        codec: writes into the file who holds it, and reads that.
        what: what the lock protects, for the message.
        cancel_check: returns true to end the wait early.

    Raises:
        TokenLockTimeout: another holds it all that time; names the process.
        VaultError: the file cannot be locked.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(
        path,
        mode=PRIVATE,
        thread_local=False,  # one thread may take it and another release it
        fallback_to_soft=False,  # a lock that is a file's existence would outlive a killed holder
        preserve_lock_file=True,
        on_acquired=lambda descriptor: _sign(descriptor, codec.encode()),
    )
    try:
        lock.acquire(timeout=seconds, cancel_check=cancel_check)
    except Timeout:
        raise lock_timeout(_holder(path, codec), seconds, what) from None
    except OSError as error:
        raise VaultError(
            f"cannot lock {path}: {error.strerror}",
            hint="the folder of the vault must be writable, and on a file system with locks",
        ) from None
    try:
        yield
    finally:
        lock.release()


def this_process(now: float) -> InFlight:
    """Return this process as a holder.

    Args:
        now: since when, in seconds since 1970.
    """
    return InFlight(os.getpid(), socket.gethostname(), now)


def holder_to_json(holder: InFlight) -> bytes:
    """Return a holder as JSON."""
    return json.dumps({"pid": holder.pid, "host": holder.host, "since": holder.since}).encode()


def holder_from_json(text: bytes) -> InFlight | None:
    """Return the holder from JSON; None when it is something else.

    Others may have written the text, and it will be shown: unprintable characters are left out.
    """
    try:
        parts = json.loads(text)
        pid, host, since = parts["pid"], parts["host"], float(parts["since"])
        time.localtime(since)  # a time that no calendar knows cannot be shown
    except (TypeError, ValueError, KeyError, OverflowError, OSError, RecursionError):
        return None
    if type(pid) is not int or not isinstance(host, str):
        return None
    shown = "".join(filter(str.isprintable, host[:_MOST_CHARACTERS]))
    return InFlight(pid, shown, since)


def describe_holder(holder: InFlight) -> str:
    """Return a holder as words, with the local time."""
    since = local_time(holder.since)
    return f"process {holder.pid} on {holder.host} since {since}"


def plain_codec(clock: Callable[[], float]) -> HolderCodec:
    """Return the codec for places that only this user can read: JSON, not encrypted.

    Args:
        clock: the wall time in seconds since 1970.
    """
    return HolderCodec(lambda: holder_to_json(this_process(clock())), holder_from_json)


def _sign(descriptor: int, holder: bytes) -> None:
    """Write into the lock's file who holds it.

    The first byte stays blank: Windows locks it, also against readers.
    """
    with suppress(OSError):  # the lock is held all the same when the disk is full
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, b" " + holder)


def _holder(path: Path, codec: HolderCodec) -> InFlight | None:
    with suppress(OSError), path.open("rb", buffering=0) as stream:
        stream.seek(1)
        return codec.decode(stream.read(_MOST_BYTES))
    return None


def lock_timeout(holder: InFlight | None, seconds: float, what: str) -> TokenLockTimeout:
    """Return the error for a wait that was too long.

    Args:
        holder: who holds the lock; None when not known.
        seconds: how long they waited.
        what: what the lock protects.
    """
    who = "another process" if holder is None else describe_holder(holder)
    return TokenLockTimeout(
        f"{what} is in use by {who}, and was not free within {seconds:g} s",
        hint="try again; where that process hangs, end it, and its lock ends with it",
    )
