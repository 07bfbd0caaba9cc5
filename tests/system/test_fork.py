"""Values that each process makes for itself."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Lock

import pytest

from gatepass._system.fork import PerProcess


def test_all_threads_of_a_process_get_the_same_value() -> None:
    """Also those that ask for the first time together."""
    together = Barrier(8)

    def make() -> object:
        together.wait(timeout=30)  # so each thread makes one
        return object()

    values = PerProcess(make)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: values.get(), range(8)))

    assert {id(each) for each in found} == {id(values.get())}


@pytest.mark.skipif(sys.platform == "win32", reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_child_gets_a_lock_that_nobody_holds_and_the_parent_keeps_its_own() -> None:
    if sys.platform == "win32":
        pytest.skip("needs POSIX")
    locks = PerProcess(Lock)
    with locks.get():
        child = os.fork()
        if child == 0:
            os._exit(int(locks.get().acquire(blocking=False)))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
        assert locks.get().locked()
