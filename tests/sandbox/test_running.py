"""A server of the sandbox runs inside `with`: its start, its end, and the next run."""

import signal
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from gatepass.sandbox import Server
from gatepass.sandbox._server.login import ConnectionLogin
from tests.support.server_wire import DEADLINE, is_well, talk


def test_the_fixture_s_end_does_raise_a_mistake_of_the_server_itself() -> None:
    class OwnMistake(Exception):
        pass

    def broken() -> ConnectionLogin:
        raise OwnMistake

    def run() -> None:
        with Server(mode="open") as server:
            server._listener.login = broken
            # The thread keeps its mistake before it closes the connection: it is there by now.
            assert talk(server, b"GET / HTTP/1.1\r\n\r\n") == b""

    with pytest.raises(OwnMistake):
        run()


def test_the_end_may_come_twice() -> None:
    with Server(mode="open") as server:
        server.__exit__(None, None, None)


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


def test_a_server_that_was_not_started_says_how_to(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="with Server"):
        _ = Server(certificate=(tmp_path / "c", tmp_path / "k")).url
