"""Work that may hang, such as a keyring or a resolver, run with a deadline."""

import time
from collections.abc import Callable
from typing import TypeVar

from gatepass._value import Value

T = TypeVar("T")


class DeadlineExceeded(TimeoutError):
    """The work has not ended in time, and goes on in its thread."""


def run_with_deadline(work: Callable[[], T], seconds: float, name: str) -> T:
    """Do the work in a daemon thread and return what it returns.

    It is a plain thread, because Python waits at its end for the threads of an executor.

    Args:
        work: what to call.
        seconds: how long to wait for it; zero or less does not wait.
        name: the name of the thread.

    Raises:
        DeadlineExceeded: the work has not ended in time.
        BaseException: what the work raised, also a panic of an extension in Rust.
    """
    from threading import Thread

    results: list[T] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again by the waiting thread
            failures.append(error)

    thread = Thread(target=run, name=name, daemon=True)
    thread.start()
    thread.join(max(0.0, seconds))
    try:
        if results:
            return results[0]
        raise failures[0] if failures else DeadlineExceeded
    finally:
        failures.clear()  # else the error and this frame would keep each other alive


class Deadline(Value):
    """A moment by two clocks: the wall clock may be set back, the monotonic one may sleep.

    Attributes:
        monotonic: by the monotonic clock.
        wall: in seconds since 1970.
    """

    monotonic: float
    wall: float

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """Return the moment so many seconds from now."""
        return cls(time.monotonic() + seconds, time.time() + seconds)

    @property
    def seconds_left(self) -> float:
        """How long it is until then by the monotonic clock; at least a moment."""
        return max(self.monotonic - time.monotonic(), 0.01)

    @property
    def passed(self) -> bool:
        """Whether it is over by one of the clocks."""
        return time.monotonic() > self.monotonic or time.time() > self.wall
