"""Recognises a page on which a person logs in, where a program expected an answer.

A server that wants a login in a browser answers with success: by a form, or by sending on to one.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, unquote, urljoin, urlsplit

from gatepass._system.deadline import DeadlineExceeded, run_with_deadline
from gatepass._system.text import pattern, printable

if TYPE_CHECKING:
    from requests import Response

_MOST: Final = 65_536  # bytes of a page that are read; a login page has a few thousand
_SECONDS: Final = 10  # in which they must come
_LONGEST: Final = 100  # characters of a path that are repeated
# Parts of a path, such as /Account/LogOn.aspx or /adfs/ls.
_LOGS_IN: Final = pattern(
    r"(?<![a-z])(?:log[-_]?[io]n|sign[-_]?[io]n|sso|adfs|saml2?|oauth2?|oidc|openid|authorize"
    r"|auth|authenticate|authentication|cas|wayf)(?![a-z])",
    re.IGNORECASE,
)
# What leads back after a login.
_LEADS_BACK: Final = frozenset(
    "returnurl return_url returnto return_to redirect_uri wreply wtrealm goto relaystate "
    "samlrequest next continue service".split()
)
_OF_A_LOGIN: Final = frozenset("samlrequest samlresponse relaystate wresult wctx".split())
_TAG: Final = pattern(r"<(form|input|meta)\b([^<>]*)", re.IGNORECASE)
_ATTRIBUTE: Final = pattern(r"""(?<![\w-])([\w-]++)\s*+=\s*+(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""")
_DELAY: Final = pattern(r"\s*[\d.]*\s*[;,]\s*(?:url\s*=)?", re.IGNORECASE)
_BY_SCRIPT: Final = pattern(
    r"""location(?:\.href)?\s*(?:=|\.(?:replace|assign)\()\s*["']([^"']{1,2000})["']"""
)
_NOT_SHOWN: Final = pattern(r"<!--.*?(?:-->|\Z)", re.DOTALL)


def describe_login_page(response: "Response", asked: str) -> str:
    """Say by what a successful response looks like a login page; empty where it does not.

    Reads at most 64 KiB of the body, and only of an HTML page.

    Args:
        response: the response, after redirects; its body need not be read yet.
        asked: the URL that was asked first.
    """
    if response.url != asked and leads_to_login(response.url) and not leads_to_login(asked):
        return f"it redirects to the login page {_path(response.url)}"
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind not in {"", "text/html", "application/xhtml+xml"}:
        return ""
    return describe_html(_beginning(response), response.url)


def leads_to_login(url: str) -> bool:
    """Whether a URL names a login in its path, or where to return to in its query."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    back = any(
        name.lower() in _LEADS_BACK and ("/" in value or len(value) > _LONGEST)
        for name, value in parse_qsl(parts.query)
    )
    return back or _LOGS_IN.search(unquote(parts.path)) is not None


def describe_html(text: str, url: str) -> str:
    """Say by what a page looks like a login page; empty where it does not.

    Args:
        text: the page, or its beginning.
        url: where it comes from.
    """
    text = _NOT_SHOWN.sub("", text)
    for tag, attributes in _tags(text):
        name = attributes.get("name", "").lower()
        if tag == "input" and attributes.get("type", "").lower() == "password":
            return "it is a page with a field for a password"
        if tag == "input" and name in _OF_A_LOGIN:
            return "it is a form that leads to a login elsewhere"
        if tag == "form" and (path := _path_of_login(url, attributes.get("action", ""))):
            return f"it is a form for {path}"
        if tag == "meta" and attributes.get("http-equiv", "").lower() == "refresh":
            target = _DELAY.sub("", attributes.get("content", ""), count=1).strip(" \t\r\n'\"")
            if path := _path_of_login(url, target):
                return f"it sends a browser on to {path}"
    for target in _BY_SCRIPT.findall(text):
        if path := _path_of_login(url, target):
            return f"it sends a browser on to {path}"
    return ""


def _path_of_login(url: str, target: str) -> str:
    """Return the path of a login page that a page names; empty for another target."""
    try:
        full = urljoin(url, target)
    except ValueError:
        return ""
    return _path(full) if leads_to_login(full) else ""


def _tags(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    from html import unescape

    for tag, rest in _TAG.findall(text):
        yield (
            tag.lower(),
            {
                name.lower(): unescape(one or two or three)
                for name, one, two, three in _ATTRIBUTE.findall(rest)
            },
        )


def _path(url: str) -> str:
    """Return what may be repeated of a URL: its path; a query may hold a ticket."""
    return printable(urlsplit(url).path)[:_LONGEST] or "/"


def _beginning(response: "Response") -> str:
    """Read the beginning of a body; of a server that drips or never ends, what came so far."""
    from requests import RequestException

    read: list[bytes] = []

    def fill() -> None:
        with suppress(RequestException):  # what came is judged
            for chunk in response.iter_content(1024):
                read.append(chunk)
                if len(read) * 1024 >= _MOST:
                    break

    with suppress(DeadlineExceeded):
        run_with_deadline(fill, _SECONDS, "gatepass-login-page")
    return b"".join(read).decode("latin-1")  # tags and paths are ASCII
