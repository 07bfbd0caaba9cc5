"""NTLM where something goes wrong in between: with servers that only a test has."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import pytest
import requests

from gatepass._session.exceptions import LoginRefused, SchemeNotOffered, Unreachable
from gatepass._session.session import Session
from tests.support.echo import Answer, Echo, Seen, basic, echo, refused, wants
from tests.support.peers.apache import Apache
from tests.support.peers.ca import CertificateAuthority
from tests.support.sessions import session_for
from tests.support.threads import together

_FIRST, _LAST = "NTLM TlRMTVNTUAAB", "NTLM TlRMTVNTUAAD"  # how these messages begin
_CHALLENGE = (
    "NTLM TlRMTVNTUAACAAAACAAIADgAAAAFgomi3hSnuNX7hIYAAAAAAAAAACQAJABAAAAABgGxHQAAAA9EAE8ATQBBAAIA"
    "CABEAE8ATQBBAAEACABEAE8ATQBBAAAAAAA="
)
_ASKS, _SECOND = refused("NTLM"), refused(_CHALLENGE)
SCHEMES = ("ntlm", "credentials")


@dataclass
class _Ntlm:
    """Asks for NTLM on each connection.

    Attributes:
        takes: whether it accepts who logs on.
        verdict: the answer to the last message otherwise.
        middle: the answer to the first message.
        asks: the answer to a request without a login.
    """

    takes: bool = True
    verdict: Answer = _ASKS
    middle: Answer = _SECOND
    asks: Answer = _ASKS
    known: set[int] = field(default_factory=set)

    def __call__(self, seen: Seen) -> Answer:
        sent = seen.authorization or ""
        if sent.startswith(_FIRST):
            return self.middle
        if sent.startswith(_LAST):
            if not self.takes:
                return self.verdict
            self.known.add(seen.connection)
        return Answer() if seen.connection in self.known else self.asks


@contextmanager
def _serving(server: _Ntlm) -> Iterator[Echo]:
    with echo(server) as running:
        yield running


def _attempts(server: Echo) -> int:
    return len([sent for sent in server.authorizations if (sent or "").startswith(_LAST)])


def _session(server: Echo, scheme: str) -> Session:
    auth = {"user_name": "bob", "password": "pw"}
    return session_for(server.url, scheme, auth=auth, retries=1)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_connection_that_closes_in_the_middle_is_no_refusal(scheme: str, method: str) -> None:
    """The last message never goes over another connection, where it would be a failed login."""
    with _serving(_Ntlm(middle=replace(_SECOND, closes=True))) as server:
        mi = _session(server, scheme)
        for _ in range(2):
            with pytest.raises(Unreachable, match="closed the connection"):
                mi.request(method, "a", data=b"body" if method == "POST" else None)
        assert _attempts(server) == 0

        server.answers = _Ntlm()
        assert mi.request(method, "a").ok, "the session still works"


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_login_that_loses_its_connection_before_the_password_begins_anew(
    scheme: str, method: str
) -> None:
    server = _Ntlm(middle=Answer(raw=b"", closes=True))

    def answers(seen: Seen) -> Answer:
        answer = server(seen)
        if answer is server.middle:
            server.middle = _SECOND
        return answer

    with echo(answers) as running:
        mi = _session(running, scheme)
        assert mi.request(method, "a", data=iter([b"body"]) if method == "POST" else None).ok
        assert _attempts(running) == 1


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_message_with_the_password_is_never_sent_again(scheme: str) -> None:
    verdict = Answer(raw=b"", closes=True)
    with _serving(_Ntlm(takes=False, verdict=verdict)) as server:
        mi = _session(server, scheme)
        with pytest.raises(Unreachable, match="in the middle of the login") as caught:
            mi.get("a")

        assert "try again" not in caught.value.hint
        assert _attempts(server) == 1


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_body_that_waits_to_be_asked_for_does_not_hinder_a_login(
    windows_apache: Apache, ca: CertificateAuthority, scheme: str, method: str
) -> None:
    """Apache closes the connection of a request with Expect that it refuses."""
    for room, name in (("windows", scheme), ("standalone", "credentials")):
        mi = session_for(
            windows_apache.room(room).https,
            name,
            auth={"user_name": "alice", "domain": "CORP", "password": "pw-alice"},
            tls={"ca_file": str(ca.ca_file)},
        )
        for _ in range(2):
            data = b"body" if method != "GET" else None
            answer = mi.request(method, "cgi/whoami", data=data, headers={"Expect": "100-continue"})
            assert "alice" in answer.json()["user"]


@pytest.mark.parametrize(
    ("middle", "message"),
    [
        (refused("NTLM"), "does not answer NTLM with NTLM"),
        (refused("NTLM !!"), "cannot be understood"),
        (replace(_SECOND, headers=[*_SECOND.headers, ("Connection", "close")]), "closes each"),
        (replace(_SECOND, body=b"x" * 50_000, endless=True), "longer than 1 MiB"),
    ],
)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_ends_a_login_is_an_error_of_requests_and_of_ours(
    scheme: str, middle: Answer, message: str
) -> None:
    with _serving(_Ntlm(middle=middle)) as server:
        with pytest.raises(SchemeNotOffered, match=message) as caught:
            _session(server, scheme).get("a")

        assert isinstance(caught.value, requests.HTTPError)
        assert caught.value.response is not None
        assert caught.value.exit_code == 4
        assert _attempts(server) == 0


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_refusal_that_closes_the_connection_counts_all_the_same(scheme: str) -> None:
    verdict = Answer(401, [("WWW-Authenticate", "NTLM"), ("Connection", "close")])
    with _serving(_Ntlm(takes=False, verdict=verdict)) as server:
        mi = _session(server, scheme)
        for _ in range(3):
            with pytest.raises(LoginRefused, match="refused the login of bob"):
                mi.get("a")

        assert _attempts(server) == 1


_OFFERS = {
    "before": ("Basic realm=Granta MI", "Negotiate", "NTLM"),
    "after": ("Negotiate", "NTLM", "Basic realm=Granta MI"),
    "open quote": ('Basic realm="Granta MI', "NTLM"),
    "twice": ("Bearer realm=a, realm=b", "NTLM"),
    "one line": ('Basic realm=Granta MI, charset="UTF-8", NTLM',),
    "too long": ("X " + "x" * 20_000, "NTLM"),
    "no scheme": ("=", "NTLM"),
}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("lines", _OFFERS.values(), ids=_OFFERS)
def test_a_malformed_challenge_hides_no_other(scheme: str, lines: tuple[str, ...]) -> None:
    server = _Ntlm(asks=refused(*lines))
    with _serving(server) as running:
        assert _session(running, scheme).get("a").ok

    assert _attempts(running) == 1


def test_a_challenge_of_basic_whose_realm_is_malformed_is_answered() -> None:
    login = basic("bob", "pw")
    with echo(wants(login, "Basic realm=Granta MI")) as server:
        assert _session(server, "credentials").get("a").ok

    assert server.authorizations == [None, login]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_password_that_has_changed_is_tried_once_by_sixteen_threads(scheme: str) -> None:
    """What was proven at the start says nothing about a connection that is made later."""
    with _serving(_Ntlm()) as server:
        mi = _session(server, scheme)
        assert mi.get("a").ok
        mi.close()
        server.answers = _Ntlm(takes=False)

        def attempt(_: int) -> None:
            with pytest.raises(LoginRefused):
                mi.get("a")

        together(16, attempt)

        assert _attempts(server) == 1 + 1
