"""Which URLs of an identity provider a secret may be sent to, and where a login may end."""

from typing import Final
from urllib.parse import urlsplit

from gatepass._net.urls import is_loopback, is_malformed_place, is_this_computer
from gatepass._system.text import pattern
from gatepass._vault.records import Provider
from gatepass.auth._oidc.foreign_text import printable
from gatepass.errors import GatepassError

_LONGEST_URL: Final = 2047  # characters

# requests' own parser and ours read such a URL alike; RFC 3986 allows nothing else.
_URL: Final = pattern(r"(?:[A-Za-z0-9:/?#@!$&'()*+,;=._~\[\]-]|%[0-9A-Fa-f]{2})+")


OPENID: Final = "/.well-known/openid-configuration"
OAUTH: Final = "/.well-known/oauth-authorization-server"

_OF_NO_TENANT: Final = pattern(
    r"https://login\.(microsoftonline|partner\.microsoftonline|microsoft)\.\w+"
    r"/(common|organizations|consumers)(/.*)?"
)
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_REGISTER: Final = (
    "register a loopback address for this client at the identity provider, such as "
    "http://127.0.0.1/callback, and write it as   redirect_uri   into the profile's auth; or use "
    "the device flow"
)
_BEHIND_A_PROXY: Final = (
    "it seems to stand behind a proxy that ends TLS and does not know its own public address: its "
    "administrator sets that (X-Forwarded-Proto, or a setting such as Keycloak's hostname)"
)

_WITHOUT: Final = {
    "authorization_endpoint": (
        "has no login in a browser",
        'use flow = "device" or flow = "client_credentials"',
    ),
    "device_authorization_endpoint": (
        "has no login on another device",
        'use flow = "browser"; its last address can be pasted into this terminal',
    ),
}


class EndpointRefused(GatepassError):
    """An address is not one that a secret may be sent to."""

    exit_code = 4


def check_endpoint(url: str, name: str = "the address", *, said_by: str = "") -> None:
    """Refuse an address that no secret may be sent to.

    Allowed are https, and http to this very computer by a literal address or ``localhost``
    (RFC 8252, section 8.3), without user name or fragment. Programs that listen on loopback trust
    that no other computer reaches them, so another computer cannot name a loopback address.

    Args:
        url: what to look at; it is not repeated where it may hold a password.
        name: what it is, for the message.
        said_by: the URL of the server that names it; empty where the profile does.

    Raises:
        EndpointRefused: says why.
    """
    problem = endpoint_problem(url)
    if not problem and said_by and is_this_computer(url) and not is_this_computer(said_by):
        problem = f"it is on this very computer, and {host_of(said_by)}, which names it, is not"
    if not problem:
        return
    shown = "" if "@" in url else f' "{printable(url)}"'
    hint = _BEHIND_A_PROXY if said_by.startswith("https://") and url.startswith("http://") else ""
    raise EndpointRefused(f"{name}{shown} is refused: {problem}", hint=hint)


def endpoint_of(provider: Provider, name: str) -> str:
    """Return an endpoint of a provider, judged now that it is used.

    Raises:
        GatepassError: it has none.
        EndpointRefused: no secret may be sent there.
    """
    url: str | None = getattr(provider, name)
    if url is None:
        what, hint = _WITHOUT.get(name, ("does not do that", ""))
        raise GatepassError(f"{provider.issuer} {what} (no {name})", hint=hint)
    check_endpoint(url, f"the identity provider's {name}", said_by=provider.issuer)
    return url


def host_of(url: str) -> str:
    """Return scheme, host and port of a URL, as they are written."""
    return "{0.scheme}://{0.netloc}".format(urlsplit(url))


def issuer_problem(issuer: str) -> tuple[str, str]:
    """Say why no provider can have a name, and what to write; both are empty when one can."""
    hint = 'write it as the provider does, such as   issuer = "https://login.example.com/realm"'
    if "{" in issuer or "<" in issuer:
        return "holds a placeholder", "write the tenant's own name or ID in its place"
    if _OF_NO_TENANT.fullmatch(issuer):
        hint = "write the tenant's ID in place of common, organizations or consumers"
        return "is that of no tenant, and calls itself otherwise (Entra ID)", hint
    for well_known in (OPENID, OAUTH):
        if well_known in issuer:
            return (
                f"is the address of the metadata ({well_known}), not the issuer that it names",
                "leave that part out, or write the address as   metadata_url   beside issuer",
            )
    if "?" in issuer:
        return "holds a query, which no issuer does (OpenID Discovery, section 2)", hint
    problem = endpoint_problem(issuer)
    return problem, hint if problem else ""


def redirect_problem(url: str) -> tuple[str, str]:
    """Say why no login can end at an address, and what to register; both are empty when one can.

    The code of a login arrives there, so it must be this computer, where ``redirect_server``
    listens.
    """
    problem = "" if _URL.fullmatch(url) else "it holds a character that is not escaped"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port  # reading the port checks it
    except ValueError:
        host = None
    if host not in _LOOPBACK:
        problem = "its host is not one of 127.0.0.1, localhost, [::1]"
    elif parts.scheme != "http":
        problem = "it is not http, the only scheme that works on loopback"
    elif "?" in url or "#" in url or "@" in parts.netloc:
        problem = "it holds a user name, a query or a fragment"
    return (f"cannot be listened on: {problem}", _REGISTER) if problem else ("", "")


def endpoint_problem(url: str) -> str:
    """Say why no secret may be sent to an address; empty when it may."""
    if len(url) > _LONGEST_URL:
        return f"it is longer than {_LONGEST_URL} characters"
    if not _URL.fullmatch(url):
        return "it holds a character that no URL may hold, or nothing at all"
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return "it is not a URL"
    problems = (
        ("@" in parts.netloc, "it holds a user name"),
        ("#" in url, "it holds a fragment"),
        (
            is_malformed_place(url),
            "its host or port is malformed",
        ),
        (
            parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host or "")),
            "it must begin with https://, or with http:// for this very computer",
        ),
    )
    return next((why for wrong, why in problems if wrong), "")
