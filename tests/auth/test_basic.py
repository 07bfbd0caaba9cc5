"""``scheme = "basic"``: the login goes along with the first request."""

import pytest

from gatepass.errors import GatepassError, SecretUnavailable
from tests.support.echo import basic, echo, wants
from tests.support.sessions import PASSWORD, USER, session_for

LOGIN = basic(USER, PASSWORD)


def test_each_request_brings_the_login_and_no_question_goes_before() -> None:
    with echo(wants(LOGIN)) as server:
        mi = session_for(server.url, "basic")
        assert mi.get("a").ok
        assert mi.post("b", data=b"body").ok

    assert [(seen.method, seen.path) for seen in server.seen] == [
        ("GET", "/mi/a"),
        ("POST", "/mi/b"),
    ]
    assert server.authorizations == [LOGIN, LOGIN]


def test_what_basic_cannot_send_shows_when_the_session_is_built() -> None:
    with echo() as server:
        with pytest.raises(GatepassError, match="control character"):
            session_for(server.url, "basic", environ={"MI_PASSWORD": "two\nlines"})
        with pytest.raises(SecretUnavailable, match="MI_PASSWORD is not set"):
            session_for(server.url, "basic", environ={})

    assert server.seen == []
