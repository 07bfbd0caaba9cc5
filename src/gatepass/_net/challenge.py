"""WWW-Authenticate → challenges (RFC 9110, section 11.6.1).

A server that refuses a request says in this header which schemes it takes. Several header lines
arrive joined by ``", "``, so one value may hold several challenges, and a comma may separate
challenges, parameters of one challenge, or stand inside a quoted string.

A server wrote the header: reading it takes time in proportion to its length, and it either gives
challenges or raises :class:`ChallengeError`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from gatepass.errors import GatepassError

_LONGEST: Final = 16_384  # characters; a real challenge has a few hundred

_GAP: Final = re.compile(r"[ \t,]*")  # between list elements; empty elements are allowed
_END: Final = re.compile(r"[ \t]*(?:,|\Z)")
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# Possessive (++), so that a long run of "=" or of letters is read only once.
_TOKEN68: Final = re.compile(r"[A-Za-z0-9._~+/-]++=*+(?=[ \t]*(?:,|\Z))")
_EQUALS: Final = re.compile(r"[ \t]*=[ \t]*")
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*+)"')
# Wider than a token: servers send URLs here without quotes.
_UNQUOTED: Final = re.compile(r'[^\s",]+')
_QUOTED_PAIR: Final = re.compile(r"\\(.)")


class ChallengeError(GatepassError):
    """A WWW-Authenticate header cannot be read. Never repeats it."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to log on that a server offers.

    Attributes:
        scheme: its name in lower case, such as ``negotiate``.
        token68: data of the handshake; None when there is none.
        params: the parameters, their names in lower case.
    """

    scheme: str
    token68: str | None = None
    params: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def parse(header: str) -> tuple[Challenge, ...]:
    """Read the value of a WWW-Authenticate header; an empty one holds no challenge.

    Raises:
        ChallengeError: it is too long, malformed, or names a parameter twice in one challenge.
    """
    if len(header) > _LONGEST:
        raise ChallengeError(f"the server's challenge is longer than {_LONGEST} characters")
    return tuple(_Reader(header).challenges())


def parse_or_empty(header: str | None) -> tuple[Challenge, ...]:
    """Read a header as :func:`parse` does; one that is missing or malformed offers nothing."""
    try:
        return parse(header or "")
    except ChallengeError:
        return ()


def server_mode(challenges: Iterable[Challenge]) -> str | None:
    """Name the server_mode of a Granta MI server that offers these challenges.

    Returns:
        ``Windows``, ``mixed``, ``OIDC`` or ``standalone``; None when they tell nothing.
    """
    schemes = {challenge.scheme for challenge in challenges}
    if schemes & {"negotiate", "ntlm"}:
        return "mixed" if "basic" in schemes else "Windows"
    if "bearer" in schemes:
        return "OIDC"
    return "standalone" if "basic" in schemes else None


class _Reader:
    """Reads one header from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def challenges(self) -> Iterable[Challenge]:
        self._take(_GAP)
        while self._at < len(self._text):
            yield self._challenge()

    def _challenge(self) -> Challenge:
        scheme = self._must(_TOKEN, "the name of a scheme").lower()
        gap = self._take(_GAP) or ""
        closed = "," in gap or self._at == len(self._text)
        token68 = self._take(_TOKEN68) if gap and not closed else None
        if token68 is not None:
            self._take(_GAP)
            return Challenge(scheme, token68)
        params = self._params() if gap else {}
        if not (params or closed):
            raise ChallengeError("the server's challenge is malformed after the name of a scheme")
        return Challenge(scheme, params=MappingProxyType(params))

    def _params(self) -> dict[str, str]:
        params: dict[str, str] = {}
        while (name := self._param_name()) is not None:
            if name in params:
                raise ChallengeError("the server's challenge names a parameter twice")
            params[name] = self._value()
            if self._take(_END) is None:
                raise ChallengeError("the server's challenge has no comma between parameters")
            self._take(_GAP)
        return params

    def _param_name(self) -> str | None:
        """Read ``name =``; where another challenge or the end follows, read nothing."""
        start = self._at
        name = self._take(_TOKEN)
        if name is not None and self._take(_EQUALS) is not None:
            return name.lower()
        self._at = start
        return None

    def _value(self) -> str:
        quoted = self._take(_QUOTED)
        if quoted is not None:
            return _QUOTED_PAIR.sub(r"\1", quoted[1:-1])
        return self._must(_UNQUOTED, "a value")

    def _take(self, pattern: re.Pattern[str]) -> str | None:
        found = pattern.match(self._text, self._at)
        if found is None:
            return None
        self._at = found.end()
        return found[0]

    def _must(self, pattern: re.Pattern[str], what: str) -> str:
        found = self._take(pattern)
        if found is None:
            raise ChallengeError(f"the server's challenge is malformed: {what} is missing")
        return found
