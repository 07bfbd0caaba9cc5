"""Where a request goes: URLs below the profile's, and the question whether that is home."""

import ipaddress
import re
import socket
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from gatepass._system.text import pattern

_PORTS: Final = {"http": 80, "https": 443}
_ABSOLUTE: Final = pattern(r"https?://", re.IGNORECASE)
_SCHEME: Final = pattern(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
# urlsplit drops some of these without a word, so a URL could change under our eyes.
_CONTROL: Final = pattern(r"[\x00-\x1f\x7f-\x9f]")

Target = tuple[str, str, int]
"""Scheme, host and port of a connection."""


def is_absolute(text: str) -> bool:
    """Whether a text begins like a URL of any kind, and so is no path below another."""
    return bool(_SCHEME.match(text) or text.startswith("//"))


def prepare_url(url: str) -> str:
    """Return a URL in the form in which requests sends it."""
    from requests import PreparedRequest

    request = PreparedRequest()
    request.prepare_url(url, None)
    return request.url or ""


def below(base: str, url: str | bytes) -> str:
    """Place a relative URL below a base; an absolute one stays as it is.

    The base is followed by the text, apart from one leading slash: so ``x``, ``/x`` and ``//x``
    cannot name another host, nor can ``..``, which only climbs inside of the server.

    Args:
        base: an absolute URL that ends in a slash.
        url: absolute, or a path with query and fragment.

    Raises:
        InvalidURL: it holds a control character, or begins like a URL of another kind.
    """
    from requests.exceptions import InvalidURL

    text = (url.decode() if isinstance(url, bytes) else str(url)).lstrip()
    if _CONTROL.search(text):
        raise InvalidURL("the URL holds a control character, such as a tab or a line break")
    if _ABSOLUTE.match(text):
        return text
    if _SCHEME.match(text):
        raise InvalidURL(
            "the URL begins with a name and a colon, but not with http:// or https://; "
            "a path that begins so is written with a slash before it"
        )
    return base + text.removeprefix("/")


@lru_cache(maxsize=64)
def target(url: str | None) -> Target | None:
    """Return to whom requests connects for a prepared URL; None when to nobody.

    It reads the URL with the same function as the adapters of requests do.
    """
    try:
        parts = urlsplit(url or "")
        port = parts.port
    except ValueError:
        return None
    scheme = parts.scheme.lower()
    if scheme not in _PORTS or not parts.hostname:
        return None
    return scheme, parts.hostname, port or _PORTS[scheme]


def url_problem(url: str) -> str:
    """Say what is wrong with a server's URL; empty when nothing is. Never repeats it."""
    if not url.isprintable() or any(character in url for character in ' \\<>"{}|^`'):
        return "holds a character that no URL may hold"
    try:
        parts = urlsplit(url)
    except ValueError:
        return _MALFORMED
    if parts.scheme.lower() not in {"http", "https"} or not parts.hostname:
        return "should be a URL such as https://mi.example.com/mi_servicelayer"
    if "@" in parts.netloc:
        return "holds a user name or password; they belong into auth, as references"
    if "?" in url or "#" in url:
        return "should end before any ? or #"
    return _MALFORMED if is_malformed_place(url) else ""


def is_malformed_place(url: str) -> bool:
    """Whether the host or the port of a URL without userinfo is malformed, or missing."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if not host or parts.port == 0 or not _PLACE.fullmatch(parts.netloc):
            return True
        name = host.rstrip(".")
        if ":" not in host and name.rpartition(".")[2].isdecimal():  # an address: no name ends so
            address = ipaddress.IPv4Address(socket.inet_aton(name))
            return address.is_multicast or address == _BROADCAST
        if len(name) > _LONGEST_NAME:
            return True
    except (OSError, ValueError):
        return True
    return False


_MALFORMED: Final = "is not a URL: its host or port is malformed"
# Parts of a name have at most 63 characters each (RFC 1035, 2.3.4), the first and the last of them
# no hyphen (RFC 1123, 2.1).
_LABEL: Final = r"\w([\w-]{0,61}\w)?"
_PLACE: Final = pattern(rf"(({_LABEL}\.)*{_LABEL}\.?|\[[0-9a-fA-F:.]+\])(:[0-9]*)?")
_LONGEST_NAME: Final = 253  # characters, without the last dot
_BROADCAST: Final = ipaddress.IPv4Address("255.255.255.255")


def is_plain_http(url: str) -> bool:
    """Whether what is sent to a URL crosses a network unprotected."""
    parts = urlsplit(url)
    return parts.scheme.lower() == "http" and not is_loopback(parts.hostname or "")


def normal_url(url: str) -> str:
    """Return a server's URL in the form in which a profile holds it, ending in a slash."""
    parts = urlsplit(url)
    path = parts.path if parts.path.endswith("/") else f"{parts.path}/"
    return urlunsplit((parts.scheme.lower(), parts.netloc.lower(), path, "", ""))


def is_loopback(host: str) -> bool:
    """Whether a host is this computer, by name: ``localhost``, 127.0.0.0/8 or ``::1``.

    Of an IPv6 address that holds one of IPv4, versions of Python say different things; here it is
    none. :func:`is_this_computer` finds each spelling.
    """
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address == _IPV6_LOOPBACK or (address.version == _IPV4 and address.is_loopback)


_IPV6_LOOPBACK: Final = ipaddress.IPv6Address(1)
_IPV4: Final = 4


def is_http_on_loopback(url: str) -> bool:
    """Whether a URL is plain http to this computer."""
    parts = urlsplit(url)
    return parts.scheme.lower() == "http" and is_loopback(parts.hostname or "")


def origin_of(url: str) -> str:
    """Return the origin of a URL (RFC 6454): scheme, host and port, in lower case."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    scheme = parts.scheme.lower()
    usual = {"http": 80, "https": 443}.get(scheme)
    port = "" if parts.port in {None, usual} else f":{parts.port}"
    return f"{scheme}://{host}{port}"


def is_same_origin(one: str, other: str) -> bool:
    """Say whether two URLs have the same origin; one that is malformed has none."""
    try:
        return origin_of(one) == origin_of(other)
    except ValueError:
        return False


# Names that RFC 6761, section 6.3, or the usual hosts files give to this computer.
_LOOPBACK_NAME: Final = pattern(
    r"(.+\.)?localhost|localhost6?\.localdomain6?|localhost6|ip6-(localhost|loopback)"
)
_THIS_COMPUTER: Final = (
    ipaddress.IPv4Network("127.0.0.0/8"),
    ipaddress.IPv4Network("0.0.0.0/8"),  # a connection to 0.0.0.0 ends here
)
# ``::`` and ``::1`` too hold an IPv4 address in this sense: 0.0.0.0 and 0.0.0.1.
_HOLD_IPV4: Final = (ipaddress.IPv6Network("::/96"), ipaddress.IPv6Network("::ffff:0:0/96"))


def is_this_computer(url: str) -> bool:
    """Whether the host of a URL is this computer, by its name alone: nothing is looked up.

    Unlike :func:`is_loopback`, which admits a few spellings, this finds all: also ``0.0.0.0``,
    ``127.1``, ``2130706433``, ``0x7f.1`` and
    ``::ffff:127.0.0.1``, which sockets take for loopback.
    """
    try:
        host = (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return False
    if _LOOPBACK_NAME.fullmatch(host):
        return True
    try:
        address = _ipv4_address(host)
    except (OSError, ValueError):
        return False  # a name
    return any(address in network for network in _THIS_COMPUTER)


def _ipv4_address(host: str) -> ipaddress.IPv4Address:
    """The IPv4 address that a host is, or holds; else an error."""
    if ":" not in host:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    address = ipaddress.IPv6Address(host)
    if not any(address in network for network in _HOLD_IPV4):
        raise ValueError
    return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)


_USERINFO: Final = pattern(r"//[^/?#]*@")


def hide_userinfo(text: str) -> str:
    """Return a text with dots in place of the user and password of the URL that it may be."""
    return _USERINFO.sub("//...@", text)


def without_userinfo(url: str) -> str:
    """Return a URL without user and password."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
