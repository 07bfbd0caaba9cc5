"""What the identity provider can do wrong, on request: for tests of those who must survive it."""

import math
from collections.abc import Iterable, Mapping
from enum import StrEnum
from threading import Lock
from types import MappingProxyType
from typing import Final


class Fault(StrEnum):
    """One thing done wrong; ``..._once`` ends after the first time.

    "Before" and "after" at the token endpoint say whether the code or refresh token is used up.
    """

    METADATA_ISSUER = "metadata_issuer"
    """The metadata names another issuer."""
    METADATA_ENDPOINTS = "metadata_endpoints"
    """Its endpoints are at another origin."""
    METADATA_OAUTH_ONLY = "metadata_oauth_only"
    """Not wrong, but rare: 404 for OpenID's metadata, only that of RFC 8414 is there."""
    METADATA_HTML = "metadata_html"
    """200 with a page instead of JSON."""
    METADATA_HUGE = "metadata_huge"
    """Right, and 4 MiB long."""
    METADATA_DRIP = "metadata_drip"
    """A byte now and then, without end."""
    METADATA_REDIRECT = "metadata_redirect"
    """302 to another host."""

    CALLBACK_ISS = "callback_iss"
    """The browser comes back with another issuer's name (RFC 9207)."""
    CALLBACK_NO_ISS = "callback_no_iss"
    """The browser comes back without one, though the metadata promised it."""
    CALLBACK_STATE = "callback_state"
    """The browser comes back with another state."""

    TOKEN_HTML = "token_html"  # noqa: S105 - a name, as in all that follow
    """Before: 200 with a page."""
    TOKEN_REDIRECT = "token_redirect"  # noqa: S105
    """Before: 307 to another host."""
    TOKEN_ERROR_ONCE = "token_error_once"  # noqa: S105
    """Before: 500 with a page."""
    TOKEN_BUSY_ONCE = "token_busy_once"  # noqa: S105
    """Before: 503 with ``Retry-After: 1``."""
    TOKEN_EMPTY = "token_empty"  # noqa: S105
    """After: 200 without a body."""
    TOKEN_HUGE = "token_huge"  # noqa: S105
    """After: right, and 4 MiB long."""
    TOKEN_DRIP = "token_drip"  # noqa: S105
    """After: a byte now and then, without end."""
    TOKEN_ERROR_AFTER_ONCE = "token_error_after_once"  # noqa: S105
    """After: 500 with a page."""
    TOKEN_RESET_ONCE = "token_reset_once"  # noqa: S105
    """After: the connection is reset instead of an answer."""

    NO_REFRESH_TOKEN = "no_refresh_token"  # noqa: S105
    """The answer holds none; the one before stays good."""
    NO_TOKEN_TYPE = "no_token_type"  # noqa: S105
    """The answer does not say ``token_type``."""
    OTHER_TOKEN_TYPE = "other_token_type"  # noqa: S105
    """The answer says ``token_type`` is ``DPoP``."""
    FEWER_SCOPES = "fewer_scopes"
    """Only ``openid`` is granted."""
    OTHER_SUB = "other_sub"
    """A refresh answers with the tokens of somebody else."""

    EXPIRES_IN_MISSING = "expires_in_missing"
    EXPIRES_IN_NULL = "expires_in_null"
    EXPIRES_IN_ZERO = "expires_in_zero"
    EXPIRES_IN_NEGATIVE = "expires_in_negative"
    EXPIRES_IN_TEXT = "expires_in_text"
    """The right number, as a string."""
    EXPIRES_IN_WORD = "expires_in_word"
    EXPIRES_IN_TRUE = "expires_in_true"
    EXPIRES_IN_NAN = "expires_in_nan"
    EXPIRES_IN_HUGE = "expires_in_huge"

    ID_TOKEN_UNSIGNED = "id_token_unsigned"  # noqa: S105
    """``alg`` is ``none``."""
    ID_TOKEN_SIGNATURE = "id_token_signature"  # noqa: S105
    """Signed with a key that nobody publishes."""
    ID_TOKEN_ISS = "id_token_iss"  # noqa: S105
    ID_TOKEN_AUD = "id_token_aud"  # noqa: S105
    ID_TOKEN_NONCE = "id_token_nonce"  # noqa: S105
    ID_TOKEN_EXPIRED = "id_token_expired"  # noqa: S105
    """It ended an hour ago."""

    JWKS_EMPTY = "jwks_empty"
    """No key is published."""


EXPIRES_IN: Final[Mapping[Fault, object]] = MappingProxyType(
    {
        Fault.EXPIRES_IN_NULL: None,
        Fault.EXPIRES_IN_ZERO: 0,
        Fault.EXPIRES_IN_NEGATIVE: -1,
        Fault.EXPIRES_IN_WORD: "soon",
        Fault.EXPIRES_IN_TRUE: True,
        Fault.EXPIRES_IN_NAN: math.nan,
        Fault.EXPIRES_IN_HUGE: 10**30,
    }
)
"""What is answered for ``expires_in``."""


class Faults:
    """The faults that are done now; safe to use from several threads.

    Raises:
        ValueError: there is no such fault.
    """

    def __init__(self, faults: Iterable[str]) -> None:
        self._lock = Lock()
        self._told = {Fault(fault) for fault in faults}

    def replace(self, faults: Iterable[str]) -> None:
        """Tell these from now on, and no others."""
        told = {Fault(fault) for fault in faults}
        with self._lock:
            self._told = told

    def __contains__(self, fault: Fault) -> bool:
        with self._lock:
            return fault in self._told

    def take(self, fault: Fault) -> bool:
        """Say whether to do a fault that is done once, and let no other thread do it."""
        with self._lock:
            told = fault in self._told
            self._told.discard(fault)
            return told

    def expires_in(self, seconds: int) -> Mapping[str, object]:
        """Return what a token answer says about its lifetime."""
        if Fault.EXPIRES_IN_MISSING in self:
            return {}
        if Fault.EXPIRES_IN_TEXT in self:
            return {"expires_in": str(seconds)}
        odd = [value for fault, value in EXPIRES_IN.items() if fault in self]
        return {"expires_in": odd[0] if odd else seconds}
