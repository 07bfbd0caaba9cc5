"""Whether the server accepts the profile's credentials; the guard asks before it sends them."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Final

from gatepass._session.exceptions import LoginRefused
from gatepass._system import log
from gatepass._system.fork import PerProcess

# Statuses that a server may send before it looks at the credentials, or instead of that.
UNDECIDED: Final = frozenset({407, 408, 421, 425, 429, 431})


class LoginState:
    """Whether the server accepts the credentials: not known yet, accepted or refused.

    Until it is known, one thread alone sends them, and all others wait for the result: a wrong
    password is sent once, however many threads there are.
    """

    def __init__(self) -> None:
        self._accepted = False
        self._successes = 0
        self._refusal: LoginRefused | None = None
        # Reentrant: a request's body may be a generator that uses the same session.
        self._locks = PerProcess(RLock)

    @property
    def successes(self) -> int:
        """How often the server has accepted the credentials."""
        return self._successes

    def _is_accepted(self, since: int | None) -> bool:
        return self._accepted and since != self._successes

    @contextmanager
    def attempt(self, since: int | None = None) -> Iterator[None]:
        """Wait until credentials may be sent; alone, as long as the server has accepted none.

        Args:
            since: what :attr:`successes` was when the request began, where an earlier success does
                not count: the password may have been changed since, and the new connections of
                many threads would each make one attempt with the old one.

        Raises:
            LoginRefused: the server refused them before.
        """
        lock = self._locks.get()
        alone = not self._is_accepted(since) and lock.acquire()
        try:
            if alone and self._is_accepted(since):
                lock.release()
                alone = False
            self.raise_refusal()
            yield
        finally:
            if alone:
                lock.release()

    def raise_refusal(self) -> None:
        """Raise when the server has refused the credentials before.

        Raises:
            LoginRefused: a copy of the first refusal.
        """
        if self._refusal is not None:
            raise self._refusal.new_copy()

    def record_success(self, status: int) -> None:
        """Note the status of a response to credentials, other than 401."""
        if status < 300 or (400 <= status < 500 and status not in UNDECIDED):  # noqa: PLR2004
            if not self._accepted:
                log.info("login accepted; the answer is %s", status)
            self._accepted = True
            self._successes += 1

    def record_refusal(self, refusal: LoginRefused) -> None:
        """Note a refusal: from now on each :meth:`attempt` raises it."""
        self._refusal = refusal

    def reset(self) -> None:
        """Forget what is known, after a new login."""
        self._accepted = False
        self._refusal = None
