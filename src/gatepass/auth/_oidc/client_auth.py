"""Send a form to an identity provider as a client that proves who it is (RFC 6749, section 2.3).

Where the profile does not say how, it is found out: HTTP Basic, then the form, then Basic with the
secret as it is, which some providers want against the RFC. A provider looks at the client before
the code or token in the form, so a refusal of the client uses nothing up.
"""

from base64 import b64encode
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import quote_plus

from gatepass._system import log
from gatepass._system.deadline import Deadline
from gatepass._vault.records import Client, Provider
from gatepass.auth._oidc.endpoint import endpoint_of
from gatepass.auth._oidc.foreign_text import printable
from gatepass.auth._oidc.http import TIMEOUT, ProviderResponse, post_form
from gatepass.errors import GatepassError
from gatepass.secrets import Secret

if TYPE_CHECKING:
    from requests import Session

_BASIC: Final = "client_secret_basic"
_POST: Final = "client_secret_post"
_RAW: Final = "client_secret_basic, not encoded"
# RFC 7523 wants the one or the other, and each has its providers.
_FOR_ISSUER: Final = "private_key_jwt, for the issuer"
_FOR_ENDPOINT: Final = "private_key_jwt, for the token endpoint"
_BY_KEY: Final = {"basic": (_BASIC, _RAW), "post": (_POST,), None: (_BASIC, _POST, _RAW)}

_REFUSALS: Final = frozenset({401, 403})
# With these a provider has taken the client, and refuses what it asks for.
_ABOUT_THE_GRANT: Final = frozenset(
    "access_denied authorization_declined authorization_pending expired_token invalid_grant "
    "invalid_scope invalid_target slow_down unsupported_grant_type".split()
)


def request_token(
    http: "Session",
    provider: Provider,
    client: Client,
    form: Mapping[str, str],
    *,
    endpoint: str = "token_endpoint",
    seconds: float = TIMEOUT,
    until: Deadline | None = None,
) -> ProviderResponse:
    """Post a form to the token endpoint, or another, as the client. Touches the network.

    Args:
        http: a session without credentials.
        provider: whose endpoint.
        client: who asks; of it only the proofs and ``token_params`` are used.
        form: the fields without the client's own.
        endpoint: which one.
        seconds: for everything together.
        until: nothing leaves after it; see :func:`post_form`.

    Returns:
        The response; where each proof is refused, the first one.

    Raises:
        GatepassError: as :func:`post_form` does; or the provider takes no proof that we have.
    """
    url = endpoint_of(provider, endpoint)
    ends = until or Deadline.after(seconds)
    if endpoint == "token_endpoint":
        form = {**form, **client.token_params}
    first = None
    for method in _methods(provider, client):
        fields, authorization = _proof(method, provider, client)
        response = post_form(
            http,
            url,
            {**form, **fields},
            authorization=authorization,
            seconds=min(seconds, ends.seconds_left),
            until=ends,
        )
        if not _refuses_client(response):
            client.taken[provider.token_endpoint] = method
            return response
        log.info("%s refuses the client by %s", provider.issuer, method)
        first = first or response
        if ends.passed:
            break
    assert first is not None  # noqa: S101 - there is at least one method
    return first


def _methods(provider: Provider, client: Client) -> list[str]:
    """Return the ways in which a client may prove itself, the likeliest first."""
    if client.sign is not None:
        methods = [_FOR_ISSUER, _FOR_ENDPOINT]
    elif client.secret is not None:
        methods = _methods_of_secret(provider, client, client.secret)
    else:
        methods = ["client_assertion" if client.assertion else "none"]
    taken = client.taken.get(provider.token_endpoint)
    return sorted(methods, key=lambda method: method != taken)


def _methods_of_secret(provider: Provider, client: Client, secret: Secret) -> list[str]:
    methods = list(_BY_KEY[client.auth])
    offered = provider.auth_methods
    if client.auth is None and offered:
        methods = [each for each in methods if each.partition(",")[0] in offered]
    if not methods:
        raise GatepassError(
            "the identity provider does not take a client_secret; it offers "
            + printable(", ".join(offered)),
            hint="ask its administrator for a client that may use client_secret_basic, or leave "
            "client_secret out if this is a public client",
        )
    pair = f"{client.client_id}{secret.reveal()}"
    if _RAW in methods and quote_plus(pair) == pair:
        methods.remove(_RAW)  # it would be the same as Basic
    return methods


def _proof(method: str, provider: Provider, client: Client) -> tuple[dict[str, str], Secret | None]:
    """Return fields for the form, and the Authorization header; never the secret in both."""
    named = {"client_id": client.client_id}
    token = client.assertion() if client.assertion is not None else None
    if client.sign is not None:
        at = provider.issuer if method == _FOR_ISSUER else provider.token_endpoint
        token = client.sign(client.client_id, at)
    if token is not None:
        return {
            **named,
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": token.reveal(),
        }, None
    if client.secret is None:
        return named, None
    secret = client.secret.reveal()
    if method == _POST:
        return {**named, "client_secret": secret}, None
    pair = (client.client_id, secret)
    joined = ":".join(pair if method == _RAW else map(quote_plus, pair))
    return {}, Secret(f"Basic {b64encode(joined.encode()).decode()}")


def _refuses_client(response: ProviderResponse) -> bool:
    """Whether a provider refuses who asks, and not what is asked for."""
    error = response.error
    return error == "invalid_client" or (
        response.status in _REFUSALS and error not in _ABOUT_THE_GRANT
    )
