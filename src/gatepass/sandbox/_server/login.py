"""The modes of the server: how each lets a request in.

A login that spans requests, such as NTLM, keeps its state in the :class:`ConnectionLogin` of one
connection. A request without an access token gets a challenge in Granta's own form, which is no
standard: ::

    Bearer authority="…", clientid="…", redirecturi="…", scope="…", apiAudience="…"
"""

import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from secrets import randbelow
from typing import Final, Protocol

from gatepass.sandbox._accounts import REASONS, Accounts, Outcome, basic_pair
from gatepass.sandbox.provider import IdentityProvider, TokenRefused

MODES: Final = ("open", "standalone", "mixed", "windows", "oidc")
CHALLENGE: Final = 'Basic realm="gatepass sandbox", charset="UTF-8"'
SCOPES: Final = "openid offline_access"

# Below the ports that systems give to outgoing connections, so that none takes it before the client
# listens there.
_PORTS: Final = range(20000, 32000)
_ATTEMPTS: Final = 100


@dataclass(frozen=True, slots=True)
class LoginResult:
    """Whether a request may pass.

    Attributes:
        admitted: whether the page is answered; otherwise 401 is.
        user: who is logged on; None in mode ``open``, and where the request is not admitted.
        challenges: values of ``WWW-Authenticate``, one header each; with an answer that is
            admitted too, where a handshake ends with the server's proof (RFC 4559, section 5).
        reason: one sentence for the 401's body.
    """

    admitted: bool
    user: str | None = None
    challenges: tuple[str, ...] = ()
    reason: str = ""


class ConnectionLogin(Protocol):
    """The login on one connection; used by one thread."""

    def authenticate(self, authorization: str | None) -> LoginResult:
        """Authenticate the next request of the connection by its ``Authorization`` header."""


Login = Callable[[], ConnectionLogin]
"""One way to log on, of one run of a server: begins a connection."""


def login_for(
    mode: str,
    accounts: Accounts,
    provider: IdentityProvider | None = None,
    redirect_uri: str | None = None,
) -> Login:
    """Return the login of one of ``MODES``.

    Args:
        mode: which one.
        accounts: names, passwords and counters.
        provider: whose access tokens are good, in mode ``oidc``; it must run.
        redirect_uri: where clients of that provider have to listen; None for a free port.
    """
    if mode == "open":
        return _Open
    if provider is not None:
        oidc = _Oidc(provider, redirect_uri)
        return lambda: oidc
    basic = _Basic(accounts)
    if mode == "standalone":
        return lambda: basic
    from gatepass.sandbox._server.windows import OFFER, WindowsLogin, ntlm_with

    ntlm, offer = ntlm_with(accounts), OFFER if mode == "windows" else (*OFFER, CHALLENGE)
    if mode == "windows":
        return lambda: WindowsLogin(accounts, offer, ntlm)
    return lambda: _Mixed(WindowsLogin(accounts, offer, ntlm), basic, offer)


class _Open:
    """Admits every request; what it brings along is not looked at."""

    def authenticate(self, authorization: str | None) -> LoginResult:  # noqa: ARG002 - the contract
        return LoginResult(admitted=True)


class _Basic:
    """HTTP Basic (RFC 7617), in UTF-8; nothing is remembered between requests."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    def authenticate(self, authorization: str | None) -> LoginResult:
        pair = basic_pair(authorization)
        reason = "credentials are missing or malformed"
        if pair is not None:
            outcome = self._accounts.check(*pair)
            if outcome is Outcome.RIGHT:
                return LoginResult(admitted=True, user=pair[0])
            reason = REASONS[outcome]
        return LoginResult(admitted=False, challenges=(CHALLENGE,), reason=reason)


class _Mixed:
    """Basic is judged by itself, all else by the login of the connection."""

    def __init__(self, windows: ConnectionLogin, basic: _Basic, offer: tuple[str, ...]) -> None:
        self._windows = windows
        self._basic = basic
        self._offer = offer

    def authenticate(self, authorization: str | None) -> LoginResult:
        if not (authorization or "").lower().startswith("basic"):
            return self._windows.authenticate(authorization)
        result = self._basic.authenticate(authorization)
        return result if result.admitted else replace(result, challenges=self._offer)


class _Oidc:
    """Access tokens of an identity provider (RFC 6750)."""

    def __init__(self, provider: IdentityProvider, redirect_uri: str | None) -> None:
        self._provider = provider
        self._challenge = _quoted(
            authority=provider.issuer,
            clientid=provider.public_client,
            redirecturi=redirect_uri or f"http://localhost:{_free_port()}/",
            scope=SCOPES,
            apiAudience=provider.audience,
        )

    def authenticate(self, authorization: str | None) -> LoginResult:
        scheme, _, token = (authorization or "").strip().partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return self._refuse("an access token is missing")
        try:
            user = self._provider.user_of(token.strip())
        except TokenRefused as error:
            return self._refuse(str(error), error="invalid_token", error_description=str(error))
        return LoginResult(admitted=True, user=user)

    def _refuse(self, reason: str, **more: str) -> LoginResult:
        challenge = ", ".join(part for part in (self._challenge, _quoted(**more)) if part)
        return LoginResult(admitted=False, challenges=(f"Bearer {challenge}",), reason=reason)


def _quoted(**parameters: str) -> str:
    return ", ".join(f'{name}="{value}"' for name, value in parameters.items())


def _free_port() -> int:
    for _ in range(_ATTEMPTS):
        port = _PORTS[randbelow(len(_PORTS))]
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no free port for redirecturi")
