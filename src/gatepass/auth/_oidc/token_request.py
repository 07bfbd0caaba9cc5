"""The forms for the token and revocation endpoints, built by oauthlib: a function for each grant.

Who the client is is added when a form is sent (client_auth.request_token), since providers take
that in different ways. oauthlib reads no response: it loses rotated tokens where a scope differs.
"""

from urllib.parse import parse_qsl, urlsplit

from gatepass._vault.records import Client
from gatepass.secrets import Secret


def form_of_code(
    client: Client, code: Secret, *, verifier: Secret, redirect_uri: str
) -> dict[str, str]:
    """Return the form that exchanges an authorization code (RFC 6749, 4.1.3; RFC 7636, 4.5)."""
    from oauthlib.oauth2 import WebApplicationClient

    body: str = WebApplicationClient(client.client_id).prepare_request_body(
        code=code.reveal(),
        redirect_uri=redirect_uri,
        code_verifier=verifier.reveal(),
        include_client_id=False,
        **_audience(client),
    )
    return _fields(body)


def form_of_refresh_token(refresh_token: Secret) -> dict[str, str]:
    """Return the form that renews a login (RFC 6749, section 6)."""
    from oauthlib.oauth2 import WebApplicationClient

    body: str = WebApplicationClient("").prepare_refresh_body(
        refresh_token=refresh_token.reveal(), include_client_id=False
    )
    return _fields(body)


def form_of_device_authorization(client: Client) -> dict[str, str]:
    """Return the form that begins a login on another device (RFC 8628, section 3.1)."""
    from oauthlib.oauth2 import DeviceClient

    more = {**client.extra_params, **_audience(client)}
    # oauthlib writes a query, of which the RFC makes a form; it refuses http, also on loopback.
    url: str = DeviceClient(client.client_id).prepare_request_uri(
        "https://device.invalid", scope=list(client.scopes), **more
    )
    form = _fields(urlsplit(url).query)
    return {name: form[name] for name in form if name not in {"client_id", "grant_type"}}


def form_of_device_code(device_code: Secret) -> dict[str, str]:
    """Return the form that asks whether a person has logged in elsewhere (RFC 8628, 3.4)."""
    from oauthlib.oauth2 import DeviceClient

    return _fields(DeviceClient("").prepare_request_body(device_code.reveal()))


def form_of_client_credentials(client: Client, scopes: list[str]) -> dict[str, str]:
    """Return the form by which a client logs in for itself (RFC 6749, section 4.4.2)."""
    from oauthlib.oauth2 import BackendApplicationClient

    body: str = BackendApplicationClient(client.client_id).prepare_request_body(
        include_client_id=False, scope=scopes or None, **_audience(client)
    )
    return _fields(body)


def form_of_revocation(refresh_token: Secret) -> dict[str, str]:
    """Return the form that revokes a refresh token (RFC 7009, section 2.1)."""
    from oauthlib.oauth2 import WebApplicationClient

    # The form does not depend on the URL; oauthlib refuses http, also on loopback.
    _, _, body = WebApplicationClient("").prepare_token_revocation_request(
        "https://revoke.invalid",
        refresh_token.reveal(),
        token_type_hint="refresh_token",  # noqa: S106 - a kind of token
    )
    return _fields(body)


def _audience(client: Client) -> dict[str, str]:
    return {"audience": client.audience} if client.audience else {}


def _fields(body: str) -> dict[str, str]:
    return dict(parse_qsl(body, keep_blank_values=True))
