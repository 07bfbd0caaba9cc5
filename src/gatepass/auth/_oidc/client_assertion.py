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
_LEAST_RSA: Final = 2048  # bits; RFC 7518, section 3.3
_CERTIFICATE: Final = "-----BEGIN CERTIFICATE-----"


def sign_assertion(
    key: Secret,
    client_id: str,
    audience: str,
    *,
    name: str = "client_key",
    clock: Callable[[], float] = time.time,
) -> Secret:
    """Return a token that says that we are the client, signed by its key.

    Args:
        key: the private key in PEM; a certificate in the same text is named by its hash, as
            Microsoft wants it.
        client_id: who we are.
        audience: for whom the token is: the provider's issuer, or its token endpoint.
        name: what messages call the key.
        clock: wall time.

    Raises:
        GatepassError: the key cannot be used.
    """
    from joserfc import jws, jwt
    from joserfc.jwk import JWKRegistry

    class Registry(jws.JWSRegistry):
        def get_alg(self, name: str) -> Any:
            # The original warns about EdDSA, whose new name few providers know yet.
            return self.algorithms[name]

    pem = key.reveal()
    kind, algorithm = _kind_of(pem, name)
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
    header = {"alg": algorithm, "typ": "JWT", **_thumbprints(pem, name)}
    private = JWKRegistry.import_key(pem[pem.index("-----BEGIN ") :], kind)
    registry = Registry(algorithms=[algorithm])
    return Secret(jwt.encode(header, claims, private, registry=registry))


def _kind_of(pem: str, name: str) -> tuple[Any, str]:
    """Return the type of a key, and the algorithm that it signs by."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    hint = "put the client's private key into it: PEM, PKCS#8, unencrypted, as   openssl genpkey"
    other = "use RSA, EC with P-256, P-384 or P-521, or Ed25519"
    try:
        key = load_pem_private_key(pem.encode(), None)
    except TypeError:
        problem = "is encrypted"
        hint = (
            "keep it without a passphrase, readable by you alone:   openssl pkey -in KEY -out NEW"
        )
    except UnsupportedAlgorithm:
        problem, hint = "is a key of a kind that gatepass cannot read", other
    except ValueError:
        problem = "holds no private key in PEM"
    else:
        if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= _LEAST_RSA:
            return "RSA", "RS256"
        if isinstance(key, ed25519.Ed25519PrivateKey):
            return "OKP", "EdDSA"
        if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
            return "EC", _CURVES[key.curve.name]
        problem, hint = "is a key of a kind that signs no tokens", other
        if isinstance(key, rsa.RSAPrivateKey):
            problem = (
                f"is an RSA key of {key.key_size} bits, and providers take {_LEAST_RSA} or more"
            )
    raise GatepassError(f"{name} {problem}", hint=hint)


def _thumbprints(pem: str, name: str) -> dict[str, str]:
    """Return what names the certificate beside a key (RFC 7515, sections 4.1.7 and 4.1.8)."""
    from cryptography.hazmat.primitives.hashes import SHA1, SHA256
    from cryptography.x509 import load_pem_x509_certificate

    if _CERTIFICATE not in pem:
        return {}
    try:
        found = load_pem_x509_certificate(pem[pem.index(_CERTIFICATE) :].encode())
    except ValueError:
        raise GatepassError(
            f"{name} holds a certificate that cannot be read",
            hint="put the certificate in PEM below the key, or take it out",
        ) from None
    hashes = {"x5t": SHA1(), "x5t#S256": SHA256()}  # noqa: S303 - a name, not a proof
    return {
        name: urlsafe_b64encode(found.fingerprint(digest)).decode().rstrip("=")
        for name, digest in hashes.items()
    }
