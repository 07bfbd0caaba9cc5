"""Where a request goes: URLs below the profile's, and the question whether that is home."""

import re
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from requests import PreparedRequest
from requests.exceptions import InvalidURL

_PORTS: Final = {"http": 80, "https": 443}
_ABSOLUTE: Final = re.compile(r"https?://", re.IGNORECASE)
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
# urlsplit drops some of these without a word, so a URL could change under our eyes.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")

Target = tuple[str, str, int]
"""Scheme, host and port of a connection."""


def prepared(url: str) -> str:
    """Return a URL in the form in which requests sends it."""
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
