"""``scheme = "autologon"``: Negotiate, with mutual authentication."""

import pytest

from gatepass._session.session import Session
from gatepass._system.context import RunContext
from gatepass.errors import GatepassError
from tests.auth.conftest import Make
from tests.support.echo import Answer, Seen, echo, refused
from tests.support.peers.apache import Apache
from tests.support.sessions import profile_for


def test_kerberos_asks_once_where_each_request_needs_a_ticket(
    make: Make, windows_apache: Apache
) -> None:
    """A server that does not remember connections gets a ticket with each request, at once."""
    mark = windows_apache.mark()
    mi = make("autologon", "krb_unbound")
    for _ in range(10):
        assert "alice" in mi.get("cgi/whoami").json()["user"]

    assert [line.status for line in windows_apache.wait_for_lines(mark, 11)] == [401] + [200] * 10


def _never_proves_itself(seen: Seen) -> Answer:
    """Take any ticket, and answer without the token that only the right server can make."""
    return Answer() if seen.authorization else refused("Negotiate")


@pytest.mark.usefixtures("make")
def test_a_server_that_does_not_prove_itself_is_refused() -> None:
    with echo(_never_proves_itself) as server:
        mi = Session._from_checked(profile_for(server.url, "autologon"), RunContext.of(environ={}))
        with pytest.raises(GatepassError, match="does not prove that it is the right server"):
            mi.get("a")


def test_a_server_proves_itself_with_each_ticket(make: Make, windows_apache: Apache) -> None:
    """Also where the ticket was sent at once: somebody else may have taken the address."""
    mi = make("autologon", "windows", plain=True, allow_http=True)
    mi.get("cgi/whoami")
    with echo(_never_proves_itself) as server:
        # The next connection leads to another server, as a hijacked name would.
        mi.proxies = {"http": server.root}
        mi.close()
        with pytest.raises(GatepassError, match="does not prove that it is the right server"):
            mi.get("cgi/whoami")
    assert windows_apache.windows.http


def test_a_ticket_is_sent_once_also_where_the_server_says_not_now(make: Make) -> None:
    """A server that remembers tickets would refuse the same one again as stolen."""

    def busy(seen: Seen) -> Answer:
        return Answer(503, [("Retry-After", "0")]) if seen.authorization else refused("Negotiate")

    assert make("autologon", "windows").get("cgi/whoami").ok
    with echo(busy) as server:
        profile = profile_for(server.url, "autologon", retries=2)
        assert Session._from_checked(profile, RunContext.of(environ={})).get("a").status_code == 503

    tickets = [sent for sent in server.authorizations if sent]
    assert len(tickets) == 3
    assert len(set(tickets)) == 3


@pytest.mark.parametrize("status", [400, 431])
def test_a_ticket_that_is_too_large_for_the_server_is_named(make: Make, status: int) -> None:
    make("autologon", "windows")  # alice has a ticket

    def answers(seen: Seen) -> Answer:
        return Answer(status) if seen.authorization else refused("Negotiate")

    with echo(answers) as server:
        profile = profile_for(server.url, "autologon", retries=0)
        result = Session._from_checked(profile, RunContext.of(environ={})).check()

    assert (result.proven, result.status) == (False, status)
    assert "MaxFieldLength" in result.hint
