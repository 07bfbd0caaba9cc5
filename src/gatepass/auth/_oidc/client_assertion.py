"""Make the token by which a client with a private key proves itself (RFC 7523, section 2.2)."""

import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any, Final
from uuid import uuid4

from gatepass.errors import GatepassError
from gatepass.secrets import Secret

_LIFETIME: Final = 120  # seconds; it is used at once
_CURVES: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_CERTIFICATE: Final = "-----BEGIN CERTIFICATE-----"


def sign_assertion(
    key: Secret, client_id: str, audience: str, *, clock: Callable[[], float] = time.time
) -> Secret:
    """Return a token that says that we are the client, signed by its key.

    Args:
        key: the private key in PEM; a certificate in the same text is named by its hash, as
            Microsoft wants it.
        client_id: who we are.
        audience: for whom the token is: the provider's issuer, or its token endpoint.
        clock: wall time.

    Raises:
        GatepassError: the key cannot be used.
    """
    from joserfc import jwt
    from joserfc.jwk import JWKRegistry

    pem = key.reveal()
    kind, algorithm = _kind_of(pem)
    now = int(clock())
    claims = {
        "iss": client_id,
        "sub": client_id,
        "aud": audience,
        "jti": uuid4().hex,
        "iat": now,
        "nbf": now,
        "exp": now + _LIFETIME,
    }
    header = {"alg": algorithm, "typ": "JWT", **_thumbprints(pem)}
    private = JWKRegistry.import_key(pem[pem.index("-----BEGIN ") :], kind)
    return Secret(jwt.encode(header, claims, private, algorithms=[algorithm]))


def _kind_of(pem: str) -> tuple[Any, str]:
    """Return the type of a key, and the algorithm that it signs by."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    hint = "put the client's private key into it: PEM, PKCS#8, unencrypted, as   openssl genpkey"
    try:
        key = load_pem_private_key(pem.encode(), None)
    except TypeError:
        problem = "is encrypted"
    except ValueError:
        problem = "holds no private key in PEM"
    else:
        if isinstance(key, rsa.RSAPrivateKey):
            return "RSA", "RS256"
        if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
            return "EC", _CURVES[key.curve.name]
        problem = "is a key of a kind that signs no tokens"
        hint = "use RSA, or EC with P-256, P-384 or P-521"
    raise GatepassError(f"client_key {problem}", hint=hint)


def _thumbprints(pem: str) -> dict[str, str]:
    """Return what names the certificate beside a key (RFC 7515, sections 4.1.7 and 4.1.8)."""
    from cryptography.hazmat.primitives.hashes import SHA1, SHA256
    from cryptography.x509 import load_pem_x509_certificate

    if _CERTIFICATE not in pem:
        return {}
    try:
        found = load_pem_x509_certificate(pem[pem.index(_CERTIFICATE) :].encode())
    except ValueError:
        raise GatepassError("client_key holds a certificate that cannot be read") from None
    hashes = {"x5t": SHA1(), "x5t#S256": SHA256()}  # noqa: S303 - a name, not a proof
    return {
        name: urlsafe_b64encode(found.fingerprint(digest)).decode().rstrip("=")
        for name, digest in hashes.items()
    }
