"""Work with a deadline: what it returns, what it raises, and what happens when it hangs."""

from threading import Event, current_thread

import pytest

from gatepass._system.deadline import DeadlineExceeded, run_with_deadline


def test_it_returns_what_the_work_returns() -> None:
    assert run_with_deadline(lambda: 7, 60, "seven") == 7


def test_it_raises_what_the_work_raises_also_what_is_no_exception() -> None:
    def panic() -> None:
        raise BaseException("from Rust")  # noqa: TRY002 - as pyo3 does

    with pytest.raises(BaseException, match="from Rust"):
        run_with_deadline(panic, 60, "panic")


def test_work_that_hangs_is_left_alone_in_a_thread_that_does_not_keep_python_alive() -> None:
    goes_on, ended = Event(), Event()
    threads = []

    def hang() -> None:
        threads.append(current_thread())
        goes_on.wait()
        ended.set()

    with pytest.raises(DeadlineExceeded):
        run_with_deadline(hang, 0.01, "hanging")
    goes_on.set()

    assert ended.wait(60)
    assert [(each.name, each.daemon) for each in threads] == [("hanging", True)]
