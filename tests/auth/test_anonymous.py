"""``scheme = "anonymous"``: sends no login."""

import pytest

from gatepass._session.exceptions import SchemeNotOffered
from gatepass._session.session import Session
from tests.support.echo import echo, refused
from tests.support.sessions import (
    session_for,
)


def test_an_anonymous_session_sends_nothing() -> None:
    with echo() as server, Session(server.url, anonymous=True) as mi:
        assert mi.get("x").ok

    assert server.authorizations == [None]


def test_an_anonymous_session_is_told_what_the_server_wants_each_time() -> None:
    with echo(lambda _: refused('Basic realm="x"')) as server:
        mi = session_for(server.url, "anonymous")
        for _ in range(2):
            with pytest.raises(SchemeNotOffered, match="offers Basic; the profile"):
                mi.get("x")

    assert len(server.seen) == 2
