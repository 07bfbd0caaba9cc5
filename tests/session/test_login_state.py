"""One thread sends credentials until the server has accepted them; a refusal is final."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Semaphore
from typing import Any

import pytest
import requests

from gatepass._session.exceptions import LoginRefused, Unreachable
from gatepass._session.login_state import LoginState
from gatepass._session.session import Session
from gatepass._system.fork import PerProcess
from gatepass.sandbox import Server
from tests.support.echo import Answer, Seen, basic, echo, redirects, refused, wants
from tests.support.sessions import PASSWORD, USER, session_for

LOGIN = basic(USER, PASSWORD)


def test_a_refusal_later_stops_the_session_too() -> None:
    with echo(wants(LOGIN)) as server:
        mi = session_for(server.url)
        assert mi.get("x").ok
        server.answers = lambda _: refused("Basic")
        for _ in range(2):
            with pytest.raises(LoginRefused):
                mi.get("x")

    assert len(server.seen) == 2


def test_no_answer_proves_nothing() -> None:
    """After a connection that broke the next request still goes alone."""

    def answers(seen: Seen) -> Answer:
        if seen.path == "/mi/broken":
            raise ConnectionResetError
        return refused("Basic")

    with echo(answers) as server:
        mi = session_for(server.url)
        with pytest.raises(Unreachable, match="closed the connection without an answer"):
            mi.get("broken")
        assert _sixteen(mi) == {LoginRefused}

    assert server.paths == ["/mi/broken", "/mi/x"]


def _sixteen(mi: Session) -> set[type[Exception]]:
    start = Barrier(16)

    def attempt(_: int) -> type[Exception]:
        start.wait()
        with pytest.raises(requests.RequestException) as caught:
            mi.get("x")
        return type(caught.value)

    with ThreadPoolExecutor(16) as pool:
        return set(pool.map(attempt, range(16)))


def test_a_wrong_password_is_sent_once_by_sixteen_threads() -> None:
    with Server(mode="standalone", users={USER: PASSWORD}) as server:
        mi = session_for(server.url, environ={"MI_PASSWORD": "wrong"})
        assert _sixteen(mi) == {LoginRefused}
        assert server.attempts(USER) == 1
        assert len(server.requests) == 1


def test_once_the_login_is_proven_requests_run_side_by_side() -> None:
    together = Barrier(4)

    def answers(seen: Seen) -> Answer:
        if seen.path != "/mi/first":
            together.wait(timeout=30)  # breaks unless four requests are here at once
        return Answer()

    with echo(answers) as server, ThreadPoolExecutor(4) as pool:
        mi = session_for(server.url)
        mi.get("first")
        assert {each.status_code for each in pool.map(mi.get, ["x"] * 4)} == {200}


class _NotingLock:
    """A lock that tells who is about to wait for it."""

    def __init__(self, lock: Any, arrived: Semaphore) -> None:
        self._lock = lock
        self._arrived = arrived
        self.release = lock.release

    def acquire(self) -> bool:
        self._arrived.release()
        return bool(self._lock.acquire())


def test_who_waited_for_the_proof_does_not_wait_again() -> None:
    login, arrived, together = LoginState(), Semaphore(0), Barrier(2)

    def wait_and_meet(_: int) -> None:
        with login.attempt():
            together.wait(timeout=30)  # breaks unless both are inside

    with ThreadPoolExecutor(2) as pool:
        with login.attempt():
            noting = _NotingLock(login._locks.get(), arrived)
            login._locks = PerProcess[Any](lambda: noting)
            meeting = pool.map(wait_and_meet, range(2))
            for _ in range(2):
                assert arrived.acquire(timeout=30)
            login.record_success(200)
        assert list(meeting) == [None, None]


def test_an_answer_that_came_before_the_login_was_looked_at_proves_nothing() -> None:
    """As long as only redirects and 503 came, the next one still goes alone."""
    with echo(redirects({"/mi/r": "/mi/s"}, lambda _: Answer(503))) as server:
        mi = session_for(server.url, retries=0)
        assert mi.get("r").status_code == 503
        assert not mi._guard.login._accepted
        server.answers = lambda _: Answer(204)
        mi.get("x")
        assert mi._guard.login._accepted


def test_a_body_may_use_the_same_session() -> None:
    """A generator that makes requests while it is sent does not wait for itself."""
    with echo() as server:
        mi = session_for(server.url)
        assert mi.post("x", data=(mi.get("y").content for _ in range(1))).ok

    assert sorted(server.paths) == ["/mi/x", "/mi/y"]
