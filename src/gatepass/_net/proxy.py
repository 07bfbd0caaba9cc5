"""Proxies: the key ``proxy``, the environment's variables, and what may be wrong with either.

A variable is judged as the same value in a profile, but that it may hold a login and leave out
``http://``, as with curl. What it holds is never repeated: a password with a ``#``, a ``/`` or a
``?`` in it makes all that stands before it look like the host.
"""

import ipaddress
import re
from collections.abc import Mapping
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

from gatepass._net.urls import is_malformed_place, origin_of
from gatepass._value import Value
from gatepass.errors import KeyRefused
from gatepass.secrets import SecretField, TextField

_SCHEMES: Final = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")
_EXAMPLE: Final = "http://proxy.example.com:3128"
# All that decides for http and https; HTTP_PROXY is not trusted in a CGI program.
VARIABLES: Final = (
    *("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"),
    *("no_proxy", "NO_PROXY", "REQUEST_METHOD"),
)


class Proxy(Value):
    """The way out.

    Attributes:
        url: the proxy's URL, without user and password; or ``"none"`` for no proxy at all.
        user_name: plain or a reference.
        password: a reference.
    """

    url: str
    user_name: TextField | None = None
    password: SecretField | None = None

    def __post_init__(self) -> None:
        if self.url == "none":
            if self.user_name is not None or self.password is not None:
                raise KeyRefused("url", "is no proxy at all, so nobody takes the login beside it")
            return
        if problem := proxy_problem(self.url, login_allowed=False):
            raise KeyRefused("url", problem)
        if (self.user_name is None) != (self.password is None):
            raise KeyRefused("", "user_name and password belong together")
        if isinstance(self.user_name, str) and not self.user_name.strip():
            raise KeyRefused("user_name", "is empty")


class NamedProxy(Value):
    """A proxy, and who named it.

    Attributes:
        url: its URL; may hold a login.
        named_by: the variable, the key of the profile, or ``proxies=``.
    """

    url: str
    named_by: object  # shown by str()

    def __repr__(self) -> str:
        return f"NamedProxy({self})"

    def __str__(self) -> str:
        origin = proxy_origin(self.url)
        return f"{origin} ({self.named_by})" if origin else f"of {self.named_by}"


def is_socks(url: str) -> bool:
    """Whether a proxy speaks SOCKS, not HTTP."""
    return url.lower().startswith("socks")


def with_scheme(url: str) -> str:
    """Return a proxy's URL with ``http://``, where a variable leaves it out."""
    url = url.strip()
    return url if re.match(r"[a-z][a-z0-9+.-]*://", url, re.IGNORECASE) else f"http://{url}"


def proxy_problem(url: str, *, login_allowed: bool = True) -> str:
    """Say what is wrong with a proxy's URL; empty when nothing is. Never repeats it.

    Args:
        url: as it was written.
        login_allowed: whether it may hold a user name and password, and leave out ``http://``.
    """
    full = with_scheme(url)
    scheme, login, place = _parts(full)
    name, _, password = login.partition(":")
    of_a_profile = not login_allowed
    rules = (
        (of_a_profile and full != url.strip(), f"should be a URL such as {_EXAMPLE}"),
        (
            scheme.lower() not in _SCHEMES,
            f"should begin with http://, https:// or socks5h://, as in {_EXAMPLE}",
        ),
        (
            of_a_profile and "@" in full,
            "holds a user name or password; they belong into user_name and password, as references",
        ),
        (
            re.search(r"[/?#]", login),
            "holds a / ? or # in its user name or password; write %2F, %3F or %23 there",
        ),
        (
            re.search(r'[\s\\<>"{}|^`]', place) or not full.isprintable(),
            "holds a character that no URL may hold, such as a blank",
        ),
        ("?" in place or "#" in place, "should end before any ? or #"),
        (
            is_malformed_place(f"http://{place}"),
            f"has a malformed host or port; it should look like {_EXAMPLE}",
        ),
        (
            ":" in unquote(name) or not unquote(name + password).isprintable(),
            "holds a login that cannot be sent: a colon in the name, or a control character",
        ),
    )
    return next((problem for applies, problem in rules if applies), "")


def complaint_about(proxy: NamedProxy) -> tuple[str, str] | None:
    """Say why a proxy cannot be used, and the next step; None where it can. Never repeats it."""
    if problem := proxy_problem(proxy.url):
        hint = f"correct {proxy.named_by}; its value is not shown, since it may hold a password"
        return f"names no usable proxy: it {problem}", hint
    if is_socks(proxy.url) and find_spec("socks") is None:
        message = "names a SOCKS proxy, which needs the package PySocks"
        return message, "pip install 'gatepass[socks]'"
    return None


def _parts(full: str) -> tuple[str, str, str]:
    """Split a URL into scheme, login and the rest; unlike urlsplit, whatever the password holds."""
    scheme, _, rest = full.partition("://")
    login, _, place = rest.rpartition("@")
    return scheme, login, place


def proxy_origin(url: str) -> str:
    """Return the origin of a proxy, for messages; empty where the URL cannot be read surely."""
    return "" if proxy_problem(url) else origin_of(split_login(url)[0])


def split_login(url: str) -> tuple[str, tuple[str, str] | None]:
    """Split a proxy's URL into the URL without a login, and user name and password."""
    scheme, login, place = _parts(with_scheme(url))
    name, _, password = login.partition(":")
    return f"{scheme}://{place}", (unquote(name), unquote(password)) if login else None


def encoded(url: str) -> str:
    """Return a proxy's URL with its login encoded, since requests and urllib3 split it anew."""
    bare, login = split_login(url)
    if login is None:
        return bare
    scheme, _, place = bare.partition("://")
    return f"{scheme}://{quote(login[0], safe='')}:{quote(login[1], safe='')}@{place}"


def make_socks_manager(url: str, login: tuple[str, str] | None, **kwargs: Any) -> Any:
    """Return urllib3's pools behind a SOCKS proxy. Needs PySocks; opens no connection."""
    from urllib3.contrib.socks import SOCKSProxyManager

    name, password = login or (None, None)
    return SOCKSProxyManager(url, username=name, password=password, **kwargs)


# ---------------------------------------------------------------- the environment


def proxy_of_variables(url: str, environ: Mapping[str, str]) -> NamedProxy | None:
    """Return the proxy that variables name for a URL; None where they name none for it."""
    # Remembered for each state of the variables: to judge them takes longer than all that a
    # session adds to a request.
    parts = urlsplit(url)
    place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    return _proxy_of(place, tuple(map(environ.get, VARIABLES)))


@lru_cache(maxsize=16)
def _proxy_of(place: str, values: tuple[str | None, ...]) -> NamedProxy | None:
    found = dict(zip(VARIABLES, values, strict=True))
    if is_direct(place, found["no_proxy"] or found["NO_PROXY"] or ""):
        return None
    for name in (f"{urlsplit(place).scheme.lower()}_proxy", "all_proxy"):
        # Small letters win, also empty ones, as with requests.
        variable = name if found.get(name) is not None else name.upper()
        of_a_cgi_request = variable == "HTTP_PROXY" and found["REQUEST_METHOD"] is not None
        if (value := found.get(variable)) and not of_a_cgi_request:
            return NamedProxy(value, variable)
    return None


def is_direct(url: str, no_proxy: str) -> bool:
    """Whether NO_PROXY excepts the host of a URL from proxies.

    An entry is a host with all below it (``corp.test``, ``.corp.test`` or ``*.corp.test``), an
    address, a range of addresses (``10.0.0.0/8``, ``fd00::/8``), each with or without a port,
    or ``*``.
    """
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return False
    port = port or (443 if parts.scheme.lower() == "https" else 80)
    address = _address(host)
    for entry in re.split(r"[,\s]+", no_proxy.lower()):
        if entry == "*":
            return True
        name, of_port = _split_port(entry)
        if not name or (of_port and of_port != str(port)):
            continue
        if address is not None:
            if (network := _network(name)) is not None and address in network:
                return True
        elif host == name or host.endswith(f".{name}"):
            return True
    return False


def _split_port(entry: str) -> tuple[str, str]:
    """Split an entry of NO_PROXY into host and port; the port may be empty."""
    if entry.startswith("["):
        name, _, rest = entry[1:].partition("]")
        return (name + rest, "") if rest.startswith("/") else (name, rest.removeprefix(":"))
    name, _, port = entry.partition(":") if entry.count(":") == 1 else (entry, "", "")
    return name.removeprefix("*").strip("."), port


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _network(name: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(name, strict=False)
    except ValueError:
        return None
