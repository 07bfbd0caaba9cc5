"""How a forked process gets locks of its own; a thread of its parent may have held the old ones."""

import os
from collections.abc import Callable
from typing import Generic, TypeVar

_T = TypeVar("_T")


class PerProcess(Generic[_T]):
    """A value that each process makes for itself, such as a lock.

    A fork copies the memory and one thread: a lock that another thread held at that moment stays
    locked in the child for ever.

    Args:
        make: makes the value.
    """

    def __init__(self, make: Callable[[], _T]) -> None:
        self._make = make
        # The parents' values stay: dropping one may run code that waits for such a lock.
        self._values: dict[int, _T] = {}

    def get(self) -> _T:
        """Return the value of this process; the same to all its threads."""
        pid = os.getpid()
        if pid not in self._values:
            self._values.setdefault(pid, self._make())  # atomic: threads may notice a fork together
        return self._values[pid]
