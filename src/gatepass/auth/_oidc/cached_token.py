"""Whether a token may still be used: access tokens in memory and in records of the vault."""

import time
from collections.abc import Callable
from typing import Final

from gatepass._system.text import local_time
from gatepass._value import Value
from gatepass._vault.records import Record
from gatepass.secrets import Secret, constant_time_compare

_AHEAD: Final = 60.0  # seconds before its end that a token is renewed ...
_AHEAD_PART: Final = 0.1  # ... but at most this part of its life


class CachedToken(Value):
    """An access token in memory. It ends when one of two clocks says so.

    The wall clock may be set back, and the monotonic clock stops while the computer sleeps.

    Attributes:
        token: for the API.
        expires_at: wall clock, seconds since 1970; None when not known.
        deadline: monotonic clock; None when not known.
        ahead: seconds before the end at which it should be renewed.
    """

    token: Secret
    expires_at: float | None
    deadline: float | None
    ahead: float

    @classmethod
    def of(
        cls, token: Secret, expires_at: float | None, clock: Callable[[], float]
    ) -> "CachedToken":
        """Start the monotonic clock of a token."""
        if expires_at is None:
            return cls(token, None, None, 0.0)
        left = max(expires_at - clock(), 0.0)
        return cls(token, expires_at, time.monotonic() + left, min(_AHEAD, _AHEAD_PART * left))

    def is_usable(self, clock: Callable[[], float], *, ahead: bool = True) -> bool:
        """Say whether it can be used now; with ``ahead``, without being close to its end."""
        if self.expires_at is None or self.deadline is None:
            return True
        margin = self.ahead if ahead else 0.0
        return clock() < self.expires_at - margin and time.monotonic() < self.deadline - margin


def has_usable_token(record: Record, now: float, refused: Secret | None = None) -> bool:
    """Say whether a record's access token can be used at a time, without being close to its end.

    Args:
        record: the record.
        now: that time, in seconds since 1970.
        refused: an access token that the API has refused.
    """
    token = record.access_token
    if token is None or record.suspect or constant_time_compare(token, refused):
        return False
    if record.expires_at is None:
        return True
    life = max(record.expires_at - record.saved_at, 0.0)
    return now < record.expires_at - min(_AHEAD, _AHEAD_PART * life)


def why_not_renewable(record: Record, now: float) -> str:
    """Say why a record's access token cannot be renewed at a time; empty where it can be tried."""
    if record.suspect:
        return f"the login is suspect: {record.suspect}"
    if record.refused and (record.ask_again_at is None or now < record.ask_again_at):
        return record.refused
    if record.refresh_token is None:
        return "the login has ended and cannot be renewed"
    return ""


def is_renewable(record: Record, now: float) -> bool:
    """Say whether a record's access token can be renewed at a time, in seconds since 1970."""
    ends = record.refresh_until
    return not why_not_renewable(record, now) and (ends is None or now < ends)


def until_end(record: Record) -> str:
    """Say for the log when a record's access token ends; empty when that is not known."""
    return "" if record.expires_at is None else f" until {local_time(record.expires_at)}"
