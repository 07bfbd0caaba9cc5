"""All messages of a handshake take one connection, and no page is read without end."""

import dataclasses
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from threading import Event
from typing import Any

import pytest
import requests
from requests import PreparedRequest, Response
from requests.cookies import RequestsCookieJar

from gatepass._net.proxy import Proxy
from gatepass._net.tls import Trust
from gatepass._session.adapter import Network, Transport
from gatepass._session.exceptions import LoginRefused
from gatepass.auth._handshake import Handshake, drain
from gatepass.errors import GatepassError
from tests.auth.oidc.test_http import drips, raw_server
from tests.net.test_tls import server_side
from tests.support.echo import Answer, Echo, Seen, echo, refused
from tests.support.peers.ca import CertificateAuthority
from tests.support.sessions import session_for


@contextmanager
def _way(ca: CertificateAuthority, *, tls: bool, proxy: bool) -> Iterator[tuple[Echo, Transport]]:
    """A server, and a transport with one connection to it: plain or TLS, with a proxy or not."""
    with ExitStack() as stack:
        context = server_side(ca.server, ca.ca_file) if tls else None
        server = stack.enter_context(echo(tls=context))
        between = stack.enter_context(echo()) if proxy else None
        network = Network(
            environ={},
            trust=Trust((str(ca.ca_file),), system=False),
            proxy=Proxy(url=between.root if between else "none"),
        )
        transport = Transport(network, connections=1, repeats=False)
        stack.callback(transport.close)
        yield (server if tls or between is None else between), transport


class _Late:
    """A transport before which something happens to the connection."""

    def __init__(self, transport: Transport, happens: Callable[[], object]) -> None:
        self.gate = transport.gate
        self._transport = transport
        self._happens = happens

    def send(self, request: PreparedRequest, **kwargs: Any) -> Response:
        self._happens()
        return self._transport.send(request, **kwargs)


@pytest.mark.parametrize("how", ["shut", "closed"])
@pytest.mark.parametrize("proxy", [False, True], ids=["direct", "proxy"])
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_a_connection_that_ends_after_the_look_takes_no_message_elsewhere(
    ca: CertificateAuthority, tls: bool, proxy: bool, how: str
) -> None:
    """urllib3 opens a closed connection anew; there the last message counts as a failed login.

    The server closes it, or another thread that calls close() of the session.
    """
    with _way(ca, tls=tls, proxy=proxy) as (server, transport):
        question = requests.Request("GET", f"http{'s' if tls else ''}://localhost:1/").prepare()
        question.headers["Authorization"] = "NTLM message"
        question.url = server.url if tls or not proxy else "http://server.test/"
        login = Handshake(transport, question, RequestsCookieJar())
        first = login.send(question)
        connection: Any = first.raw.connection
        assert first.content == b"ok"

        def end() -> None:
            if how == "closed":
                transport.close()
            else:  # as if the server had closed it just now
                connection.sock.shutdown(socket.SHUT_RDWR)

        login.adapter = _Late(transport, end)
        with pytest.raises(requests.ConnectionError, match="closed in the middle of the login"):
            login.send(question)

        assert (len(server.seen), server.connections) == (1, 1)
        assert transport.send(question).ok, "another request may connect again"


_ENDLESS = Answer(401, body=b"x" * 50_000, endless=True)


_FIRST, _LAST = "NTLM TlRMTVNTUAAB", "NTLM TlRMTVNTUAAD"
_CHALLENGE = (
    "NTLM TlRMTVNTUAACAAAACAAIADgAAAAFgomi3hSnuNX7hIYAAAAAAAAAACQAJABAAAAABgGxHQAAAA9EAE8ATQBBAAIA"
    "CABEAE8ATQBBAAEACABEAE8ATQBBAAAAAAA="
)


def _endless(*challenges: str) -> Answer:
    headers = [("WWW-Authenticate", challenge) for challenge in challenges]
    return dataclasses.replace(_ENDLESS, headers=headers)


@dataclass
class _Ntlm:
    """Sends a page without end at one of three places."""

    where: str

    def __call__(self, seen: Seen) -> Answer:
        sent = seen.authorization or ""
        if sent.startswith(_LAST):
            return _endless("NTLM") if self.where == "verdict" else Answer()
        challenge = _CHALLENGE if sent.startswith(_FIRST) else "NTLM"
        place = "middle" if sent else "question"
        return _endless(challenge) if self.where == place else refused(challenge)


@pytest.mark.parametrize("scheme", ["ntlm", "credentials"])
@pytest.mark.parametrize(
    ("where", "outcome", "attempts"),
    [
        ("question", None, 1),  # the login goes on, over another connection
        ("middle", "longer than 1 MiB.*the login was broken off", 0),
        ("verdict", "refused the login of bob", 1),
    ],
)
def test_a_page_without_end_ends_no_later_than_the_login(
    scheme: str, where: str, outcome: str | None, attempts: int
) -> None:
    with echo(_Ntlm(where)) as server:
        mi = session_for(server.url, scheme, auth={"user_name": "bob", "password": "pw"})
        if outcome is None:
            assert mi.get("a").ok
        else:
            with pytest.raises(GatepassError, match=outcome):
                mi.get("a")

        logins = [sent for sent in server.authorizations if (sent or "").startswith(_LAST)]
        assert len(logins) == attempts


def test_a_refusal_without_end_is_told_with_its_beginning() -> None:
    page = dataclasses.replace(_endless("Basic"), body=b"Your password has expired. " * 1000)
    with (
        echo(lambda _: page) as server,
        pytest.raises(LoginRefused, match="The server says: password has expired") as caught,
    ):
        session_for(server.url).get("a")

    assert caught.value.response is not None
    assert len(caught.value.response.content) == 1 << 20
    assert isinstance(caught.value.request, PreparedRequest)


_HEAD = b"HTTP/1.1 302 Found\r\nLocation: y\r\n"
_SLOW = {
    "announced": drips(_HEAD + b"Content-Length: 400\r\n\r\n", b"x"),
    "until the end": drips(_HEAD + b"Connection: close\r\n\r\n", b"x"),
    "chunks": drips(_HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", b"0\r\n\r\n"),
    "size of a chunk": drips(_HEAD + b"Transfer-Encoding: chunked\r\n\r\n0;", b"x", b"=1\r\n\r\n"),
}


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("how", _SLOW)
def test_a_page_that_drips_is_given_up_at_its_deadline(
    ca: CertificateAuthority, how: str, tls: bool
) -> None:
    """Each drop comes long before a timeout of the socket; whole, the page takes 20 seconds."""
    context = server_side(ca.server, ca.ca_file)

    def speak(connection: socket.socket, over: Event) -> None:
        with context.wrap_socket(connection, server_side=True) if tls else connection as spoken:
            _SLOW[how](spoken, over)

    network = Network({}, trust=Trust((str(ca.ca_file),), system=False), retries=0)
    with raw_server(speak) as url, closing(Transport(network)) as transport:
        request = requests.Request("GET", url.replace("http:", "https:") if tls else url).prepare()
        request.url = (request.url or "").replace("127.0.0.1", "localhost" if tls else "127.0.0.1")
        response = transport.send(request, stream=True)

        assert not drain(response, 0.2)
        assert len(response.content) < 400
        assert response.raw.connection is None
