"""One holder at a time, among all threads and processes of this computer.

The lock is the operating system's own: it ends with its process, however that ends. Its file is
never removed; two processes that lock files of the same name, one of them removed, both hold one.
The file names the holder, for the message of those who wait in vain.
"""

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

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
    """Hold a lock for the time of a block. Ctrl-C ends the wait; a fork does not hold it.

    Args:
        path: the lock's file; its folder exists.
        seconds: how long to wait for it.
        codec: how it tells who holds it.
        what: what it guards, for the message.
        cancel_check: says whether to end the wait early.

    Raises:
        TokenLockTimeout: somebody else held it all the time; names the process.
        VaultError: the file cannot be locked.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(
        path,
        mode=0o600,
        thread_local=False,  # taken in one thread, it may be given back in another
        fallback_to_soft=False,  # a lock by a file's existence outlives a killed holder
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
    """Return the holder that a text names; None when it names none.

    The text is not sealed, so it is cleaned: it will be shown.
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
    """Say who a holder is, and since when, in local time."""
    since = local_time(holder.since)
    return f"process {holder.pid} on {holder.host} since {since}"


def plain_codec(clock: Callable[[], float]) -> HolderCodec:
    """Return the words of a lock that nobody else can look at.

    Args:
        clock: the wall time in seconds since 1970.
    """
    return HolderCodec(lambda: holder_to_json(this_process(clock())), holder_from_json)


def _sign(descriptor: int, holder: bytes) -> None:
    """Write into the lock's file who holds it.

    The first byte is left blank: it is the one that Windows locks against readers.
    """
    with suppress(OSError):  # a full disk must not keep anybody from the lock
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, b" " + holder)


def _holder(path: Path, codec: HolderCodec) -> InFlight | None:
    with suppress(OSError), path.open("rb", buffering=0) as stream:
        stream.seek(1)
        return codec.decode(stream.read(_MOST_BYTES))
    return None


def lock_timeout(holder: InFlight | None, seconds: float, what: str) -> TokenLockTimeout:
    """Return the error of those who waited in vain.

    Args:
        holder: who holds the lock; None when that cannot be told.
        seconds: how long they waited.
        what: what the lock guards.
    """
    who = "another process" if holder is None else describe_holder(holder)
    return TokenLockTimeout(
        f"{what} is in use by {who}, and was not free within {seconds:g} s",
        hint="try again; where that process hangs, end it, and its lock ends with it",
    )
