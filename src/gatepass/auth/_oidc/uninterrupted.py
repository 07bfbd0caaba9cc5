"""Run an action to its end, also when a person presses Ctrl-C while waiting for it."""

from _thread import start_new_thread
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Any, Final, TypeVar

_T = TypeVar("_T")
_POLL_SECONDS: Final = 0.2  # on Windows Ctrl-C is noticed only between two waits


def run_uninterrupted(action: Callable[[Callable[[], bool]], Any]) -> Any:
    """Run an action in a thread that outlives a Ctrl-C, and wait for it.

    The wait can be interrupted; the action goes on to its end, and the process ends only then.

    Args:
        action: gets a function that says whether nobody waits any more. Until it begins what must
            not be interrupted, the action may stop then.
    """
    # An interrupt inside a Future, a Condition or Thread.start, which are Python code, may leave a
    # lock behind that the thread then waits for, and the process never ends. A SimpleQueue is C,
    # and in a thread that is not the main one nothing is interrupted.
    results: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
    given_up = Event()

    def run() -> None:
        try:
            results.put((action(given_up.is_set), None))
        except BaseException as error:  # noqa: BLE001 - handed on to the waiting thread
            results.put((None, error))

    def start() -> None:
        try:
            Thread(target=run, name="gatepass-refresh", daemon=False).start()
        except BaseException as error:  # noqa: BLE001 - handed on to the waiting thread
            results.put((None, error))

    try:
        start_new_thread(start, ())
        result, error = _get(results)
    except BaseException:
        given_up.set()
        raise
    if error is not None:
        raise error
    return result


def _get(results: "SimpleQueue[_T]") -> _T:
    while True:
        with suppress(Empty):
            return results.get(timeout=_POLL_SECONDS)
