"""Connections that end while a request is on its way."""

import io
from typing import Any

import pytest

from gatepass._session.exceptions import Unreachable
from tests.net.test_tls import server_side
from tests.support.echo import Answer, Answers, Seen, echo
from tests.support.peers.ca import CertificateAuthority
from tests.support.sessions import session_for


def _closes(*, abort: bool = False, part: bytes = b"") -> Answers:
    """Answer the first request of a connection, and end the connection at its second.

    Args:
        abort: end it by a reset.
        part: comes before the end.
    """
    answered: set[int] = set()

    def answers(seen: Seen) -> Answer:
        if seen.connection not in answered and seen.path != "/mi/silent":
            answered.add(seen.connection)
            return Answer()
        return Answer(raw=part, closes=True, aborts=abort)

    return answers


@pytest.fixture(params=["http", "https"])
def context(request: pytest.FixtureRequest, ca: CertificateAuthority) -> Any:
    """Return what the server needs, and what the profile."""
    if request.param == "http":
        return None, {}
    return server_side(ca.server, ca.ca_file), {"tls": {"ca_file": str(ca.ca_file)}}


@pytest.mark.parametrize("abort", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("scheme", ["basic", "anonymous"])
def test_a_connection_that_was_just_closed_is_replaced_where_that_does_no_harm(
    context: Any, scheme: str, abort: bool
) -> None:
    """RFC 9110, section 9.2.2: not where an answer had begun, nor where it may have had effect."""
    tls, keys = context
    with echo(_closes(abort=abort), tls) as server:
        mi = session_for(server.url, scheme, **keys)
        assert mi.get("x").ok
        for data in (b"body", io.BytesIO(b"body"), b"body"):
            assert mi.put("x", data=data).ok
        assert {seen.body for seen in server.seen if seen.method != "GET"} == {b"body"}
        for method, more in (("POST", {}), ("PUT", {"data": iter([b"body"])})):
            mi.close()
            assert mi.get("x").ok
            before = len(server.seen)
            with pytest.raises(Unreachable, match="closed the connection without an answer"):
                mi.request(method, "x", **more)  # type: ignore[arg-type]
            assert len(server.seen) == before + 1
        mi.close()
        with pytest.raises(Unreachable):
            mi.get("silent")
        none = session_for(server.url, scheme, retries=0, **keys)
        assert none.get("x").ok
        with pytest.raises(Unreachable):
            none.get("x")


def test_an_answer_that_had_begun_is_not_asked_for_again() -> None:
    with echo(_closes(part=b"HTTP/1.1 20")) as server:
        mi = session_for(server.url)
        assert mi.get("x").ok
        with pytest.raises(Unreachable):
            mi.get("x")

    assert len(server.seen) == 2
