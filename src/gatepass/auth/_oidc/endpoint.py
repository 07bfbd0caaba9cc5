"""Which URLs of an identity provider a secret may be sent to."""

import re
from typing import Final
from urllib.parse import urlsplit

from gatepass._net.urls import is_loopback, is_this_computer
from gatepass.auth._oidc.foreign_text import printable
from gatepass.errors import GatepassError

_LONGEST_URL: Final = 2047  # characters

# requests' own parser and ours read such a URL alike; RFC 3986 allows nothing else.
_URL: Final = re.compile(r"[A-Za-z0-9:/?#@!$&'()*+,;=._~%\[\]-]+")
_AUTHORITY: Final = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
)


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
    problem = _problem_of(url)
    if not problem and said_by and is_this_computer(url) and not is_this_computer(said_by):
        problem = f"it is on this very computer, and {host_of(said_by)}, which names it, is not"
    if not problem:
        return
    shown = "" if "@" in url else f' "{printable(url)}"'
    raise EndpointRefused(f"{name}{shown} is refused: {problem}")


def host_of(url: str) -> str:
    """Return scheme, host and port of a URL, as they are written."""
    return "{0.scheme}://{0.netloc}".format(urlsplit(url))


def _problem_of(url: str) -> str:
    """Say why an address is refused; empty when it is not."""
    if len(url) > _LONGEST_URL:
        return f"it is longer than {_LONGEST_URL} characters"
    if not _URL.fullmatch(url):
        return "it holds a character that no URL may hold, or nothing at all"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "it is not a URL"
    problems = (
        ("@" in parts.netloc, "it holds a user name"),
        ("#" in url, "it holds a fragment"),
        (not _AUTHORITY.fullmatch(parts.netloc) or port == 0, "its host or port is malformed"),
        (
            parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host or "")),
            "it must begin with https://, or with http:// for this very computer",
        ),
    )
    return next((why for wrong, why in problems if wrong), "")
