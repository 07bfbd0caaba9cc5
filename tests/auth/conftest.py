"""Sessions at real servers that ask for Windows logins."""

from collections.abc import Callable
from typing import Any

import pytest

from gatepass._session.session import Session
from gatepass._system.context import RunContext
from tests.support.peers.apache import Apache
from tests.support.peers.ca import CertificateAuthority
from tests.support.peers.kdc import Kdc
from tests.support.peers.need import need_gssapi
from tests.support.sessions import profile_for

Make = Callable[..., Session]


@pytest.fixture
def make(
    windows_apache: Apache,
    ca: CertificateAuthority,
    kdc: Kdc,
    monkeypatch: pytest.MonkeyPatch,
) -> Make:
    """Return a function that builds alice's session at a room of Apache."""
    need_gssapi()
    for name, value in kdc.environ(kdc.ccache()).items():
        monkeypatch.setenv(name, value)  # read by the Kerberos library, not by us

    def session(scheme: str, room: str, *, password: str = "pw-alice", **keys: Any) -> Session:
        place = windows_apache.room(room)
        auth: dict[str, Any] = keys.pop("auth", {})
        if scheme in {"ntlm", "basic", "credentials"}:
            auth = {"user_name": "alice", "domain": "CORP", "password": password, **auth}
        url = place.http if keys.pop("plain", False) else place.https
        profile = profile_for(url, scheme, auth=auth, tls={"ca_file": str(ca.ca_file)}, **keys)
        return Session._from_checked(profile, RunContext.of(environ={}))

    return session
