"""Signs what the identity provider gives out: access tokens, ID tokens, and the keys to check them.

RS256 (RFC 7518); access tokens are JWTs (RFC 9068) so that a resource server can check them alone.
"""

import json
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from gatepass.sandbox._provider.faults import Fault, Faults
from gatepass.sandbox._provider.grants import Grant, TokenGrant

if TYPE_CHECKING:
    from joserfc.jwk import RSAKey

_ID_TOKEN_SECONDS: Final = 300
_HOUR: Final = 3600
_NOBODY: Final = "somebody-else"


class TokenRefused(ValueError):
    """An access token is not good; says why, without the token."""


class Keys:
    """The key of one run of a provider. Making it takes some tens of milliseconds."""

    def __init__(self) -> None:
        self._name = secrets.token_hex(4)
        self._key = _new_key(self._name)

    def public(self) -> dict[str, object]:
        """Return the JSON Web Key Set (RFC 7517, section 5)."""
        return {"keys": [self._key.as_dict(private=False)]}

    def sign(self, claims: Mapping[str, object], kind: str) -> str:
        """Return a signed JWT; ``kind`` is its ``typ``."""
        return self._signed(claims, kind, self._key)

    def forge(self, claims: Mapping[str, object], kind: str) -> str:
        """Return a JWT that names the published key and was signed with another."""
        return self._signed(claims, kind, _new_key(self._name))

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

    def _signed(self, claims: Mapping[str, object], kind: str, key: "RSAKey") -> str:
        from joserfc import jwt

        return jwt.encode({"alg": "RS256", "typ": kind, "kid": self._name}, dict(claims), key)


def _new_key(name: str) -> "RSAKey":
    from joserfc.jwk import RSAKey

    return RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256", "kid": name})


@dataclass(frozen=True, slots=True)
class TokenIssuer:
    """Makes token answers.

    Attributes:
        issuer: the provider's name.
        keys: what it signs with.
        faults: what it does wrong.
        clock: wall time in seconds.
        access_token_seconds: how long an access token lives.
        with_id_token: whether ``openid`` brings an ID token.
    """

    issuer: str
    keys: Keys
    faults: Faults
    clock: Callable[[], float]
    access_token_seconds: int
    with_id_token: bool

    def answer(self, allowed: TokenGrant, *, refreshed: bool = False) -> dict[str, object]:
        """Return the JSON of RFC 6749, section 5.1.

        Args:
            allowed: what the request earned.
            refreshed: whether a refresh token was brought; then there is no nonce (OIDC Core 12.2).
        """
        grant, faults = allowed.grant, self.faults
        other = refreshed and Fault.OTHER_SUB in faults
        subject = _NOBODY if other else grant.subject
        scopes = ("openid",) if Fault.FEWER_SCOPES in faults else grant.scopes
        access_token = self.access_token(grant, subject, scopes)
        answer: dict[str, object] = {
            "access_token": access_token,
            "scope": " ".join(scopes),
            **faults.expires_in(self.access_token_seconds),
        }
        if Fault.NO_TOKEN_TYPE not in faults:
            answer["token_type"] = "DPoP" if Fault.OTHER_TOKEN_TYPE in faults else "Bearer"
        if allowed.refresh_token is not None and Fault.NO_REFRESH_TOKEN not in faults:
            answer["refresh_token"] = allowed.refresh_token
            if allowed.refresh_until is not None:  # as Keycloak tells it; no standard knows it
                answer["refresh_expires_in"] = max(0, int(allowed.refresh_until - self.clock()))
        if self.with_id_token and "openid" in scopes:
            nonce = None if refreshed else grant.nonce
            answer["id_token"] = self._id_token(grant, subject, nonce, access_token)
        return answer

    def access_token(self, grant: Grant, subject: str, scopes: tuple[str, ...]) -> str:
        """Return an access token for the grant's API."""
        now = self.clock()
        claims = {
            "iss": self.issuer,
            "sub": subject,
            "aud": grant.audience,
            "client_id": grant.client_id,
            "scope": " ".join(scopes),
            "iat": int(now),
            "exp": int(now + self.access_token_seconds),
            "jti": secrets.token_hex(8),
        }
        return self.keys.sign(claims, "at+jwt")

    def subject_of(self, access_token: str, audience: str) -> str:
        """Return whose token that is.

        Raises:
            TokenRefused: it is no access token for that API, or has run out.
        """
        claims = self.keys.verified(access_token)
        if "client_id" not in claims or claims["aud"] != audience:
            raise TokenRefused("the access token is not for this API")
        if self.clock() >= claims["exp"]:
            raise TokenRefused("the access token has run out")
        return str(claims["sub"])

    def _id_token(self, grant: Grant, subject: str, nonce: str | None, access_token: str) -> str:
        faults, now = self.faults, self.clock()
        begin = now - _HOUR - _ID_TOKEN_SECONDS if Fault.ID_TOKEN_EXPIRED in faults else now
        claims: dict[str, object] = {
            "iss": self.issuer + "/other" if Fault.ID_TOKEN_ISS in faults else self.issuer,
            "sub": subject,
            "aud": "another-client" if Fault.ID_TOKEN_AUD in faults else grant.client_id,
            "iat": int(begin),
            "exp": int(begin + _ID_TOKEN_SECONDS),
            "at_hash": _half_hash(access_token),
            "preferred_username": subject,
        }
        if nonce is not None:
            claims["nonce"] = "another-nonce" if Fault.ID_TOKEN_NONCE in faults else nonce
        if Fault.ID_TOKEN_UNSIGNED in faults:
            return _unsigned(claims)
        if Fault.ID_TOKEN_SIGNATURE in faults:
            return self.keys.forge(claims, "JWT")
        return self.keys.sign(claims, "JWT")


def _half_hash(access_token: str) -> str:
    """Return ``at_hash`` (OIDC Core 3.1.3.6)."""
    return _base64url(sha256(access_token.encode()).digest()[:16])


def _unsigned(claims: Mapping[str, object]) -> str:
    parts = ({"alg": "none", "typ": "JWT"}, dict(claims))
    return ".".join(_base64url(json.dumps(part).encode()) for part in parts) + "."


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
