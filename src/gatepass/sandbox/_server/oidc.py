"""Mode ``oidc``: access tokens of the sandbox's identity provider (RFC 6750).

A request without one gets a challenge in Granta's own form, which is no standard: ::

    Bearer authority="…", clientid="…", redirecturi="…", scope="…", apiAudience="…"
"""

import socket
from secrets import randbelow
from typing import Final

from gatepass.sandbox._server.login import Login, LoginContext, LoginResult
from gatepass.sandbox.provider import IdentityProvider, TokenRefused

SCOPES: Final = "openid offline_access"

# Below the ports that systems give to outgoing connections, so that none takes it before the client
# listens there.
_PORTS: Final = range(20000, 32000)
_ATTEMPTS: Final = 100


class Oidc:
    """Judges each request by its token; nothing is remembered between them.

    Args:
        provider: whose tokens are good; it must run.
        redirect_uri: where clients have to listen; None names a free port.
    """

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
        """Admit a good token; otherwise say where to log on, and what was wrong."""
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


def oidc(context: LoginContext) -> Login:
    """Return the login of mode ``oidc``."""
    if context.provider is None:
        raise AssertionError("the server takes no mode oidc without a provider")
    login = Oidc(context.provider, context.redirect_uri)
    return lambda: login
