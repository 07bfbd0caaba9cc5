"""Does something in a forked process."""

import os
import pickle
import select
import signal
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any, NoReturn

import pytest

SECONDS = 60  # for a child; no test waits for that unless it hangs


def in_child(work: Callable[[], object]) -> Any:
    """Do something in a forked process; return what it returns, or raise what it raises.

    The child has a deadline: it is killed when it has not answered by then.
    """
    if sys.platform == "win32":
        pytest.skip("needs POSIX")
    out, into = os.pipe()
    with warnings.catch_warnings():  # Python 3.12 warns about a fork of a process with threads
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        _answer(work, into)
    os.close(into)
    try:
        content = _read(out)
    finally:
        if sys.platform != "win32":
            os.kill(child, signal.SIGKILL)  # it has answered, or will not
        os.waitpid(child, 0)
        os.close(out)
    assert content, "the child died without an answer"
    went_well, value = pickle.loads(content)  # noqa: S301 - our own
    if not went_well:
        raise value
    return value


def _answer(work: Callable[[], object], into: int) -> NoReturn:
    """Do the work, in the child, and write down what came of it."""
    try:
        answer: tuple[bool, Any]
        try:
            answer = (True, work())
        except BaseException as error:  # noqa: BLE001 - also of pytest's own kind
            answer = (False, error)
        with os.fdopen(into, "wb") as stream:
            pickle.dump(answer, stream)
    finally:
        os._exit(0)


def _read(out: int) -> bytes:
    """Read all that a child writes."""
    content, deadline = b"", time.monotonic() + SECONDS
    while select.select([out], [], [], max(0, deadline - time.monotonic()))[0]:
        part = os.read(out, 65536)
        if not part:
            return content
        content += part
    raise TimeoutError(f"the child hangs: no answer within {SECONDS} s")
