"""Log in at the identity provider by the flow that fits profile and terminal, for login.py."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from gatepass._net.challenge import challenges_of
from gatepass._system import log
from gatepass._system.text import quoted
from gatepass._value import Value, field, replace
from gatepass._vault.records import Client, Provider, Record, Tokens
from gatepass.auth import AuthContext
from gatepass.auth._oidc import (
    client_credentials,
    discovery,
    id_token,
    token_response,
)
from gatepass.auth._oidc.client_assertion import sign_assertion
from gatepass.auth._oidc.client_auth import request_token
from gatepass.auth._oidc.endpoint import EndpointRefused, check_endpoint
from gatepass.auth._oidc.foreign_text import printable
from gatepass.auth._oidc.http import InvalidResponse, NoResponse
from gatepass.auth._oidc.keys import CONTROL, OidcKeys, text_of
from gatepass.auth._oidc.redirect_page import PageKind
from gatepass.auth._oidc.refresh import with_access_token
from gatepass.auth._oidc.token_request import form_of_revocation
from gatepass.errors import GatepassError
from gatepass.secrets import Secret, SecretRef

_DEFAULT_SCOPES: Final = ("openid", "offline_access")


class LoginFlow(Value):
    """What a login needs, and the ways to get a record by one.

    Attributes:
        scheme: what the profile says.
        context: the surroundings.
        client_secret: of a confidential client; None of a public one.
        taken: which proofs of the client were taken; see :class:`Client`.
        sleep: waits so many seconds, until a busy provider is asked again.
    """

    scheme: OidcKeys
    context: AuthContext
    client_secret: Secret | None
    taken: dict[str, str] = field(default_factory=dict)
    sleep: Callable[[float], object] = time.sleep

    def __post_init__(self) -> None:
        self._check_text("client_secret", self.client_secret or Secret(""))
        # A key that cannot be used, or is not there, shows before anything is asked.
        if self.scheme.client_key is not None:
            self._sign("", "")
        self._resolve("client_assertion")

    @property
    def hint(self) -> str:
        """What a person should run to log in."""
        name = self.context.profile_name
        if name:
            return f"run: {quoted('gatepass', 'login', name)}"
        return f'run: Session("{self.context.url}", oidc=True).persist_oidc_token()'

    def discover(self, pinned: Record | None = None) -> tuple[Provider, Client]:
        """Find the provider and who we are there: as the profile says, else as the server says.

        Args:
            pinned: a stored login; another provider than its own is not even asked.
        """
        scheme, http = self.scheme, self.context.http()
        client_id, audience = text_of(scheme.client_id), text_of(scheme.audience)
        if scheme.issuer and client_id:
            provider = discovery.fetch_metadata(
                http, scheme.issuer, metadata_url=scheme.metadata_url
            )
            learnt = Client(client_id, scopes=_DEFAULT_SCOPES)
        else:
            # Only the header counts: the body of a hostile server might have no end.
            with http.get(self.context.url, allow_redirects=False, stream=True) as response:
                challenges = challenges_of(response)
            provider, learnt = discovery.discover_from_challenge(
                http,
                self.context.url,
                challenges,
                issuer=scheme.issuer,
                client_id=client_id,
                metadata_url=scheme.metadata_url,
                approve=partial(_check_pinned, pinned),
            )
        return provider, replace(
            self.client(learnt.client_id),
            scopes=tuple(scheme.scopes) if scheme.scopes is not None else learnt.scopes,
            audience=audience or learnt.audience,
            redirect_uri=scheme.redirect_uri or learnt.redirect_uri,
            extra_params=scheme.extra_params,
        )

    def client(self, client_id: str) -> Client:
        """Return who asks, with its proofs and what each token request holds."""
        scheme = self.scheme
        return Client(
            client_id,
            secret=self.client_secret,
            token_params=scheme.token_params,
            auth=scheme.client_auth,
            assertion=partial(self._resolve, "client_assertion")
            if scheme.client_assertion
            else None,
            sign=self._sign if scheme.client_key else None,
            taken=self.taken,
        )

    def _resolve(self, key: str) -> Secret:
        """Return the text of a reference, which platforms write anew from time to time."""
        found = self.context.resolve(**{key: getattr(self.scheme, key)}).get(key) or Secret("")
        return self._check_text(key, found)

    def _sign(self, client_id: str, audience: str) -> Secret:
        key = self.scheme.client_key
        found = self.context.resolve(client_key=key)["client_key"]
        name = f"client_key ({printable(str(key))})" if isinstance(key, SecretRef) else "client_key"
        return sign_assertion(found, client_id, audience, name=name, clock=self.context.clock)

    @staticmethod
    def _check_text(key: str, secret: Secret) -> Secret:
        """Refuse a line break, which would go out as %0A."""
        if CONTROL.search(secret.reveal()):
            raise GatepassError(
                f"{key} holds a control character, which no provider knows",
                hint="look for a line break or a tab in the variable, file or keyring entry",
            )
        return secret

    def read_given_token(self) -> Secret | None:
        """Return the token of the key ``refresh_token``; resolves it."""
        if self.scheme.refresh_token is None:
            return None
        if not self.scheme.issuer:
            # A value given in Python. Over http anybody on the way can name the provider.
            name = "the server that names the identity provider for refresh_token"
            check_endpoint(self.context.url, name)
        return self._resolve("refresh_token")

    def record_of_token(
        self, refresh_token: Secret | None, provider: Provider, client: Client
    ) -> Record:
        """Return a record of a refresh token, without an access token."""
        return Record(0, provider, client.client_id, client.scopes, client.audience, refresh_token)

    def request_client_credentials(self) -> Record:
        """Log the client in for itself, by its secret."""
        provider, client = self.discover()
        log.info("the client logs in at %s", provider.issuer)
        tokens = client_credentials.log_in(
            client, send=lambda form: self._request_tokens(provider, client, form)
        )
        bare = Record(0, provider, client.client_id)
        return with_access_token(bare, tokens, self.context.clock())

    def let_person_log_in(
        self, provider: Provider, client: Client, keep: Callable[[Record], bool]
    ) -> None:
        """Let a person log in, in a browser or on another device.

        Args:
            provider: where.
            client: as whom, and for what.
            keep: gets the login before the browser is told how it went; returns whether it is
                where it should be.
        """
        log.info("a person logs in at %s", provider.issuer)
        no_browser = self.context.terminal.why_no_browser() is not None
        if self.scheme.flow == "device":
            keep(self._log_in_on_device(provider, client))
        elif not (no_browser and provider.device_authorization_endpoint):
            self._log_in_with_browser(provider, client, keep)
        else:
            try:
                record = self._log_in_on_device(provider, client)
            except (token_response.Denied, InvalidResponse, NoResponse, EndpointRefused) as error:
                if provider.authorization_endpoint is None:
                    raise
                self.context.terminal.tell(
                    f"No login with a code on another device: {error.message}.\n"
                    'With a browser anywhere it goes on (flow = "device" insists on a code).'
                )
                self._log_in_with_browser(provider, client, keep)
            else:
                keep(record)

    def revoke(self, record: Record) -> bool:
        """Tell the provider that a login has ended (RFC 7009); return whether it was told."""
        if record.provider.revocation_endpoint is None or record.refresh_token is None:
            return False
        form = form_of_revocation(record.refresh_token)
        try:
            response = request_token(
                self.context.http(),
                record.provider,
                self.client(record.client_id),
                form,
                endpoint="revocation_endpoint",
            )
        except GatepassError:
            return False
        return response.succeeded

    def _log_in_on_device(self, provider: Provider, client: Client) -> Record:
        from gatepass.auth._oidc import device

        tokens = device.log_in(
            provider,
            client,
            request_code=lambda form: self._request_device_code(provider, client, form),
            send=lambda form: self._request_tokens_once(provider, client, form),
            terminal=self.context.terminal,
            timeout=self.scheme.login_timeout,
            hint=self.hint,
        )
        return self._to_record(provider, client, tokens, None)

    def _log_in_with_browser(
        self, provider: Provider, client: Client, keep: Callable[[Record], bool]
    ) -> None:
        from gatepass.auth._oidc import authcode

        def accept(tokens: Tokens, nonce: str) -> PageKind:
            return "done" if keep(self._to_record(provider, client, tokens, nonce)) else "unsaved"

        authcode.log_in(
            provider,
            client,
            send=lambda form: self._request_tokens(provider, client, form),
            terminal=self.context.terminal,
            timeout=self.scheme.login_timeout,
            accept=accept,  # the browser's page says success only after this
            hint=self.hint,
        )

    def _request_tokens(
        self, provider: Provider, client: Client, form: Mapping[str, str]
    ) -> Tokens:
        return token_response.ask_patiently(
            lambda: self._request_tokens_once(provider, client, form), sleep=self.sleep
        )

    def _request_tokens_once(
        self, provider: Provider, client: Client, form: Mapping[str, str]
    ) -> Tokens:
        response = request_token(self.context.http(), provider, client, form)
        return token_response.parse_tokens(response, clock=self.context.clock)

    def _request_device_code(
        self, provider: Provider, client: Client, form: Mapping[str, str]
    ) -> Mapping[str, Any]:
        http, endpoint = self.context.http(), "device_authorization_endpoint"

        def ask() -> Mapping[str, Any]:
            response = request_token(http, provider, client, form, endpoint=endpoint)
            return token_response.parse_document(response, clock=self.context.clock)

        return token_response.ask_patiently(ask, sleep=self.sleep)

    def _to_record(
        self, provider: Provider, client: Client, tokens: Tokens, nonce: str | None
    ) -> Record:
        """Check the tokens of a login and make a record of them. Fetches the provider's keys."""
        bare = self.record_of_token(tokens.refresh_token, provider, client)
        record = with_access_token(bare, tokens, self.context.clock())
        if tokens.id_token is None:
            if "openid" in client.scopes:
                raise InvalidResponse(
                    "the identity provider sent no ID token, although scopes holds openid",
                    hint="if it knows OAuth only, write scopes into the profile's auth, without "
                    "openid",
                )
            return record
        claims = id_token.check(
            tokens.id_token,
            provider,
            client.client_id,
            http=self.context.http(),
            clock=self.context.clock,
            nonce=nonce,
            access_token=tokens.access_token,
        )
        return replace(record, subject=claims.subject, user=claims.user, id_token_key=claims.key)


def _check_pinned(pinned: Record | None, issuer: str, client_id: str) -> None:
    """Refuse a server that suddenly names another provider than the stored login's."""
    if pinned is None:
        return
    before = (pinned.provider.issuer, pinned.client_id)
    if (before[0].removesuffix("/"), before[1]) != (issuer.removesuffix("/"), client_id):
        named = f"{printable(issuer)} (client {printable(client_id)})"
        raise GatepassError(
            f"the server now names the identity provider {named}; the stored login belongs to "
            f"{before[0]} (client {before[1]})",
            hint="if the server really has moved: gatepass logout, then gatepass login",
        )
