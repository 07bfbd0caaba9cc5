"""The listener: broken clients, threads, TLS, the end."""

import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
import trustme
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gatepass.sandbox import Server
from gatepass.sandbox._server.login import ConnectionLogin

DEADLINE = 20.0  # seconds until a test gives up; nothing takes that long


@contextmanager
def raw(server: Server) -> Iterator[socket.socket]:
    """A bare TCP connection to the server."""
    address = ("127.0.0.1", urlsplit(server.url).port)
    with socket.create_connection(address, DEADLINE) as connection:
        yield connection


def talk(server: Server, wire: bytes, *, end: bool = True) -> bytes:
    """Send bytes on a new connection, end our side, and return all until the server ends its."""
    received = b""
    with raw(server) as connection:
        try:
            connection.sendall(wire)
            if end:
                connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65536):
                received += piece
        except TimeoutError:
            raise
        except OSError:
            pass  # the server may close before it has read all of it (reset, or not connected)
    return received


def is_well(server: Server) -> bool:
    return b" 200 OK" in talk(server, b"GET /mi_servicelayer/ HTTP/1.0\r\n\r\n")


@pytest.mark.parametrize(
    ("wire", "status"),
    [
        (b"\x00\xff garbage\r\n\r\n", b"400"),
        (b"GET / HTTP/9.9\r\n\r\n", b"505"),
        (b"BREW / HTTP/1.1\r\n\r\n", b"501"),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", b"431"),
        (b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", b"400"),
    ],
)
def test_a_malformed_request_is_refused_and_not_recorded(
    open_server: Server, capfd: pytest.CaptureFixture[str], wire: bytes, status: bytes
) -> None:
    """... and the connection ends, the server lives on, and nothing is printed."""
    assert b"Error code: " + status in talk(open_server, wire, end=False)
    assert open_server.requests == ()
    assert is_well(open_server)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        b"GET",
        b"GET / HTTP/1.1\r\nHost:",
        b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: " + b"x" * 100_000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc",
    ],
)
def test_a_request_that_breaks_off_or_is_too_long_leaves_the_server_well(
    open_server: Server, capfd: pytest.CaptureFixture[str], wire: bytes
) -> None:
    talk(open_server, wire)
    assert open_server.requests == ()
    assert is_well(open_server)
    assert capfd.readouterr() == ("", "")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.one_of(
        st.binary(max_size=300),
        st.binary(max_size=100).map(lambda tail: b"POST /mi_servicelayer/ HTTP/1.1\r\n" + tail),
        st.binary(max_size=100).map(lambda path: b"GET " + path + b" HTTP/1.1\r\n\r\n"),
    )
)
@example(b"GET http://[ HTTP/1.1\r\n\r\n")
def test_no_bytes_whatever_are_too_much(server: Server, wire: bytes) -> None:
    """... the fixture's end raises what the server's threads would otherwise have hidden."""
    talk(server, wire)


def test_the_fixture_s_end_does_raise_a_mistake_of_the_server_itself() -> None:
    class OwnMistake(Exception):
        pass

    class Broken:
        def new_connection_login(self) -> ConnectionLogin:
            raise OwnMistake

    def run() -> None:
        with Server(mode="open") as server:
            server._run.listener.login = Broken()
            # The thread keeps its mistake before it closes the connection: it is there by now.
            assert talk(server, b"GET / HTTP/1.1\r\n\r\n") == b""

    with pytest.raises(OwnMistake):
        run()


def test_requests_that_arrive_together_are_answered_in_turn(open_server: Server) -> None:
    one = b"POST /mi_servicelayer/ HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
    assert talk(open_server, one * 3).count(b" 200 OK") == 3
    assert [seen.number for seen in open_server.requests] == [1, 2, 3]


def test_a_client_that_waits_for_100_continue_gets_it(open_server: Server) -> None:
    with raw(open_server) as connection:
        connection.sendall(
            b"POST /mi_servicelayer/ HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"abc")
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")


def test_one_client_that_says_nothing_keeps_no_other_waiting(open_server: Server) -> None:
    with raw(open_server):
        assert is_well(open_server)


def test_it_listens_on_127_0_0_1_only(open_server: Server) -> None:
    assert urlsplit(open_server.url).hostname == "127.0.0.1"
    assert open_server._run.listener.socket.getsockname()[0] == "127.0.0.1"


def test_the_end_closes_all_connections_and_threads_and_frees_the_port(
    client: requests.Session,
) -> None:
    before = set(threading.enumerate())
    with Server(mode="open") as server, raw(server) as silent:
        client.get(server.url)  # stays open for the next request
        port = urlsplit(server.url).port
        assert port is not None
        running = set(threading.enumerate()) - before
        assert len(running) >= 2
        server.__exit__(None, None, None)
        assert not any(thread.is_alive() for thread in running)
        assert silent.recv(1) == b""
        with Server(mode="open", port=port) as second:
            assert is_well(second)


def test_the_end_may_come_twice() -> None:
    with Server(mode="open") as server:
        server.__exit__(None, None, None)


def test_a_taken_port_is_an_error(open_server: Server) -> None:
    port = urlsplit(open_server.url).port
    assert port is not None
    with pytest.raises(OSError, match="in use"), Server(mode="open", port=port):
        pass
    assert is_well(open_server)


def test_records_stay_readable_after_the_end_and_a_new_run_has_none(
    client: requests.Session,
) -> None:
    server = Server(users={"alice": "sesame"})
    with server:
        client.get(server.url, auth=("alice", "wrong"))
    assert (len(server.requests), server.attempts("alice")) == (1, 1)
    with server:
        assert (server.requests, server.attempts("alice")) == ((), 0)


def test_a_server_does_not_run_twice_at_once(open_server: Server) -> None:
    with pytest.raises(RuntimeError, match="runs already"), open_server:
        pass
    assert is_well(open_server)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A certificate authority's file, and certificate and key for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    issued.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    return folder / "ca.pem", folder / "cert.pem", folder / "key.pem"


def test_it_speaks_tls_with_the_certificate_given(
    client: requests.Session, certificate: tuple[Path, Path, Path]
) -> None:
    authority, chain, key = certificate
    with Server(users={"alice": "sesame"}, certificate=(chain, key)) as server:
        assert server.url.startswith("https://")
        with pytest.raises(requests.exceptions.SSLError):
            client.get(server.url, auth=("alice", "sesame"))
        client.verify = str(authority)
        answers = [client.get(server.url, auth=("alice", "sesame")) for _ in range(2)]
        assert [answer.json()["user"] for answer in answers] == ["alice", "alice"]
        assert [seen.number for seen in server.requests] == [1, 2]


def test_a_client_without_tls_or_without_a_word_keeps_no_other_waiting(
    client: requests.Session,
    certificate: tuple[Path, Path, Path],
    capfd: pytest.CaptureFixture[str],
) -> None:
    authority, chain, key = certificate
    client.verify = str(authority)
    with Server(mode="open", certificate=(chain, key)) as server, raw(server) as silent:
        assert b"200 OK" not in talk(server, b"GET / HTTP/1.1\r\n\r\n")
        assert client.get(server.url).status_code == 200
        server.__exit__(None, None, None)
        assert silent.recv(1) == b""
    assert capfd.readouterr() == ("", "")


def test_a_broken_certificate_is_an_error_before_the_port_is_taken(
    certificate: tuple[Path, Path, Path], client: requests.Session
) -> None:
    _, chain, _ = certificate
    with pytest.raises(ssl.SSLError), Server(mode="open", certificate=(chain, chain)):
        pass
    assert client.adapters


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT cannot be sent to one process there")
def test_ctrl_c_ends_it_cleanly() -> None:
    """... with a connection open, and without a warning or a traceback of a thread."""
    program = """
import sys
from gatepass.sandbox import Server
from gatepass.sandbox._server.login import ConnectionLogin
try:
    with Server(mode="open") as server:
        print(server.url, flush=True)
        while True:
            sys.stdin.readline()  # waits: the test writes nothing
except KeyboardInterrupt:
    print("stopped", flush=True)
"""
    argv = [sys.executable, "-X", "dev", "-W", "error", "-c", program]
    with subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with requests.Session() as session:
            session.trust_env = False
            session.get(url)
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=DEADLINE)
    assert (output, errors, process.returncode) == ("stopped\n", "", 0)


def test_starting_looks_up_no_name() -> None:
    """... as http.server does with this machine's, which may take seconds."""
    program = """
import sys
sys.addaudithook(lambda event, _: print(event) if event.startswith("socket.gethost") else None)
from gatepass.sandbox import Server
with Server(mode="open"):
    print("up")
"""
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert output.stdout == "up\n"


def test_no_answer_waits_for_an_acknowledgement_of_its_head(
    open_server: Server, client: requests.Session
) -> None:
    """... which delayed acknowledgements would turn into 40 ms for each request."""
    client.get(open_server.url)
    (connection,) = open_server._run.listener._open.values()
    assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_importing_the_package_loads_no_server() -> None:
    """... so that a program which only names a mode does not pay for http.server."""
    program = "import sys, gatepass.sandbox; print(sorted({'http.server', 'ssl'} & {*sys.modules}))"
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert output.stdout == "[]\n"
