"""Issues access tokens and ID tokens, and publishes the keys to check them.

RS256 (RFC 7518); access tokens are JWTs (RFC 9068) so that a resource server can check them alone.
"""

import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from gatepass.sandbox._provider.grants import Grant, TokenGrant

_ID_TOKEN_SECONDS: Final = 300


class TokenRefused(ValueError):
    """An access token is not good; says why, without the token."""


class Keys:
    """The key of one run of a provider. Making it takes some tens of milliseconds."""

    def __init__(self) -> None:
        from joserfc.jwk import RSAKey

        self._key_id = secrets.token_hex(4)
        self._key = RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256", "kid": self._key_id})

    def public(self) -> dict[str, object]:
        """Return the JSON Web Key Set (RFC 7517, section 5)."""
        return {"keys": [self._key.as_dict(private=False)]}

    def sign(self, claims: Mapping[str, object], kind: str) -> str:
        """Return a signed JWT; ``kind`` is its ``typ``."""
        from joserfc import jwt

        header = {"alg": "RS256", "typ": kind, "kid": self._key_id}
        return jwt.encode(header, dict(claims), self._key)

    def verified(self, token: str) -> Mapping[str, Any]:
        """Return the claims of a JWT that was signed here.

        Raises:
            TokenRefused: it was not.
        """
        from joserfc import jwt
        from joserfc.errors import JoseError

        try:
            return jwt.decode(token, self._key, algorithms=["RS256"]).claims
        except (JoseError, ValueError):
            raise TokenRefused("the access token was not signed here") from None


@dataclass
class TokenIssuer:
    """Makes the responses of the token endpoint.

    Attributes:
        issuer: the provider's name.
        keys: what it signs with.
        clock: wall time in seconds.
        access_token_seconds: how long an access token lives from now on.
        with_id_token: whether ``openid`` brings an ID token.
    """

    issuer: str
    keys: Keys
    clock: Callable[[], float]
    access_token_seconds: int
    with_id_token: bool

    def response(self, granted: TokenGrant, *, refreshed: bool = False) -> dict[str, object]:
        """Return the JSON of RFC 6749, section 5.1.

        Args:
            granted: what the request earned.
            refreshed: whether a refresh token was brought; then there is no nonce (OIDC Core 12.2).
        """
        grant, access_token = granted.grant, self._access_token(granted.grant)
        found: dict[str, object] = {
            "access_token": access_token,
            "token_type": "Bearer",
            "scope": " ".join(grant.scopes),
            "expires_in": self.access_token_seconds,
        }
        if granted.refresh_token is not None:
            found["refresh_token"] = granted.refresh_token
            if granted.refresh_until is not None:  # as Keycloak tells it; no standard knows it
                found["refresh_expires_in"] = max(0, int(granted.refresh_until - self.clock()))
        if self.with_id_token and "openid" in grant.scopes:
            claims = self.id_token_claims(grant, access_token)
            if refreshed:
                claims.pop("nonce", None)
            found["id_token"] = self.keys.sign(claims, "JWT")
        return found

    def subject_of(self, access_token: str, audience: str) -> str:
        """Return whose token that is.

        Raises:
            TokenRefused: it is no access token for that API, or has expired.
        """
        claims = self.keys.verified(access_token)
        if "client_id" not in claims or claims["aud"] != audience:
            raise TokenRefused("the access token is not for this API")
        if self.clock() >= claims["exp"]:
            raise TokenRefused("the access token has expired")
        return str(claims["sub"])

    def id_token_claims(self, grant: Grant, access_token: str) -> dict[str, object]:
        """Return the claims of the ID token that comes with an access token."""
        now = int(self.clock())
        claims: dict[str, object] = {
            "iss": self.issuer,
            "sub": grant.subject,
            "aud": grant.client_id,
            "iat": now,
            "exp": now + _ID_TOKEN_SECONDS,
            "at_hash": _half_hash(access_token),
            "preferred_username": grant.subject,
        }
        if grant.nonce is not None:
            claims["nonce"] = grant.nonce
        return claims

    def _access_token(self, grant: Grant) -> str:
        now = self.clock()
        claims = {
            "iss": self.issuer,
            "sub": grant.subject,
            "aud": grant.audience,
            "client_id": grant.client_id,
            "scope": " ".join(grant.scopes),
            "iat": int(now),
            "exp": int(now + self.access_token_seconds),
            "jti": secrets.token_hex(8),
        }
        return self.keys.sign(claims, "at+jwt")


def _half_hash(access_token: str) -> str:
    """Return ``at_hash`` (OIDC Core 3.1.3.6)."""
    digest = sha256(access_token.encode()).digest()[:16]
    return urlsafe_b64encode(digest).rstrip(b"=").decode()
