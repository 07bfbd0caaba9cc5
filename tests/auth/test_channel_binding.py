"""Logins that are bound to their TLS connection, against an acceptor that demands it."""

import asyncio
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
import trustme

from gatepass._session.exceptions import LoginRefused
from gatepass._session.session import Session
from gatepass._system.context import RunContext
from tests.support.peers.ca import CertificateAuthority
from tests.support.peers.epa import EpaServer
from tests.support.peers.kdc import Kdc
from tests.support.peers.need import need_gssapi
from tests.support.sessions import profile_for

SCHEMES = ("ntlm", "credentials", "autologon")


def _session(url: str, ca_file: Path, scheme: str, *, binding: bool = True) -> Session:
    auth: dict[str, Any] = {"channel_binding": binding}
    if scheme != "autologon":
        auth |= {"user_name": "alice", "domain": "CORP", "password": "pw-alice"}
    profile = profile_for(url, scheme, auth=auth, tls={"ca_file": str(ca_file)})
    return Session._from_checked(profile, RunContext.of(environ={}))


@pytest.fixture(autouse=True)
def _ticket(kdc: Kdc, monkeypatch: pytest.MonkeyPatch) -> None:
    need_gssapi()
    for name, value in kdc.environ(kdc.ccache()).items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_server_that_demands_the_binding_gets_it(
    epa_server: EpaServer, ca: CertificateAuthority, scheme: str
) -> None:
    mi = _session(epa_server.url, ca.ca_file, scheme)
    for _ in range(3):
        assert "alice" in mi.get("whoami").text.lower()

    assert sum(epa_server.refused.values()) == 0
    assert sum(epa_server.unbound.values()) == 0


@pytest.mark.parametrize("scheme", SCHEMES)
def test_without_the_binding_such_a_server_refuses(
    epa_server: EpaServer, ca: CertificateAuthority, scheme: str
) -> None:
    """This is what the key is for to switch off, behind a balancer that ends TLS."""
    with pytest.raises(LoginRefused):
        _session(epa_server.url, ca.ca_file, scheme, binding=False).get("whoami")

    assert sum(epa_server.refused.values()) == 1


Between = Callable[[str], str]


@pytest.fixture
def between(ca: CertificateAuthority, tmp_path: Path) -> Iterator[Between]:
    """Return what stands before a server, and ends TLS with a certificate of its own."""
    authority, loop = trustme.CA(), asyncio.new_event_loop()
    standing: asyncio.Server
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    own, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(own)
    trusting.load_verify_locations(ca.ca_file)

    async def pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                sink.write(data)
        finally:
            sink.transport.abort()

    async def end() -> None:
        standing.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def stand(target: str) -> int:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there = await asyncio.open_connection("localhost", urlsplit(target).port, ssl=trusting)
            await asyncio.gather(pass_on(reader, there[1]), pass_on(there[0], writer))

        nonlocal standing
        standing = await asyncio.start_server(serve, "127.0.0.1", ssl=own)
        return cast("int", standing.sockets[0].getsockname()[1])

    def before(target: str) -> str:
        port = asyncio.run_coroutine_threadsafe(stand(target), loop).result(20)
        return urlsplit(target)._replace(netloc=f"localhost:{port}").geturl()

    thread = Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield before
    asyncio.run_coroutine_threadsafe(end(), loop).result(20)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_login_that_somebody_passes_on_is_refused(
    epa_server: EpaServer, between: Between, tmp_path: Path, scheme: str
) -> None:
    """Somebody in between whom the client trusts, such as a proxy that looks into TLS."""
    mi = _session(between(epa_server.url), tmp_path / "ca.pem", scheme)
    with mi, pytest.raises(LoginRefused):
        mi.get("whoami")

    assert sum(epa_server.unbound.values()) == sum(epa_server.refused.values()) == 1
