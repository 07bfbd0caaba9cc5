"""``scheme = "acme-hmac"``: requests are signed with a key that the server knows."""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from gatepass import (
    AuthContext,
    GatepassError,
    SchemeBase,
    Secret,
    SecretField,
    TextField,
)

if TYPE_CHECKING:
    from requests import PreparedRequest

AN_HOUR = 3600


@dataclass(frozen=True)
class AcmeHmac(SchemeBase):
    """A signature in each request; the key itself is never sent.

    Attributes:
        key_id: which key it is; plain or a reference.
        key: a reference.
        lifetime: seconds for which the server may accept a signature.
    """

    key_id: TextField
    key: SecretField
    lifetime: int = 60

    answers: ClassVar[frozenset[str]] = frozenset({"acme-hmac"})

    def __post_init__(self) -> None:
        if not 0 < self.lifetime <= AN_HOUR:
            raise ValueError(f"lifetime should be 1 to {AN_HOUR} seconds")

    def authenticator(self, context: AuthContext) -> "Signer":
        """Resolve both fields at once and return an auth that signs."""
        found = context.resolve(key_id=self.key_id, key=self.key)
        key_id = found["key_id"].reveal()
        return Signer(key_id, found["key"], self.lifetime, context.clock)


class Signer:
    """Signs requests."""

    def __init__(
        self,
        key_id: str,
        key: Secret,
        lifetime: int,
        clock: Callable[[], float],
    ) -> None:
        self._key_id = key_id
        self._key = key
        self._lifetime = lifetime
        self._clock = clock

    def __call__(self, request: "PreparedRequest") -> "PreparedRequest":
        """Add the signature of method, path, body and time of expiry."""
        body = request.body or b""
        if not isinstance(body, bytes | str):
            raise GatepassError(
                "acme-hmac signs the body, and cannot sign a stream",
                hint="read it into memory first",
            )
        expires = int(self._clock()) + self._lifetime
        signed = signature(
            self._key.reveal(), request.method or "", request.path_url, body, expires
        )
        login = f"{self._key_id}:{expires}:{signed}"
        request.headers["Authorization"] = f"ACME-HMAC {login}"
        return request


def signature(key: str, method: str, path: str, body: bytes | str, expires: int) -> str:
    """Return the signature that ACME's servers expect."""
    body = body.encode() if isinstance(body, str) else body
    words = "\n".join([method, path, hashlib.sha256(body).hexdigest(), str(expires)])
    return hmac.new(key.encode(), words.encode(), hashlib.sha256).hexdigest()
