"""One login: get an access token, renew it, store it."""

import atexit
import os
import socket
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from threading import Lock, RLock, Thread
from typing import TYPE_CHECKING, Any, Final

from gatepass._net.challenge import offered
from gatepass._system.fork import renew_in_children
from gatepass._system.text import quoted
from gatepass._vault.records import Client, Provider, Record, Tokens
from gatepass._vault.vault import LOCK_SECONDS
from gatepass.auth import AuthContext
from gatepass.auth._handshake import again, rewound
from gatepass.auth._oidc import (
    authcode,
    client_credentials,
    device,
    discovery,
    id_token,
    refresh,
    token_response,
)
from gatepass.auth._oidc.http import (
    SECONDS,
    NotSent,
    ResponseLost,
    check_endpoint,
    client_authentication,
    post_form,
    printable,
    request_token,
)
from gatepass.auth._oidc.refresh import CachedToken, UnsavedToken
from gatepass.errors import (
    GatepassError,
    GatepassWarning,
    LoginRequired,
    VaultError,
)
from gatepass.secrets import Secret, constant_time_compare

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

from gatepass.auth._oidc.keys import OidcKeys

RequestDeviceCode = Callable[[Mapping[str, str]], Mapping[str, Any]]

_REFUSED: Final = 401
_SAVE_AGAIN: Final = 0.5  # seconds; in a shared vault the others wait for SETTLE_SECONDS
_DEFAULT_SCOPES: Final = ("openid", "offline_access")
_OLD_SERVICE: Final = "ansys-openapi-common-oidc"
_NOT_RENEWABLE: Final = (
    "the identity provider gave no refresh token, so this login ends with its access token; the "
    "scope offline_access may be missing, or not permitted"
)


class OidcLogin:
    """Brings access tokens; logs in, refreshes and stores as the scheme says."""

    def __init__(self, scheme: OidcKeys, context: AuthContext) -> None:
        self._scheme = scheme
        self._context = context
        self._secret = context.resolve(client_secret=scheme.client_secret).get("client_secret")
        self._identity = scheme.identity(context.origin)
        self._vault = context.vault()
        self._cached: CachedToken | None = None
        self._unstored: Record | None = None  # a login that is not stored
        # The refresh token that the login should have replaced in the vault, where that failed.
        self._spent_token: Secret | None = None
        self._belongs_to_parent = False  # it belongs to the process that this one was forked from
        self._make_locks()
        renew_in_children(self, OidcLogin._after_fork)

    def _make_locks(self) -> None:
        self._lock = RLock()
        self._renewal_lock = (
            Lock()
        )  # held while the login in memory is renewed, also after a Ctrl-C

    def _after_fork(self) -> None:
        """In a forked process, leave a login that is not stored to the parent.

        Two processes that both renew it would end it for each other. The access token still serves.
        """
        self._make_locks()
        if self._spent_token is not None:
            atexit.unregister(self._save_unsaved)
        self._belongs_to_parent |= self._unstored is not None
        self._unstored = self._spent_token = None

    # ------------------------------------------------------------ requests

    def __call__(self, request: "PreparedRequest") -> "PreparedRequest":
        """Add an access token; log in or refresh first where that is needed."""
        token = self.access_token()
        request.headers["Authorization"] = f"Bearer {token.reveal()}"

        def answer(response: "Response", **kwargs: Any) -> "Response":
            return self._answer(token, response, kwargs)

        request.register_hook("response", answer)  # type: ignore[no-untyped-call]
        return request

    def _answer(self, sent: Secret, response: "Response", kwargs: dict[str, Any]) -> "Response":
        """Renew a token that the server says is invalid, and send the request once more."""
        if response.status_code != _REFUSED or not _token_is_invalid(response):
            return response
        fresh = self.access_token(refused=sent)
        if not rewound(response.request):
            response.close()
            raise GatepassError(
                "the access token had ended and is renewed; the body of this request can be read "
                "only once, so it was not sent again",
                hint="send the request again",
            )
        return again(response, f"Bearer {fresh.reveal()}", kwargs)

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
            live = self._cached
            usable = live is not None and not constant_time_compare(live.token, refused)
            if live is not None and usable and live.lasts(self._context.clock):
                return live.token
            try:
                record = self._renewed(refused)
            except (NotSent, ResponseLost, token_response.Retry, VaultError) as error:
                if live is None or not usable or not live.lasts(self._context.clock, ahead=False):
                    raise
                warnings.warn(f"no new token yet: {error.message}", GatepassWarning, stacklevel=2)
                return live.token
            return self._take(record).token

    def _take(self, record: Record) -> CachedToken:
        if record.access_token is None:
            raise LoginRequired("the login brought no access token", hint=self._advice())
        self._cached = CachedToken.of(record.access_token, record.expires_at, self._context.clock)
        return self._cached

    # ------------------------------------------------------------ tokens

    def _renewed(self, refused: Secret | None) -> Record:
        """Get a record with a usable access token, by the mildest means."""
        if self._scheme.flow == "client_credentials":
            return self._request_client_credentials()
        why: LoginRequired
        try:
            stored = self._stored() if self._unstored is None else None
            if stored is not None:
                if refresh.has_usable_token(stored, self._context.clock(), refused):
                    return stored  # the way to the provider is not even prepared
                return self._renew_stored(refused)
            self._unstored = self._unstored or self._read_given_token()
            if self._unstored is not None:
                return self._renew_unstored()
            why = LoginRequired("nobody has logged in yet", hint=self._advice())
        except LoginRequired as error:
            self._unstored = self._spent_token = None
            why = error
        return self._log_in(why)

    def _renew_unstored(self) -> Record:
        def keep(record: Record) -> None:
            self._unstored = record

        def renew(given_up: Callable[[], bool]) -> Record:
            with self._renewal_lock:
                if given_up() or self._unstored is None:
                    raise LoginRequired("the login was given up", hint=self._advice())
                return refresh.renew_unstored_login(
                    self._unstored, self._refresh_context(), keep=keep
                )

        record: Record = refresh.run_uninterrupted(renew)
        self._save_unsaved()
        return record

    def _renew_stored(self, refused: Secret | None) -> Record:
        try:
            return refresh.renew_login(
                self._vault,
                self._identity,
                self._refresh_context(),
                refused=refused,
                unsaved=self._keep_unsaved,
            )
        except UnsavedToken as unsaved:
            if unsaved.record.access_token is None:  # nothing else of the answer can be used
                raise
            warnings.warn(f"{unsaved.message}\n{unsaved.hint}", GatepassWarning, stacklevel=4)
            return unsaved.record

    def _keep_unsaved(self, unsaved: UnsavedToken) -> None:
        """Hold on to what could not be stored; also called after a Ctrl-C, by the thread behind."""
        self._unstored, self._spent_token = unsaved.record, unsaved.spent
        atexit.register(self._save_unsaved)
        with suppress(RuntimeError):  # no more threads: then at the next need
            Thread(target=self._retry_saving, name="gatepass-save", daemon=True).start()

    def _retry_saving(self) -> None:
        """Store it as soon as that can be: the others would send the spent token once more."""
        while self._spent_token is not None:
            time.sleep(_SAVE_AGAIN)
            with self._lock:
                self._save_unsaved()

    def _save_unsaved(self) -> None:
        """Try again to store what could not be stored, unless a later login has taken its place."""
        unsaved, spent = self._unstored, self._spent_token
        if unsaved is None or spent is None:
            return
        try:
            self._vault.write_refreshed(self._identity, unsaved, spent=spent)
            note = self._vault.read_in_flight(self._identity)
            if note is not None and (note.pid, note.host) == (os.getpid(), socket.gethostname()):
                self._vault.end_refresh(self._identity)
        except VaultError:
            return
        self._unstored = self._spent_token = None
        atexit.unregister(self._save_unsaved)

    def _stored(self) -> Record | None:
        return self._vault.read(self._identity)

    def _read_given_token(self) -> Record | None:
        """The token of the key ``refresh_token``, as a record that is not stored."""
        if self._belongs_to_parent:
            raise LoginRequired(
                "the login is not stored, so it belongs to the process that this one was forked "
                "from",
                hint=self._advice(),
            )
        if self._scheme.refresh_token is None:
            return None
        if not self._scheme.issuer:
            # A value given in Python. Over http anybody on the way can name the provider.
            name = "the server that names the identity provider for refresh_token"
            check_endpoint(self._context.url, name)
        found = self._context.resolve(refresh_token=self._scheme.refresh_token)
        provider, client = self._discover()
        return Record(
            0, provider, client.client_id, client.scopes, client.audience, found["refresh_token"]
        )

    def _request_client_credentials(self) -> Record:
        provider, client = self._discover()

        def send(fields: Mapping[str, str]) -> Tokens:
            response = request_token(self._context.http(), provider, client, fields)
            return token_response.parse_tokens(response, clock=self._context.clock)

        tokens = client_credentials.log_in(client, send=send)
        return refresh.with_access(
            Record(0, provider, client.client_id), tokens, self._refresh_context()
        )

    def _refresh_context(self) -> refresh.RefreshContext:
        return refresh.RefreshContext(
            self._context.http(), self._secret, self._context.clock, self._advice()
        )

    def _advice(self) -> str:
        name = self._context.profile_name
        if name:
            return f"run: {quoted('gatepass', 'login', name)}"
        return f'run: Session("{self._context.url}", oidc=True).persist_oidc_token()'

    # ------------------------------------------------------------ discovery and login

    def _discover(self, pinned: Record | None = None) -> tuple[Provider, Client]:
        """Find the provider and who we are there: as written, else as the server says.

        Args:
            pinned: a stored login; another provider than its own is not even asked.
        """
        scheme, http = self._scheme, self._context.http()
        if scheme.issuer and scheme.client_id:
            provider = discovery.fetch_metadata(http, scheme.issuer)
            learnt = Client(scheme.client_id, scopes=_DEFAULT_SCOPES)
        else:
            # Only the header counts: the body of a hostile server might have no end.
            with http.get(self._context.url, allow_redirects=False, stream=True) as response:
                challenges = offered(response.headers.get("WWW-Authenticate"))
            provider, learnt = discovery.discover_from_challenge(
                http,
                self._context.url,
                challenges,
                issuer=scheme.issuer,
                client_id=scheme.client_id,
                agreed=partial(_check_pinned, pinned),
            )
        return provider, replace(
            learnt,
            secret=self._secret,
            scopes=tuple(scheme.scopes) if scheme.scopes is not None else learnt.scopes,
            audience=scheme.audience or learnt.audience,
            redirect_uri=scheme.redirect_uri or learnt.redirect_uri,
            extra_params=scheme.extra_params,
        )

    def _log_in(self, why: LoginRequired) -> Record:
        """Let a person log in, if one is there and may be asked."""
        terminal = self._context.terminal
        if self._scheme.use_stored_token:
            raise LoginRequired(
                f"{why.message}, and use_stored_token forbids a login", hint=why.hint
            )
        nobody = terminal.why_not_browse()
        if nobody is not None:
            raise LoginRequired(f"{why.message}, and {nobody}", hint=why.hint)
        pinned = self._stored()
        provider, client = self._discover(pinned)
        record = self._let_person_log_in(provider, client)
        if pinned is not None:
            # The old token is not revoked: a second login in the same browser often belongs to the
            # same grant, and providers end all of a grant (RFC 7009, section 2.1).
            kept = self._vault.write(self._identity, record)
            self._unstored = self._spent_token = None
            return kept
        self._unstored, self._spent_token = record, None
        return record

    def _let_person_log_in(self, provider: Provider, client: Client) -> Record:
        terminal, timeout = self._context.terminal, self._scheme.login_timeout
        found: list[Record] = []

        def send(fields: Mapping[str, str]) -> Tokens:
            response = request_token(self._context.http(), provider, client, fields)
            return token_response.parse_tokens(response, clock=self._context.clock)

        def accept(tokens: Tokens, nonce: str | None) -> None:
            found.append(self._record_of(provider, client, tokens, nonce))

        no_browser = terminal.why_no_browser() is not None
        if self._scheme.flow == "device" or (no_browser and provider.device_authorization_endpoint):
            tokens = device.log_in(
                provider,
                client,
                ask=self._asker(provider, client),
                send=send,
                terminal=terminal,
                timeout=timeout,
                advice=self._advice(),
            )
            accept(tokens, None)
        else:
            authcode.log_in(
                provider,
                client,
                send=send,
                terminal=terminal,
                timeout=timeout,
                accept=accept,  # the browser's page says success only after this
                advice=self._advice(),
            )
        return found[0]

    def _asker(self, provider: Provider, client: Client) -> RequestDeviceCode:
        def ask(fields: Mapping[str, str]) -> Mapping[str, Any]:
            own, auth = client_authentication(provider, client)
            response = post_form(
                self._context.http(),
                provider.device_authorization_endpoint or "",
                {**fields, **own},
                auth=auth,
            )
            return token_response.parse_document(response, clock=self._context.clock)

        return ask

    def _record_of(
        self, provider: Provider, client: Client, tokens: Tokens, nonce: str | None
    ) -> Record:
        """Judge the tokens of a login and make a record of them."""
        if tokens.refresh_token is None:
            warnings.warn(_NOT_RENEWABLE, GatepassWarning, stacklevel=2)
        bare = Record(
            0, provider, client.client_id, client.scopes, client.audience, tokens.refresh_token
        )
        record = refresh.with_access(bare, tokens, self._refresh_context())
        if tokens.id_token is None:
            if "openid" in client.scopes:
                raise GatepassError("the identity provider sent no ID token, although asked to")
            return record
        claims = id_token.check(
            tokens.id_token,
            provider,
            client.client_id,
            http=self._context.http(),
            clock=self._context.clock,
            nonce=nonce,
            access_token=tokens.access_token,
        )
        return replace(record, subject=claims.subject, user=claims.user)

    # ------------------------------------------------------------ what a session offers

    @property
    def refresh_token(self) -> str:
        """The refresh token of this login. Never starts one.

        Raises:
            LoginRequired: there is none.
        """
        with self._lock:
            record = self._unstored or self._stored()
            if record is None or record.refresh_token is None:
                raise LoginRequired("there is no refresh token yet", hint=self._advice())
            return record.refresh_token.reveal()

    def login(self) -> None:
        """Let a person log in now, whatever is stored.

        Raises:
            LoginRequired: nobody can or may.
        """
        with self._lock:
            if self._scheme.flow == "client_credentials":
                self._take(self._request_client_credentials())
                return
            why = LoginRequired("a login was asked for", hint=self._advice())
            self._take(self._log_in(why))

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
            self._unstored = self._spent_token = None

    def logout(self) -> str:
        """Revoke the tokens at the provider, if it can, and forget them.

        Returns:
            What was done, in one sentence.

        Raises:
            VaultError: the record cannot be read or removed.
        """
        with self._lock:
            memory, self._unstored, self._cached, self._spent_token = (
                self._unstored,
                None,
                None,
                None,
            )
            if self._stored() is None:
                self._vault.remove(self._identity)
                record, revoked = memory, memory is not None and self._revoke(memory)
            else:
                # Nobody may renew the login between the revocation and the removal.
                with self._vault.lock(self._identity, seconds=LOCK_SECONDS):
                    record = memory or self._stored()
                    if record is not None:
                        self._vault.extend_lock(self._identity, SECONDS)
                    revoked = record is not None and self._revoke(record)
                    self._vault.remove(self._identity)
            if record is None:
                return "nobody was logged in"
            return "logged out" if revoked else "logged out here; the provider was not told"

    def _revoke(self, record: Record) -> bool:
        if record.provider.revocation_endpoint is None or record.refresh_token is None:
            return False
        client = Client(record.client_id, secret=self._secret)
        own, auth = client_authentication(record.provider, client)
        fields = {
            "token": record.refresh_token.reveal(),
            "token_type_hint": "refresh_token",
            **own,
        }
        try:
            response = post_form(
                self._context.http(), record.provider.revocation_endpoint, fields, auth=auth
            )
        except GatepassError:
            return False
        return response.succeeded

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
            url = self._context.url
            # PyGranta's clients ask by the URL at which they log on.
            for account in (url, url.rstrip("/"), f"{url}Health/v2.svc"):
                token = keyring.read(_OLD_SERVICE, account, self._context)
                if token is not None:
                    break
            else:
                raise LoginRequired(
                    f"the keyring holds no entry {_OLD_SERVICE} for {self._context.url}",
                    hint=self._advice(),
                )
            provider, client = self._discover()
            if agreed is not None and not agreed(provider.issuer):
                return None
            record = Record(
                0, provider, client.client_id, client.scopes, client.audience, Secret(token)
            )
            self._vault.write(self._identity, record)
            keyring.remove(_OLD_SERVICE, account, self._context)
            self._take(self._renew_stored(None))
            return provider.issuer


def _check_pinned(pinned: Record | None, issuer: str, client_id: str) -> None:
    """Refuse a server that suddenly names another provider than the stored login's."""
    if pinned is None:
        return
    before = (pinned.provider.issuer, pinned.client_id)
    if before != (issuer, client_id):
        named = f"{printable(issuer)} (client {printable(client_id)})"
        raise GatepassError(
            f"the server now names the identity provider {named}; the stored login belongs to "
            f"{before[0]} (client {before[1]})",
            hint="if the server really has moved: gatepass logout, then gatepass login",
        )


def _token_is_invalid(response: "Response") -> bool:
    """Whether a 401 says that the token has ended, or says nothing about it (RFC 6750, 3.1)."""
    challenges = offered(response.headers.get("WWW-Authenticate"))
    errors = {
        challenge.params.get("error", "invalid_token")
        for challenge in challenges
        if challenge.scheme == "bearer"
    }
    return not challenges or "invalid_token" in errors
