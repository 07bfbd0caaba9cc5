"""Behind an nginx that ends TLS: what works there, and what is said where it does not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from urllib3.util.connection import is_connection_dropped

from gatepass._session.exceptions import LoginRefused
from gatepass._session.session import Session
from gatepass._system.context import RunContext
from tests.support.peers import nginx as nginx_peer
from tests.support.peers.apache import Apache
from tests.support.peers.ca import CertificateAuthority
from tests.support.peers.epa import EpaServer
from tests.support.peers.kdc import Kdc
from tests.support.peers.need import need_gssapi
from tests.support.peers.nginx import Nginx
from tests.support.peers.waiting import wait_for
from tests.support.sessions import profile_for


@pytest.fixture(scope="module")
def balancer(
    peers_folder: Path,
    ca: CertificateAuthority,
    other_ca: CertificateAuthority,
    windows_apache: Apache,
    running_epa_server: EpaServer,
) -> Iterator[Nginx]:
    """Nginx before an Apache, by HTTP/1.1 and by 1.0, and before a server that wants a binding."""
    apache = windows_apache.room("mixed").http
    kept = {"kept": apache, "epa": running_epa_server.url}
    plain = {"spread": apache}
    with nginx_peer.nginx(peers_folder / "nginx", other_ca, ca, kept=kept, plain=plain) as standing:
        yield standing


@pytest.fixture(autouse=True)
def _ticket(kdc: Kdc, monkeypatch: pytest.MonkeyPatch) -> None:
    need_gssapi()
    for name, value in kdc.environ(kdc.ccache()).items():
        monkeypatch.setenv(name, value)


def _session(url: str, ca: CertificateAuthority, scheme: str, **auth: Any) -> Session:
    if scheme != "autologon":
        auth |= {"user_name": "alice", "domain": "CORP", "password": "pw-alice"}
    keys: dict[str, Any] = {"tls": {"ca_file": str(ca.ca_file)}, "check_path": "cgi/whoami"}
    profile = profile_for(url, scheme, auth=auth, retries=0, **keys)
    return Session._from_checked(profile, RunContext.of(environ={}))


@pytest.mark.parametrize("scheme", ["basic", "ntlm", "credentials", "autologon"])
def test_a_login_goes_through_and_is_made_anew_on_each_connection_that_has_idled(
    balancer: Nginx, other_ca: CertificateAuthority, scheme: str
) -> None:
    """Nginx closes what has idled for a second, and does not say so before."""
    with _session(balancer.urls["kept"], other_ca, scheme) as mi:
        for _ in range(2):
            response = mi.get("cgi/whoami", stream=True)
            connection: Any = response.raw.connection
            assert "alice" in response.json()["user"]
            wait_for(lambda: is_connection_dropped(connection), 20, "nginx closes")  # noqa: B023
        assert mi.get("cgi/whoami").ok


@pytest.mark.parametrize(
    ("name", "scheme"), [("spread", "ntlm"), ("spread", "credentials"), ("epa", "ntlm")]
)
def test_a_login_that_the_balancer_breaks_is_told_with_its_name(
    balancer: Nginx, other_ca: CertificateAuthority, name: str, scheme: str
) -> None:
    with (
        _session(balancer.urls[name], other_ca, scheme) as mi,
        pytest.raises(LoginRefused) as caught,
    ):
        mi.get("cgi/whoami")

    assert "channel_binding = false" in caught.value.hint
    assert "something stands in between (Server: nginx" in caught.value.hint


@pytest.mark.parametrize(("name", "status"), [("dead", 502), ("silent", 504)])
@pytest.mark.parametrize("scheme", ["basic", "ntlm", "autologon"])
def test_an_answer_of_the_balancer_itself_proves_nothing(
    balancer: Nginx, other_ca: CertificateAuthority, name: str, status: int, scheme: str
) -> None:
    with _session(balancer.urls[name], other_ca, scheme) as mi:
        result = mi.check()

    assert (result.status, result.proven, result.exit_code) == (status, False, 1)
    assert "what stands in front, a balancer or proxy, gets no answer" in result.hint
