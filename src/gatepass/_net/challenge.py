"""WWW-Authenticate → challenges (RFC 9110, section 11.6.1).

A server that refuses a request says in this header which schemes it takes. One line may hold
several challenges, and a comma may separate challenges, parameters of one challenge, or stand
inside a quoted string.

A server wrote the header: reading it takes time in proportion to its length, and what cannot be
read hides no other challenge.
"""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from gatepass._system.text import pattern
from gatepass._value import Value, field

if TYPE_CHECKING:
    from requests import Response

_LONGEST: Final = 16_384  # characters of a line; a real challenge has a few hundred

_GAP: Final = pattern(r"[ \t,]*")  # between list elements; empty elements are allowed
_END: Final = pattern(r"[ \t]*(?:,|\Z)")
_FOLD: Final = pattern(r"[\r\n]+[ \t]*")  # a folded line stands for a blank (RFC 9112, 5.2)
_TOKEN: Final = pattern(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# In quotes, or with another sign after it, it is malformed, and still all that matters.
_SCHEME: Final = pattern(rf'(?:{_TOKEN.pattern}+|"{_TOKEN.pattern}+")(?=[ \t,;:"]|\Z)(?![ \t]*=)')
# Possessive (++), so that a long run of "=" or of letters is read only once.
_TOKEN68: Final = pattern(r"[A-Za-z0-9._~+/-]++=*+(?=[ \t]*(?:,|\Z))")
_EQUALS: Final = pattern(r"[ \t]*=[ \t]*")
_QUOTED: Final = pattern(r'"((?:[^"\\]|\\.)*+)"')
# Wider than a token: servers send URLs here without quotes.
_UNQUOTED: Final = pattern(r'[^\s",]+')
_QUOTED_PAIR: Final = pattern(r"\\(.)")
_TO_COMMA: Final = pattern(r"[^,]*")
# Not possessive as a whole: Python 3.11.2, Debian 12's, would go on behind a quote that is open.
_TO_COMMA_OR_OPEN_QUOTE: Final = pattern(rf'(?:[^",]|{_QUOTED.pattern})*')


class Challenge(Value):
    """One way to log on that a server offers.

    Attributes:
        scheme: its name in lower case, such as ``negotiate``.
        token68: data of the handshake; None when there is none.
        params: the parameters, their names in lower case.
    """

    scheme: str
    token68: str | None = None
    params: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def challenges_of(response: "Response") -> tuple[Challenge, ...]:
    """Return what a response offers in WWW-Authenticate, each line read by itself."""
    # requests joins the lines: there one that is malformed would reach into the next.
    get_lines = getattr(getattr(response.raw, "headers", None), "getlist", None)
    lines = get_lines("WWW-Authenticate") if get_lines else ()
    return parse(*(lines or [response.headers.get("WWW-Authenticate", "")]))


def parse(*lines: str) -> tuple[Challenge, ...]:
    """Read the lines of a WWW-Authenticate header; an empty one holds no challenge.

    A challenge that is malformed after the name of its scheme keeps nothing but that name. A
    parameter that has two values counts as not given. Of a line that is too long, the beginning is
    read.
    """
    return tuple(challenge for line in lines for challenge in _Reader(_clean(line)).challenges())


def _clean(line: str) -> str:
    """Return a line without folds, and without the challenge or parameter at which it is cut."""
    whole = _FOLD.sub(" ", line)
    return whole if len(whole) <= _LONGEST else whole[:_LONGEST].rpartition(",")[0]


_GRANTA: Final = "/mi_servicelayer"  # the service of a Granta MI server, whose modes have names


def server_mode(challenges: Iterable[Challenge], url: str) -> str | None:
    """Name the mode of a Granta MI server that offers these challenges.

    Args:
        challenges: what it offers.
        url: what was asked for.

    Returns:
        ``Windows``, ``mixed``, ``OIDC`` or ``standalone``; None when they tell nothing, or where
        the URL is not that of a Granta MI server.
    """
    if _GRANTA not in url.lower():  # IIS does not mind the case
        return None
    schemes = {challenge.scheme for challenge in challenges}
    if schemes & {"negotiate", "ntlm"}:
        return "mixed" if "basic" in schemes else "Windows"
    if "bearer" in schemes:
        return "OIDC"
    return "standalone" if "basic" in schemes else None


_WRITTEN: Final = {
    "basic": "Basic",
    "bearer": "Bearer",
    "digest": "Digest",
    "negotiate": "Negotiate",
    "ntlm": "NTLM",
}
_MOST: Final = 8  # schemes of a hostile server that are repeated
_LONGEST_NAME: Final = 30  # characters of each


def scheme_names(challenges: Iterable[Challenge]) -> str:
    """Write the schemes that are offered: ``Negotiate, NTLM``."""
    names = dict.fromkeys(challenge.scheme for challenge in challenges)
    return ", ".join(_WRITTEN.get(name, name[:_LONGEST_NAME]) for name in [*names][:_MOST])


def describe(challenges: Iterable[Challenge], url: str) -> str:
    """Write what the server at a URL offers: ``Negotiate, NTLM (Windows mode)``."""
    challenges = tuple(challenges)
    mode = server_mode(challenges, url)
    return f"{scheme_names(challenges)} ({mode} mode)" if mode else scheme_names(challenges)


class _Reader:
    """Reads one line from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._quote_is_open = False

    def challenges(self) -> Iterable[Challenge]:
        self._take(_GAP)
        while self._at < len(self._text):
            scheme = self._take(_SCHEME)
            if scheme is None:
                self._skip_to_next()
            else:
                yield self._challenge(scheme.strip('"').lower())

    def _challenge(self, scheme: str) -> Challenge:
        """Read what follows a scheme."""
        gap = self._take(_GAP) or ""
        closed = "," in gap or self._at == len(self._text)
        token68 = None if closed else self._take(_TOKEN68)
        if token68 is not None:
            self._take(_GAP)
            return Challenge(scheme, token68)
        params = self._params()
        if params is None or not (params or closed):
            self._skip_to_next()
            return Challenge(scheme)
        # A parameter may not stand twice (RFC 9110, 11.2), and nobody knows which one holds.
        values: dict[str, set[str]] = {}
        for name, value in params:
            values.setdefault(name, set()).add(value)
        named = {name: each.pop() for name, each in values.items() if len(each) == 1}
        return Challenge(scheme, params=MappingProxyType(named))

    def _params(self) -> list[tuple[str, str]] | None:
        """Read parameters; None where one is malformed."""
        params: list[tuple[str, str]] = []
        while (name := self._param_name()) is not None:
            value = self._value()
            if value is None or self._take(_END) is None:
                return None
            params.append((name, value))
            self._take(_GAP)
        return params

    def _skip_to_next(self) -> None:
        """Go on after the next comma; one in a quoted string does not count."""
        if not self._quote_is_open:
            self._take(_TO_COMMA_OR_OPEN_QUOTE)
            # No quote is closed after this one: to look for that again would take quadratic time.
            self._quote_is_open = self._text.startswith('"', self._at)
        if self._quote_is_open:
            self._take(_TO_COMMA)
        self._take(_GAP)

    def _param_name(self) -> str | None:
        """Read ``name =``; where another challenge or the end follows, read nothing."""
        start = self._at
        name = self._take(_TOKEN)
        if name is not None and self._take(_EQUALS) is not None:
            return name.lower()
        self._at = start
        return None

    def _value(self) -> str | None:
        quoted = self._take(_QUOTED)
        if quoted is not None:
            return _QUOTED_PAIR.sub(r"\1", quoted[1:-1])
        return self._take(_UNQUOTED)

    def _take(self, pattern: re.Pattern[str]) -> str | None:
        found = pattern.match(self._text, self._at)
        if found is None:
            return None
        self._at = found.end()
        return found[0]
