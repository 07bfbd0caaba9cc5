"""Logins that are bound to their TLS connection, against an acceptor that demands it."""

from typing import Any

import pytest

from gatepass._session.exceptions import LoginRefused
from gatepass._session.session import Session
from gatepass._system.context import RunContext
from tests.support.peers.ca import CertificateAuthority
from tests.support.peers.epa import EpaServer
from tests.support.peers.kdc import Kdc
from tests.support.peers.need import need_gssapi
from tests.support.sessions import profile_for

SCHEMES = ("ntlm", "credentials", "autologon")


def _session(
    server: EpaServer, ca: CertificateAuthority, scheme: str, *, binding: bool = True
) -> Session:
    auth: dict[str, Any] = {"channel_binding": binding}
    if scheme != "autologon":
        auth |= {"user_name": "alice", "domain": "CORP", "password": "pw-alice"}
    profile = profile_for(server.url, scheme, auth=auth, tls={"ca_file": str(ca.ca_file)})
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
    mi = _session(epa_server, ca, scheme)
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
        _session(epa_server, ca, scheme, binding=False).get("whoami")

    assert sum(epa_server.refused.values()) == 1
