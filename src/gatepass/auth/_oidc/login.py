"""The requests auth of the scheme ``oidc``: get an access token, renew it, store it.

A session calls it for each request, and offers its ``login``, ``logout``, ``adopt``,
``refresh_token`` and ``persist_oidc_token``.
"""

import hashlib
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from gatepass._net.challenge import challenges_of
from gatepass._system import log
from gatepass._vault.records import Record
from gatepass._vault.vault import LOCK_SECONDS
from gatepass.auth import AuthContext
from gatepass.auth._handshake import resend, rewind
from gatepass.auth._oidc import token_response
from gatepass.auth._oidc.cached_token import (
    CachedToken,
    has_usable_token,
    is_renewable,
    until_end,
)
from gatepass.auth._oidc.http import NotSent, ResponseLost
from gatepass.auth._oidc.keeper import LoginKeeper
from gatepass.auth._oidc.keys import OidcKeys
from gatepass.auth._oidc.login_flow import LoginFlow
from gatepass.auth._oidc.memory import Adoption, MemoryLogin
from gatepass.auth._oidc.refresh import Place, RefreshContext, renew_login
from gatepass.errors import GatepassError, GatepassWarning, LoginRequired, VaultError
from gatepass.secrets import Secret, constant_time_compare

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

_UNAUTHORIZED: Final = 401
_OLD_SERVICE: Final = "ansys-openapi-common-oidc"


class OidcLogin:
    """Adds access tokens to requests; logs in, renews and stores as the scheme says."""

    def __init__(self, scheme: OidcKeys, context: AuthContext) -> None:
        scheme = scheme.with_names(context.resolve)
        self._scheme = scheme
        self._context = context
        secret = context.resolve(client_secret=scheme.client_secret).get("client_secret")
        self._flow = LoginFlow(scheme, context, secret)
        self._identity = scheme.identity(context.origin)
        self._vault = context.vault()
        self._cached: CachedToken | None = None
        # A client's login is of one session, since its secret is not part of the identity.
        shared = {} if scheme.flow == "client_credentials" else context.shared
        self._memory: MemoryLogin = shared.setdefault(self._key(), MemoryLogin())
        self._own: MemoryLogin = self._memory  # where a login is that is not stored

    def _key(self, token: Secret | None = None) -> tuple[object, ...]:
        """Return what sessions share a login by: the identity, and the token that was given."""
        given = None if token is None else hashlib.sha256(token.reveal().encode()).digest()
        return MemoryLogin, self._identity, self._vault.store.shown, given

    # ------------------------------------------------------------ requests

    def __call__(self, request: "PreparedRequest") -> "PreparedRequest":
        """Add an access token; log in or renew first where that is needed."""
        token = self.access_token()
        request.headers["Authorization"] = f"Bearer {token.reveal()}"

        def handle(response: "Response", **kwargs: Any) -> "Response":
            return self._handle_response(token, response, kwargs)

        request.register_hook("response", handle)  # type: ignore[no-untyped-call]
        return request

    def _handle_response(
        self, sent: Secret, response: "Response", kwargs: dict[str, Any]
    ) -> "Response":
        """Renew a token that the server says is invalid, and send the request once more."""
        if response.status_code != _UNAUTHORIZED or not _token_is_invalid(response):
            return response
        fresh = self.access_token(refused=sent)
        if not rewind(response.request):
            response.close()
            raise GatepassError(
                "the access token had ended and is renewed; the body of this request can be read "
                "only once, so it was not sent again",
                hint="send the request again",
            )
        return resend(response, f"Bearer {fresh.reveal()}", kwargs)

    @property
    def expires_at(self) -> float | None:
        """When the access token of this process ends, in seconds since 1970; None if not known."""
        return self._cached.expires_at if self._cached is not None else None

    def access_token(self, *, refused: Secret | None = None) -> Secret:
        """Return an access token that can be used now.

        Args:
            refused: one that the server has just refused; it is not returned again.

        Raises:
            LoginRequired: a person must log in, and none can or may.
            GatepassError: the identity provider does not answer as it should.
        """
        turns = self._own.turns
        with self._own.turn:
            self._memory.save()
            cached = self._cached
            if cached is not None and constant_time_compare(cached.token, refused):
                cached = None
            if cached is not None and cached.is_usable(self._context.clock):
                return cached.token
            try:
                record = self._renew_or_log_in(refused, turns)
            except (NotSent, ResponseLost, token_response.Retry, VaultError) as error:
                if cached is None or not cached.is_usable(self._context.clock, ahead=False):
                    raise
                warnings.warn(f"no new token yet: {error.message}", GatepassWarning, stacklevel=2)
                return cached.token
            return self._cache_token(record).token

    def _cache_token(self, record: Record) -> CachedToken:
        if record.access_token is None:
            raise LoginRequired("the login brought no access token", hint=self._flow.hint)
        self._cached = CachedToken.of(record.access_token, record.expires_at, self._context.clock)
        return self._cached

    # ------------------------------------------------------------ renewal

    def _renew_or_log_in(self, refused: Secret | None, turns: int) -> Record:
        """Get a record with a usable access token: stored, renewed, or by a new login."""
        if self._scheme.flow == "client_credentials":
            return self._flow.request_client_credentials()
        try:
            place, found = self._find_login()
            if has_usable_token(found, self._context.clock(), refused):
                log.info("stored access token is used%s", until_end(found))
                return found  # without preparing the way to the provider (context.http)
            return self._renew(place, refused)
        except LoginRequired as error:
            why = error
        return self._log_in(why, turns)

    def _find_login(self) -> tuple[Place, Record]:
        """Return the login and where it is: in memory if it is not stored, else in the vault."""
        if self._own.record is not None and self._is_in_memory():
            return self._own, self._own.record
        stored = self._read_stored()
        if stored is not None:
            return self._vault, stored
        given = self._flow.read_given_token()
        if given is not None:
            self._own = self._context.shared.setdefault(self._key(given), MemoryLogin())
        with self._own.turn:
            if self._own.record is None and self._own.belongs_to_parent:
                raise LoginRequired(
                    "the login is not stored, so it belongs to the process that this one was "
                    "forked from",
                    hint=self._flow.hint,
                )
            if given is not None and self._own.record is None:
                self._own.record = self._flow.record_of_token(given, *self._flow.discover())
        if self._own.record is None or self._is_of_others():
            missing = self._vault.store.why_missing()
            raise LoginRequired(f"nobody has logged in yet{missing}", hint=self._flow.hint)
        return self._own, self._own.record

    def _is_of_others(self) -> bool:
        """Whether the login in memory is another session's, where a stored one is wanted."""
        own = self._own
        return own is self._memory and own.spent is None and self._scheme.use_stored_token

    def _is_in_memory(self) -> bool:
        """Whether a login is used that is not stored, or could not be."""
        record, now = self._own.record, self._context.clock()
        if record is None or self._own.spent is not None:
            return record is not None
        if self._is_of_others():
            return False
        return has_usable_token(record, now) or is_renewable(record, now)

    def _renew(self, place: Place, refused: Secret | None) -> Record:
        memory = self._memory
        try:
            record = renew_login(place, self._refresh_context(), refused=refused)
        finally:
            untold, memory.untold = memory.untold, None
            if untold is not None:
                warnings.warn(str(untold), GatepassWarning, stacklevel=4)
        log.info("access token is renewed%s", until_end(record))
        if place is self._vault:
            memory.newest = record
        return record

    def _refresh_context(self) -> RefreshContext:
        flow = self._flow
        return RefreshContext(
            self._identity,
            self._memory,
            self._context.http(),
            flow.client(""),
            self._context.clock,
            flow.hint,
        )

    def _read_stored(self) -> Record | None:
        """Read the vault. Where it has lost what this process has seen there, write that again."""
        stored, newest = self._vault.read(self._identity), self._memory.newest
        if newest is None or (stored is not None and stored.generation >= newest.generation):
            self._memory.newest = stored
        elif newest.refresh_token is not None:
            with suppress(VaultError):
                stored = self._vault.write_refreshed(
                    self._identity, newest, spent=newest.refresh_token
                )
                self._memory.newest = stored  # None: somebody has logged out
        return stored

    # ------------------------------------------------------------ login

    def _log_in(self, why: LoginRequired, turns: int, *, replace: bool = False) -> Record:
        """Let a person log in, if one is there and may be asked; else raise why that is needed."""
        if self._scheme.use_stored_token:
            raise LoginRequired(
                f"{why.message}, and use_stored_token forbids a login", hint=why.hint
            )
        nobody = self._context.terminal.why_not_browse()
        if nobody is not None:
            raise LoginRequired(f"{why.message}, and {nobody}", hint=why.hint)
        with self._own.person(turns):
            pinned = self._read_stored()
            keeper = LoginKeeper(
                self._context, self._vault, self._identity, pinned, replace=replace
            )
            self._flow.let_person_log_in(*self._flow.discover(pinned), keeper.keep)
            record = keeper.settle()
            log.info("logged in at %s%s", record.provider.issuer, until_end(record))
            if keeper.stored:
                self._own.forget()
                self._memory.newest = record
            else:
                self._own.record, self._own.spent = record, None
            return record

    def _keeper(self, pinned: Record | None, *, replace: bool = False) -> LoginKeeper:
        return LoginKeeper(self._context, self._vault, self._identity, pinned, replace=replace)

    # ------------------------------------------------------------ what a session offers

    @property
    def refresh_token(self) -> str:
        """The refresh token of this login. Never starts one.

        Raises:
            LoginRequired: there is none.
        """
        with self._own.turn:
            record = self._own.record if self._is_in_memory() else self._read_stored()
            if record is None or record.refresh_token is None:
                raise LoginRequired("there is no refresh token yet", hint=self._flow.hint)
            return record.refresh_token.reveal()

    def login(self, *, replace: bool = False) -> None:
        """Let a person log in now, whatever is stored.

        Args:
            replace: without a question also a stored login that can be renewed, by one that cannot.

        Raises:
            LoginRequired: nobody can or may.
        """
        turns = self._own.turns
        with self._own.turn:
            if self._scheme.flow == "client_credentials":
                self._cache_token(self._flow.request_client_credentials())
                return
            record = None
            if turns != self._own.turns and self._own.failure is None:
                # The person has just logged in for another thread, which this one waited for.
                record = self._own.record or self._read_stored()
            why = LoginRequired("a login was asked for", hint=self._flow.hint)
            self._cache_token(record or self._log_in(why, turns, replace=replace))

    def persist_oidc_token(self) -> None:
        """Store the login for later runs; logs in first where that is needed.

        Raises:
            LoginRequired: there is no login, and nobody can or may log in.
            VaultError: it cannot be stored.
        """
        with self._own.turn:
            if self._own.record is None and self._read_stored() is None:
                self._vault.check_writable(self._identity)  # before a person takes the trouble
            self.access_token()
            record = self._own.record
            if record is None or not self._is_in_memory():
                return  # it is stored already
            self._memory.newest = self._keeper(self._read_stored()).write(record)
            self._own.forget()

    def logout(self) -> str:
        """Revoke the tokens at the provider, if it can, and forget them.

        Returns:
            What was done, in one sentence.

        Raises:
            VaultError: the record cannot be read or removed.
        """
        with self._own.turn:
            unstored, self._cached = self._own.record, None
            self._own.forget()
            self._memory.newest = None
            if self._read_stored() is None:
                self._vault.remove(self._identity)
                record, revoked = unstored, unstored is not None and self._revoke(unstored)
            else:
                # Nobody may renew the login between the revocation and the removal.
                with self._vault.lock(self._identity, seconds=LOCK_SECONDS):
                    record = unstored or self._read_stored()
                    if record is not None:
                        self._vault.keep_lock(self._identity)
                    revoked = record is not None and self._revoke(record)
                    self._vault.remove(self._identity)
            if record is None:
                return "nobody was logged in"
            return "logged out" if revoked else "logged out here; the provider was not told"

    def _revoke(self, record: Record) -> bool:
        return self._flow.revoke(record)

    def adopt(self, agreed: Callable[[str], bool] | None = None) -> str | None:
        """Take over the token that ansys-openapi-common keeps for this server, and remove it there.

        Two owners of a token that rotates end each other's login.

        Args:
            agreed: gets the identity provider that the token would be sent to, and says whether
                it may be; everybody agrees when not given.

        Returns:
            The identity provider that the token belongs to; None when it was not agreed, and
            nothing was changed.

        Raises:
            LoginRequired: there is none, or the provider refuses it.
        """
        from gatepass.secrets import keyring

        with self._own.turn:
            account, token = self._find_old_token()
            provider, client = self._flow.discover()
            if agreed is not None and not agreed(provider.issuer):
                return None
            self._vault.check_writable(self._identity)
            before = self._read_stored()
            place = Adoption(self._vault, self._flow.record_of_token(token, provider, client))
            try:
                record = self._renew(place, None)
            except GatepassError:
                if before is not None and place.is_stored:
                    self._vault.write(self._identity, before)  # what is taken over is of no use
                raise
            self._memory.newest = record
            keyring.remove(_OLD_SERVICE, account, self._context)
            log.info("the token of %s is adopted, for %s", _OLD_SERVICE, provider.issuer)
            self._cache_token(record)
            return provider.issuer

    def _find_old_token(self) -> tuple[str, Secret]:
        """Return the keyring's account and the token of ansys-openapi-common."""
        from gatepass.secrets import keyring

        url = self._context.url
        # PyGranta's clients ask by the URL at which they log on.
        for account in (url, url.rstrip("/"), f"{url}Health/v2.svc"):
            token = keyring.read(_OLD_SERVICE, account, self._context)
            if token is not None:
                return account, Secret(token)
        raise LoginRequired(
            f"the keyring holds no entry {_OLD_SERVICE} for {url}", hint=self._flow.hint
        )


def _token_is_invalid(response: "Response") -> bool:
    """Whether a 401 says that the token has ended, or says nothing about it (RFC 6750, 3.1)."""
    challenges = challenges_of(response)
    errors = {
        challenge.params.get("error", "invalid_token")
        for challenge in challenges
        if challenge.scheme == "bearer"
    }
    return not challenges or "invalid_token" in errors
