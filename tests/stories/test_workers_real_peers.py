"""Logins of connections in forks and workers, against Apache: NTLM and Kerberos over TLS."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from gatepass._session.session import Session
from gatepass.secrets import ref
from tests.auth.conftest import Make
from tests.auth.conftest import make as make  # noqa: PLC0414 - a fixture
from tests.auth.test_handshake import SCHEMES
from tests.support import worker_tasks
from tests.support.forks import in_child
from tests.support.peers.apache import Apache
from tests.support.peers.ca import CertificateAuthority
from tests.support.pools import pool

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
]


def _who(mi: Session) -> str:
    """Ask once without a body and once with one; return whom the server sees."""
    first = mi.get("cgi/whoami").json()
    second = mi.post("cgi/whoami", data=b"body").json()
    assert (second["user"], second["body_bytes"]) == (first["user"], 4)
    return str(first["user"])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_parent_and_child_each_log_on_their_own_connection(
    make: Make, windows_apache: Apache, scheme: str
) -> None:
    """Two processes on one connection would break its TLS, or act as each other."""
    mi = make(scheme, "windows")
    start = windows_apache.mark()
    assert "alice" in _who(mi)
    before = windows_apache.log_since(start)
    middle = windows_apache.mark()

    assert "alice" in in_child(lambda: _who(mi))
    of_child = windows_apache.log_since(middle)
    end = windows_apache.mark()
    assert "alice" in _who(mi)
    after = windows_apache.log_since(end)

    assert not {line.connection for line in before} & {line.connection for line in of_child}
    assert {line.connection for line in after} == {line.connection for line in before}
    assert [line.status for line in after] == [200, 200], "the parent is still logged on"


@pytest.mark.parametrize("scheme", ["ntlm", "credentials"])  # Kerberos: see the page on workers
def test_forks_in_the_middle_of_handshakes_disturb_nobody(make: Make, scheme: str) -> None:
    """Without TLS: a lock of OpenSSL that a thread held stays locked, see the page on workers."""
    mi = make(scheme, "windows", plain=True, allow_http=True)
    assert "alice" in _who(mi)
    done = Event()

    def log_on() -> int:
        count = 0
        while not done.is_set():
            mi.close()  # so that the next request begins a handshake
            assert "alice" in mi.get("cgi/whoami").json()["user"]
            count += 1
        return count

    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(log_on)
        try:
            found = [in_child(lambda: _who(mi)) for _ in range(6)]
        finally:
            done.set()
        assert running.result() > 0

    assert {"alice" in user for user in found} == {True}


def test_a_worker_logs_on_by_ntlm_with_a_secret_of_its_own(
    windows_apache: Apache, ca: CertificateAuthority, tmp_path: Path
) -> None:
    mi = Session(
        windows_apache.windows.https,
        user_name="alice",
        password=ref("env:MI_PASSWORD"),
        domain="CORP",
        tls={"ca_file": str(ca.ca_file)},
        environ={"MI_PASSWORD": "not that one"},
    )

    with pool("multiprocessing spawn", tmp_path, {"MI_PASSWORD": "pw-alice"}) as worker:
        code, where, _ = worker(worker_tasks.status, mi, "cgi/whoami")

    assert (code, where == worker_tasks.where()) == (200, False)
