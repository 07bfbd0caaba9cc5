"""Explains a refused login from what the server offers."""

import re
import warnings
from collections.abc import Iterable, Iterator
from typing import Final, Literal
from urllib.parse import urlsplit

from requests import PreparedRequest, Response

from gatepass._config.profile import Profile
from gatepass._net.challenge import Challenge, challenges_of, describe
from gatepass._net.urls import origin_of
from gatepass._session.exceptions import LoginRefused, SchemeNotOffered
from gatepass._session.request_state import drain_or_close
from gatepass._system import plugins
from gatepass._system.text import printable
from gatepass.auth import answers_of, is_connection_bound, sends_credentials, value_of
from gatepass.errors import GatepassWarning

Outlook = Literal["goes on", "ends process", "ends session"]
_AGAIN: Final = {
    "goes on": "the session goes on",
    "ends process": "this process does not send them again, except after session.login()",
    "ends session": "this session does not send them again: build a new one",
}
# Compiled at their first use: few starts need them. What stands in a group is repeated.
_PAST: Final = (
    r"(?:(?:is|are|has|have|was|were|been|not|temporarily|currently|already)[\s_-]+){0,3}"
)
_STATES: Final = (
    r"(?<![a-z])(account|password|user|credentials?|licen[cs]e)"
    r"(?:\s+(?!account|is\b|has\b)\S{1,64})??"  # whose
    rf"[\s_-]*({_PAST}(?:locked(?:[\s_-]+out)?|expired|disabled|suspended|blocked|deactivated"
    r"|revoked|inactive|not[\s_-]+active))(?![a-z])"
    r"|\b(password\s+(?:must|needs?\s+to|has\s+to)\s+be\s+(?:changed|reset|renewed))\b"
    r"|\b((?:must|needs?\s+to|ha(?:s|ve)\s+to|please)\s+(?:change|reset|renew)\s+(?:your|the)"
    r"\s+password)\b"
    r"|\b((?:too\s+many|maximum(?:\s+number\s+of)?)\s+(?:failed\s+|unsuccessful\s+|invalid\s+)?"
    r"(?:log-?[io]ns?\s+|sign-?ins?\s+|password\s+|authentication\s+)?"
    r"(?:attempts|failures|tries))\b"
    r"|\b((?:captcha|(?:two|multi)[\s-]factor(?:\s+authentication)?|2fa|mfa)"
    r"\s+(?:is\s+)?required|captcha_challenge)\b"
    r"|\b(account\s+restrictions\s+are\s+preventing)\b"
    rf"|\b((?:basic|legacy|password)\s+auth(?:entication)?\s+{_PAST}(?:disabled|blocked))\b"
)
# Names and numbers of Windows (ntstatus.h, winerror.h); Active Directory refuses LDAP by the last.
_CODES: Final = {
    "account is locked out": ("ACCOUNT_LOCKED_OUT", "0xC0000234", 0x775),
    "password must be changed": ("PASSWORD_MUST_CHANGE", "0xC0000224", 0x773),
    "password has expired": ("PASSWORD_EXPIRED", "0xC0000071", 0x532),
    "account is disabled": ("ACCOUNT_DISABLED", "0xC0000072", 0x533),
    "account has expired": ("ACCOUNT_EXPIRED", "0xC0000193", 0x701),
    "account may not log on at this hour": ("INVALID_LOGON_HOURS", "0xC000006F", 0x530),
    "account may not log on from this computer": ("INVALID_WORKSTATION", "0xC0000070", 0x531),
    "account is restricted": ("ACCOUNT_RESTRICTION", "0xC000006E", 0x52F),
}
# Programs in front of a server, by the names that they write into Server.
_PROXIES: Final = (
    r"nginx|openresty|haproxy|envoy|traefik|varnish|squid|cloudflare|akamai|cloudfront|awselb"
    r"|big-?ip|netscaler|application-gateway|azure front|apache traffic server|ats/"
)
_HTTP_1_0: Final = 10  # as http.client writes it
_MOST_OF_A_PAGE: Final = 20_000  # characters
_LONGEST: Final = 60  # characters of a header that are repeated


def explain_refusal(
    response: Response,
    profile: Profile,
    user: str | None,
    *,
    carried: bool,
    outlook: Outlook = "goes on",
) -> LoginRefused:
    """Return the error for a 401.

    Args:
        response: the server's answer; its request carries no credentials.
        profile: whose login was refused.
        user: who wanted to log on; None when not known.
        carried: whether credentials were sent.
        outlook: whether they are sent again.
    """
    challenges = challenges_of(response)
    names = {challenge.scheme for challenge in challenges}
    answers = answers_of(profile.auth)
    sends = sends_credentials(profile.auth)
    if names and (not sends or (answers and not answers & names)):
        return SchemeNotOffered(
            f"this server offers {describe(challenges, response.url)}; the profile uses "
            f"{profile.scheme}. {_advice(names)}",
            hint=_stands_at(profile, "scheme"),
            request=response.request,
            response=response,
        )
    origin, after = origin_of(response.url), ""
    if not sends:
        message, hint = f"{origin} asks for a login (401)", "use another scheme than anonymous"
    elif carried:
        message, hint = _refused(response, profile, user, outlook)
        after = _AGAIN[outlook]
    else:
        message, hint = _not_answered(response, profile, challenges, origin)
    error = LoginRefused(message, hint=hint, request=response.request, response=response)
    error.outlook = after
    return error


def _refused(
    response: Response, profile: Profile, user: str | None, outlook: Outlook
) -> tuple[str, str]:
    """Say that credentials were refused: message and hint."""
    origin, whom = origin_of(response.url), f" of {user}" if user else ""
    message = f"{origin} refused the login{whom} (401); the profile uses {profile.scheme}"
    told = _account_state(response)
    if told:
        message = f"{message}. The server says: {told}"
    what = "the user name and the secret, and whether the account is locked"
    if not user:
        what = "the token or ticket, and whether its account may use this server"
    if told:
        what = "what the server says; its administrator can change that"
    if outlook == "goes on":
        page = printable(urlsplit(response.url).path)
        return message, (
            f"it has taken this login before: check whether the account may use {page}, and {what}"
        )
    place = _stands_at(profile, "password", "token")
    between = _in_between(response, profile)
    return message, "\n".join(filter(None, (place, f"check {what}", *between)))


def _in_between(response: Response, profile: Profile) -> Iterator[str]:
    """Name what may stand between, where the login belongs to the connection.

    A balancer that ends TLS, or spreads the messages of a login over several connections, makes a
    right password a wrong one.
    """
    if not is_connection_bound(profile.auth):
        return
    if response.url.startswith("https:"):
        yield (
            "it may want the login bound to the TLS connection: take channel_binding out of auth"
            if value_of(profile.auth, "channel_binding") is False
            else "where a balancer or proxy in between ends TLS, write   channel_binding = false   "
            "into auth"
        )
    names = [
        f"{name}: {printable(value)[:_LONGEST]}"
        for name, value in (
            ("Via", response.headers.get("Via", "")),
            ("Server", response.headers.get("Server", "")),
        )
        if (name == "Via" and value) or re.search(_PROXIES, value, re.IGNORECASE)
    ]
    if getattr(response.raw, "version", None) == _HTTP_1_0:
        names.append("HTTP/1.0")
    if names:
        yield (
            f"something stands in between ({', '.join(names)}): it must send all messages of a "
            "login over one connection to one server"
        )
    if profile.scheme == "autologon":
        yield "where the server takes NTLM alone, use ntlm or credentials"


def _not_answered(
    response: Response, profile: Profile, challenges: tuple[Challenge, ...], origin: str
) -> tuple[str, str]:
    """Say why a challenge got no answer: message and hint."""
    if not isinstance(response.request.body, bytes | str | None):
        return (
            f"{origin} asks for a login (401) when the body is already sent",
            "it asks for each request anew, and a body that can be read once is lost then: send "
            "bytes or a file"
            if is_connection_bound(profile.auth)
            else "make any other request first, such as session.check(), or send bytes or a file",
        )
    if challenges:
        offers = describe(challenges, response.url)
        return (
            f"{origin} asks for a login (401) and offers {offers}, less than before",
            "no password was sent; if the server was changed on purpose, build a new session",
        )
    return (
        f"{origin} asks for a login (401) and names no way to log on that can be read",
        "look at the WWW-Authenticate header of its answer, and at proxies in between",
    )


def explain_status(response: Response, scheme: str, *, logged_on: bool) -> str:
    """Return the next step for a status of 400 and above, apart from 401.

    Args:
        response: the server's answer.
        scheme: of the profile.
        logged_on: whether the server is known to have taken the login.
    """
    status = response.status_code
    if told := _account_state(response):
        return f"the server says: {told}; its administrator can change that"
    if status == _BAD_REQUEST and re.search(_WANTS_TLS, text_of(response), re.IGNORECASE):
        return OF_STATUS[497]
    if status == _FORBIDDEN and logged_on:
        return (
            "the login is right; this account has no right to that page: ask the server's "
            "administrator, or name another page in check_path"
        )
    if status == _BAD_REQUEST and scheme in {"autologon", "bearer", "oidc"}:  # long headers
        return _TOO_LARGE
    return OF_STATUS.get(status, OF_STATUS[500] if status > _SERVER_FAILS else _UNKNOWN)


# As nginx, Apache, Go and Tomcat say it of plain http on the port of https.
_WANTS_TLS: Final = (
    r"http request (?:was sent )?to (?:an )?https (?:port|server)|plain http to an ssl|requires tls"
)
_UNKNOWN: Final = "ask its administrator what that means, or name another page in check_path"
_BAD_REQUEST: Final = 400
_FORBIDDEN: Final = 403
_SERVER_FAILS: Final = 500
_TOO_LARGE: Final = (
    "the headers may be too large for it, as with the Kerberos ticket of an account in many "
    "groups, or a long token: its administrator can allow more (IIS and HTTP.sys: MaxFieldLength "
    "and MaxRequestBytes; Apache: LimitRequestFieldSize; nginx: large_client_header_buffers)"
)
_BEHIND: Final = (
    "what stands in front, a balancer or proxy, gets no answer from the server behind it: try "
    "later, or ask its administrator"
)
_WANTS_CERTIFICATE: Final = (
    "it wants another certificate of the client, or one at all: look at tls.client_cert"
)
OF_STATUS: Final = {
    403: "it refuses this page whoever asks: check url and check_path, and firewalls in between",
    400: "it cannot read the request: check the host and the path in url, and headers",
    404: "check url and check_path of the profile",
    405: "the page takes no GET: name another one in check_path",
    406: "it has no such form of the page: look at Accept in headers, or name another page in "
    "check_path",
    407: "a proxy asks for a login that nobody has named: write it as   proxy   into the profile",
    408: "the request did not reach it in time: try again",
    410: "check url and check_path of the profile",
    414: "the address is too long for it: shorten check_path",
    421: "it does not serve this host name here: check the host in url, and proxies in between",
    426: "it wants another protocol on this port, as its header Upgrade names it; mostly "
    "https:// in url",
    429: "it asks to wait: try again later, and less often",
    440: "a login of its own has ended there, that of a form and a cookie: name another page in "
    "check_path",
    **dict.fromkeys((431, 494), _TOO_LARGE),
    **dict.fromkeys((495, 496), _WANTS_CERTIFICATE),
    497: "it wants https on this port: write   https://   into url",
    500: "the server failed while it answered: its log says why, so ask its administrator",
    **dict.fromkeys((502, 503, 504, *range(520, 527), 530), _BEHIND),
    511: "the network here wants a login in a browser first: open any page in one",
}


def _stands_at(profile: Profile, *names: str) -> str:
    """Say where the first of these keys of ``auth`` was written; empty without a file."""
    places = ((name, profile.place_of("auth", name)) for name in names)
    return next((f"{place}: auth.{name} of this profile" for name, place in places if place), "")


def _account_state(response: Response) -> str:
    """Return the words with which a server says that an account cannot log on; else nothing.

    Only these words are repeated: the rest of the page is foreign text.
    """
    kept = (value for name, value in response.headers.items() if name.lower() != "set-cookie")
    text = " ".join((text_of(response), response.reason or "", *kept))
    words = [
        meaning
        for meaning, (name, status, code) in _CODES.items()
        if re.search(
            rf"{name}|{status}|\bdata {code:x}\b|0x8007{code:04x}|\berror\D{{1,9}}{code}\b",
            text,
            re.IGNORECASE,
        )
    ] or [
        " ".join(" ".join(filter(None, groups)).lower().split())
        for groups in re.findall(_STATES, text, re.IGNORECASE)
    ]
    return ", ".join(dict.fromkeys(words))


def text_of(response: Response) -> str:
    """Return the beginning of a page; of one that drips or is cut off, what can be had of it."""
    drain_or_close(response)
    return response.text[:_MOST_OF_A_PAGE]


def _advice(names: set[str]) -> str:
    """Name the schemes of this installation that can answer."""
    fitting = [
        scheme
        for scheme in plugins.BUILT_IN[plugins.AUTH]
        if names & plugins.load(plugins.AUTH, scheme).answers
    ]
    if not fitting:
        return "No scheme of this version of gatepass can answer that."
    *others, last = sorted(fitting)
    return f"Use {', '.join(others)} or {last}." if others else f"Use {last}."


def lacks_scope(challenges: Iterable[Challenge]) -> bool:
    """Whether the server takes the token, but not for this request (RFC 6750, section 3.1)."""
    return any(each.params.get("error") == "insufficient_scope" for each in challenges)


def warn_of_another_server(request: PreparedRequest, profile: Profile) -> None:
    """Say why no login went along, where the caller gave none: a short name is another host."""
    if "Authorization" in request.headers or request.hooks.get("response"):
        return  # a login of the caller's own, which may answer the 401
    parts = urlsplit(request.url or "")
    there = printable(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}")
    here = printable(f"{profile.origin}{parts.path}")
    warnings.warn(
        f"{there} answers 401, and is another server than that of the profile, so no login was "
        f"sent; ask {here}, or give auth= for the other one",
        GatepassWarning,
        stacklevel=2,
    )
