"""Send one refresh request to the provider that a token belongs to; refresh.py uses it."""

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from gatepass._system import log
from gatepass._value import Value, replace
from gatepass._vault.records import Client, Provider
from gatepass.auth._oidc.client_auth import request_token
from gatepass.auth._oidc.http import Deadline, NotSent, ProviderResponse, ResponseLost
from gatepass.auth._oidc.token_request import form_of_refresh_token
from gatepass.errors import VaultError
from gatepass.secrets import Secret

if TYPE_CHECKING:
    from requests import Session

POST_SECONDS: Final = 25.0
WRITE_SECONDS: Final = 20.0  # for how long a shared vault that cannot be reached is tried again
SETTLE_SECONDS: Final = 3.0  # how long the holder of an expired lease is waited for

_SERVER_ERRORS: Final = 500


class RefreshContext(Value):
    """What a refresh needs beside the record.

    Attributes:
        http: a session without credentials.
        client: who asks; its ``client_id`` is the record's.
        clock: the wall clock.
        hint: what a person should run, such as ``run: gatepass login prod``.
        seconds: for each of at most two requests to the provider.
        patience: seconds for which a shared vault that cannot be reached is tried again.
        settle: seconds for which the holder of an expired lease is waited for.
    """

    http: "Session"
    client: Client
    clock: Callable[[], float]
    hint: str
    seconds: float = POST_SECONDS
    patience: float = WRITE_SECONDS
    settle: float = SETTLE_SECONDS


def post_refresh(
    provider: Provider,
    client_id: str,
    refresh_token: Secret,
    context: RefreshContext,
    *,
    until: Deadline | None = None,
    before_repeat: Callable[[], Deadline | None] = lambda: None,
) -> ProviderResponse:
    """Send a refresh token to the provider that it belongs to, and to no other.

    If the response is lost, or the server fails, the same token is sent once more: if the provider
    has used it up, nothing can get worse, and within a grace period it answers again.

    Args:
        provider: whose token it is.
        client_id: our name there.
        refresh_token: the token.
        context: what else is needed.
        until: the token does not leave after it.
        before_repeat: called before the token is sent once more, and returns until when that may
            be; a ``VaultError`` prevents it.

    Raises:
        NotSent: the request certainly did not arrive.
        ResponseLost: it may have arrived, twice.
    """
    client = replace(context.client, client_id=client_id)
    form = form_of_refresh_token(refresh_token)

    def post(until: Deadline | None) -> ProviderResponse:
        log.debug("refresh token is sent to %s", provider.token_endpoint)
        return request_token(
            context.http, provider, client, form, seconds=context.seconds, until=until
        )

    first: ProviderResponse | ResponseLost
    try:
        first = post(until)
    except ResponseLost as error:
        first = error
    if isinstance(first, ProviderResponse) and first.status < _SERVER_ERRORS:
        return first
    # If the second request is not sent, what the first may have done still counts.
    with suppress(VaultError, NotSent):
        return post(before_repeat())
    if isinstance(first, ResponseLost):
        raise first
    return first
