"""The login of a program by its own proof: client credentials (RFC 6749, section 4.4)."""

from collections.abc import Callable, Mapping
from typing import Final

from gatepass._vault.records import Client, Tokens
from gatepass.auth._oidc.token_request import form_of_client_credentials

# Only a person can grant these (OIDC Core 3.1.2.1 and section 11). Providers refuse them here, and
# a client asks for them when its profile names no scopes.
_SCOPES_OF_PEOPLE: Final = frozenset({"openid", "offline_access"})


def log_in(client: Client, *, send: Callable[[Mapping[str, str]], Tokens]) -> Tokens:
    """Return tokens for the client itself. Sends one token request; no person takes part.

    Args:
        client: who we are; the scheme sees to it that it has a proof of that.
        send: sends a form to the token endpoint, with the client's authentication, and reads the
            answer.

    Raises:
        GatepassError: whatever ``send`` raises.
    """
    scopes = [scope for scope in client.scopes if scope not in _SCOPES_OF_PEOPLE]
    return send(form_of_client_credentials(client, scopes))
