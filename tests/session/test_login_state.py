"""One thread sends credentials until the server has accepted them; a refusal is final."""

import logging
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier, Event, Semaphore, Thread
from typing import Any

import pytest
import requests

from gatepass._session.exceptions import LoginRefused, TimedOut, Unreachable
from gatepass._session.login_state import LoginState, Page
from gatepass._session.session import Session
from gatepass._system import context
from gatepass._system.context import RunContext
from gatepass._system.fork import PerProcess
from gatepass.sandbox import Server
from gatepass.secrets import ref
from tests.support.echo import Answer, Seen, basic, echo, redirects, refused, wants
from tests.support.sessions import NOWHERE, PASSWORD, USER, person, profile_for, session_for
from tests.support.threads import together

LOGIN = basic(USER, PASSWORD)


class Directory:
    """Knows bob's password, counts what is wrong, and locks his account at the third in a row.

    Attributes:
        password: the right one.
        wrong: how often a wrong password arrived; a right one does not reset it.
    """

    def __init__(self, password: str = PASSWORD) -> None:
        self.password = password
        self.wrong = 0

    def __call__(self, seen: Seen) -> Answer:
        """Ask on each page but /mi/open; let nobody see /mi/forbidden."""
        if seen.path.startswith("/mi/open"):
            return Answer()
        if seen.authorization is None:
            return refused("Basic")
        if seen.authorization != basic(USER, self.password) or self.wrong >= LOCKED:
            self.wrong += 1
            return refused("Basic")
        return refused("Basic") if seen.path.startswith("/mi/forbidden") else Answer()


LOCKED = 3
SCHEMES = ["basic", "credentials"]


def _is_refused(mi: Session, path: str = "x", **more: Any) -> bool:
    try:
        return not mi.request(more.pop("method", "GET"), path, **more).ok
    except LoginRefused:
        return True


@pytest.mark.parametrize("mode", ["standalone", "mixed", "windows"])
def test_a_loop_of_sessions_sends_a_wrong_password_once(mode: Any) -> None:
    with Server(mode=mode, users={USER: PASSWORD}, lock_after=LOCKED) as server:
        for _ in range(5):
            error = Session(server.url, user_name=USER, password="wrong").check().error
            assert isinstance(error, LoginRefused)
            assert error.response is not None
            assert "except after session.login()" in error.outlook
        assert not Session(server.url, user_name=USER, password="wrong too").check().ok
        assert Session(server.url, user_name=USER, password=PASSWORD).check().ok

        assert server.attempts(USER) == 2


@pytest.mark.parametrize("own", [False, True], ids=["one session", "a session each"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_sixteen_threads_send_a_wrong_password_once(scheme: str, own: bool) -> None:
    with echo(Directory()) as server:
        wrong = {"MI_PASSWORD": "wrong"}
        mi = session_for(server.url, scheme, environ=wrong)

        def ask() -> bool:
            return _is_refused(session_for(server.url, scheme, environ=wrong) if own else mi)

        assert _in_threads(ask) == {True}

        assert server.authorizations.count(basic(USER, "wrong")) == 1


def _in_threads(ask: Callable[[], Any], count: int = 16) -> set[Any]:
    return set(together(count, lambda _: ask()))


@pytest.mark.parametrize("own", [False, True], ids=["one session", "a session each"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_page_that_is_forbidden_ends_no_login(scheme: str, own: bool) -> None:
    """Also where many threads ask for it, and over connections that are new."""
    with echo(Directory()) as server:
        mi = session_for(server.url, scheme)

        def session() -> Session:
            return session_for(server.url, scheme) if own else mi

        assert session().get("x").ok
        for _ in range(3):
            with pytest.raises(LoginRefused, match="may use /mi/forbidden") as caught:
                session().get("forbidden?canary")
            assert "canary" not in str(caught.value)
            assert session().get("y").ok
        assert _in_threads(lambda: _is_refused(session(), "forbidden")) == {True}
        assert session().get("y").ok


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_password_that_changes_is_sent_twice_at_most(scheme: str) -> None:
    directory = Directory()
    with echo(directory) as server:
        mi = session_for(server.url, scheme)
        assert mi.get("x").ok
        directory.password = "new"
        for path in ("y", "x", "y"):
            assert _is_refused(mi, path)
            assert _is_refused(session_for(server.url, scheme), path)

    assert directory.wrong == 2


def test_a_page_that_asks_nobody_proves_nothing() -> None:
    """HTTP Basic is sent there too, and is not looked at."""
    directory = Directory("another")
    with echo(directory) as server:
        mi = session_for(server.url)
        for _ in range(5):
            _is_refused(mi, "open")
            assert _is_refused(mi, "x")

    assert directory.wrong == 1 + 1


def test_threads_after_a_page_that_asks_nobody_send_a_wrong_password_twice_at_most() -> None:
    """As after ``check`` of a page that is open to all."""
    directory = Directory("another")
    with echo(directory) as server:
        mi = session_for(server.url)
        assert mi.get("open").ok
        assert _in_threads(lambda: _is_refused(mi)) == {True}

    assert directory.wrong <= 2


def test_pages_that_ask_nobody_are_asked_for_side_by_side() -> None:
    together = Barrier(4)

    def answers(seen: Seen) -> Answer:
        if seen.path != "/mi/first" and seen.authorization is not None:
            together.wait(timeout=30)  # breaks unless four requests are here at once
        return Answer()

    with echo(answers) as server, ThreadPoolExecutor(4) as pool:
        mi = session_for(server.url)
        mi.get("first")
        for _ in range(5):
            assert {each.status_code for each in pool.map(mi.get, "abcd")} == {200}


@pytest.mark.parametrize("method", ["POST", "HEAD"])
def test_a_page_that_was_answered_is_asked_for_by_get(method: str) -> None:
    directory = Directory()
    with echo(directory) as server:
        mi = session_for(server.url)
        for _ in range(3):
            assert not _is_refused(mi, method=method)
            for _ in range(3):
                assert _is_refused(mi, "forbidden", method=method)
        directory.password = "new"
        for _ in range(3):
            assert _is_refused(mi, method=method)

    assert directory.wrong == 2


def test_thirty_threads_stop_while_one_finds_out_what_a_refusal_means() -> None:
    """Only what was on the way already is sent beside it."""
    directory, on_the_way, deciding = Directory(), Barrier(4), Event()

    def answers(seen: Seen) -> Answer:
        if directory.password == "new" and seen.authorization is not None:
            if seen.path == "/mi/first":
                deciding.set()
            elif not deciding.is_set():
                on_the_way.wait(timeout=60)
        return directory(seen)

    def ask(number: int) -> bool:
        if number >= 4:
            assert deciding.wait(timeout=60)
        return _is_refused(mi, f"page-{number}")

    with echo(answers) as server, ThreadPoolExecutor(30) as pool:
        mi = session_for(server.url)
        assert mi.get("first").ok
        directory.password = "new"
        assert set(pool.map(ask, range(30))) == {True}

    assert directory.wrong == 4 + 1


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_password_by_reference_is_looked_up_again_when_it_has_changed(
    scheme: str, method: str
) -> None:
    directory, environ = Directory(), {"MI_PASSWORD": PASSWORD}
    with echo(directory) as server:
        mi = session_for(server.url, scheme, environ=environ)
        assert mi.get("x").ok
        environ["MI_PASSWORD"] = directory.password = "new"

        assert mi.request(method, "y", data=b"body" if method == "POST" else None).ok
        assert directory.wrong <= 2
        assert _in_threads(lambda: _is_refused(mi)) == {False}
        directory.password = "newer"
        for _ in range(3):
            assert _is_refused(mi)

    assert directory.wrong <= 4


def test_a_password_that_is_typed_is_sent_whatever_is_known_of_it() -> None:
    directory = Directory()
    with echo(directory) as server:
        for number in range(2):
            _, terminal = person("wrong")
            profile = profile_for(server.url, auth={"password": ref("prompt:")})
            mi = Session._from_checked(profile, RunContext.of(environ={}, terminal=terminal))
            for _ in range(2):
                assert _is_refused(mi)
            assert directory.wrong == number + 1


def test_login_lets_a_password_be_sent_once_more() -> None:
    directory = Directory()
    with echo(directory) as server:
        mi, other = (session_for(server.url, environ={"MI_PASSWORD": "new"}) for _ in range(2))
        assert _is_refused(mi)
        directory.password = "new"
        assert _is_refused(mi)
        other.login()
        assert not _is_refused(mi)

    assert directory.wrong == 1


def test_what_is_known_of_a_password_is_in_no_log_pickle_or_copy_of_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    with echo(Directory("another")) as server:
        mi = session_for(server.url)
        assert _is_refused(mi)

    (key,) = context.SHARED
    content = pickle.dumps(mi) + repr([vars(each) for each in context.SHARED.values()]).encode()
    assert PASSWORD not in repr(key)
    for each in (PASSWORD, basic(USER, PASSWORD), key[-1].hex(), repr(key[-1])):
        assert each.encode() not in content + caplog.text.encode()


def test_a_token_is_refused_for_one_session_alone() -> None:
    with echo(lambda _: refused("Bearer")) as server:
        auth, environ = {"token": ref("env:TOKEN")}, {"TOKEN": "t"}
        one, other = (
            session_for(server.url, "bearer", auth=auth, environ=environ) for _ in range(2)
        )
        for mi in (one, one, other, other):
            assert _is_refused(mi)

    assert len(server.seen) == 2


@pytest.mark.parametrize(
    "challenge", ['Bearer error="insufficient_scope", scope="admin"', "Bearer", 'Bearer error="x"']
)
def test_a_token_that_works_elsewhere_goes_on(challenge: str) -> None:
    def answers(seen: Seen) -> Answer:
        if seen.authorization is None or seen.path.startswith("/mi/forbidden"):
            return refused(challenge)
        return Answer()

    with echo(answers) as server:
        auth = {"token": ref("env:TOKEN")}
        mi = session_for(server.url, "bearer", auth=auth, environ={"TOKEN": "t"})
        if "scope" in challenge:
            assert _is_refused(mi, "forbidden"), "even before it has worked"
        for _ in range(3):
            assert mi.get("x").ok
            assert _is_refused(mi, "forbidden")
            assert _is_refused(mi, "forbidden")


def test_threads_that_wait_for_an_answer_that_does_not_come_fail_with_it() -> None:
    """One after the other, they would wait for sixteen timeouts."""
    done, waiting = Event(), Semaphore(0)

    def answers(_: Seen) -> Answer:
        for _number in range(15):
            assert waiting.acquire(timeout=60)
        done.wait(timeout=60)
        return Answer()

    with echo(answers) as server:
        mi = session_for(server.url, timeout=[10, 1])
        noting = _NotingLock(mi._login.state._locks.get(), waiting)
        mi._login.state._locks = PerProcess[Any](lambda: noting)
        _all_fail(mi, TimedOut)
        done.set()

    assert len(server.seen) == 1


def test_nobody_waits_for_a_thread_that_waits_to_ask_again() -> None:
    asked = Event()

    def answers(seen: Seen) -> Answer:
        if seen.path == "/mi/busy":
            asked.set()
            return Answer(503, [("Retry-After", "60")])
        return Answer()

    def ask() -> None:
        with suppress(requests.RequestException):
            mi.get("busy")

    with echo(answers) as server:
        mi = session_for(server.url)
        Thread(target=ask, daemon=True).start()
        assert asked.wait(timeout=60)
        assert mi.get("x").ok

    assert server.paths == ["/mi/busy", "/mi/x"]


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
        _all_fail(mi, LoginRefused)

    assert server.paths == ["/mi/broken", "/mi/x"]


def _all_fail(mi: Session, kind: type[Exception]) -> None:
    def attempt() -> None:
        with pytest.raises(kind):
            mi.get("x")

    assert _in_threads(attempt) == {None}


def test_once_the_login_is_proven_requests_run_side_by_side() -> None:
    together = Barrier(4)

    def answers(seen: Seen) -> Answer:
        if seen.path != "/mi/first":
            together.wait(timeout=30)  # breaks unless four requests are here at once
        return wants(LOGIN)(seen)

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
            login.record_success(200, Page(NOWHERE, asks=True))
        assert list(meeting) == [None, None]


def test_an_answer_that_came_before_the_login_was_looked_at_proves_nothing() -> None:
    """As long as only redirects and 503 came, the next one still goes alone."""
    with echo(redirects({"/mi/r": "/mi/s"}, lambda _: Answer(503))) as server:
        mi = session_for(server.url, retries=0)
        assert mi.get("r").status_code == 503
        assert not mi._guard.login.state._accepted
        server.answers = lambda _: Answer(204)
        mi.get("x")
        assert mi._guard.login.state._accepted


def test_a_body_may_use_the_same_session() -> None:
    """A generator that makes requests while it is sent does not wait for itself."""
    with echo() as server:
        mi = session_for(server.url)
        assert mi.post("x", data=(mi.get("y").content for _ in range(1))).ok

    assert sorted(server.paths) == ["/mi/x", "/mi/y"]
