"""The listener of the sandbox: threads, TLS, and clients that say nothing."""

import socket
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from gatepass.sandbox import Server
from tests.support.server_wire import is_well, raw, talk


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
    assert open_server._listener.socket.getsockname()[0] == "127.0.0.1"


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


def test_a_taken_port_is_an_error(open_server: Server) -> None:
    port = urlsplit(open_server.url).port
    assert port is not None
    with pytest.raises(OSError, match="in use"), Server(mode="open", port=port):
        pass
    assert is_well(open_server)


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
    (connection,) = open_server._listener._open.values()
    assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
