"""Renew a login: send its refresh token, and store the new one before anything else.

Many providers give a refresh token that works once: sent twice, it ends the login, and so does a
response that is lost. :func:`refresh_stored` is the whole story. It runs in a thread that no Ctrl-C
ends, so that the request and the write are not parted. If the process is killed between the two,
the provider's grace period heals that, if it has one; else the journal tells what happened.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from gatepass._system import log
from gatepass._system.deadline import Deadline
from gatepass._system.text import local_time
from gatepass._value import Value, replace
from gatepass._vault.records import Client, Identity, InFlight, Record, Tokens
from gatepass._vault.store import HeldLock
from gatepass._vault.vault import LOCK_SECONDS, Vault
from gatepass.auth._oidc import id_token, token_response
from gatepass.auth._oidc.cached_token import has_usable_token, why_not_renewable
from gatepass.auth._oidc.client_auth import request_token
from gatepass.auth._oidc.http import NotSent, ProviderResponse, ResponseLost
from gatepass.auth._oidc.memory import MemoryLogin
from gatepass.auth._oidc.token_request import form_of_refresh_token
from gatepass.auth._oidc.uninterrupted import run_uninterrupted
from gatepass.errors import GatepassError, LoginRequired, TokenLockTimeout, VaultError
from gatepass.secrets import Secret, constant_time_compare

if TYPE_CHECKING:
    from requests import Session

Place = Vault | MemoryLogin

POST_SECONDS: Final = 25.0
WRITE_SECONDS: Final = 20.0  # for how long a shared vault that cannot be reached is tried again
SETTLE_SECONDS: Final = 3.0  # how long the holder of an expired lease is waited for

_POLL_SECONDS: Final = 0.2
_SERVER_ERRORS: Final = 500
_TOO_MANY_REQUESTS: Final = 429
_SHORT_WAIT: Final = 10.0  # seconds; others wait for the lock meanwhile
# What speaks of the client, whom no login of a person helps (RFC 6749, section 5.2).
_CLIENT_ERRORS: Final = frozenset(
    "invalid_client unauthorized_client invalid_scope unsupported_grant_type".split()
)
_OF_TOKEN_ENDPOINT: Final = frozenset({400, 401})  # its statuses for an error (section 5.2)
_ASK_AGAIN_SECONDS: Final = 3600.0  # after another status, which may be of something on the way


class RefreshContext(Value):
    """What a refresh needs beside the place of the login.

    Attributes:
        identity: whose login.
        memory: takes a new token that the vault does not take.
        http: a session without credentials.
        client: who asks; its ``client_id`` is the record's.
        clock: the wall clock.
        hint: what a person should run, such as ``run: gatepass login prod``.
        seconds: for each of at most two requests to the provider.
        patience: seconds for which a shared vault that cannot be reached is tried again.
        settle: seconds for which the holder of an expired lease is waited for.
    """

    identity: Identity
    memory: MemoryLogin
    http: "Session"
    client: Client
    clock: Callable[[], float]
    hint: str
    seconds: float = POST_SECONDS
    patience: float = WRITE_SECONDS
    settle: float = SETTLE_SECONDS


def renew_login(place: Place, context: RefreshContext, *, refused: Secret | None) -> Record:
    """Return a record with a usable access token, renewing it where that is needed.

    Args:
        place: where the login is: the vault, or this process's memory.
        context: what a refresh needs.
        refused: an access token that the API has refused; it does not count as usable.

    Raises:
        LoginRequired: there is no record, or no token in it can be used.
        TokenLockTimeout: another process holds the lock for too long.
        GatepassError: the provider does not answer as it should; the record is kept.
    """

    def renew(given_up: Callable[[], bool]) -> Record:
        # What ended the wait for the lock. By now a third may be renewing it once more, and then
        # the vault holds no access token for a moment.
        renewed: list[Record] = []

        def stop_waiting() -> bool:
            found = place.read(context.identity)
            if found is not None and has_usable_token(found, context.clock(), refused):
                renewed.append(found)
            return bool(renewed) or given_up()

        try:
            return refresh_stored(place, context, refused, given_up, stop_waiting)
        except TokenLockTimeout:
            if not renewed:
                raise
            log.info("another thread or process has renewed the login")
            return renewed[-1]

    renewed: Record = run_uninterrupted(renew)
    return renewed


def refresh_stored(
    place: Place,
    context: RefreshContext,
    refused: Secret | None,
    given_up: Callable[[], bool],
    stop_waiting: Callable[[], bool],
) -> Record:
    """Renew a login under its lock, or take what another has stored meanwhile.

    Args:
        place: where the login is.
        context: what a refresh needs.
        refused: an access token that the API has refused.
        given_up: says whether nobody waits for it any more; until the token is sent, it then stops.
        stop_waiting: says whether the lock need not be waited for any more.
    """
    identity = context.identity

    def is_usable(found: Record | None) -> bool:
        return found is not None and has_usable_token(found, context.clock(), refused)

    with place.lock(identity, seconds=LOCK_SECONDS, cancel_check=stop_waiting):
        # Read the journal first: a holder whose lease has expired writes the record before it
        # clears its journal entry. Read the other way round, between those two writes, the old
        # record would be taken for current, and its token spent once more.
        unfinished = place.read_in_flight(identity)
        record = place.read(identity)
        if unfinished is not None and place.shared:
            record = _wait_for_previous_holder(place, context, is_usable)
        if record is not None and is_usable(record):
            log.info("another thread or process has renewed the login")
            return record
        record, spent = _require_refresh_token(record, context)
        if given_up():
            raise KeyboardInterrupt  # nothing is sent yet, and nobody waits for it
        place.begin_refresh(identity)
        try:
            response = _send(place, record, spent, context)
            home, record = _store_refresh_token(place, record, spent, response, context)
            tokens = token_response.parse_tokens(response, clock=context.clock)
        except (NotSent, token_response.Retry, _LockLost):
            _clear_journal(place, identity, unfinished)  # the provider has used nothing up
            raise
        except token_response.Denied as error:
            raise _note_refusal(place, record, spent, error, unfinished, context) from None
        if home is place:
            _clear_journal(place, identity)
        return _store_access_token(home, record, tokens, context)


# ---------------------------------------------------------------- before anything is sent


def _wait_for_previous_holder(
    place: Place, context: RefreshContext, is_usable: Callable[[Record | None], bool]
) -> Record | None:
    """Wait up to ``settle`` seconds before spending the same refresh token.

    The previous holder's lease has expired, but its response may still arrive.
    """
    end = time.monotonic() + context.settle
    while True:
        record = place.read(context.identity)
        if record is None or is_usable(record) or time.monotonic() >= end:
            return record
        time.sleep(_POLL_SECONDS)


def _require_refresh_token(record: Record | None, context: RefreshContext) -> tuple[Record, Secret]:
    why = "nobody has logged in yet"
    if record is not None:
        why = why_not_renewable(record, context.clock())
    if record is None or record.refresh_token is None or why:
        raise LoginRequired(why, hint=context.hint)
    return record, record.refresh_token


# ---------------------------------------------------------------- send


class _WhileLocked(Deadline):
    """A deadline that a lock may end earlier."""

    lock: HeldLock | MemoryLogin

    @classmethod
    def of(cls, lock: HeldLock | MemoryLogin, seconds: float) -> "_WhileLocked":
        """Return the moment so many seconds from now, or the end of the lock."""
        moment = Deadline.after(seconds)
        return cls(moment.monotonic, moment.wall, lock)

    @property
    def passed(self) -> bool:
        """Whether it is over, or the lock may have ended."""
        return super().passed or self.lock.passed


class _LockLost(VaultError):
    """The lock has ended, or cannot be kept, so nothing was sent."""


def _send(place: Place, record: Record, spent: Secret, context: RefreshContext) -> ProviderResponse:
    """Send a refresh token to the provider that it belongs to, and to no other.

    If the response is lost, or the server fails, the same token is sent once more: if the provider
    has used it up, nothing can get worse, and within a grace period it answers again. A provider
    that is busy is given the time that it asks for, if that is short.

    Raises:
        NotSent: the request certainly did not arrive.
        ResponseLost: it may have arrived, twice.
    """
    client = replace(context.client, client_id=record.client_id)
    form = form_of_refresh_token(spent)

    def post() -> ProviderResponse:
        try:
            # If this process is suspended from here on for so long that the lock ends, the token
            # does not leave: another may have sent it meanwhile.
            until = _WhileLocked.of(place.keep_lock(context.identity), context.seconds)
        except VaultError as error:
            raise _LockLost(error.message, hint=error.hint) from None
        log.debug("refresh token is sent to %s", record.provider.token_endpoint)
        return request_token(
            context.http, record.provider, client, form, seconds=context.seconds, until=until
        )

    first: ProviderResponse | ResponseLost
    try:
        first = post()
    except ResponseLost as error:
        first = error
    if isinstance(first, ProviderResponse):
        wanted = token_response.retry_after(first, context.clock)
        is_busy = first.status == _TOO_MANY_REQUESTS and wanted is not None
        wait = wanted or 0.0
        if not (is_busy or first.status >= _SERVER_ERRORS) or wait > _SHORT_WAIT:
            return first
        time.sleep(wait)
    # If the second request is not sent, what the first may have done still counts.
    with suppress(VaultError, NotSent):
        return post()
    if isinstance(first, ResponseLost):
        raise first
    return first


def _note_refusal(
    place: Place,
    record: Record,
    spent: Secret,
    error: token_response.Denied,
    unfinished: InFlight | None,
    context: RefreshContext,
) -> GatepassError:
    """Write down that a refresh token was refused, so that it is not sent again; return the error.

    What speaks of the client is about the profile, and changes nothing.
    """
    if error.error in _CLIENT_ERRORS:
        _clear_journal(place, context.identity, unfinished)
        return error.with_traceback(None)
    now = context.clock()
    by_provider = error.error or error.status in _OF_TOKEN_ENDPOINT
    refused = replace(
        record,
        refused=f"{error.message}; the login was not renewed at {local_time(now)}",
        ask_again_at=None if by_provider else now + _ASK_AGAIN_SECONDS,
    )
    if isinstance(error, token_response.InvalidGrant):
        refused = replace(refused, refresh_token=None)
    place.write_refreshed(context.identity, refused, spent=spent)
    _clear_journal(place, context.identity)
    return LoginRequired(_explain_refusal(error, unfinished), hint=context.hint)


def _explain_refusal(error: token_response.Denied, unfinished: InFlight | None) -> str:
    if unfinished is not None and isinstance(error, token_response.InvalidGrant):
        return (
            f"process {unfinished.pid} on {unfinished.host} began a refresh at "
            f"{local_time(unfinished.since)} and did not bring it to an end (killed, or its answer "
            "was lost); the identity provider has since refused the token"
        )
    ended = ", which has expired or was revoked" * isinstance(error, token_response.InvalidGrant)
    return f"the identity provider does not renew the login{ended} ({error.message})"


def _clear_journal(place: Place, identity: Identity, restore: InFlight | None = None) -> None:
    """Remove our entry, or restore the one before. It only explains, so it may fail."""
    with suppress(VaultError):
        place.end_refresh(identity, restore=restore)


# ---------------------------------------------------------------- store, then validate


def _store_refresh_token(
    place: Place,
    record: Record,
    spent: Secret,
    response: ProviderResponse,
    context: RefreshContext,
) -> tuple[Place, Record]:
    """Store the new refresh token, if there is one, before the response is checked.

    Returns:
        Where the login is from now on, and the record: in memory, where the vault did not take it.
        The journal then stays, since the stored token is spent.

    Raises:
        LoginRequired: somebody has logged out.
    """
    fresh = token_response.refresh_token_of(response)
    if fresh is None:
        return place, record
    record = replace(
        record,
        refresh_token=fresh,
        access_token=None,
        expires_at=None,
        saved_at=context.clock(),
        refresh_until=None,
    )
    end = time.monotonic() + (context.patience if place.shared else 0.0)
    while True:
        try:
            kept = place.write_refreshed(context.identity, record, spent=spent)
        except VaultError as error:
            if time.monotonic() < end:
                time.sleep(_POLL_SECONDS)
                continue
            if not isinstance(place, Vault):
                raise
            context.memory.keep_unsaved(place, context.identity, record, spent, error)
            return context.memory, record
        if kept is None:
            why = "somebody logged out while the login was renewed"
            raise LoginRequired(why, hint=context.hint)
        # If a later login is stored by now, ours is used in memory alone.
        ours = constant_time_compare(kept.refresh_token, fresh)
        return place, kept if ours else record


def _store_access_token(
    place: Place, record: Record, tokens: Tokens, context: RefreshContext
) -> Record:
    """Check what came with the refresh token, and store the access token."""
    own = record.refresh_token or Secret("")
    try:
        if tokens.id_token is not None:
            claims = id_token.check(
                tokens.id_token,
                record.provider,
                record.client_id,
                http=context.http,
                clock=context.clock,
                before=record,
            )
            user = record.user if record.subject is not None else claims.user
            record = replace(record, subject=claims.subject, user=user, id_token_key=claims.key)
    except id_token.InvalidIdToken as error:
        suspect = replace(record, suspect=error.message)
        place.write_refreshed(context.identity, suspect, spent=own)
        raise LoginRequired(
            f"the identity provider's answer cannot be trusted: {error.message}",
            hint=context.hint,
        ) from None
    fresh = with_access_token(record, tokens, context.clock())
    try:
        kept = place.write_refreshed(context.identity, fresh, spent=own)
    except VaultError:
        # The refresh token is safe already; without the access token others refresh once more.
        return fresh
    if kept is not None and constant_time_compare(kept.refresh_token, own):
        return kept
    return fresh


def with_access_token(record: Record, tokens: Tokens, now: float) -> Record:
    """Return a record with the access token of a response that came at a time."""
    return replace(
        record,
        access_token=tokens.access_token,
        expires_at=tokens.expires_at,
        saved_at=now,
        refresh_until=tokens.refresh_until or record.refresh_until,
        refused=None,
        ask_again_at=None,
    )
