"""Names and passwords, with wrong attempts and lock-out; for the server and the provider."""

from base64 import b64decode
from collections import Counter
from collections.abc import Mapping
from enum import Enum
from threading import Lock
from typing import Final


class Outcome(Enum):
    """What came of a name and a password."""

    RIGHT = "right"
    WRONG = "wrong"
    LOCKED = "locked"


REASONS: Final = {
    Outcome.WRONG: "wrong user name or password",
    Outcome.LOCKED: "the account is locked after too many wrong passwords",
}
"""Why a login is refused, for the 401's body."""


def basic_pair(authorization: str | None) -> tuple[str, str] | None:
    """Return name and password of a Basic header (RFC 7617); None when it holds no such pair."""
    scheme, _, encoded = (authorization or "").strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = b64decode(encoded.strip(), validate=True).decode("utf-8")
    except ValueError:  # not base64, not ASCII or not UTF-8
        return None
    name, colon, password = text.partition(":")
    return (name, password) if colon else None


class Accounts:
    """Names and passwords, with counters.

    Args:
        users: name → password. Names are compared exactly; a domain is part of the name.
        lock_after: so many wrong passwords in a row lock an account; None never locks.
    """

    def __init__(self, users: Mapping[str, str], lock_after: int | None) -> None:
        self._passwords = dict(users)
        self._lock_after = lock_after
        self._lock = Lock()
        self._wrong: Counter[str] = Counter()
        self._in_a_row: Counter[str] = Counter()

    def password(self, user: str) -> str | None:
        """Return a password, for NTLM, which does not send the client's; None for no such user."""
        return self._passwords.get(user)

    def check(self, user: str, password: str) -> Outcome:
        """Compare and count."""
        return self.note(user, right=self._passwords.get(user) == password)

    def note(self, user: str, *, right: bool) -> Outcome:
        """Count a password that was compared elsewhere.

        As in Windows domains, a right password ends the row of wrong ones, and a locked account
        refuses the right password too.
        """
        with self._lock:
            locked = self._lock_after is not None and self._in_a_row[user] >= self._lock_after
            if not right:
                self._wrong[user] += 1
                self._in_a_row[user] += 1
            elif not locked:
                self._in_a_row[user] = 0
        if locked:
            return Outcome.LOCKED
        return Outcome.RIGHT if right else Outcome.WRONG

    def attempts(self, user: str) -> int:
        """Return how many wrong passwords came for that name, also for an unknown one."""
        with self._lock:
            return self._wrong[user]
