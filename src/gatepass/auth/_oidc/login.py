"""The requests auth of the scheme ``oidc``: get an access token, renew it, store it.

A session calls it for each request, and offers its ``login``, ``logout``, ``adopt``,
``refresh_token`` and ``persist_oidc_token``.
"""

import atexit
import os
import socket
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from threading import Lock, RLock, Thread
from typing import TYPE_CHECKING, Any, Final

from gatepass._net.challenge import challenges_of
from gatepass._system import log
from gatepass._system.fork import PerProcess
from gatepass._vault.records import Record
from gatepass._vault.vault import LOCK_SECONDS
from gatepass.auth import AuthContext
from gatepass.auth._handshake import resend, rewind
from gatepass.auth._oidc import token_response
from gatepass.auth._oidc.cached_token import CachedToken, has_usable_token, until_end
from gatepass.auth._oidc.http import TIMEOUT, NotSent, ResponseLost
from gatepass.auth._oidc.keys import OidcKeys
from gatepass.auth._oidc.login_flow import LoginFlow
from gatepass.auth._oidc.refresh import UnsavedToken, renew_login, renew_unstored_login
from gatepass.auth._oidc.refresh_request import RefreshContext
from gatepass.auth._oidc.uninterrupted import run_uninterrupted
from gatepass.errors import GatepassError, GatepassWarning, LoginRequired, VaultError
from gatepass.secrets import Secret, constant_time_compare

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

_UNAUTHORIZED: Final = 401
_SAVE_AGAIN_SECONDS: Final = 0.5  # in a shared vault the others wait for SETTLE_SECONDS
_OLD_SERVICE: Final = "ansys-openapi-common-oidc"


class OidcLogin:
    """Adds access tokens to requests; logs in, renews and stores as the scheme says."""

    def __init__(self, scheme: OidcKeys, context: AuthContext) -> None:
        self._scheme = scheme
        self._context = context
        secret = context.resolve(client_secret=scheme.client_secret).get("client_secret")
        self._flow = LoginFlow(scheme, context, secret)
        self._identity = scheme.identity(context.origin)
        self._vault = context.vault()
        self._cached: CachedToken | None = None
        self._unstored: Record | None = None  # a login that is not stored
        self._spent_token: Secret | None = None  # still stored, where the unstored one belongs
        self._belongs_to_parent = False  # the login is the parent process's
        self._locks = PerProcess(RLock)
        # Held while the unstored login is renewed, also after a Ctrl-C.
        self._renewal_locks = PerProcess(Lock)
        self._pid = os.getpid()

    @property
    def _lock(self) -> Any:
        lock = self._locks.get()
        if self._pid != os.getpid():
            with lock:
                self._notice_fork()
        return lock

    def _notice_fork(self) -> None:
        """In a forked process, leave a login that is not stored to the parent.

        Two processes that both renew it would end it for each other. The access token still serves.
        """
        if self._pid != os.getpid():
            self._belongs_to_parent |= self._unstored is not None
            self._forget_unstored()
            self._pid = os.getpid()

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

    def access_token(self, *, refused: Secret | None = None) -> Secret:
        """Return an access token that can be used now.

        Args:
            refused: one that the server has just refused; it is not returned again.

        Raises:
            LoginRequired: a person must log in, and none can or may.
            GatepassError: the identity provider does not answer as it should.
        """
        with self._lock:
            self._save_unsaved()
            cached = self._cached
            if cached is not None and constant_time_compare(cached.token, refused):
                cached = None
            if cached is not None and cached.is_usable(self._context.clock):
                return cached.token
            try:
                record = self._renew_or_log_in(refused)
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

    def _renew_or_log_in(self, refused: Secret | None) -> Record:
        """Get a record with a usable access token: stored, renewed, or by a new login."""
        if self._scheme.flow == "client_credentials":
            return self._flow.request_client_credentials()
        why: LoginRequired
        try:
            stored = self._read_stored() if self._unstored is None else None
            if stored is not None:
                if has_usable_token(stored, self._context.clock(), refused):
                    log.info("stored access token is used%s", until_end(stored))
                    return stored  # without preparing the way to the provider (context.http)
                return self._renew_stored(refused)
            self._unstored = self._unstored or self._read_given_token()
            if self._unstored is not None:
                return self._renew_unstored()
            why = LoginRequired("nobody has logged in yet", hint=self._flow.hint)
        except LoginRequired as error:
            self._unstored = self._spent_token = None
            why = error
        return self._log_in(why)

    def _renew_stored(self, refused: Secret | None) -> Record:
        try:
            record = renew_login(
                self._vault,
                self._identity,
                self._refresh_context(),
                refused=refused,
                on_unsaved=self._keep_unsaved,
            )
        except UnsavedToken as unsaved:
            if unsaved.record.access_token is None:  # nothing else of the response can be used
                raise
            warnings.warn(f"{unsaved.message}\n{unsaved.hint}", GatepassWarning, stacklevel=4)
            return unsaved.record
        log.info("access token is renewed%s", until_end(record))
        return record

    def _renew_unstored(self) -> Record:
        def keep(record: Record) -> None:
            self._unstored = record

        def renew(given_up: Callable[[], bool]) -> Record:
            with self._renewal_locks.get():
                if given_up() or self._unstored is None:
                    raise LoginRequired("the login was given up", hint=self._flow.hint)
                return renew_unstored_login(self._unstored, self._refresh_context(), keep=keep)

        record: Record = run_uninterrupted(renew)
        self._save_unsaved()
        return record

    def _refresh_context(self) -> RefreshContext:
        flow = self._flow
        return RefreshContext(self._context.http(), flow.client(""), self._context.clock, flow.hint)

    def _read_stored(self) -> Record | None:
        return self._vault.read(self._identity)

    def _read_given_token(self) -> Record | None:
        if self._belongs_to_parent:
            raise LoginRequired(
                "the login is not stored, so it belongs to the process that this one was forked "
                "from",
                hint=self._flow.hint,
            )
        return self._flow.read_given_token()

    # ------------------------------------------------------------ a token that is not stored

    def _keep_unsaved(self, unsaved: UnsavedToken) -> None:
        """Keep a token that could not be stored, and go on trying.

        After a Ctrl-C, the thread that still renews calls this.
        """
        self._unstored, self._spent_token = unsaved.record, unsaved.spent
        atexit.register(self._save_unsaved)
        with suppress(RuntimeError):  # no more threads: then at the next need
            Thread(target=self._retry_saving, name="gatepass-save", daemon=True).start()

    def _retry_saving(self) -> None:
        """Store it as soon as possible: other processes would send the spent token once more."""
        while self._spent_token is not None:
            time.sleep(_SAVE_AGAIN_SECONDS)
            with self._lock:
                self._save_unsaved()

    def _save_unsaved(self) -> None:
        """Try again to store an unsaved token, unless a later login has taken its place."""
        self._notice_fork()  # at the end of a forked process nothing else has
        unsaved, spent = self._unstored, self._spent_token
        if unsaved is None or spent is None:
            return
        try:
            self._vault.write_refreshed(self._identity, unsaved, spent=spent)
            entry = self._vault.read_in_flight(self._identity)
            if entry is not None and (entry.pid, entry.host) == (os.getpid(), socket.gethostname()):
                self._vault.end_refresh(self._identity)
        except VaultError:
            return
        self._forget_unstored()
        atexit.unregister(self._save_unsaved)

    def _forget_unstored(self) -> None:
        self._unstored = self._spent_token = None

    # ------------------------------------------------------------ login

    def _log_in(self, why: LoginRequired) -> Record:
        """Let a person log in, if one is there and may be asked; else raise why that is needed."""
        if self._scheme.use_stored_token:
            raise LoginRequired(
                f"{why.message}, and use_stored_token forbids a login", hint=why.hint
            )
        nobody = self._context.terminal.why_not_browse()
        if nobody is not None:
            raise LoginRequired(f"{why.message}, and {nobody}", hint=why.hint)
        pinned = self._read_stored()
        record = self._flow.let_person_log_in(*self._flow.discover(pinned))
        if pinned is None:
            self._unstored, self._spent_token = record, None
            return record
        # The old token is not revoked: a second login in the same browser often belongs to the
        # same grant, and providers end all of a grant (RFC 7009, section 2.1).
        kept = self._vault.write(self._identity, record)
        self._forget_unstored()
        return kept

    # ------------------------------------------------------------ what a session offers

    @property
    def refresh_token(self) -> str:
        """The refresh token of this login. Never starts one.

        Raises:
            LoginRequired: there is none.
        """
        with self._lock:
            record = self._unstored or self._read_stored()
            if record is None or record.refresh_token is None:
                raise LoginRequired("there is no refresh token yet", hint=self._flow.hint)
            return record.refresh_token.reveal()

    def login(self) -> None:
        """Let a person log in now, whatever is stored.

        Raises:
            LoginRequired: nobody can or may.
        """
        with self._lock:
            if self._scheme.flow == "client_credentials":
                self._cache_token(self._flow.request_client_credentials())
                return
            why = LoginRequired("a login was asked for", hint=self._flow.hint)
            self._cache_token(self._log_in(why))

    def persist_oidc_token(self) -> None:
        """Store the login for later runs; logs in first where that is needed.

        Raises:
            LoginRequired: there is no login, and nobody can or may log in.
            VaultError: it cannot be stored.
        """
        with self._lock:
            self.access_token()
            if self._unstored is None:
                return  # it is stored already
            if self._unstored.refresh_token is None:
                raise VaultError(
                    "there is no refresh token to store",
                    hint="ask for the scope offline_access, which the provider may have to permit",
                )
            self._vault.write(self._identity, self._unstored)
            self._forget_unstored()

    def logout(self) -> str:
        """Revoke the tokens at the provider, if it can, and forget them.

        Returns:
            What was done, in one sentence.

        Raises:
            VaultError: the record cannot be read or removed.
        """
        with self._lock:
            unstored, self._cached = self._unstored, None
            self._forget_unstored()
            if self._read_stored() is None:
                self._vault.remove(self._identity)
                record, revoked = unstored, unstored is not None and self._revoke(unstored)
            else:
                # Nobody may renew the login between the revocation and the removal.
                with self._vault.lock(self._identity, seconds=LOCK_SECONDS):
                    record = unstored or self._read_stored()
                    if record is not None:
                        self._vault.extend_lock(self._identity, TIMEOUT)
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

        with self._lock:
            account, token = self._find_old_token()
            provider, client = self._flow.discover()
            if agreed is not None and not agreed(provider.issuer):
                return None
            record = self._flow.record_of_token(token, provider, client)
            self._vault.write(self._identity, record)
            keyring.remove(_OLD_SERVICE, account, self._context)
            log.info("the token of %s is adopted, for %s", _OLD_SERVICE, provider.issuer)
            self._cache_token(self._renew_stored(None))
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
