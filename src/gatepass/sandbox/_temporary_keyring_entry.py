"""An entry of the keyring for the length of a block."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Lock, Thread

from gatepass._system.text import operands, quoted
from gatepass.errors import GatepassError, SecretUnavailable
from gatepass.secrets import keyring


@contextmanager
def lent_entry(service: str, account: str, secret: str, access: keyring.Access) -> Iterator[None]:
    """Store an entry, and remove it when the block ends, however it ends. Asks the keyring.

    Raises:
        SecretUnavailable: it could not be stored.
        GatepassError: it could not be removed; says how to do it by hand.
    """
    try:
        _to_its_end(lambda: keyring.store(service, account, secret, access))
    except SecretUnavailable:
        # Half a write, such as one that was not read back. The reason of the first failure is
        # the one that helps.
        with suppress(GatepassError):
            _remove(service, account, access)
        raise
    except BaseException:  # Ctrl-C, while the keyring was at work
        _remove(service, account, access)
        raise
    try:
        yield
    finally:
        _remove(service, account, access)


def _remove(service: str, account: str, access: keyring.Access) -> None:
    def remove() -> None:
        if keyring.read(service, account, access) is not None:
            keyring.remove(service, account, access)

    try:
        _to_its_end(remove)
    except SecretUnavailable as error:
        raise GatepassError(
            f"the keyring's entry {account} of the service {service} could not be removed: "
            f"{error.message}",
            hint=f"remove it by hand: {quoted('keyring', 'del', *operands(service, account))}",
        ) from None


def _to_its_end(work: Callable[[], object]) -> None:
    """Do the work in a thread and wait for its end, also after the first Ctrl-C.

    Otherwise an entry could be written after it has been removed. The work has its own deadline.
    """
    failures: list[SecretUnavailable] = []
    begun, ended = Lock(), Event()

    def run() -> None:
        if not begun.acquire(blocking=False):
            return  # Ctrl-C came first
        try:
            work()
        except SecretUnavailable as error:
            failures.append(error)
        finally:
            ended.set()

    try:
        # Ctrl-C can come while start() waits for a thread that is already at work.
        Thread(target=run, name="gatepass-demo-keyring", daemon=True).start()
        ended.wait()
    finally:
        # Not Thread.join: up to Python 3.12 an interrupted one takes the thread for ended.
        if not begun.acquire(blocking=False):
            ended.wait()
    if failures:
        raise failures[0]
