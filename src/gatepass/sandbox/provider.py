"""An identity provider on this machine, to practise and test OpenID Connect against.

It listens on 127.0.0.1 only, prints nothing, and forgets everything at the end. ::

    from gatepass.sandbox.provider import CLIENT_ID, IdentityProvider

    with IdentityProvider(users={"alice": "sesame"}) as idp:
        ...  # discovery at idp.issuer, with client_id CLIENT_ID
        idp.counts.rotations, idp.counts.forced_logins

The login form is at ``/authorize``: fields ``login``, ``password`` and ``decision`` (``allow`` or
``deny``). With ``auto_login`` the browser comes back at once; ``sign_in`` does without a browser.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self
from urllib.parse import parse_qsl, urlsplit

from gatepass.sandbox._accounts import Accounts
from gatepass.sandbox._provider.grants import Counts, Grant, Grants, TokenFamily
from gatepass.sandbox._provider.tokens import Keys, TokenIssuer, TokenRefused
from gatepass.sandbox._running import Certificate, Running

if TYPE_CHECKING:
    from gatepass.sandbox._provider.endpoints import Endpoints
    from gatepass.sandbox._provider.http import ProviderListener, ProviderRequest

__all__ = [
    "CLIENT_ID",
    "SERVICE_ID",
    "SERVICE_SECRET",
    "IdentityProvider",
    "TokenRefused",
]

CLIENT_ID: Final = "gatepass"
"""A public client, as a script is: authorization code, refresh token, device code."""
SERVICE_ID: Final = "service"
"""A client with a secret: client credentials, and all else."""
SERVICE_SECRET: Final = "se:c%41r+t /&=?~"  # noqa: S105 - of a provider that lives for seconds
"""Holds every character that goes wrong where the encoding of RFC 6749, 2.3.1 is forgotten."""

_CLIENTS: Final = MappingProxyType({CLIENT_ID: None, SERVICE_ID: SERVICE_SECRET})
_SCOPES: Final = ("openid", "offline_access")


@dataclass(frozen=True, eq=False, kw_only=True)
class IdentityProvider(Running["ProviderListener"]):
    """A loopback OpenID provider. Runs inside ``with``.

    Attributes:
        users: name → password; the name is ``sub``.
        clients: client_id → secret, None for a public client; any loopback redirect is theirs.
        rotation: whether each refresh replaces the refresh token.
        grace: so many seconds after its first use, a refresh token still brings a further one;
            one that comes later ends its whole family.
        access_token_seconds: how long access tokens live.
        refresh_token_seconds: how long a family lives; None for ever.
        id_token: whether the scope ``openid`` brings an ID token.
        audience: ``aud`` of access tokens where the client names none by ``audience`` or
            ``resource``.
        auto_login: this user is logged on already: the login form does not appear.
        device_flow: whether devices may ask (RFC 8628).
        device_interval: seconds between two questions of a device.
        path: of the issuer, such as ``/realms/demo``.
        port: on 127.0.0.1; 0 takes a free one.
        certificate: (certificate file, key file) for https; None is plain http.
        clock: wall time in seconds; for expiry, grace and intervals.

    Raises:
        ValueError: no such user, or a path that does not begin with a slash or ends in one.
    """

    what: ClassVar[str] = "identity provider"

    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    clients: Mapping[str, str | None] = field(default_factory=lambda: _CLIENTS, repr=False)
    rotation: bool = True
    grace: float = 0.0
    access_token_seconds: int = 60
    refresh_token_seconds: float | None = None
    id_token: bool = True
    audience: str = "https://api.example"
    auto_login: str | None = None
    device_flow: bool = True
    device_interval: float = 1.0
    path: str = ""
    port: int = 0
    certificate: Certificate | None = None
    clock: Callable[[], float] = time.time
    _listeners: "list[ProviderListener]" = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.path and (not self.path.startswith("/") or self.path.endswith("/")):
            raise ValueError("path begins with a slash and does not end in one, or is empty")
        if self.auto_login is not None:
            self._known(self.auto_login)
        for name in ("users", "clients"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def __enter__(self) -> Self:
        """Start to listen. Makes a new key, which takes some tens of milliseconds.

        Raises:
            OSError: the port is taken, or the certificate cannot be read.
            RuntimeError: it runs already.
        """
        self._refuse_to_run_twice()
        # Before the port is opened, which would stay open if joserfc is missing.
        keys = self._new_keys()
        listener = self._new_listener()
        listener.endpoints = self._new_endpoints(listener.origin + self.path, keys)
        self._begin(listener)
        return self

    # --- what to look at ---

    @property
    def issuer(self) -> str:
        """Its name and address, such as ``http://127.0.0.1:PORT``."""
        return self._endpoints.issuer

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What it says of itself."""
        return self._endpoints.metadata()

    @property
    def counts(self) -> Counts:
        """What happened so far."""
        return self._endpoints.grants.counts()

    @property
    def families(self) -> tuple[TokenFamily, ...]:
        """The refresh tokens of each login so far, the last login at the end."""
        return self._endpoints.grants.families()

    @property
    def requests(self) -> "tuple[ProviderRequest, ...]":
        """The requests so far, in the order in which they were answered."""
        return tuple(self._listener.records)

    @property
    def public_client(self) -> str:
        """The first client without a secret.

        Raises:
            ValueError: each has one.
        """
        for name, secret in self.clients.items():
            if secret is None:
                return name
        raise ValueError("this identity provider has no public client")

    def user_of(self, access_token: str, audience: str | None = None) -> str:
        """Check an access token as an API does, and say whose it is. Touches no network.

        Args:
            access_token: as it came.
            audience: which API asks; the provider's ``audience`` by default.

        Raises:
            TokenRefused: it is not this provider's, not for that API, or has run out.
        """
        return self._endpoints.tokens.subject_of(access_token, audience or self.audience)

    # --- what a person or an administrator would do ---

    def sign_in(self, authorization_url: str, user: str | None = None) -> str:
        """Log on as in a browser that was sent to that address. Touches no network.

        Args:
            authorization_url: as the client made it.
            user: who logs on; the first of ``users`` by default.

        Returns:
            The address at which the browser ends, which is the client's, with code, state, iss.

        Raises:
            ValueError: no such user, or the address is not this provider's.
            Exception: the request was not right.
        """
        parts = urlsplit(authorization_url)
        if f"{parts.scheme}://{parts.netloc}{parts.path}" != self.issuer + "/authorize":
            raise ValueError("not this provider's authorization endpoint")
        asked = dict(parse_qsl(parts.query, keep_blank_values=True))
        return self._endpoints.callback(asked, self._known(user))

    def issue(
        self,
        user: str | None = None,
        *,
        client_id: str = CLIENT_ID,
        scopes: tuple[str, ...] = _SCOPES,
        audience: str | None = None,
    ) -> Mapping[str, Any]:
        """Return tokens as after a login of that user: the JSON of the token endpoint."""
        grant = Grant(self._known(user), client_id, scopes, audience or self.audience)
        return self._endpoints.tokens.response(self._endpoints.grants.begin(grant))

    def approve(self, user_code: str, user: str | None = None) -> None:
        """Approve a device as that user.

        Raises:
            KeyError: no device waits with that code.
        """
        self._endpoints.grants.decide(user_code, self._known(user))

    def deny(self, user_code: str) -> None:
        """Refuse a device.

        Raises:
            KeyError: no device waits with that code.
        """
        self._endpoints.grants.decide(user_code, None)

    def revoke(self, user: str | None = None) -> None:
        """End all logins of a user; access tokens stay good until they run out."""
        self._endpoints.grants.revoke_user(self._known(user))

    def set_access_token_seconds(self, seconds: int) -> None:
        """Let access tokens live that long from now on; with 0 they have expired when they come."""
        self._endpoints.tokens.access_token_seconds = seconds

    def _known(self, user: str | None) -> str:
        if user is None and self.users:
            return next(iter(self.users))
        if user not in self.users or user is None:
            raise ValueError("no such user")
        return user

    def _new_keys(self) -> Keys:
        return Keys()

    def _new_listener(self) -> "ProviderListener":
        from gatepass.sandbox._provider.http import ProviderListener

        return ProviderListener(self.port, self._tls())

    def _new_endpoints(self, issuer: str, keys: Keys) -> "Endpoints":
        from gatepass.sandbox._provider.endpoints import Endpoints

        return Endpoints(
            settings=self,
            issuer=issuer,
            accounts=Accounts(self.users, lock_after=None),
            grants=Grants(self),
            tokens=TokenIssuer(issuer, keys, self.clock, self.access_token_seconds, self.id_token),
        )

    @property
    def _endpoints(self) -> "Endpoints":
        return self._listener.endpoints
