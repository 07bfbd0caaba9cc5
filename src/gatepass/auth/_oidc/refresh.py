"""Renew a login: send its refresh token, and store the new one before anything else.

Many providers give a refresh token that works once: sent twice, it ends the login, and so does a
response that is lost. So a renewal

1. takes a lock that all threads and processes share, and reads the record again,
2. notes in the journal that a refresh is under way,
3. sends the refresh token,
4. stores the new refresh token, and only then checks the rest of the response,
5. stores the access token, and clears the journal.

Steps 1 to 5 run in a thread of their own, which no Ctrl-C ends. If the process is killed between 3
and 4, the provider's grace period heals that, if it has one; else the journal tells what happened.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from gatepass._system import log
from gatepass._system.text import local_time
from gatepass._value import Value, replace
from gatepass._vault.records import Identity, InFlight, Record, Tokens
from gatepass._vault.vault import LOCK_SECONDS, Vault
from gatepass.auth._oidc import id_token, token_response
from gatepass.auth._oidc.cached_token import has_usable_token
from gatepass.auth._oidc.http import Deadline, NotSent, ProviderResponse
from gatepass.auth._oidc.refresh_request import RefreshContext, post_refresh
from gatepass.auth._oidc.uninterrupted import run_uninterrupted
from gatepass.errors import (
    GatepassError,
    LoginRequired,
    TokenLockTimeout,
    TokenNotPersisted,
    VaultError,
)
from gatepass.secrets import Secret, constant_time_compare

_POLL_SECONDS: Final = 0.2


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
    context: RefreshContext,
    *,
    refused: Secret | None,
    on_unsaved: Callable[[UnsavedToken], None] = lambda _: None,
) -> Record:
    """Return a record with a usable access token, renewing it where that is needed.

    Args:
        vault: the store.
        identity: whose token.
        context: what a refresh needs.
        refused: an access token that the API has refused; it does not count as usable.
        on_unsaved: gets a new token that cannot be stored, also after a Ctrl-C.

    Raises:
        LoginRequired: there is no record, or no token in it can be used.
        TokenLockTimeout: another process holds the lock for too long.
        UnsavedToken: the provider gave a new token, and it cannot be written.
        GatepassError: the provider does not answer as it should; the record is kept.
    """
    record = vault.read(identity)
    if record is not None and has_usable_token(record, context.clock(), refused):
        return record

    def renew(given_up: Callable[[], bool]) -> Record:
        renewal = _Renewal(vault, identity, context, refused)
        try:
            return renewal.run(given_up)
        except UnsavedToken as error:
            on_unsaved(error)
            raise

    renewed: Record = run_uninterrupted(renew)
    return renewed


class _Renewal(Value):
    """One renewal of a stored login; the methods are the steps, in their order."""

    vault: Vault
    identity: Identity
    context: RefreshContext
    refused: Secret | None

    def run(self, given_up: Callable[[], bool]) -> Record:
        """Renew the login under its lock, or take what another has stored meanwhile."""
        renewed_elsewhere: list[Record] = []

        def stop_waiting() -> bool:
            found = self.vault.read(self.identity)
            if found is not None and self._is_usable(found):
                renewed_elsewhere.append(found)
            return given_up() or bool(renewed_elsewhere)

        try:
            return self.renew_under_lock(given_up, stop_waiting)
        except TokenLockTimeout:
            if not renewed_elsewhere:
                raise
            log.info("another thread or process has renewed the login")
            return renewed_elsewhere[-1]

    def renew_under_lock(
        self, given_up: Callable[[], bool], stop_waiting: Callable[[], bool]
    ) -> Record:
        with self.vault.lock(self.identity, seconds=LOCK_SECONDS, cancel_check=stop_waiting):
            # Read the journal first: a holder whose lease has expired writes the record before it
            # clears its journal entry. Read the other way round, between those two writes, the old
            # record would be taken for current, and its token spent once more.
            unfinished = self.vault.read_in_flight(self.identity)
            record = self.vault.read(self.identity)
            if unfinished is not None and self.vault.shared:
                record = self._wait_for_previous_holder(record)
            if record is not None and self._is_usable(record):
                log.info("another thread or process has renewed the login")
                return record
            record, refresh_token = self._require_refresh_token(record)
            if given_up():
                raise KeyboardInterrupt  # nothing is sent yet, and nobody waits for it
            self.vault.begin_refresh(self.identity)
            return self._spend(record, refresh_token, unfinished)

    def _is_usable(self, record: Record) -> bool:
        return has_usable_token(record, self.context.clock(), self.refused)

    def _wait_for_previous_holder(self, record: Record | None) -> Record | None:
        """Wait up to ``settle`` seconds before spending the same refresh token.

        The previous holder's lease has expired, but its response may still arrive.
        """
        end = time.monotonic() + self.context.settle
        while record is not None and not self._is_usable(record) and time.monotonic() < end:
            time.sleep(_POLL_SECONDS)
            record = self.vault.read(self.identity)
        return record

    def _require_refresh_token(self, record: Record | None) -> tuple[Record, Secret]:
        hint = self.context.hint
        if record is None:
            raise LoginRequired("nobody has logged in yet", hint=hint)
        if record.suspect:
            raise LoginRequired(f"the stored token is suspect: {record.suspect}", hint=hint)
        if record.refresh_token is None:
            raise LoginRequired("the stored login has ended and cannot be renewed", hint=hint)
        return record, record.refresh_token

    def _spend(self, record: Record, spent: Secret, unfinished: InFlight | None) -> Record:
        """Send the refresh token, store what came for it, and clear the journal."""
        try:
            response = self._send_refresh(record, spent)
            record = self._store_refresh_token(record, spent, response)
            tokens = token_response.parse_tokens(response, clock=self.context.clock)
        except token_response.InvalidGrant as error:
            self.vault.remove_refresh_token(self.identity, spent)
            self._clear_journal()
            why = _explain_invalid_grant(error, unfinished)
            raise LoginRequired(why, hint=self.context.hint) from None
        except (NotSent, token_response.Denied, token_response.Retry, _LockNotExtended):
            # The provider never saw the token, or did not use it up.
            self._clear_journal(restore=unfinished)
            raise
        self._clear_journal()
        return self._store_access_token(record, tokens)

    def _send_refresh(self, record: Record, spent: Secret) -> ProviderResponse:
        """Send the refresh token, each time under a lock that lasts longer than the request."""

        def extend_lock() -> Deadline:
            # Take the deadline before extending the lock: if this process is suspended in between,
            # it must not send a token that another may have sent meanwhile.
            until = Deadline.after(self.context.seconds)
            self.vault.extend_lock(self.identity, self.context.seconds)
            return until

        try:
            until = extend_lock()
        except VaultError as error:
            raise _LockNotExtended(error.message, hint=error.hint) from None
        return post_refresh(
            record.provider,
            record.client_id,
            spent,
            self.context,
            until=until,
            before_repeat=extend_lock,
        )

    def _store_refresh_token(
        self, record: Record, spent: Secret, response: ProviderResponse
    ) -> Record:
        """Store the new refresh token, if there is one, before the response is checked.

        Raises:
            LoginRequired: somebody has logged out.
            UnsavedToken: it cannot be written. The journal stays: the stored token is spent.
        """
        fresh = token_response.refresh_token_of(response)
        if fresh is None:
            return record
        record = _with_refresh_token(record, fresh, self.context.clock())
        try:
            return self._keep(record, spent)
        except VaultError as error:
            why = error.message
        raise _unsaved_token(record, spent, response, self.context, why)

    def _keep(self, record: Record, spent: Secret) -> Record:
        """Write a renewed token down; in a shared vault, try again for a while.

        Returns:
            The record as stored. If a later login is stored by now, ours, which is then used in
            memory alone.
        """
        patience = self.context.patience if self.vault.shared else 0.0
        end = time.monotonic() + patience
        while True:
            try:
                kept = self.vault.write_refreshed(self.identity, record, spent=spent)
            except VaultError:
                if time.monotonic() >= end:
                    raise
            else:
                break
            time.sleep(_POLL_SECONDS)
        if kept is None:
            raise LoginRequired(
                "somebody logged out while the login was renewed", hint=self.context.hint
            )
        return kept if constant_time_compare(kept.refresh_token, record.refresh_token) else record

    def _store_access_token(self, record: Record, tokens: Tokens) -> Record:
        """Check what came with the refresh token, and store the access token."""
        own = record.refresh_token or Secret("")
        try:
            record = _with_checked_user(record, tokens, self.context)
        except id_token.UntimelyIdToken:
            raise  # this computer's clock may be wrong: that must not end the login of the others
        except id_token.InvalidIdToken as error:
            suspect = replace(record, suspect=error.message)
            self.vault.write_refreshed(self.identity, suspect, spent=own)
            raise LoginRequired(
                f"the identity provider's answer cannot be trusted: {error.message}",
                hint=self.context.hint,
            ) from None
        fresh = with_access_token(record, tokens, self.context.clock())
        try:
            kept = self.vault.write_refreshed(self.identity, fresh, spent=own)
        except VaultError:
            # The refresh token is safe already; without the access token others refresh once more.
            return fresh
        if kept is not None and constant_time_compare(kept.refresh_token, own):
            return kept
        return fresh

    def _clear_journal(self, *, restore: InFlight | None = None) -> None:
        """Remove our entry, or restore the one before. It only explains, so it may fail."""
        with suppress(VaultError):
            self.vault.end_refresh(self.identity, restore=restore)


class _LockNotExtended(VaultError):
    """The lock cannot be extended for long enough, so nothing was sent."""


def renew_unstored_login(
    record: Record, context: RefreshContext, *, keep: Callable[[Record], None]
) -> Record:
    """Renew a login that is not stored.

    Args:
        record: the record.
        context: what a refresh needs.
        keep: gets the record with the new refresh token before anything else is looked at.

    Raises:
        LoginRequired: the provider refuses the token, or it is suspect.
        GatepassError: the provider does not answer as it should.
    """
    if record.suspect:
        raise LoginRequired(f"the login is suspect: {record.suspect}", hint=context.hint)
    if record.refresh_token is None:
        raise LoginRequired("the login has ended and cannot be renewed", hint=context.hint)
    try:
        response = post_refresh(record.provider, record.client_id, record.refresh_token, context)
        fresh = token_response.refresh_token_of(response)
        if fresh is not None:
            record = _with_refresh_token(record, fresh, context.clock())
            keep(record)
        tokens = token_response.parse_tokens(response, clock=context.clock)
    except token_response.InvalidGrant as error:
        raise LoginRequired(_explain_invalid_grant(error, None), hint=context.hint) from None
    record = _with_checked_user(record, tokens, context)
    record = with_access_token(record, tokens, context.clock())
    keep(record)
    return record


def _with_refresh_token(record: Record, fresh: Secret, now: float) -> Record:
    """Return a record with a new refresh token, and without the old access token."""
    return replace(
        record,
        refresh_token=fresh,
        access_token=None,
        expires_at=None,
        saved_at=now,
        refresh_until=None,
    )


def with_access_token(record: Record, tokens: Tokens, now: float) -> Record:
    """Return a record with the access token of a response that came at a time."""
    return replace(
        record,
        access_token=tokens.access_token,
        expires_at=tokens.expires_at,
        saved_at=now,
        refresh_until=tokens.refresh_until or record.refresh_until,
    )


def _with_checked_user(record: Record, tokens: Tokens, context: RefreshContext) -> Record:
    """Check the ID token, if one came; add whose login it is, where that was not known.

    Raises:
        InvalidIdToken: it must not be believed, or belongs to another person.
        GatepassError: the provider's keys cannot be fetched.
    """
    if tokens.id_token is None:
        return record
    claims = id_token.check(
        tokens.id_token,
        record.provider,
        record.client_id,
        http=context.http,
        clock=context.clock,
        subject=record.subject,
    )
    if record.subject is not None:
        return record
    return replace(record, subject=claims.subject, user=claims.user)


def _unsaved_token(
    record: Record,
    spent: Secret,
    response: ProviderResponse,
    context: RefreshContext,
    why: str,
) -> UnsavedToken:
    """Check the rest of a response whose refresh token could not be stored, and never lose that."""
    try:
        tokens = token_response.parse_tokens(response, clock=context.clock)
        record = _with_checked_user(record, tokens, context)
    except id_token.InvalidIdToken as error:
        if isinstance(error, id_token.UntimelyIdToken):
            return UnsavedToken(record, spent, f"{why}; and {error.message}")
        return UnsavedToken(replace(record, suspect=error.message), spent, why)
    except GatepassError as error:
        return UnsavedToken(record, spent, f"{why}; and {error.message}")
    return UnsavedToken(with_access_token(record, tokens, context.clock()), spent, why)


def _explain_invalid_grant(error: GatepassError, unfinished: InFlight | None) -> str:
    if unfinished is not None:
        when = local_time(unfinished.since)
        return (
            f"process {unfinished.pid} on {unfinished.host} began a refresh at {when} and did not "
            "bring it to an end (killed, or its answer was lost); the identity provider has since "
            "refused the token"
        )
    return (
        "the identity provider refuses the stored login, which has expired or was revoked "
        f"({error.message})"
    )
