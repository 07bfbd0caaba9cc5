"""What is renewed in a forked child: every object that asked for it, as long as it lives."""

import os
import sys

import pytest

from gatepass._system.fork import _RENEW, renew_in_children

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="this system has no fork"),
    # Python 3.12 warns about each fork of a process with threads.
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning"),
]


class Counter:
    """Counts how often it was renewed."""

    def __init__(self) -> None:
        self.times = 0
        renew_in_children(self, Counter.renew)

    def renew(self) -> None:
        self.times += 1


def test_an_object_is_renewed_once_in_a_child_and_never_in_the_parent() -> None:
    counter = Counter()
    child = os.fork()
    if child == 0:
        os._exit(counter.times)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert counter.times == 0


def test_an_object_that_nobody_uses_any_more_is_forgotten() -> None:
    counter = Counter()
    number = id(counter)
    assert number in _RENEW

    del counter

    assert number not in _RENEW
