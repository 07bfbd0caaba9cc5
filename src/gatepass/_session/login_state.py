"""Whether the server accepts the profile's credentials; the guard asks before it sends them."""

import hmac
import os
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from threading import RLock
from typing import Any, Final

from gatepass._session.exceptions import LoginRefused, ProxyRefused, Unreachable
from gatepass._system import log
from gatepass._system.fork import PerProcess
from gatepass.secrets import Secret

# Statuses that a server may send before it looks at the credentials, or instead of that.
UNDECIDED: Final = frozenset({407, 408, 421, 425, 429, 431})
_KEY: Final = os.urandom(32)  # of this process; what is made with it means nothing elsewhere
_MOST_OPEN: Final = 8  # pages; a server that asks on none is not asked for ever
_MOST_STATES: Final = 4096

Refusal = LoginRefused | ProxyRefused


class Page:
    """A page that was answered to the credentials, and can be asked for again by GET.

    Attributes:
        url: where it is.
        asks: whether the server has refused it to a request without credentials. Where it asks
            nobody, its answer proves nothing.
    """

    def __init__(self, url: str, *, asks: bool) -> None:
        self.url = url
        self.asks = asks


class LoginState:
    """Whether the server accepts the credentials: not known yet, accepted or refused.

    Until it is known, one thread alone sends them, and all others wait for the result: a wrong
    password is sent once, however many threads and sessions there are. A refusal that follows a
    success may mean that the account has no right to one page, or that the password has changed.
    One thread finds that out by the last page that was answered, while the others wait.

    Args:
        shared: whether all sessions of the process share it, not those of one login alone.

    Attributes:
        has_succeeded: whether the server has ever accepted the credentials.
        successes: how often it has.
        decisions: how often it was found out that a refusal was of one page alone.
        refusal: the refusal after which they are not sent again; None where they are.
    """

    def __init__(self, *, shared: bool = False) -> None:
        self.is_shared = shared
        # Reentrant: a request's body may be a generator that uses the same session.
        self._locks = PerProcess(RLock)
        self._unproven_locks = PerProcess(RLock)
        self._failures = 0
        self._failure: Unreachable | None = None
        self.successes = 0
        self.decisions = 0
        self.reset()

    def reset(self) -> None:
        """Forget what is known, after a new login, or since a person wants it sent again."""
        self._accepted = self.has_succeeded = False
        self._page: Page | None = None
        self._refusals = 0  # in a row
        self._open_pages = 0  # how many were found that ask nobody
        self.refusal: Refusal | None = None

    @property
    def has_changed(self) -> bool:
        """Whether the server has refused what it had accepted before."""
        return self.refusal is not None and self.has_succeeded

    def _is_accepted(self, since: int | None) -> bool:
        return self._accepted and since != self.successes

    @contextmanager
    def attempt(
        self,
        since: int | None = None,
        asks: Callable[[Page | None], bool | None] | None = None,
    ) -> Iterator[None]:
        """Wait until credentials may be sent; alone, as long as the server has accepted none.

        Args:
            asks: whether a page, or None for the one of this request, is refused to a request
                without credentials; its result is None where that tells nothing. Called where
                another thread is on its way, and all that was answered so far may have been
                answered to anybody.
            since: what :attr:`successes` was when the request began, where an earlier success does
                not count: the password may have been changed since, and the new connections of
                many threads would each make one attempt with the old one.

        Raises:
            LoginRefused: the server refused them before; of a proxy, ProxyRefused.
            Unreachable: the thread that was waited for got no answer.
        """
        failures = self._failures
        lock = self._take_turn(since, asks)
        try:
            self.raise_refusal()
            if lock is not None and failures != self._failures and self._failure is not None:
                raise self._failure.new_copy()
            yield
        except Unreachable as error:
            if lock is not None:
                self._failures, self._failure = self._failures + 1, error.new_copy()
            raise
        finally:
            if lock is not None:
                lock.release()

    def _take_turn(
        self, since: int | None, asks: Callable[[Page | None], bool | None] | None
    ) -> Any:
        """Return the lock that was waited for; None where credentials go beside others."""
        lock, unproven = self._locks.get(), self._unproven_locks.get()
        while True:
            if not self._is_accepted(since):
                lock.acquire()
                if not self._is_accepted(since):
                    return lock
                lock.release()
            if asks is None or self._is_proven():
                return None
            if not unproven.acquire(blocking=False):
                if self._may_go_beside(asks):
                    return None
                unproven.acquire()
            if self._accepted and not self._is_proven():
                return unproven
            unproven.release()

    def _is_proven(self) -> bool:
        return not self.is_shared or (self._page is not None and self._page.asks)

    def _may_go_beside(self, asks: Callable[[Page | None], bool | None]) -> bool:
        """Whether a request with a password that may be wrong does no harm beside another."""
        page = self._page
        if self._open_pages >= _MOST_OPEN:
            return True
        if page is not None and not page.asks:
            page.asks = asks(page) is True
        if self._is_proven():
            return True
        is_open = asks(None) is False
        self._open_pages += is_open
        return is_open

    def raise_refusal(self) -> None:
        """Raise when the server has refused the credentials before.

        Raises:
            LoginRefused: a copy of the first refusal; of a proxy, ProxyRefused.
        """
        if self.refusal is not None:
            raise self.refusal.new_copy()

    def record_success(self, status: int, page: Page) -> None:
        """Note the status of a response to credentials, other than a refusal.

        Args:
            status: the status.
            page: what was asked for.
        """
        if not is_accepted(status):
            return
        if not self.has_succeeded:
            log.info("login accepted; the answer is %s", status)
        self.has_succeeded = True
        self.successes += 1
        is_proof = page.asks or (self._page is not None and self._page.asks)
        if is_proof or not self._refusals:
            self._go_on()
        if page.asks or not is_proof:
            self._page = page

    def record_refusal(
        self,
        refusal: Callable[[bool], Refusal],
        decisions: int,
        url: str | None,
        is_answered: Callable[[Page], bool | None],
    ) -> Refusal:
        """Find out what a refusal means, and return the error to raise.

        Args:
            refusal: makes the error; gets whether the credentials are not sent again.
            decisions: what :attr:`decisions` was when the request began.
            url: the page that was refused.
            is_answered: asks for a page once more with the credentials; None where that tells
                nothing.
        """
        self._accepted = False  # so that no other thread sends them meanwhile
        with self._locks.get():
            if self.refusal is not None:  # another thread was faster
                return self.refusal.new_copy()
            self._refusals += 1
            if decisions == self.decisions:
                final = not self._is_of_one_page(url, is_answered)
            else:  # a page was answered since then
                final = False
                self._go_on()
            error = refusal(final)
            if final:
                self.refusal = error.detached()
            return error

    def _is_of_one_page(self, url: str | None, is_answered: Callable[[Page], bool | None]) -> bool:
        """Whether the credentials may go on; takes the last page that was answered, where any."""
        if not self.has_succeeded:
            return False
        page = self._page
        if page is not None and page.url == url:
            return False
        answered = None if page is None else is_answered(page)
        if answered is None:
            return self._refusals == 1
        if answered:
            self.decisions += 1
            self._go_on()
        return answered

    def _go_on(self) -> None:
        self._refusals = 0
        self._accepted = True


def is_accepted(status: int) -> bool:
    """Whether a status other than 401 says that the server took the credentials."""
    return status < 300 or (400 <= status < 500 and status not in UNDECIDED)  # noqa: PLR2004


def state_of(
    states: MutableMapping[Any, Any], where: str, how: str, user: str | None, password: Secret
) -> LoginState:
    """Return the state that all sessions of this process share that send the same password.

    A password that a person has just typed is sent once more, whatever is known of it.

    Args:
        states: those of the process.
        where: the origin of the server or the proxy.
        how: the scheme.
        user: who logs on, with the domain.
        password: the password.
    """
    text = f"{user!r} {password.reveal()!r}".encode(errors="surrogatepass")
    key = (where, how, hmac.digest(_KEY, text, "sha256"))
    state: LoginState = states.setdefault(key, LoginState(shared=True))
    if password.is_typed and state.refusal is not None:
        state.reset()
    for oldest in list(states)[:-_MOST_STATES]:
        states.pop(oldest, None)
    return state
