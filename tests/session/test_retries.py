"""What is sent again, and what is not."""

import io
import logging
from typing import Any

import pytest

from gatepass._session.exceptions import Unreachable
from gatepass.secrets import ref
from tests.support.echo import Answer, Answers, Seen, basic, echo
from tests.support.peers.apache import Apache
from tests.support.peers.ca import CertificateAuthority
from tests.support.sessions import NOWHERE, PASSWORD, USER, session_for
from tests.support.threads import together

LOGIN = basic(USER, PASSWORD)


def _first(*answers: Answer) -> Answers:
    """Give these answers, then 200."""
    left = list(answers)
    return lambda _: left.pop(0) if left else Answer()


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_an_answer_that_says_not_now_is_tried_again(status: int) -> None:
    with echo(_first(Answer(status, [("Retry-After", "0")]))) as server:
        assert session_for(server.url, retries=1).get("x").ok

    assert server.authorizations == [LOGIN, LOGIN]


@pytest.mark.parametrize("keys", [{}, {"auth": ("x", "y")}], ids=["profile", "caller"])
def test_the_cookie_of_an_answer_goes_along_when_the_request_is_sent_again(keys: Any) -> None:
    """A balancer sets it, to lead the next request to another server."""
    later = Answer(503, [("Set-Cookie", "LB=2; Path=/")])
    with echo(_first(later)) as server:
        mi = session_for(server.url)
        assert mi.get("x", cookies={"own": "1"}, **keys).ok

    sent = [set((seen.headers.get("cookie") or "").split("; ")) for seen in server.seen]
    assert sent == [{"own=1"}, {"own=1", "LB=2"}]
    assert keys or dict(mi.cookies) == {"LB": "2"}


@pytest.mark.parametrize("status", [400, 404, 413, 500])
def test_other_answers_are_not_tried_again(status: int) -> None:
    with echo(_first(Answer(status, [("Retry-After", "0")]))) as server:
        assert session_for(server.url).get("x").status_code == status


def test_when_the_retries_are_used_up_the_last_answer_is_returned() -> None:
    with echo(lambda _: Answer(503, body=b"later")) as server:
        answer = session_for(server.url, retries=1).get("x")

    assert (answer.status_code, answer.text) == (503, "later")
    assert len(server.seen) == 2


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_what_may_have_an_effect_is_not_repeated(method: str) -> None:
    with echo(_first(Answer(503, [("Retry-After", "0")]))) as server:
        answer = session_for(server.url).request(method, "x", data=b"body")

    assert answer.status_code == 503
    assert len(server.seen) == 1


@pytest.mark.parametrize("body", [b"body", io.BytesIO(b"body")])
def test_a_body_that_rewinds_is_sent_again_whole(body: Any) -> None:
    with echo(_first(Answer(503))) as server:
        assert session_for(server.url, retries=1).put("x", data=body).ok

    assert [seen.body for seen in server.seen] == [b"body", b"body"]


def test_a_body_that_does_not_rewind_is_sent_once() -> None:
    with echo(_first(Answer(503, [("Retry-After", "0")]))) as server:
        assert session_for(server.url).put("x", data=iter([b"body"])).status_code == 503

    assert [seen.body for seen in server.seen] == [b"body"]


@pytest.mark.parametrize("seconds", ["61", "9" * 30, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_server_that_asks_for_a_long_wait_gets_none(seconds: str) -> None:
    with echo(lambda _: Answer(503, [("Retry-After", seconds)], b"later")) as server:
        answer = session_for(server.url).get("x")

    assert (answer.status_code, answer.text) == (503, "later")
    assert len(server.seen) == 1


@pytest.mark.parametrize("seconds", ["soon", "9" * 5000, "-1", "Mon, 99 Foo 2020 00:00:00 GMT"])
def test_a_wait_that_cannot_be_read_is_no_wait(seconds: str) -> None:
    with echo(_first(Answer(503, [("Retry-After", seconds)]))) as server:
        assert session_for(server.url, retries=1).get("x").ok

    assert len(server.seen) == 2


def test_a_connection_that_fails_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """Also for a body that can be sent only once: nothing of it was sent."""
    caplog.set_level(logging.DEBUG, "gatepass")
    for data in (b"body", iter([b"body"])):
        caplog.clear()
        with pytest.raises(Unreachable):
            session_for(NOWHERE, retries=1).post("x", data=data)
        assert caplog.messages.count(f"POST {NOWHERE}x is sent again") == 1


def _hang_up(_: Seen) -> Answer:
    raise ConnectionResetError


def test_a_server_that_hangs_up_after_the_request_is_not_asked_again() -> None:
    with echo(_hang_up) as server:
        with pytest.raises(Unreachable, match="closed the connection without an answer"):
            session_for(server.url).get("x")
        assert len(server.seen) == 1


def test_an_answer_without_end_that_says_not_now_is_read_no_further() -> None:
    endless = Answer(503, [("Retry-After", "0")], b"x" * 50_000, endless=True)
    with echo(_first(endless)) as server:
        assert session_for(server.url, retries=1).get("x").ok


@pytest.mark.parametrize("scheme", ["basic", "ntlm", "credentials"])
def test_a_hundred_threads_at_a_busy_server_lose_nothing(
    windows_apache: Apache, ca: CertificateAuthority, scheme: str
) -> None:
    """Where all its workers are busy, it closes connections that wait for their next request."""
    room = windows_apache.room("standalone" if scheme == "basic" else "windows")
    auth = {"user_name": "alice", "domain": "CORP", "password": ref("env:MI_PASSWORD")}
    mi = session_for(
        room.https,
        scheme,
        auth=auth,
        environ={"MI_PASSWORD": "pw-alice"},
        tls={"ca_file": str(ca.ca_file)},
        timeout=600,
    )

    def ask(_: int) -> list[int]:
        return [mi.get("cgi/whoami").status_code for _ in range(3)]

    assert together(100, ask) == [[200] * 3] * 100
