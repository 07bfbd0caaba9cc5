"""A refused login: explained, sent once, and never tried again."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Semaphore
from typing import Any

import pytest
import requests

from gatepass._session.exceptions import LoginRefused, SchemeNotOffered, Unreachable
from gatepass._session.login_state import LoginState
from gatepass._session.session import Session
from gatepass.errors import (
    GatepassError,
)
from gatepass.sandbox import Server
from gatepass.secrets import Secret, ref
from tests.support.echo import Answer, Seen, basic, echo, redirects, refused, wants
from tests.support.sessions import PASSWORD, USER, session_for

LOGIN = basic(USER, PASSWORD)


def test_a_refused_login_raises_and_is_not_tried_again() -> None:
    with echo(wants(LOGIN)) as server:
        mi = session_for(server.url, environ={"MI_PASSWORD": "wrong"})
        with pytest.raises(LoginRefused, match=r"refused the login of bob \(401\)") as first:
            mi.get("x")
        with pytest.raises(LoginRefused) as second:
            mi.post("y", data=b"body")

    assert len(server.seen) == 1
    assert isinstance(first.value, requests.HTTPError)
    assert isinstance(first.value, GatepassError)
    assert first.value.exit_code == 4
    assert first.value.response is not None
    assert first.value.response.text == "no"
    assert second.value is not first.value
    assert str(second.value) == str(first.value)


def test_a_user_name_given_as_a_secret_is_not_shown() -> None:
    with echo(wants("nobody")) as server, pytest.raises(LoginRefused) as caught:
        session_for(server.url, auth={"user_name": Secret("canary")}).get("x")

    assert "canary" not in str(caught.value)


def test_a_refusal_later_stops_the_session_too() -> None:
    with echo(wants(LOGIN)) as server:
        mi = session_for(server.url)
        assert mi.get("x").ok
        server.answers = lambda _: refused("Basic")
        for _ in range(2):
            with pytest.raises(LoginRefused):
                mi.get("x")

    assert len(server.seen) == 2


@pytest.mark.parametrize(
    ("page", "told"),
    [
        (b"<p>Your account has expired.</p>", "account has expired"),
        (b"401.1: the user's  ACCOUNT\r\n is expired; ask hr", "account is expired"),
        (b"Password expired", "password expired"),
        (b"account has been disabled. Account has been disabled.", "account has been disabled"),
        (b"This session has expired, and the account of the department", None),
    ],
)
@pytest.mark.parametrize("scheme", ["basic", "credentials"])
def test_what_a_server_says_of_the_account_is_repeated_and_nothing_else(
    scheme: str, page: bytes, told: str | None
) -> None:
    answer = Answer(401, [("WWW-Authenticate", "Basic")], page)
    with echo(lambda _: answer) as server, pytest.raises(LoginRefused) as caught:
        session_for(server.url, scheme).get("x")

    said = f". The server says: {told}" if told else ""
    assert caught.value.message.partition("the profile uses ")[2] == f"{scheme}{said}"


def test_a_wrong_scheme_is_explained_from_what_the_server_offers() -> None:
    with echo(lambda _: refused("Negotiate", "NTLM")) as server:
        mi = session_for(server.url)
        for _ in range(2):
            with pytest.raises(SchemeNotOffered) as caught:
                mi.get("x")

    assert len(server.seen) == 1
    assert caught.value.message.startswith(
        "this server offers Negotiate, NTLM (Windows mode); the profile uses basic. "
    )


def test_the_advice_names_the_schemes_that_can_answer() -> None:
    with echo(lambda _: refused('Basic realm="x"')) as server:
        auth, environ = {"token": ref("env:MI_TOKEN")}, {"MI_TOKEN": "abc"}
        mi = session_for(server.url, "bearer", auth=auth, environ=environ)
        with pytest.raises(SchemeNotOffered, match=r"Use basic or credentials\.$"):
            mi.get("x")


def test_a_refused_token_is_not_told_to_check_a_user_name() -> None:
    with echo(lambda _: refused("Bearer")) as server:
        auth, environ = {"token": ref("env:MI_TOKEN")}, {"MI_TOKEN": "abc"}
        mi = session_for(server.url, "bearer", auth=auth, environ=environ)
        with pytest.raises(LoginRefused, match="refused the login") as caught:
            mi.get("x")

    assert "check the token or ticket" in caught.value.hint
    assert "user name" not in caught.value.hint


def test_a_hostile_challenge_cannot_fill_the_screen() -> None:
    challenge = ", ".join(f"{'x' * 500}{number}" for number in range(30))
    with echo(lambda _: refused(challenge)) as server, pytest.raises(SchemeNotOffered) as caught:
        session_for(server.url).get("x")

    assert len(str(caught.value)) < 500


def test_an_anonymous_session_is_told_what_the_server_wants_each_time() -> None:
    with echo(lambda _: refused('Basic realm="x"')) as server:
        mi = session_for(server.url, "anonymous")
        for _ in range(2):
            with pytest.raises(SchemeNotOffered, match=r"offers Basic \(standalone mode\)"):
                mi.get("x")

    assert len(server.seen) == 2


@pytest.mark.parametrize("status", [403, 404, 500])
def test_other_statuses_are_returned(status: int) -> None:
    with echo(lambda _: Answer(status)) as server:
        mi = session_for(server.url)
        assert mi.get("x").status_code == status
        assert mi.get("x").status_code == status


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
            login._lock = _NotingLock(login._lock, arrived)  # type: ignore[assignment]
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
