"""What the identity provider has granted: codes, refresh tokens by login, devices; and counters.

One lock protects all of it, and each token request is one step under that lock: of two clients with
the same refresh token at the same moment, one is served and the other is refused.
"""

import secrets
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from http import HTTPStatus
from threading import Lock
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from gatepass.secrets import constant_time_compare

if TYPE_CHECKING:
    from gatepass.sandbox.provider import IdentityProvider

DEVICE_SECONDS: Final = 300.0  # that a device's code lives
_CODE_SECONDS: Final = 60.0
_SLOWER: Final = 5.0  # seconds that slow_down adds (RFC 8628, section 3.5)
_USER_CODE_LETTERS: Final = "BCDFGHJKLMNPQRSTVWXZ"  # RFC 8628, section 6.1


class Refusal(Exception):
    """An error answer of RFC 6749, section 5.2.

    Args:
        error: the code, such as ``invalid_grant``.
        description: one sentence without secrets.
        status: HTTP status.
    """

    def __init__(
        self, error: str, description: str = "", status: int = HTTPStatus.BAD_REQUEST
    ) -> None:
        super().__init__(error)
        self.error = error
        self.description = description
        self.status = status


@dataclass(frozen=True, slots=True)
class Grant:
    """What a person allowed a client, or a client itself.

    Attributes:
        subject: ``sub`` of the tokens.
        client_id: to whom.
        scopes: what was asked for and granted.
        audience: which API.
        nonce: goes into the first ID token; None for none.
    """

    subject: str
    client_id: str
    scopes: tuple[str, ...]
    audience: str
    nonce: str | None = None


@dataclass(frozen=True, slots=True)
class TokenGrant:
    """What a token request earned.

    Attributes:
        grant: what was allowed.
        refresh_token: None without ``offline_access``.
        refresh_until: when its family ends, by the provider's clock; None for never.
    """

    grant: Grant
    refresh_token: str | None = field(repr=False)
    refresh_until: float | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """What happened so far.

    Attributes:
        token_requests: number of token requests by ``grant_type``, refused ones too.
        logins: how often a user logged on or approved a device.
        rotations: refresh tokens that were replaced.
        reuses: refresh tokens that came again after the grace.
        forced_logins: families that ended by that: the user has to log in again.
    """

    token_requests: Mapping[str, int]
    logins: int
    rotations: int
    reuses: int
    forced_logins: int

    @property
    def refreshes(self) -> int:
        """Token requests with a refresh token."""
        return self.token_requests.get("refresh_token", 0)


@dataclass(slots=True)
class TokenFamily:
    """The refresh tokens that came of one login.

    Attributes:
        grant: what was allowed to whom.
        ends_at: when all of them run out, by the provider's clock; None for never.
        tokens: each with the time of its first use; None before it.
        refresh_token: the one that was given out last.
        revoked: whether all of them are refused.
    """

    grant: Grant
    ends_at: float | None
    tokens: dict[str, float | None] = field(default_factory=dict, repr=False)
    refresh_token: str = field(default="", repr=False)
    revoked: bool = False


@dataclass(slots=True)
class _Code:
    grant: Grant
    redirect_uri: str
    challenge: str
    ends_at: float
    used: bool = False
    family: TokenFamily | None = None


@dataclass(slots=True)
class _Device:
    grant: Grant
    user_code: str
    ends_at: float
    interval: float
    asked_at: float | None = None
    subject: str | None = None
    denied: bool = False


class Grants:
    """The state of one run of a provider.

    Args:
        settings: how strict it is; grace and expiry are measured with its clock.
    """

    def __init__(self, settings: "IdentityProvider") -> None:
        self._settings = settings
        self._clock = settings.clock
        self._lock = Lock()
        self._codes: dict[str, _Code] = {}
        self._families: list[TokenFamily] = []
        self._by_token: dict[str, TokenFamily] = {}
        self._devices: dict[str, _Device] = {}
        self._requests: Counter[str] = Counter()
        self._events: Counter[str] = Counter()

    # --- counters ---

    def count_request(self, grant_type: str) -> None:
        """Count a token request."""
        with self._lock:
            self._requests[grant_type] += 1

    def counts(self) -> Counts:
        """Return what happened so far."""
        with self._lock:
            return Counts(
                token_requests=MappingProxyType(dict(self._requests)),
                logins=self._events["login"],
                rotations=self._events["rotation"],
                reuses=self._events["reuse"],
                forced_logins=self._events["reuse"],
            )

    def families(self) -> tuple[TokenFamily, ...]:
        """Return all families, in the order of their logins."""
        with self._lock:
            return tuple(map(replace, self._families))

    # --- authorization code (RFC 6749, 4.1; RFC 7636) ---

    def new_code(self, grant: Grant, redirect_uri: str, challenge: str) -> str:
        """Return a code for a user who has just logged on."""
        code = secrets.token_urlsafe(24)
        ends_at = self._clock() + _CODE_SECONDS
        with self._lock:
            self._events["login"] += 1
            self._codes[code] = _Code(grant, redirect_uri, challenge, ends_at)
        return code

    def redeem(self, code: str, client_id: str, redirect_uri: str, verifier: str) -> TokenGrant:
        """Take a code.

        Raises:
            Refusal: it is not this client's, was used, ran out, or its proof is wrong. A code that
                comes twice ends the tokens that it brought (RFC 6749, section 4.1.2).
        """
        with self._lock:
            entry = self._codes.get(code)
            if entry is None or entry.grant.client_id != client_id:
                raise Refusal("invalid_grant", "no such code")
            if entry.used:
                if entry.family is not None:
                    entry.family.revoked = True
                raise Refusal("invalid_grant", "the code was used before")
            entry.used = True
            if self._clock() > entry.ends_at:
                raise Refusal("invalid_grant", "the code has run out")
            if redirect_uri != entry.redirect_uri:
                raise Refusal("invalid_grant", "another redirect_uri than that of the login")
            if not constant_time_compare(_challenge(verifier), entry.challenge):
                raise Refusal("invalid_grant", "code_verifier does not fit (RFC 7636)")
            return self._begin(entry.grant, entry)

    # --- refresh (RFC 6749, 6; RFC 9700, 4.14) ---

    def begin(self, grant: Grant) -> TokenGrant:
        """Begin a family, as after a login."""
        with self._lock:
            self._events["login"] += 1
            return self._begin(grant)

    def refresh(self, token: str, client_id: str, scopes: tuple[str, ...]) -> TokenGrant:
        """Take a refresh token and give the next one.

        A token that comes again within the grace brings a further one; later it ends the family.

        Args:
            token: the refresh token.
            client_id: who brings it.
            scopes: what is asked for; empty for all that was granted.

        Raises:
            Refusal: it is not this client's, its family has ended, or it asks for more than before.
        """
        with self._lock:
            family = self._by_token.get(token)
            if family is None or family.grant.client_id != client_id:
                raise Refusal("invalid_grant", "no such refresh token")
            now = self._clock()
            self._check(family, family.tokens[token], now)
            if not set(scopes) <= set(family.grant.scopes):
                raise Refusal("invalid_scope", "more scopes than were granted")
            if self.rotates():
                if family.tokens[token] is None:
                    family.tokens[token] = now
                self._events["rotation"] += 1
                self._add_token(family)
            return TokenGrant(family.grant, family.refresh_token, family.ends_at)

    def rotates(self) -> bool:
        """Say whether a refresh replaces the refresh token."""
        return self._settings.rotation

    def _check(self, family: TokenFamily, used_at: float | None, now: float) -> None:
        if family.revoked:
            raise Refusal("invalid_grant", "the login was revoked")
        if family.ends_at is not None and now > family.ends_at:
            raise Refusal("invalid_grant", "the refresh token has run out")
        if used_at is None or now - used_at <= self._settings.grace:
            return
        self._events["reuse"] += 1
        family.revoked = True
        raise Refusal("invalid_grant", "the refresh token was used before")

    def revoke(self, token: str, client_id: str) -> None:
        """End a family (RFC 7009). An unknown token is no error."""
        with self._lock:
            family = self._by_token.get(token)
            if family is not None and family.grant.client_id == client_id:
                family.revoked = True

    def revoke_user(self, user: str) -> None:
        """End all families of a user, as an administrator does."""
        with self._lock:
            for family in self._families:
                family.revoked = family.revoked or family.grant.subject == user

    def _begin(self, grant: Grant, code: _Code | None = None) -> TokenGrant:
        if "offline_access" not in grant.scopes:
            return TokenGrant(grant, None)
        seconds = self._settings.refresh_token_seconds
        family = TokenFamily(grant, None if seconds is None else self._clock() + seconds)
        self._families.append(family)
        if code is not None:
            code.family = family
        self._add_token(family)
        return TokenGrant(grant, family.refresh_token, family.ends_at)

    def _add_token(self, family: TokenFamily) -> None:
        family.refresh_token = secrets.token_urlsafe(32)
        family.tokens[family.refresh_token] = None
        self._by_token[family.refresh_token] = family

    # --- devices (RFC 8628) ---

    def new_device(self, grant: Grant) -> tuple[str, str]:
        """Return the code for a device and the one for its user; the grant has no subject yet."""
        code = secrets.token_urlsafe(24)
        letters = [secrets.choice(_USER_CODE_LETTERS) for _ in range(8)]
        user_code = "".join(letters[:4]) + "-" + "".join(letters[4:])
        with self._lock:
            self._devices[code] = _Device(
                grant, user_code, self._clock() + DEVICE_SECONDS, self._settings.device_interval
            )
        return code, user_code

    def decide(self, user_code: str, subject: str | None) -> None:
        """Approve a device as that user, or deny it with None.

        Raises:
            KeyError: no device waits with that code.
        """
        wanted = _letters(user_code)
        with self._lock:
            for device in self._devices.values():
                if _letters(device.user_code) == wanted:
                    device.subject, device.denied = subject, subject is None
                    self._events["login"] += subject is not None
                    return
        raise KeyError(user_code)

    def poll(self, device_code: str, client_id: str) -> TokenGrant:
        """Answer a device that asks whether it was approved; the code is good for one answer.

        Raises:
            Refusal: not yet, too often, too late, or no (RFC 8628, section 3.5).
        """
        with self._lock:
            device = self._devices.get(device_code)
            if device is None or device.grant.client_id != client_id:
                raise Refusal("invalid_grant", "no such device code")
            self._wait_for_approval(device)
            del self._devices[device_code]
            if device.subject is None:
                raise Refusal("access_denied", "the device was denied")
            grant = device.grant
            return self._begin(Grant(device.subject, client_id, grant.scopes, grant.audience))

    def _wait_for_approval(self, device: _Device) -> None:
        now, last = self._clock(), device.asked_at
        device.asked_at = now
        if now > device.ends_at:
            raise Refusal("expired_token", "the device code has run out")
        if last is not None and now - last < device.interval:
            device.interval += _SLOWER
            raise Refusal("slow_down", f"ask every {device.interval:g} seconds")
        if device.subject is None and not device.denied:
            raise Refusal("authorization_pending", "the device has not been approved yet")


def _challenge(verifier: str) -> str:
    digest = sha256(verifier.encode("utf-8", "surrogatepass")).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def _letters(user_code: str) -> str:
    return "".join(letter for letter in user_code.upper() if letter.isalpha())
