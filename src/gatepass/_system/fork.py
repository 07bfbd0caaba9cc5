"""What a forked process makes anew: locks that a thread of its parent may hold, and connections.

A fork copies the memory and one thread. A lock that another thread held at that moment stays locked
for ever, and a connection has two owners who would write into each other's requests. So objects
that have locks or connections are renewed in the child before anything else runs there.

A library in C has locks that nobody can renew. A fork waits until no thread is inside one.
"""

import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition, Thread, get_ident, main_thread
from typing import Any, Final, TypeVar
from weakref import ref

_T = TypeVar("_T")
# By their numbers: a class of the caller's may compare equal what are two, or have no hash.
_RENEW: Final[dict[int, tuple["ref[Any]", Callable[[Any], None]]]] = {}


def renew_in_children(one: _T, renew: Callable[[_T], None]) -> None:
    """Call ``renew(one)`` in each process that is forked from now on, while ``one`` is alive.

    Args:
        one: is not kept alive.
        renew: must not wait for anything. Only one thread runs then.
    """
    number = id(one)
    _RENEW[number] = (ref(one, lambda _: _RENEW.pop(number, None)), renew)


class _Inside:
    """Which threads are inside a library whose locks a fork must not copy."""

    def __init__(self) -> None:
        # Each thread changes its own number alone, so no lock is needed for that.
        self._threads: Counter[int] = Counter()
        self.renew()

    def renew(self) -> None:
        """Know of this thread only: of the others there are none in a child."""
        # Reentrant, since a signal handler may interrupt its own thread anywhere here.
        self._changed = Condition()
        self._forks: list[int] = []  # the threads that wait to fork
        for other in self._threads.keys() - {get_ident()}:
            del self._threads[other]

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Let no fork happen while this thread is inside such a library.

        A fork in the middle waits, 30 seconds at most. Threads do not wait for each other, only
        for a fork, so that it has its turn.
        """
        me = get_ident()
        before = self._threads[me]
        try:
            with self._changed:
                if not before:
                    self._changed.wait_for(lambda: not {*self._forks} - {me})
                self._threads[me] = before + 1
            yield
        finally:
            self._threads[me] = before  # first, since Ctrl-C may interrupt what follows
            with self._changed:
                self._changed.notify_all()

    def shut(self) -> None:
        """Wait until no other thread is inside; then let none in."""
        try:
            self._changed.acquire()
            self._forks.append(get_ident())
            self._changed.wait_for(self._is_empty, timeout=_PATIENCE)
        except KeyboardInterrupt:  # Python would drop it here, and fork
            Thread(target=self._interrupt, daemon=True).start()

    def _interrupt(self) -> None:
        """Repeat Ctrl-C once the fork is done."""
        main = main_thread().ident
        if sys.platform != "win32" and main is not None:
            with self._changed:
                signal.pthread_kill(main, signal.SIGINT)

    def open(self) -> None:
        """Let threads in again."""
        if get_ident() in self._forks:  # not when it was interrupted before
            self._forks.remove(get_ident())
            self._changed.notify_all()
            self._changed.release()

    def _is_empty(self) -> bool:
        for thread, times in tuple(self._threads.items()):
            if not times:
                del self._threads[thread]  # it has left, or ended
        return not self._threads.keys() - {get_ident()}


_PATIENCE: Final = 30.0  # seconds; about as long as a Kerberos server that does not answer takes
_INSIDE: Final = _Inside()
undisturbed: Final = _INSIDE.entered


def _in_the_child() -> None:
    _INSIDE.renew()
    for reference, renew in tuple(_RENEW.values()):
        one = reference()
        if one is not None:
            renew(one)


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(
        before=_INSIDE.shut, after_in_parent=_INSIDE.open, after_in_child=_in_the_child
    )
