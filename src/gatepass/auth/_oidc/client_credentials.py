"""The login of a program by its own secret: client credentials (RFC 6749, section 4.4)."""

from collections.abc import Callable, Mapping
from typing import Final

from gatepass._vault.records import Client, Tokens
from gatepass.errors import GatepassError

# Scopes that only make sense where a person logs in (OIDC Core 3.1.2.1 and section 11); providers
# refuse them here, and they are what a client asks for when its profile names none.
_OF_PEOPLE: Final = frozenset({"openid", "offline_access"})


def log_in(client: Client, *, send: Callable[[Mapping[str, str]], Tokens]) -> Tokens:
    """Return tokens for the client itself. Sends one token request; no person takes part.

    Args:
        client: who we are, with a secret.
        send: sends fields to the token endpoint, with the client's authentication, and reads the
            answer.

    Raises:
        GatepassError: the client has no secret; and whatever ``send`` raises.
    """
    from urllib.parse import parse_qsl

    from oauthlib.oauth2 import BackendApplicationClient

    if client.secret is None:
        raise GatepassError(
            'flow = "client_credentials" takes a client_secret',
            hint='add client_secret = "keyring:" or another reference to the auth table',
        )
    scopes = [scope for scope in client.scopes if scope not in _OF_PEOPLE]
    more = {"audience": client.audience} if client.audience else {}
    body = BackendApplicationClient(client.client_id).prepare_request_body(
        include_client_id=False, scope=scopes or None, **more
    )
    return send(dict(parse_qsl(body, keep_blank_values=True)))
