"""Logins that are bound to the TLS connection: the sandbox, and the peer that judges Kerberos too.

Somebody in between, with a certificate that the client trusts, is a relay here: it ends TLS and
passes everything on.
"""

import http.client
import ssl
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
import spnego
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from spnego._ntlm_raw.messages import AvId, Challenge
from spnego.channel_bindings import GssChannelBindings

from gatepass._session.exceptions import LoginRefused
from gatepass._session.session import Session
from gatepass._system.context import RunContext
from gatepass.sandbox import Server
from gatepass.sandbox._accounts import Accounts
from gatepass.sandbox._server.login import ConnectionLogin, LoginContext, login_for
from tests.support.peers.ca import Certificate, CertificateAuthority
from tests.support.peers.epa import USERS as EPA_USERS
from tests.support.peers.epa import EpaServer
from tests.support.peers.kdc import Kdc
from tests.support.peers.need import need_gssapi
from tests.support.sessions import profile_for

USERS = {r"CORP\alice": "pw-alice"}
NAME, PASSWORD = r"CORP\alice", "pw-alice"
UNBOUND = "the login is not bound to this TLS connection (channel binding)"


def session(url: str, scheme: str, ca_file: Path, **keys: Any) -> Session:
    auth = dict(keys)
    if scheme != "autologon":
        auth |= {"user_name": "alice", "domain": "CORP", "password": PASSWORD} | keys
    profile = profile_for(url, scheme, auth=auth, tls={"ca_file": str(ca_file)}, retries=0)
    return Session._from_checked(profile, RunContext.of(environ={}))


@pytest.fixture
def certificate(ca: CertificateAuthority) -> Certificate:
    return ca.server


def serve(certificate: Certificate, mode: str = "windows") -> Server:
    pair = (certificate.chain, certificate.key)
    return Server(mode=mode, users=USERS, certificate=pair, channel_binding=True)


class Relay(NamedTuple):
    """Somebody in between."""

    url: str
    ca_file: Path


Between = Callable[[str], Relay]


class _Passing(BaseHTTPRequestHandler):
    """Passes requests on, over one connection for each of the client's."""

    protocol_version = "HTTP/1.1"
    upstream: Callable[[], http.client.HTTPSConnection]

    def setup(self) -> None:
        super().setup()
        self._server = type(self).upstream()

    def do_GET(self) -> None:
        self._server.request("GET", self.path, headers=dict(self.headers.items()))
        answer = self._server.getresponse()
        content = answer.read()
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def finish(self) -> None:
        self._server.close()
        super().finish()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in http.server
        """Print nothing."""


@contextmanager
def relay(target: str, ca_file: Path, folder: Path) -> Iterator[Relay]:
    """Stand before a server, with a certificate of another authority."""
    authority, parts = trustme.CA(), urlsplit(target)
    authority.cert_pem.write_to_path(folder / "other-ca.pem")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(tls)
    trusting = ssl.create_default_context(cafile=ca_file)

    class Passing(_Passing):
        @staticmethod
        def upstream() -> http.client.HTTPSConnection:
            return http.client.HTTPSConnection(parts.netloc, context=trusting, timeout=20)

    with ThreadingHTTPServer(("127.0.0.1", 0), Passing) as server:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            url = parts._replace(netloc=f"localhost:{server.server_port}").geturl()
            yield Relay(url, folder / "other-ca.pem")
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def between(ca: CertificateAuthority, tmp_path: Path) -> Iterator[Between]:
    """Return a function that stands a relay before a server."""
    open_relays = []

    def stand(target: str) -> Relay:
        open_relays.append(relay(target, ca.ca_file, tmp_path))
        return open_relays[-1].__enter__()

    yield stand
    for each in open_relays:
        each.__exit__(None, None, None)


# ------------------------------------------------------------- the sandbox


@pytest.mark.parametrize("mode", ["windows", "mixed"])
@pytest.mark.parametrize("scheme", ["ntlm", "credentials"])
def test_the_sandbox_lets_in_who_is_bound(
    ca: CertificateAuthority, certificate: Certificate, mode: str, scheme: str
) -> None:
    with serve(certificate, mode) as server, session(server.url, scheme, ca.ca_file) as mi:
        assert [mi.get("x").json()["user"] for _ in range(3)] == [NAME] * 3
        assert [each.status for each in server.requests] == [401, 401, 200, 200, 200]


@pytest.mark.parametrize("scheme", ["ntlm", "credentials"])
def test_the_sandbox_refuses_who_is_not_bound_and_counts_no_attempt(
    ca: CertificateAuthority, certificate: Certificate, scheme: str
) -> None:
    with (
        serve(certificate) as server,
        session(server.url, scheme, ca.ca_file, channel_binding=False) as mi,
    ):
        with pytest.raises(LoginRefused) as caught:
            mi.get("x")
        assert caught.value.response is not None
        assert caught.value.response.json()["error"] == UNBOUND
        assert server.attempts(NAME) == 0


def test_the_sandbox_refuses_a_login_that_somebody_passes_on(
    certificate: Certificate, between: Between
) -> None:
    with serve(certificate) as server:
        there = between(server.url)
        with session(there.url, "ntlm", there.ca_file) as mi, pytest.raises(LoginRefused) as caught:
            mi.get("x")
        assert caught.value.response is not None
        assert caught.value.response.json()["error"] == UNBOUND


def test_somebody_in_between_passes_where_nobody_asks_for_a_binding(
    certificate: Certificate, between: Between
) -> None:
    """... so that it is the binding which stops it above."""
    pair = (certificate.chain, certificate.key)
    with Server(mode="windows", users=USERS, certificate=pair) as server:
        there = between(server.url)
        with session(there.url, "ntlm", there.ca_file) as mi:
            assert mi.get("x").json()["user"] == NAME


def test_a_wrong_password_counts_also_where_it_is_bound(
    ca: CertificateAuthority, certificate: Certificate
) -> None:
    with (
        serve(certificate) as server,
        session(server.url, "ntlm", ca.ca_file, password="wrong") as mi,
    ):
        with pytest.raises(LoginRefused):
            mi.get("x")
        assert server.attempts(NAME) == 1


def test_basic_is_never_bound(ca: CertificateAuthority, certificate: Certificate) -> None:
    auth = {"user_name": "alice", "domain": "CORP", "password": PASSWORD}
    with serve(certificate, "mixed") as server:
        profile = profile_for(server.url, auth=auth, tls={"ca_file": str(ca.ca_file)})
        with Session._from_checked(profile, RunContext.of(environ={})) as mi:
            assert mi.get("x").json()["user"] == NAME


@pytest.mark.parametrize("mode", ["open", "standalone", "windows"])
def test_a_binding_that_cannot_be_is_refused_at_once(certificate: Certificate, mode: str) -> None:
    pair = None if mode == "windows" else (certificate.chain, certificate.key)
    with pytest.raises(ValueError, match="channel_binding takes a certificate and windows or mix"):
        Server(mode=mode, certificate=pair, channel_binding=True)


# ------------------------------------------------------------- single messages


def begin(certificate: Path) -> ConnectionLogin:
    context = LoginContext(Accounts(USERS, None), certificate, channel_binding=True)
    return login_for("windows", context).new_connection_login()


def answer_of(connection: ConnectionLogin, context: Any, change: Any = lambda token: token) -> Any:
    first = connection.authenticate(f"NTLM {b64encode(context.step()).decode()}")
    token = change(b64decode(first.challenges[0].partition(" ")[2]))
    return connection.authenticate(f"NTLM {b64encode(context.step(token)).decode()}")


def client(bindings: GssChannelBindings | None = None) -> Any:
    return spnego.client(
        NAME,
        PASSWORD,
        protocol="ntlm",
        options=spnego.NegotiateOptions.use_ntlm,
        channel_bindings=bindings,
    )


def _with_zeros(token: bytes) -> bytes:
    """Make the client send what Windows sends for no binding (MS-NLMP, 3.1.5.1.2)."""
    challenge = Challenge.unpack(token)
    assert challenge.target_info is not None
    challenge.target_info[AvId.channel_bindings] = bytes(16)
    pairs = challenge.target_info
    flags, name = challenge.flags, challenge.target_name
    return Challenge(flags, challenge.server_challenge, target_name=name, target_info=pairs).pack()


def test_a_binding_of_zeros_is_none(certificate: Certificate) -> None:
    assert answer_of(begin(certificate.chain), client(), _with_zeros).reason == UNBOUND


def test_old_ntlm_cannot_be_bound(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LM_COMPAT_LEVEL", "2")  # makes pyspnego's client send NTLMv1
    context = client()
    monkeypatch.delenv("LM_COMPAT_LEVEL")

    assert answer_of(begin(certificate.chain), context).reason == UNBOUND


@pytest.mark.parametrize("algorithm", [None, hashes.SHA256(), hashes.SHA384()])
def test_the_hash_is_that_of_the_certificates_signature(tmp_path: Path, algorithm: Any) -> None:
    """... and SHA-256 where that has none (RFC 5929, section 4.1)."""
    own = _signed_by(algorithm)
    (tmp_path / "own.pem").write_bytes(own.public_bytes(Encoding.PEM))
    data = b"tls-server-end-point:" + own.fingerprint(algorithm or hashes.SHA256())

    bound = client(GssChannelBindings(application_data=data))

    assert answer_of(begin(tmp_path / "own.pem"), bound).admitted


def _signed_by(algorithm: Any) -> x509.Certificate:
    key: Any = (
        ec.generate_private_key(ec.SECP256R1()) if algorithm else Ed25519PrivateKey.generate()
    )
    now = datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    own = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    return own.sign(key, algorithm)


# ------------------------------------------------------------- the peer


@pytest.fixture
def tickets(kdc: Kdc, monkeypatch: pytest.MonkeyPatch) -> None:
    """Alice is logged on at this computer."""
    need_gssapi()
    for name, value in kdc.environ(kdc.ccache()).items():
        monkeypatch.setenv(name, value)  # read by the Kerberos library, not by us


SCHEMES = ("ntlm", "credentials", "autologon")
PROTOCOL = {"ntlm": "ntlm", "credentials": "ntlm", "autologon": "kerberos"}


@pytest.mark.usefixtures("tickets")
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_peer_lets_in_who_is_bound(
    epa_server: EpaServer, ca: CertificateAuthority, scheme: str
) -> None:
    with session(epa_server.url, scheme, ca.ca_file) as mi:
        answered = [mi.get("x").json() for _ in range(3)]

    assert {each["protocol"] for each in answered} == {PROTOCOL[scheme]}
    assert all("alice" in each["user"] for each in answered)
    assert not epa_server.refused
    assert epa_server.accepted[PROTOCOL[scheme]] >= 1


@pytest.mark.usefixtures("tickets")
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_peer_refuses_who_is_not_bound(
    epa_server: EpaServer, ca: CertificateAuthority, scheme: str
) -> None:
    mi = session(epa_server.url, scheme, ca.ca_file, channel_binding=False)
    with mi, pytest.raises(LoginRefused):
        mi.get("x")

    assert epa_server.unbound == epa_server.refused == {PROTOCOL[scheme]: 1}
    assert not epa_server.accepted


@pytest.mark.usefixtures("tickets")
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_peer_refuses_a_login_that_somebody_passes_on(
    epa_server: EpaServer, between: Between, scheme: str
) -> None:
    there = between(epa_server.url)
    with session(there.url, scheme, there.ca_file) as mi, pytest.raises(LoginRefused):
        mi.get("x")

    assert epa_server.unbound == epa_server.refused == {PROTOCOL[scheme]: 1}


def test_the_peer_knows_names_beyond_ascii_and_reads_bodies(
    epa_server: EpaServer, ca: CertificateAuthority
) -> None:
    password = EPA_USERS[r"CORP\zoë"]
    with session(epa_server.url, "ntlm", ca.ca_file, user_name="zoë", password=password) as mi:
        answered = mi.post("x", data=iter([b"bo", b"dy"])).json()

    assert (answered["user"], answered["body_bytes"]) == (r"CORP\zoë", 4)


def test_the_peer_refuses_a_wrong_password(epa_server: EpaServer, ca: CertificateAuthority) -> None:
    mi = session(epa_server.url, "ntlm", ca.ca_file, password="wrong")
    with mi, pytest.raises(LoginRefused):
        mi.get("x")

    assert (epa_server.refused, epa_server.unbound) == ({"ntlm": 1}, {})
