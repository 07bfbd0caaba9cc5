"""What a forked process makes anew: locks that a thread of its parent may hold, and connections.

A fork copies the memory and one thread. A lock that another thread held at that moment stays locked
for ever, and a connection has two owners who would write into each other's requests.
"""

import os
from collections.abc import Callable
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


def _renew_all() -> None:
    for reference, renew in tuple(_RENEW.values()):
        one = reference()
        if one is not None:
            renew(one)


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_renew_all)
