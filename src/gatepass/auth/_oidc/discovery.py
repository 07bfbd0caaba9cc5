"""Find the identity provider and who we are there: metadata documents and the API's challenge.

OpenID Connect Discovery 1.0 with RFC 8414 as fallback; Granta's ``WWW-Authenticate: Bearer
authority=...`` and RFC 9728. All of it is foreign text that decides where people type passwords, so
anything malformed is refused, and the error says what to write into the profile instead.
"""

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from gatepass._net.challenge import Challenge
from gatepass._net.urls import origin_of
from gatepass._value import replace
from gatepass._vault.records import Client, Provider
from gatepass.auth._oidc.endpoint import (
    OAUTH,
    OPENID,
    EndpointRefused,
    check_endpoint,
    issuer_problem,
)
from gatepass.auth._oidc.foreign_text import printable
from gatepass.auth._oidc.http import ASK_ITS_ADMINISTRATOR, TIMEOUT, InvalidResponse, get_json
from gatepass.auth._oidc.keys import CLIENT_ID, SCOPE
from gatepass.errors import GatepassError

if TYPE_CHECKING:
    from requests import Session

_HINT: Final = "write   issuer = ... and client_id = ...   into the profile's auth"

_AUDIENCE: Final = re.compile(r"[\x21-\x7e]{1,2047}")
_MAX_SCOPES: Final = 100


class DiscoveryFailed(GatepassError):
    """The API or its identity provider describes itself in a way that cannot be used."""

    exit_code = 4


def fetch_metadata(
    http: "Session",
    issuer: str,
    *,
    metadata_url: str | None = None,
    named_by_server: bool = False,
    seconds: float = TIMEOUT,
) -> Provider:
    """Fetch what an identity provider says about itself. Touches the network.

    Args:
        http: a session without credentials.
        issuer: its name, which is where its metadata lies.
        metadata_url: where it lies instead.
        named_by_server: the name is not from the profile: a final slash makes no difference.
        seconds: for each of at most two requests.

    Raises:
        EndpointRefused: the issuer, or its token endpoint, is not allowed.
        NoResponse: it does not answer.
        InvalidResponse: it has no metadata there.
        DiscoveryFailed: the metadata is not usable, or belongs to another issuer.
    """
    problem, hint = issuer_problem(issuer)
    if problem:
        shown = "" if "@" in issuer else f' "{printable(issuer)}"'
        raise EndpointRefused(f"the issuer{shown} is refused: {problem}", hint=hint)
    where, found = _fetch_document(http, issuer, metadata_url, seconds)
    named = found.get("issuer")
    same = {issuer, f"{issuer}/", issuer.removesuffix("/")} if named_by_server else {issuer}
    if not isinstance(named, str) or named not in same:
        raise _another_issuer(issuer, named, where)
    return _to_provider(named, found)


def _another_issuer(issuer: str, named: object, where: str) -> DiscoveryFailed:
    hint = "both must be the same to the letter (OpenID Discovery 4.3); "
    if isinstance(named, str) and not issuer_problem(named)[0]:
        hint += f'if the second one is the right one, write   issuer = "{printable(named)}"'
        hint += f"   and, where it has no metadata of its own,   metadata_url = {where!r}"
    elif isinstance(named, str) and "{" in named:
        tenant = printable(re.sub(r"\{[^}]*\}?", "TENANT-ID", named))
        hint = "this is the address for the people of all tenants; write the one of your own "
        hint += f'tenant, with its ID:   issuer = "{tenant}"   and client_id = ...'
    else:
        hint += "ask those who run it which issuer its tokens carry"
    return DiscoveryFailed(
        f'the identity provider at "{printable(issuer)}" calls itself "{printable(named)}"',
        hint=hint,
    )


def discover_from_challenge(
    http: "Session",
    api_url: str,
    challenges: tuple[Challenge, ...],
    *,
    issuer: str | None = None,
    client_id: str | None = None,
    metadata_url: str | None = None,
    approve: Callable[[str, str], None] | None = None,
    seconds: float = TIMEOUT,
) -> tuple[Provider, Client]:
    """Learn the provider and the client from the answer of the API. Touches the network.

    Granta names both in its Bearer challenge; RFC 9728 names a document that names the provider.

    Args:
        http: a session without credentials.
        api_url: the URL whose answer held the challenges.
        challenges: of that answer.
        issuer: what the profile says; it wins over the challenge.
        client_id: likewise.
        metadata_url: where the metadata of ``issuer`` lies, if not below it.
        approve: gets issuer and client_id before anything is asked of the issuer, and raises where
            they are not the right ones.
        seconds: for each of at most three requests.

    Returns:
        the provider, and a client without secret. Its scopes are those of the challenge: Granta
        that names none wants none, RFC 9728 without any gets the usual ones.

    Raises:
        DiscoveryFailed: the challenges do not say it, or contradict each other.
        EndpointRefused: an address is not allowed, such as one of this computer that another
            computer names.
        GatepassError: as :func:`fetch_metadata` does.
    """
    said = _bearer(challenges)
    client = _client_of(said, client_id)
    named_by_server = not issuer
    if not issuer:
        issuer = said.get("authority")
        if issuer is None:
            issuer = _fetch_authorization_server(http, said["resource_metadata"], api_url, seconds)
        check_endpoint(issuer, "the issuer that the server names", said_by=api_url)
    if approve is not None:
        approve(issuer, client.client_id)
    provider = fetch_metadata(
        http,
        issuer,
        metadata_url=metadata_url,
        named_by_server=named_by_server,
        seconds=seconds,
    )
    return provider, client


def _client_of(said: Mapping[str, str], client_id: str | None) -> Client:
    """Return the client that a challenge names, or the one of the profile, without a secret."""
    client_id = client_id or said.get("clientid")
    if client_id is None:
        raise DiscoveryFailed("the server does not say under which client_id to log in", hint=_HINT)
    if not CLIENT_ID.fullmatch(client_id):
        raise DiscoveryFailed("the client_id that the server names is malformed", hint=_HINT)
    client = Client(
        client_id,
        scopes=_scopes(said.get("scope", "")),
        audience=_audience(said.get("apiaudience")),
        redirect_uri=said.get("redirecturi"),  # judged by what listens there
    )
    if "authority" not in said and "scope" not in said:
        client = replace(client, scopes=Client(client_id).scopes)
    return client


def _fetch_document(
    http: "Session", issuer: str, metadata_url: str | None, seconds: float
) -> tuple[str, dict[str, Any]]:
    """Fetch the metadata of OpenID Connect, else of OAuth; return where it lay."""
    if metadata_url:
        return metadata_url, get_json(http, metadata_url, seconds=seconds)
    parts = urlsplit(issuer)
    origin, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    problems = []
    for url in (f"{origin}{path}{OPENID}", f"{origin}{OAUTH}{path}"):
        try:
            return url, get_json(http, url, seconds=seconds)
        except InvalidResponse as error:
            problems.append(error)
    first, second = problems
    raise InvalidResponse(
        f"no identity provider describes itself there: {first.message}; {second.message}",
        hint=first.hint
        if first.hint != ASK_ITS_ADMINISTRATOR
        else "check   issuer   in the profile, or the authority that the server names; where the "
        "metadata lies elsewhere, write   metadata_url = ...   beside issuer",
        status=first.status,
    )


def _to_provider(issuer: str, found: Mapping[str, Any]) -> Provider:
    """Read metadata. What not every login needs is judged where it is used."""
    token_endpoint = _endpoint(found, "token_endpoint")
    if token_endpoint is None:
        raise DiscoveryFailed("the identity provider's metadata names no token_endpoint")
    check_endpoint(token_endpoint, "the identity provider's token_endpoint", said_by=issuer)
    return Provider(
        issuer=issuer,
        token_endpoint=token_endpoint,
        authorization_endpoint=_endpoint(found, "authorization_endpoint"),
        device_authorization_endpoint=_endpoint(found, "device_authorization_endpoint"),
        revocation_endpoint=_endpoint(found, "revocation_endpoint"),
        jwks_uri=_endpoint(found, "jwks_uri"),
        auth_methods=_strings(found, "token_endpoint_auth_methods_supported"),
        id_token_algorithms=_strings(found, "id_token_signing_alg_values_supported"),
        challenge_methods=_strings(found, "code_challenge_methods_supported"),
        answers_carry_iss=found.get("authorization_response_iss_parameter_supported") is True,
    )


def _endpoint(found: Mapping[str, Any], name: str) -> str | None:
    """Return an endpoint, not yet judged; null and an empty text are the same as absent."""
    url = found.get(name)
    return url or None if isinstance(url, str | None) else printable(url)


def _strings(found: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = found.get(name)
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()


def _bearer(challenges: tuple[Challenge, ...]) -> dict[str, str]:
    """The parameters of all Bearer challenges that name a provider, together.

    A Bearer challenge that names none, such as one about an expired token, says nothing here.
    """
    said: dict[str, str] = {}
    for challenge in challenges:
        params = challenge.params
        if challenge.scheme != "bearer" or not params.keys() & {"authority", "resource_metadata"}:
            continue
        for name, value in params.items():
            if said.setdefault(name, value) != value:
                raise DiscoveryFailed(
                    f"two Bearer challenges of the server disagree about {name}: "
                    f'"{printable(said[name])}" and "{printable(value)}"',
                    hint=_HINT,
                )
    if not said:
        offers = printable(", ".join(dict.fromkeys(each.scheme for each in challenges)))
        raise DiscoveryFailed(
            "the server names no identity provider to log in with; it offers "
            + (offers or "no login at all"),
            hint=f"choose another scheme, or {_HINT}",
        )
    return said


def _scopes(text: str) -> tuple[str, ...]:
    scopes = tuple(dict.fromkeys(text.split()))
    if len(scopes) > _MAX_SCOPES or not all(map(SCOPE.fullmatch, scopes)):
        raise DiscoveryFailed("the scope that the server names is malformed", hint=_HINT)
    return scopes


def _audience(text: str | None) -> str | None:
    if text is not None and not _AUDIENCE.fullmatch(text):
        raise DiscoveryFailed("the apiAudience that the server names is malformed", hint=_HINT)
    return text


def _fetch_authorization_server(http: "Session", url: str, api_url: str, seconds: float) -> str:
    """Ask the API's own metadata for its identity provider (RFC 9728, sections 3.3 and 5.1)."""
    check_endpoint(url, "the resource_metadata that the server names", said_by=api_url)
    found = get_json(http, url, seconds=seconds)
    resource = found.get("resource")
    if not isinstance(resource, str) or not _covers(resource, api_url):
        raise DiscoveryFailed(
            f'the metadata at "{printable(url)}" is about "{printable(resource)}", '
            f'not about "{printable(api_url)}"',
            hint=_HINT,
        )
    servers = _strings(found, "authorization_servers")
    if len(servers) != 1:
        raise DiscoveryFailed(
            f"the server names {len(servers)} identity providers, not one: "
            + printable(", ".join(servers)),
            hint="write the right one as   issuer   into the profile's auth",
        )
    return servers[0]


def _covers(resource: str, api_url: str) -> bool:
    """Whether an API's URL is the resource, or lies below it."""
    try:
        whole, part = urlsplit(resource), urlsplit(api_url)
        same_server = origin_of(resource) == origin_of(api_url)
    except ValueError:
        return False
    base = whole.path.rstrip("/")
    below = part.path == base or part.path.startswith(f"{base}/")
    return same_server and below and not (whole.query or whole.fragment)
