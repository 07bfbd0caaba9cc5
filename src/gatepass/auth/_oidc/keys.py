"""The keys of ``[auth]`` for the scheme ``oidc``, and what must hold between them."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from gatepass._net.proxy import Proxy
from gatepass._net.tls import TlsSettings
from gatepass._vault.records import Identity
from gatepass.auth import KeyRefused, SchemeBase
from gatepass.secrets import SecretField, SecretRef


@dataclass(frozen=True)
class OidcKeys(SchemeBase):
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
    tls: TlsSettings = field(default_factory=TlsSettings)
    proxy: Proxy | None = None

    answers: ClassVar[frozenset[str]] = frozenset({"bearer"})

    def __post_init__(self) -> None:
        if self.flow == "client_credentials" and not (self.client_id and self.client_secret):
            raise ValueError("flow = client_credentials needs issuer, client_id and client_secret")
        # Without an issuer, the server says where these are sent, or an attacker in its place. A
        # token given in Python is the exception that the Scripting Toolkit's users need: see
        # LoginFlow.read_given_token.
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
