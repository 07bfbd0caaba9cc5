"""The token by which a client with a private key proves itself."""

import json
import re
import warnings
from base64 import urlsafe_b64decode, urlsafe_b64encode
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509 import load_pem_x509_certificate
from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import JWKRegistry

from gatepass._session.session import Session
from gatepass._system.context import RunContext
from gatepass.auth._oidc.client_assertion import sign_assertion
from gatepass.errors import GatepassError
from gatepass.secrets import Secret, ref
from tests.support.peers.ca import CertificateAuthority
from tests.support.sessions import profile_for

_KEYS = {
    "RS256": rsa.generate_private_key(65537, 2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "ES384": ec.generate_private_key(ec.SECP384R1()),
    "ES512": ec.generate_private_key(ec.SECP521R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
_TYPES = {"RS256": "RSA", "EdDSA": "OKP"}
_SHORT = rsa.generate_private_key(65537, 1024)  # noqa: S505 - to be refused
# An EC key of the curve SM2.
_SM2 = """-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqBHM9VAYItBG0wawIBAQQgtn1p2P7PzTOMiv/G
lMorH+EtrETRYksDM4+VLaG9Vb2hRANCAASWWDNi6++Vo3bTHljTBY/2p7VM4ggr
fO+b2e5u1TmQ2/LaawSkCr216QVYhGMI6KoeZ7VZ1Kui22WOaMwAgsUh
-----END PRIVATE KEY-----"""


def pem_of(key: Any, password: str = "") -> str:
    encryption = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    return str(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption), "ascii")


@pytest.mark.parametrize("algorithm", _KEYS)
def test_a_key_signs_a_token_of_its_own_for_whom_the_provider_wants(algorithm: str) -> None:
    """RFC 7523, section 3: who, for whom, and when; each token once."""
    pem = pem_of(_KEYS[algorithm])
    tokens = [sign_assertion(Secret(pem), "job", "https://idp", clock=lambda: 7.0) for _ in "12"]
    key = JWKRegistry.import_key(pem, _TYPES.get(algorithm, "EC"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)  # joserfc's, about the name EdDSA
        read = [jwt.decode(each.reveal(), key, algorithms=[algorithm]).claims for each in tokens]

    wanted = {"iss": "job", "sub": "job", "aud": "https://idp", "iat": 7, "nbf": 7, "exp": 127}
    assert all({**each, **wanted} == each for each in read)
    assert read[0]["jti"] != read[1]["jti"]


def test_a_certificate_beside_the_key_is_named_by_its_hash(ca: CertificateAuthority) -> None:
    chain = ca.server.chain.read_text()
    pem = Secret(chain + ca.server.key.read_text())
    token = sign_assertion(pem, "job", "https://idp").reveal()

    head = json.loads(urlsafe_b64decode(token.partition(".")[0] + "=="))
    digest = load_pem_x509_certificate(chain.encode()).fingerprint(SHA256())
    assert head["x5t#S256"] == urlsafe_b64encode(digest).decode().rstrip("=")
    assert len(head["x5t"]) == 27


@pytest.mark.parametrize(
    ("pem", "why"),
    [
        ("canary", "holds no private key"),
        (pem_of(_KEYS["ES256"], "pw"), "is encrypted"),
        (pem_of(ed448.Ed448PrivateKey.generate()), "is a key of a kind that signs no tokens"),
        (pem_of(ec.generate_private_key(ec.SECP256K1())), "is a key of a kind that signs no tok"),
        (pem_of(_SHORT), "is an RSA key of 1024 bits"),
        (_SM2, "is a key of a kind that gatepass cannot read"),
        (f"{pem_of(_KEYS['ES256'])}\n-----BEGIN CERTIFICATE-----\n", "holds a certificate that"),
    ],
)
@pytest.mark.parametrize("written", [True, False])
def test_a_key_that_cannot_sign_is_told_before_anything_is_asked(
    pem: str, why: str, written: bool, tmp_path: Path
) -> None:
    """With its place, where it is written in a file."""
    file = tmp_path / "key.pem"
    file.write_text(pem)
    auth = {
        "issuer": "https://idp.invalid",
        "client_id": "job",
        "flow": "client_credentials",
        "client_key": ref(f"file:{file}") if written else pem,
    }
    profile = profile_for("http://localhost/mi/", "oidc", auth=auth)
    with pytest.raises(GatepassError, match=why) as caught:
        Session._from_checked(profile, RunContext.of())

    name = f"client_key (file:{file})" if written else "client_key"
    assert caught.value.message.startswith(f"{name} {why}")
    lines = [line for line in pem.splitlines() if line and not line.startswith("-----")]
    assert not any(line in str(caught.value) for line in lines)
    assert re.search("private key|use RSA|openssl pkey|certificate", caught.value.hint)
