"""One refresh at a time, and never a lost token: the order in which a refresh is committed.

Many providers give a refresh token that works once. Whoever uses it twice loses the login, and
whoever loses the answer too. So a refresh holds a lock that all threads and processes share, reads
the record again under it, writes the new token down before anything else is looked at, and only
then judges the answer. The request and the write run in a thread of their own that no Ctrl-C ends.

What a kill between the answer and the write costs is healed by the provider's grace period, if it
has one; else the journal tells what happened.

In a shared vault the lock is a lease. Before the token is spent the lease is made to outlast the
request; after it the write is tried whoever holds the lease by then, for a while also where the
vault cannot be reached; and whoever gets the lease and finds that a refresh was begun and not ended
first looks for a moment whether its holder still comes.
"""

import time
from _thread import start_new_thread
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Final, TypeVar

from gatepass._system.text import local_time
from gatepass._vault.records import Client, Identity, InFlight, Provider, Record, Tokens
from gatepass._vault.vault import LOCK_SECONDS, Vault
from gatepass.auth._oidc import id_token, token_response
from gatepass.auth._oidc.http import (
    Deadline,
    NotSent,
    ProviderResponse,
    ResponseLost,
    request_token,
)
from gatepass.errors import (
    GatepassError,
    LoginRequired,
    TokenLockTimeout,
    TokenNotPersisted,
    VaultError,
)
from gatepass.secrets import Secret, constant_time_compare

if TYPE_CHECKING:
    from requests import Session

_T = TypeVar("_T")
POST_SECONDS: Final = 25.0
WRITE_SECONDS: Final = 20.0  # for how long a shared vault that cannot be reached is tried again
SETTLE_SECONDS: Final = 3.0  # how long the holder of an ended lease is waited for
_LOOK: Final = 0.2  # seconds; on Windows Ctrl-C is noticed only between two waits
_AHEAD: Final = 60.0  # seconds before its end that a token is renewed ...
_AHEAD_PART: Final = 0.1  # ... but at most this part of its life


@dataclass(frozen=True, slots=True)
class CachedToken:
    """An access token in memory, with both clocks: wall clocks jump, monotonic ones sleep.

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

    def lasts(self, clock: Callable[[], float], *, ahead: bool = True) -> bool:
        """Say whether it can be used now; with ``ahead``, without being close to its end."""
        if self.expires_at is None or self.deadline is None:
            return True
        margin = self.ahead if ahead else 0.0
        return clock() < self.expires_at - margin and time.monotonic() < self.deadline - margin


@dataclass(frozen=True, slots=True)
class RefreshContext:
    """What a refresh needs beside the record.

    Attributes:
        http: a session without credentials.
        client_secret: of a confidential client; None of a public one.
        clock: the wall clock.
        advice: what a person should run, such as ``gatepass login prod``.
        seconds: for each of at most two questions to the provider.
        patience: seconds for which a shared vault that cannot be reached is tried again.
        settle: seconds for which the holder of an ended lease is waited for.
    """

    http: "Session"
    client_secret: Secret | None
    clock: Callable[[], float]
    advice: str
    seconds: float = POST_SECONDS
    patience: float = WRITE_SECONDS
    settle: float = SETTLE_SECONDS


def run_uninterrupted(action: Callable[[Callable[[], bool]], Any]) -> Any:
    """Run an action in a thread that outlives a Ctrl-C, and wait for it.

    The wait can be interrupted; the action goes on to its end, and the process ends only then.

    Args:
        action: gets a function that says whether nobody waits any more; before it has begun what
            must not be parted, it may stop.
    """
    # An interrupt inside a Future, a Condition or Thread.start, which are Python code, may leave a
    # lock behind that the thread then waits for, and the process never ends. A SimpleQueue is C,
    # and in a thread that is not the main one nothing is interrupted.
    came: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
    given_up = Event()

    def run() -> None:
        try:
            came.put((action(given_up.is_set), None))
        except BaseException as error:  # noqa: BLE001 - handed on to the waiting thread
            came.put((None, error))

    def start() -> None:
        try:
            Thread(target=run, name="gatepass-refresh", daemon=False).start()
        except BaseException as error:  # noqa: BLE001 - handed on to the waiting thread
            came.put((None, error))

    try:
        start_new_thread(start, ())
        result, error = _next(came)
    except BaseException:
        given_up.set()
        raise
    if error is not None:
        raise error
    return result


def _next(came: "SimpleQueue[_T]") -> _T:
    while True:
        with suppress(Empty):
            return came.get(timeout=_LOOK)


class UnsavedToken(TokenNotPersisted):
    """A new refresh token exists in memory alone.

    Attributes:
        record: what could not be written.
        spent: the refresh token that was sent for it, which is still stored.
    """

    def __init__(self, record: Record, spent: Secret, why: str) -> None:
        super().__init__(
            f"a renewed token could not be stored: {why}",
            hint="keep this process running until the cause is mended, or log in again afterwards",
        )
        self.record = record
        self.spent = spent


def renew_login(
    vault: Vault,
    identity: Identity,
    request: RefreshContext,
    *,
    refused: Secret | None,
    unsaved: Callable[[UnsavedToken], None] = lambda _: None,
) -> Record:
    """Return a record with a usable access token, refreshing it where that is needed.

    Args:
        vault: the store.
        identity: whose token.
        request: what a refresh needs.
        refused: an access token that the API has refused; it does not count as usable.
        unsaved: gets what cannot be written, also where nobody waits any more for the answer.

    Raises:
        LoginRequired: there is no record, or no token in it can be used.
        TokenLockTimeout: another process holds the lock for too long.
        UnsavedToken: the provider gave a new token, and it cannot be written.
        GatepassError: the provider does not answer as it should; the record is kept.
    """
    record = vault.read(identity)
    if record is not None and has_usable_token(record, request.clock(), refused):
        return record

    def renew(given_up: Callable[[], bool]) -> Record:
        renewed_elsewhere: list[Record] = []

        def enough() -> bool:
            """Look while waiting: what another brings is there for all who wait, at once."""
            found = vault.read(identity)
            if found is not None and has_usable_token(found, request.clock(), refused):
                renewed_elsewhere.append(found)
            return given_up() or bool(renewed_elsewhere)

        try:
            return _renew_under_lock(vault, identity, request, refused, given_up, enough)
        except TokenLockTimeout:
            if not renewed_elsewhere:
                raise
            return renewed_elsewhere[-1]
        except UnsavedToken as error:
            unsaved(error)
            raise

    done: Record = run_uninterrupted(renew)
    return done


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


def is_renewable(record: Record, now: float) -> bool:
    """Say whether a record's access token can be renewed at a time, in seconds since 1970."""
    ends = record.refresh_until
    return record.refresh_token is not None and (ends is None or now < ends)


def _renew_under_lock(
    vault: Vault,
    identity: Identity,
    request: RefreshContext,
    refused: Secret | None,
    given_up: Callable[[], bool],
    enough: Callable[[], bool] | None = None,
) -> Record:
    with vault.lock(identity, seconds=LOCK_SECONDS, cancel_check=enough or given_up):
        # In this order: a late holder writes the record before it removes its note. The other way
        # round, between the two looks, its token would be spent once more.
        before = vault.read_in_flight(identity)
        record = vault.read(identity)
        if before is not None and vault.shared:
            record = _settled(vault, identity, record, request, refused)
        if record is None:
            raise LoginRequired("nobody has logged in yet", hint=request.advice)
        if has_usable_token(
            record, request.clock(), refused
        ):  # another thread or process was faster
            return record
        if record.suspect:
            raise LoginRequired(
                f"the stored token is suspect: {record.suspect}", hint=request.advice
            )
        if record.refresh_token is None:
            raise LoginRequired(
                "the stored login has ended and cannot be renewed", hint=request.advice
            )
        if given_up():
            raise KeyboardInterrupt  # nothing is sent yet, and nobody waits for it
        vault.begin_refresh(identity)
        return _renew(vault, identity, record, record.refresh_token, request, before)


def _settled(
    vault: Vault,
    identity: Identity,
    record: Record | None,
    request: RefreshContext,
    refused: Secret | None,
) -> Record | None:
    """Wait for a moment for the holder of an ended lease, who may have an answer in its hands."""
    end = time.monotonic() + request.settle
    while (
        record is not None
        and not has_usable_token(record, request.clock(), refused)
        and time.monotonic() < end
    ):
        time.sleep(_LOOK)
        record = vault.read(identity)
    return record


def _renew(
    vault: Vault,
    identity: Identity,
    record: Record,
    spent: Secret,
    request: RefreshContext,
    before: InFlight | None,
) -> Record:
    why: str | None = None
    try:
        response = send_refresh(vault, identity, record, spent, request)
        fresh = token_response.refresh_token_of(response)
        if fresh is not None:
            # Nothing of the answer is judged before the only token that still works is safe.
            record = renewed(record, fresh, request)
            try:
                record = _kept(vault, identity, record, spent, request)
            except VaultError as error:
                why = error.message
        if why is not None:  # the journal stays: what is stored is spent
            raise _unsaved(record, spent, response, request, why)
        tokens = token_response.parse_tokens(response, clock=request.clock)
    except token_response.InvalidGrant as error:
        vault.remove_refresh_token(identity, spent)
        _over(vault, identity)
        raise LoginRequired(_why_refused(error, before), hint=request.advice) from None
    except (NotSent, token_response.Denied, token_response.Retry, _NotBegun):
        # The provider never saw the token, or did not use it up.
        _over(vault, identity, before=before)
        raise
    _over(vault, identity)
    return _judged(vault, identity, record, tokens, request)


class _NotBegun(VaultError):
    """The lease cannot be made long enough, so nothing was sent."""


def send_refresh(
    vault: Vault, identity: Identity, record: Record, spent: Secret, request: RefreshContext
) -> ProviderResponse:
    """Send the stored token; each question only under a lock that outlasts it."""

    def hold() -> Deadline:
        # Counted from before: who is stopped behind this must not send what another may have sent.
        until = Deadline.after(request.seconds)
        vault.extend_lock(identity, request.seconds)
        return until

    try:
        until = hold()
    except VaultError as error:
        raise _NotBegun(error.message, hint=error.hint) from None
    return post_refresh(record.provider, record.client_id, spent, request, until=until, again=hold)


def _over(vault: Vault, identity: Identity, *, before: InFlight | None = None) -> None:
    """Take the note away, or bring back the one before; it only explains, so it may fail."""
    with suppress(VaultError):
        vault.end_refresh(identity, restore=before)


def _kept(
    vault: Vault, identity: Identity, record: Record, spent: Secret, request: RefreshContext
) -> Record:
    """Write a renewed token down, in a shared vault again and again for a while.

    Returns:
        The record as kept; where a later login is stored by now, ours, which is then used in
        memory alone.

    Raises:
        LoginRequired: somebody has logged out.
        VaultError: it cannot be written.
    """
    end = time.monotonic() + (request.patience if vault.shared else 0.0)
    while True:
        try:
            kept = vault.write_refreshed(identity, record, spent=spent)
        except VaultError:
            if time.monotonic() >= end:
                raise
        else:
            break
        time.sleep(_LOOK)
    if kept is None:
        raise LoginRequired("somebody logged out while the login was renewed", hint=request.advice)
    return kept if constant_time_compare(kept.refresh_token, record.refresh_token) else record


def _unsaved(
    record: Record, spent: Secret, response: ProviderResponse, request: RefreshContext, why: str
) -> UnsavedToken:
    """Judge the rest of an answer whose refresh token is in memory alone, and never lose that."""
    try:
        tokens = token_response.parse_tokens(response, clock=request.clock)
        record = _named(record, _claims(record, tokens, request))
    except id_token.InvalidIdToken as error:
        if isinstance(error, id_token.UntimelyIdToken):
            return UnsavedToken(record, spent, f"{why}; and {error.message}")
        return UnsavedToken(replace(record, suspect=error.message), spent, why)
    except GatepassError as error:
        return UnsavedToken(record, spent, f"{why}; and {error.message}")
    return UnsavedToken(with_access(record, tokens, request), spent, why)


def renewed(record: Record, fresh: Secret, request: RefreshContext) -> Record:
    """Return a record with a new refresh token, and without the old access token."""
    return replace(
        record,
        refresh_token=fresh,
        access_token=None,
        expires_at=None,
        saved_at=request.clock(),
        refresh_until=None,
    )


def with_access(record: Record, tokens: Tokens, request: RefreshContext) -> Record:
    """Return a record with the access token of an answer."""
    return replace(
        record,
        access_token=tokens.access_token,
        expires_at=tokens.expires_at,
        saved_at=request.clock(),
        refresh_until=tokens.refresh_until or record.refresh_until,
    )


def renew_unstored_login(
    record: Record, request: RefreshContext, *, keep: Callable[[Record], None]
) -> Record:
    """Refresh a record that is not stored.

    Args:
        record: the record.
        request: what a refresh needs.
        keep: gets the record with the new refresh token before anything else is looked at.

    Raises:
        LoginRequired: the provider refuses the token, or it is suspect.
        GatepassError: the provider does not answer as it should.
    """
    if record.suspect:
        raise LoginRequired(f"the login is suspect: {record.suspect}", hint=request.advice)
    if record.refresh_token is None:
        raise LoginRequired("the login has ended and cannot be renewed", hint=request.advice)
    try:
        response = post_refresh(record.provider, record.client_id, record.refresh_token, request)
        fresh = token_response.refresh_token_of(response)
        if fresh is not None:
            record = renewed(record, fresh, request)
            keep(record)
        tokens = token_response.parse_tokens(response, clock=request.clock)
    except token_response.InvalidGrant as error:
        raise LoginRequired(_why_refused(error, None), hint=request.advice) from None
    record = _named(record, _claims(record, tokens, request))
    record = with_access(record, tokens, request)
    keep(record)
    return record


def _named(record: Record, claims: "id_token.Claims | None") -> Record:
    """Return the record with who it is, where a token from elsewhere did not say it before."""
    if claims is None or record.subject is not None:
        return record
    return replace(record, subject=claims.subject, user=claims.user)


def _claims(record: Record, tokens: Tokens, request: RefreshContext) -> "id_token.Claims | None":
    if tokens.id_token is None:
        return None
    return id_token.check(
        tokens.id_token,
        record.provider,
        record.client_id,
        http=request.http,
        clock=request.clock,
        subject=record.subject,
    )


def post_refresh(
    provider: Provider,
    client_id: str,
    refresh_token: Secret | None,
    request: RefreshContext,
    *,
    until: Deadline | None = None,
    again: Callable[[], Deadline | None] = lambda: None,
) -> ProviderResponse:
    """Send a refresh token to the provider that it belongs to, and to no other.

    An answer that was lost on its way is asked for once more with the same token: if the provider
    has used it up, nothing can get worse, and within a grace period it answers again.

    Args:
        provider: whose token it is.
        client_id: our name there.
        refresh_token: the token.
        request: what else is needed.
        until: the token does not leave after it.
        again: called before the token is sent once more, and returns until when that may be; a
            ``VaultError`` keeps it from that.

    Raises:
        NotSent: the request certainly did not arrive.
        ResponseLost: it may have arrived, twice.
    """
    client = Client(client_id, secret=request.client_secret)
    fields = {
        "grant_type": "refresh_token",
        "refresh_token": refresh_token.reveal() if refresh_token else "",
    }

    def ask(until: Deadline | None) -> ProviderResponse:
        return request_token(
            request.http, provider, client, fields, seconds=request.seconds, until=until
        )

    response, lost = None, None
    try:
        response = ask(until)
    except ResponseLost as error:
        lost = error
    # The server's own mistakes are worth a second question.
    if response is not None and response.status < 500:  # noqa: PLR2004
        return response
    with suppress(VaultError, NotSent):  # what the first question may have done counts then
        return ask(again())
    if response is None:
        raise lost or AssertionError("unreachable")
    return response


def _why_refused(error: GatepassError, before: InFlight | None) -> str:
    if before is not None:
        when = local_time(before.since)
        return (
            f"process {before.pid} on {before.host} began a refresh at {when} and did not bring "
            "it to an end (killed, or its answer was lost); the identity provider has since "
            "refused the token"
        )
    return (
        "the identity provider refuses the stored login, which has expired or was revoked "
        f"({error.message})"
    )


def _judged(
    vault: Vault, identity: Identity, record: Record, tokens: Tokens, request: RefreshContext
) -> Record:
    """Check what came with a refresh, and write the access token down."""
    own = record.refresh_token or Secret("")
    try:
        record = _named(record, _claims(record, tokens, request))
    except id_token.UntimelyIdToken:
        raise  # perhaps it is this computer's clock: that must not end the login of the others
    except id_token.InvalidIdToken as error:
        vault.write_refreshed(identity, replace(record, suspect=error.message), spent=own)
        raise LoginRequired(
            f"the identity provider's answer cannot be trusted: {error.message}",
            hint=request.advice,
        ) from None
    fresh = with_access(record, tokens, request)
    try:
        kept = vault.write_refreshed(identity, fresh, spent=own)
    except VaultError:
        # The refresh token is safe already; without the access token others refresh once more.
        return fresh
    return kept if kept is not None and constant_time_compare(kept.refresh_token, own) else fresh
