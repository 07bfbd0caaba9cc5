"""Logins at the sandbox that are bound to the TLS connection."""

from base64 import b64decode, b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import spnego
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
    return login_for("windows", context)()


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
