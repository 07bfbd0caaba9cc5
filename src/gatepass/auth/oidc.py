"""``scheme = "oidc"``: OpenID Connect. Log in once in a browser, run unattended ever after."""

import atexit
import os
import socket
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Lock, RLock, Thread
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from gatepass._net.challenge import offered
from gatepass._net.proxy import Proxy
from gatepass._net.tls import Tls
from gatepass._system.findings import Finding, Verdict
from gatepass._system.fork import renew_in_children
from gatepass._system.text import quoted
from gatepass._vault import key as keys
from gatepass._vault.file_store import FileStore
from gatepass._vault.records import Client, Identity, InFlight, Provider, Record, Tokens
from gatepass._vault.redis_store import RedisStore, Server
from gatepass._vault.vault import Vault
from gatepass.auth import AuthContext, KeyRefused, SchemeBase, UnattendedContext, VaultPlace
from gatepass.auth._handshake import again, rewound
from gatepass.auth._oidc import authcode, client_credentials, device, discovery, id_token
from gatepass.auth._oidc import http as wire
from gatepass.auth._oidc import refresh as refreshing
from gatepass.auth._oidc import token_response as answers
from gatepass.auth._oidc.refresh import Live, Unsaved
from gatepass.errors import (
    GatepassError,
    GatepassWarning,
    LoginRequired,
    SecretUnavailable,
    VaultError,
)
from gatepass.secrets import Secret, SecretField, SecretRef

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

    from gatepass.auth import Authenticator

Ask = Callable[[Mapping[str, str]], Mapping[str, Any]]

LONGEST_RENEWAL: Final = refreshing.LOCK_SECONDS + refreshing.POST_SECONDS
"""Seconds that a renewal takes at most: it waits for another process, then for the provider."""

_REFUSED: Final = 401
_SAVE_AGAIN: Final = 0.5  # seconds; in a shared vault the others wait for SETTLE_SECONDS
_DEFAULT_SCOPES: Final = ("openid", "offline_access")
_OLD_SERVICE: Final = "ansys-openapi-common-oidc"
_NOT_RENEWABLE: Final = (
    "the identity provider gave no refresh token, so this login ends with its access token; the "
    "scope offline_access may be missing, or not permitted"
)


@dataclass(frozen=True)
class Oidc(SchemeBase):
    """A login at an identity provider: in a browser, on another device, or by a client's secret.

    A stored token is used whenever there is one.

    Attributes:
        issuer: the identity provider; learnt from the server where it is not written.
        client_id: our name there; learnt from the server where it is not written.
        client_secret: a reference; for confidential clients; needs ``issuer``, where it is sent.
        scopes: what to ask for; by default what the server names, else openid offline_access.
        audience: which API the token is for.
        redirect_uri: the loopback address that is registered for the client; any port by default.
        flow: ``browser``, ``device`` or ``client_credentials``.
        account: tells several people or roles at one server apart.
        refresh_token: a reference to a token from elsewhere, used when none is stored; needs
            ``issuer``, where it is sent.
        use_stored_token: never log in; a stored token or nothing.
        login_timeout: seconds that a person has for a login.
        extra_params: further parameters of the login's address.
        tls: certificates of the identity provider, and of the client for it; by default the
            system's authorities. The profile's ``tls`` is for the server alone, and for a provider
            at the same scheme, host and port.
        proxy: the way to the identity provider: a URL, ``"none"``, or a table; by default what the
            environment says. The profile's ``proxy`` is for the server alone.
    """

    issuer: str | None = None
    client_id: str | None = None
    client_secret: SecretField | None = None
    scopes: list[str] | None = None
    audience: str | None = None
    redirect_uri: str | None = None
    flow: Literal["browser", "device", "client_credentials"] = "browser"
    account: str = ""
    refresh_token: SecretField | None = None
    use_stored_token: bool = False
    login_timeout: float = 300
    extra_params: dict[str, str] = field(default_factory=dict)
    tls: Tls = field(default_factory=Tls)
    proxy: Proxy | None = None

    answers: ClassVar[frozenset[str]] = frozenset({"bearer"})

    def __post_init__(self) -> None:
        if self.flow == "client_credentials" and not (self.client_id and self.client_secret):
            raise ValueError("flow = client_credentials needs issuer, client_id and client_secret")
        # Without an issuer, whoever answers for the server says where these are sent. A token given
        # in Python is the exception that the Scripting Toolkit's users need: see _carried.
        if self.client_secret is not None:
            self._need_issuer("client_secret")
        if isinstance(self.refresh_token, SecretRef):
            self._need_issuer("refresh_token")
        if not 0 < self.login_timeout < 86_400:  # noqa: PLR2004 - a day
            raise ValueError("login_timeout should be seconds: a positive number")

    def _need_issuer(self, key: str) -> None:
        if not self.issuer:
            raise KeyRefused(
                key,
                "needs issuer, the identity provider that gave it; otherwise the server could name "
                "another one to send it to",
                hint='write   issuer = "https://..."   beside it',
            )

    def authenticator(self, context: AuthContext) -> "Authenticator":
        """Return an auth that brings an access token. Opens no connection, starts no login.

        Raises:
            SecretUnavailable: the client's secret did not answer.
        """
        return OidcLogin(self, context)

    def unattended(self, context: UnattendedContext) -> Iterator[Finding]:
        """Look for a stored login, or what takes its place. Reads the vault."""
        yield from context.predict(client_secret=self.client_secret)
        if self.flow != "client_credentials":
            yield from _predicted_login(self, context)

    def identity(self, origin: str) -> Identity:
        """Return whose token this is, as the profile says it."""
        return Identity(
            origin,
            self.account,
            self.issuer,
            self.client_id,
            self.audience,
            tuple(sorted(self.scopes or ())),
        )


@dataclass(frozen=True, slots=True)
class Status:
    """What is known of a login without asking anybody. Holds no token.

    Attributes:
        stored: whether there is a record.
        user: a name for people.
        issuer: the identity provider.
        client_id: our name there.
        access_until: when the access token ends, in seconds since 1970.
        renewable: whether a refresh token is stored.
        renewable_until: when that ends, unless it is used before; None when not known.
        saved_at: when the record was written, in seconds since 1970.
        in_flight: a refresh that has begun and not ended.
        suspect: why the tokens are not used.
    """

    stored: bool
    user: str | None = None
    issuer: str | None = None
    client_id: str | None = None
    access_until: float | None = None
    renewable: bool = False
    saved_at: float | None = None
    in_flight: InFlight | None = None
    suspect: str | None = None
    renewable_until: float | None = None


def vault_at(place: VaultPlace) -> Vault:
    """Return the vault at a place. Touches nothing."""
    return Vault(_store(place), _key(place), clock=place.clock, patience=refreshing.LOCK_SECONDS)


def _key(place: VaultPlace) -> keys.VaultKey:
    if place.key is None:
        return keys.in_keyring(place)
    return keys.behind(str(place.key), place.resolve_key, file=place.key_file)


def _store(place: VaultPlace) -> FileStore | RedisStore:
    server = place.redis
    if server is None:
        return FileStore(place.folder())
    return RedisStore(Server(server.host, server.port, server.db, server.tls, server.credentials))


def status(scheme: Oidc, origin: str, place: VaultPlace) -> Status:
    """Look up a login in the vault. Reads the vault and its key; no network, no person.

    Raises:
        VaultError: the record or the key cannot be read.
    """
    return statuses(place)(scheme, origin)


def statuses(place: VaultPlace) -> Callable[[Oidc, str], Status]:
    """Return what looks up logins of one vault, as :func:`status` does.

    The vault is opened once for all of them, also where that fails: a keyring that hangs costs
    seconds each time.
    """
    vault = vault_at(place)
    closed: list[VaultError] = []

    def look(scheme: Oidc, origin: str) -> Status:
        identity = scheme.identity(origin)
        if closed:
            raise closed[0]
        try:
            flying = vault.in_flight(identity)
        except VaultError as error:  # the key or the place; what is wrong with a record comes later
            closed.append(error)
            raise
        return _status_of(vault.read(identity), flying)

    return look


def _status_of(record: Record | None, flying: InFlight | None) -> Status:
    if record is None:
        return Status(stored=False, in_flight=flying)
    return Status(
        stored=True,
        user=record.user or record.subject,
        issuer=record.provider.issuer,
        client_id=record.client_id,
        access_until=record.expires_at,
        renewable=record.refresh_token is not None,
        saved_at=record.saved_at,
        in_flight=flying,
        suspect=record.suspect,
        renewable_until=record.refresh_until,
    )


class OidcLogin:
    """Brings access tokens; logs in, refreshes and stores as the scheme says."""

    def __init__(self, scheme: Oidc, context: AuthContext) -> None:
        self._scheme = scheme
        self._context = context
        self._secret = context.resolve(client_secret=scheme.client_secret).get("client_secret")
        self._identity = scheme.identity(context.origin)
        self._vault = vault_at(context.vault)
        self._live: Live | None = None
        self._memory: Record | None = None  # a login that is not stored
        self._spent: Secret | None = None  # ... although it should be, in the place of this token
        self._is_parents = False  # it belongs to the process that this one was forked from
        self._make_locks()
        renew_in_children(self, OidcLogin._renew)

    def _make_locks(self) -> None:
        self._lock = RLock()
        self._turn = Lock()  # held while the login in memory is renewed, also after a Ctrl-C

    def _renew(self) -> None:
        """In a forked process, leave a login that is not stored to the parent.

        Two processes that both renew it would end it for each other. The access token still serves.
        """
        self._make_locks()
        if self._spent is not None:
            atexit.unregister(self._save_late)
        self._is_parents |= self._memory is not None
        self._memory = self._spent = None

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
            self._save_late()
            live = self._live
            usable = live is not None and not refreshing.same(live.token, refused)
            if live is not None and usable and live.lasts(self._context.clock):
                return live.token
            try:
                record = self._renewed(refused)
            except (wire.NotSent, wire.Ambiguous, answers.Retry, VaultError) as error:
                if live is None or not usable or not live.lasts(self._context.clock, ahead=False):
                    raise
                warnings.warn(f"no new token yet: {error.message}", GatepassWarning, stacklevel=2)
                return live.token
            return self._take(record).token

    def _take(self, record: Record) -> Live:
        if record.access_token is None:
            raise LoginRequired("the login brought no access token", hint=self._advice())
        self._live = Live.of(record.access_token, record.expires_at, self._context.clock)
        return self._live

    # ------------------------------------------------------------ tokens

    def _renewed(self, refused: Secret | None) -> Record:
        """Get a record with a usable access token, by the mildest means."""
        if self._scheme.flow == "client_credentials":
            return self._by_client_credentials()
        why: LoginRequired
        try:
            stored = self._stored() if self._memory is None else None
            if stored is not None:
                if refreshing.usable(stored, self._context.clock(), refused):
                    return stored  # the way to the provider is not even prepared
                return self._refreshed(refused)
            self._memory = self._memory or self._carried()
            if self._memory is not None:
                return self._renewed_in_memory()
            why = LoginRequired("nobody has logged in yet", hint=self._advice())
        except LoginRequired as error:
            self._memory = self._spent = None
            why = error
        return self._logged_in(why)

    def _renewed_in_memory(self) -> Record:
        def keep(record: Record) -> None:
            self._memory = record

        def renew(given_up: Callable[[], bool]) -> Record:
            with self._turn:
                if given_up() or self._memory is None:
                    raise LoginRequired("the login was given up", hint=self._advice())
                return refreshing.in_memory(self._memory, self._request(), keep=keep)

        record: Record = refreshing.uninterrupted(renew)
        self._save_late()
        return record

    def _refreshed(self, refused: Secret | None) -> Record:
        try:
            return refreshing.stored(
                self._vault,
                self._identity,
                self._request(),
                refused=refused,
                unsaved=self._keep_in_memory,
            )
        except Unsaved as unsaved:
            if unsaved.record.access_token is None:  # nothing else of the answer can be used
                raise
            warnings.warn(f"{unsaved.message}\n{unsaved.hint}", GatepassWarning, stacklevel=4)
            return unsaved.record

    def _keep_in_memory(self, unsaved: Unsaved) -> None:
        """Hold on to what could not be stored; also called after a Ctrl-C, by the thread behind."""
        self._memory, self._spent = unsaved.record, unsaved.spent
        atexit.register(self._save_late)
        with suppress(RuntimeError):  # no more threads: then at the next need
            Thread(target=self._save_soon, name="gatepass-save", daemon=True).start()

    def _save_soon(self) -> None:
        """Store it as soon as that can be: the others would send the spent token once more."""
        while self._spent is not None:
            time.sleep(_SAVE_AGAIN)
            with self._lock:
                self._save_late()

    def _save_late(self) -> None:
        """Try again to store what could not be stored, unless a later login has taken its place."""
        unsaved, spent = self._memory, self._spent
        if unsaved is None or spent is None:
            return
        try:
            self._vault.keep(self._identity, unsaved, spent=spent)
            note = self._vault.in_flight(self._identity)
            if note is not None and (note.pid, note.host) == (os.getpid(), socket.gethostname()):
                self._vault.done(self._identity)
        except VaultError:
            return
        self._memory = self._spent = None
        atexit.unregister(self._save_late)

    def _stored(self) -> Record | None:
        return self._vault.read(self._identity)

    def _carried(self) -> Record | None:
        """The token of the key ``refresh_token``, as a record that is not stored."""
        if self._is_parents:
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
            wire.check_endpoint(self._context.url, name)
        found = self._context.resolve(refresh_token=self._scheme.refresh_token)
        provider, client = self._discovered()
        return Record(
            0, provider, client.client_id, client.scopes, client.audience, found["refresh_token"]
        )

    def _by_client_credentials(self) -> Record:
        provider, client = self._discovered()

        def send(fields: Mapping[str, str]) -> Tokens:
            reply = wire.ask_token(self._context.http(), provider, client, fields)
            return answers.tokens(reply, clock=self._context.clock)

        tokens = client_credentials.login(client, send=send)
        return refreshing.with_access(
            Record(0, provider, client.client_id), tokens, self._request()
        )

    def _request(self) -> refreshing.Request:
        return refreshing.Request(
            self._context.http(), self._secret, self._context.clock, self._advice()
        )

    def _advice(self) -> str:
        name = self._context.profile_name
        if name:
            return f"run: {quoted('gatepass', 'login', name)}"
        return f'run: Session("{self._context.url}", oidc=True).persist_oidc_token()'

    # ------------------------------------------------------------ discovery and login

    def _discovered(self, pinned: Record | None = None) -> tuple[Provider, Client]:
        """Find the provider and who we are there: as written, else as the server says.

        Args:
            pinned: a stored login; another provider than its own is not even asked.
        """
        scheme, http = self._scheme, self._context.http()
        if scheme.issuer and scheme.client_id:
            provider = discovery.metadata(http, scheme.issuer)
            learnt = Client(scheme.client_id, scopes=_DEFAULT_SCOPES)
        else:
            # Only the header counts: the body of a hostile server might have no end.
            with http.get(self._context.url, allow_redirects=False, stream=True) as response:
                challenges = offered(response.headers.get("WWW-Authenticate"))
            provider, learnt = discovery.from_challenge(
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

    def _logged_in(self, why: LoginRequired) -> Record:
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
        provider, client = self._discovered(pinned)
        record = self._by_person(provider, client)
        if pinned is not None:
            # The old token is not revoked: a second login in the same browser often belongs to the
            # same grant, and providers end all of a grant (RFC 7009, section 2.1).
            kept = self._vault.write(self._identity, record)
            self._memory = self._spent = None
            return kept
        self._memory, self._spent = record, None
        return record

    def _by_person(self, provider: Provider, client: Client) -> Record:
        terminal, timeout = self._context.terminal, self._scheme.login_timeout
        found: list[Record] = []

        def send(fields: Mapping[str, str]) -> Tokens:
            reply = wire.ask_token(self._context.http(), provider, client, fields)
            return answers.tokens(reply, clock=self._context.clock)

        def accept(tokens: Tokens, nonce: str | None) -> None:
            found.append(self._record_of(provider, client, tokens, nonce))

        no_browser = terminal.why_no_browser() is not None
        if self._scheme.flow == "device" or (no_browser and provider.device_authorization_endpoint):
            tokens = device.login(
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
            authcode.login(
                provider,
                client,
                send=send,
                terminal=terminal,
                timeout=timeout,
                accept=accept,  # the browser's page says success only after this
                advice=self._advice(),
            )
        return found[0]

    def _asker(self, provider: Provider, client: Client) -> Ask:
        def ask(fields: Mapping[str, str]) -> Mapping[str, Any]:
            own, auth = wire.identified(provider, client)
            reply = wire.post_form(
                self._context.http(),
                provider.device_authorization_endpoint or "",
                {**fields, **own},
                auth=auth,
            )
            return answers.document(reply, clock=self._context.clock)

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
        record = refreshing.with_access(bare, tokens, self._request())
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
            record = self._memory or self._stored()
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
                self._take(self._by_client_credentials())
                return
            why = LoginRequired("a login was asked for", hint=self._advice())
            self._take(self._logged_in(why))

    def persist_oidc_token(self) -> None:
        """Store the login for later runs; logs in first where that is needed.

        Raises:
            LoginRequired: there is no login, and nobody can or may log in.
            VaultError: it cannot be stored.
        """
        with self._lock:
            self.access_token()
            if self._memory is None:
                return  # it is stored already
            if self._memory.refresh_token is None:
                raise VaultError(
                    "there is no refresh token to store",
                    hint="ask for the scope offline_access, which the provider may have to permit",
                )
            self._vault.write(self._identity, self._memory)
            self._memory = self._spent = None

    def logout(self) -> str:
        """Revoke the tokens at the provider, if it can, and forget them.

        Returns:
            What was done, in one sentence.

        Raises:
            VaultError: the record cannot be read or removed.
        """
        with self._lock:
            memory, self._memory, self._live, self._spent = self._memory, None, None, None
            if self._stored() is None:
                self._vault.forget(self._identity)
                record, revoked = memory, memory is not None and self._revoke(memory)
            else:
                # Nobody may renew the login between the revocation and the removal.
                with self._vault.lock(self._identity, seconds=refreshing.LOCK_SECONDS):
                    record = memory or self._stored()
                    if record is not None:
                        self._vault.outlast(self._identity, wire.SECONDS)
                    revoked = record is not None and self._revoke(record)
                    self._vault.forget(self._identity)
            if record is None:
                return "nobody was logged in"
            return "logged out" if revoked else "logged out here; the provider was not told"

    def _revoke(self, record: Record) -> bool:
        if record.provider.revocation_endpoint is None or record.refresh_token is None:
            return False
        client = Client(record.client_id, secret=self._secret)
        own, auth = wire.identified(record.provider, client)
        fields = {
            "token": record.refresh_token.reveal(),
            "token_type_hint": "refresh_token",
            **own,
        }
        try:
            reply = wire.post_form(
                self._context.http(), record.provider.revocation_endpoint, fields, auth=auth
            )
        except GatepassError:
            return False
        return reply.succeeded

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

        place = self._context.vault
        with self._lock:
            url = self._context.url
            # PyGranta's clients ask by the URL at which they log on.
            for account in (url, url.rstrip("/"), f"{url}Health/v2.svc"):
                token = keyring.read(_OLD_SERVICE, account, place)
                if token is not None:
                    break
            else:
                raise LoginRequired(
                    f"the keyring holds no entry {_OLD_SERVICE} for {self._context.url}",
                    hint=self._advice(),
                )
            provider, client = self._discovered()
            if agreed is not None and not agreed(provider.issuer):
                return None
            record = Record(
                0, provider, client.client_id, client.scopes, client.audience, Secret(token)
            )
            self._vault.write(self._identity, record)
            keyring.remove(_OLD_SERVICE, account, place)
            self._take(self._refreshed(None))
            return provider.issuer


def _check_pinned(pinned: Record | None, issuer: str, client_id: str) -> None:
    """Refuse a server that suddenly names another provider than the stored login's."""
    if pinned is None:
        return
    before = (pinned.provider.issuer, pinned.client_id)
    if before != (issuer, client_id):
        named = f"{wire.printable(issuer)} (client {wire.printable(client_id)})"
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


# ---------------------------------------------------------------- without a person


def _predicted_login(scheme: Oidc, context: UnattendedContext) -> Iterator[Finding]:
    key = context.vault.key or SecretRef.parse(f"keyring:{keys.SERVICE}/{keys.ACCOUNT}")
    of_key = context.predict(vault_key=key)
    server = context.vault.redis
    of_server = context.predict(**server.references) if server else ()
    yield from of_server
    if not _is_shut(of_server) and _is_empty(context.vault):
        if scheme.refresh_token is not None:
            yield from context.predict(refresh_token=scheme.refresh_token)
            return
        yield _nobody(scheme, context)
        yield from of_key  # not needed yet, but once somebody has logged in
        return
    yield from of_key
    of_vault = (*of_server, *of_key)
    if not _is_shut(of_vault):
        yield from _stored_login(scheme, context)
    elif all(finding.verdict != "lack" for finding in of_vault):
        yield Finding("unknown", "login", "without those secrets the login was not looked for")


def _is_shut(found: Iterable[Finding]) -> bool:
    """Whether the vault cannot be read here without a secret that is not there, or not asked."""
    return any(finding.verdict in {"unknown", "lack"} for finding in found)


def _is_empty(place: VaultPlace) -> bool:
    """Whether the vault holds no login of anybody: only then it is read without its key."""

    def refuse() -> Secret:
        raise SecretUnavailable("not asked")

    locked = replace(place, key=SecretRef.parse("env:NOT_ASKED"), key_file=None, resolve_key=refuse)
    try:
        return vault_at(locked).read(Identity("")) is None
    except GatepassError:
        return False


def _stored_login(scheme: Oidc, context: UnattendedContext) -> Iterator[Finding]:
    try:
        record = vault_at(context.vault).read(scheme.identity(context.origin))
    except GatepassError as error:
        yield Finding("lack", "vault", error.message, error.hint)
        return
    if record is None and scheme.refresh_token is not None:
        yield from context.predict(refresh_token=scheme.refresh_token)
    elif record is None:
        yield _nobody(scheme, context)
    else:
        yield _judged(record, context)


def _nobody(scheme: Oidc, context: UnattendedContext) -> Finding:
    why = f"and the flow {scheme.flow} needs a person"
    if scheme.use_stored_token:
        why = "and use_stored_token forbids a login"
    return _login("lack", f"nobody has logged in yet, {why}", context)


def _judged(record: Record, context: UnattendedContext) -> Finding:
    who = record.user or record.subject or "somebody"
    if record.suspect:
        return _login("lack", f"the stored token is suspect: {record.suspect}", context)
    if refreshing.renewable(record, context.until):
        return _login("ok", f"{who} is logged in, and the login is renewed by itself", context)
    if refreshing.usable(record, context.until):
        return _login("ok", f"{who} is logged in", context)
    if refreshing.renewable(record, context.clock()):
        when = _moment(record.refresh_until or 0.0)
        why = f"the stored login can be renewed until {when} only, unless it is used before"
        return _login("lack", why, context)
    ends = record.expires_at
    if record.access_token is None or ends is None or ends <= context.clock():
        return _login("lack", "the stored login has ended and cannot be renewed", context)
    why = f"the stored login ends at {_moment(ends)} and cannot be renewed"
    return _login("lack", why, context)


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _login(verdict: Verdict, message: str, context: UnattendedContext) -> Finding:
    command = quoted("gatepass", "login", context.profile_name)
    hint = f"run: {command}" if verdict == "lack" else ""
    return Finding(verdict, "login", message, hint)


# ---------------------------------------------------------------- what the command line needs


def make_ready(scheme: Oidc, origin: str, place: VaultPlace) -> None:
    """See that a login can be stored, before a person is asked for one. Makes key and folder.

    Raises:
        VaultError: the key or the folder cannot be used.
    """
    with vault_at(place).lock(scheme.identity(origin), seconds=refreshing.LOCK_SECONDS):
        pass


def vault_findings(place: VaultPlace) -> list[Finding]:
    """Say whether the vault at a place keeps what it is given, as far as can be told from here.

    Touches its disk or its network, starts a process to see whether locks hold, and leaves
    nothing behind. Reads no token and no key; raises nothing.
    """
    from gatepass._vault.diagnose import examined

    return examined(_store(place))


def forget(scheme: Oidc, origin: str, place: VaultPlace) -> bool:
    """Remove a stored login, also one that cannot be read, without telling the provider.

    Returns:
        Whether there was one.

    Raises:
        VaultError: it cannot be removed.
    """
    return vault_at(place).forget(scheme.identity(origin))


def new_vault_key(path: Path) -> None:
    """Make a key file for the vault, readable by its owner alone. Writes to disk.

    Raises:
        VaultError: a file of that name exists, or it cannot be written.
    """
    keys.write_key_file(path)


def count_stored(place: VaultPlace) -> tuple[int, tuple[VaultError, ...]]:
    """Open every login in a vault. Reads it and its key.

    A key in the keyring is read only where there is a login: the first one makes it.

    Returns:
        How many open, and for each of the others what is wrong.

    Raises:
        VaultError: the key or the folder cannot be used.
    """
    if place.key is not None:
        keys.decode(_key(place).read() or Secret(""))
    entries = vault_at(place).entries()
    return len(entries.readable), entries.unreadable
