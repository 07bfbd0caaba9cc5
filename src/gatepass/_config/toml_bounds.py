"""Bounds that a TOML text must keep before tomllib reads it.

tomllib takes time and memory that grow with the square of the parts of a key: one line
``a.a.a.... = 1`` of 30 kB takes 15 seconds and 900 MB. Values within values make it call itself.
Here a text is read once from its start to its end, in time that grows with its length, and no
further than to the first place where it cannot be TOML: there tomllib ends too, and says why.
"""

import re
from typing import Final

from gatepass._system.text import pattern
from gatepass._value import Value

MOST_PARTS: Final = 16
MOST_NESTED: Final = 16
MOST_DIGITS: Final = 200  # an integer of TOML has 64 bits; this many digits still fit a float

# What may stand between two keys, values or brackets; where none fits, the text is not TOML.
_TOKEN: Final = pattern(
    r"""(?P<blank>[ \t\r]+|\#[^\n]*)|(?P<word>[A-Za-z0-9_+:-]+)|(?P<mark>[.=,{}\[\]\n])"""
    r"""|(?P<quote>\"{3}|'{3}|["'])""",
    re.VERBOSE,
)
# After an opening quote: where the text ends, or what has to be looked at on the way there. Up to
# two quotes may stand before the three that close a text of several lines.
_ENDS: Final = {
    '"': pattern(r'["\\\n]'),
    "'": pattern(r"['\n]"),
    '"""': pattern(r'"{3,5}|\\'),
    "'''": pattern(r"'{3,5}"),
}
# Lines as nearly all are, which keep the bounds whatever they hold: a comment, a header, or a key
# with a short value, or with a table of such. One match takes as many as there are.
_NAME: Final = r"[A-Za-z0-9_-]++(?:\.[A-Za-z0-9_-]++){0,7}+[ \t]*+"
_SIMPLE: Final = rf"""(?:"[^"\\\n]*+"|'[^'\n]*+'|[A-Za-z0-9_+:-]{{1,{MOST_DIGITS}}}+)[ \t]*+"""
_PAIR: Final = rf"{_NAME}=[ \t]*+{_SIMPLE}"
_PLAIN_LINES: Final = pattern(
    rf"(?:[ \t]*+(?:\[{_NAME}\][ \t]*+"
    rf"|{_NAME}=[ \t]*+(?:{_SIMPLE}|\{{[ \t]*+{_PAIR}(?:,[ \t]*+{_PAIR})*+\}}[ \t]*+))?+"
    r"(?:#[^\n]*+)?+\n)*+"
)
_INTEGER: Final = pattern(r"[+-]?[0-9][0-9A-Fa-f_xob]*")
_KEY_FOLLOWS: Final = pattern(r"[ \t]*[.=]")


class Excess(Value):
    """What a text has too much of.

    Attributes:
        offset: where, in characters.
        message: what is wrong there.
        of_levels: whether it is levels, and not digits.
    """

    offset: int
    message: str
    of_levels: bool = True


def excess(text: str) -> Excess | None:
    """Return the first place where a text has too much for tomllib; None when there is none.

    Bounded are the parts of each key and header, values within values, and the digits of an
    integer. Of what is not TOML, the part before the first error is judged.

    Args:
        text: the text as tomllib gets it, without a byte-order mark.
    """
    at = _end_of_plain_lines(text, 0)
    parts, nested, in_value = 1, 0, False
    while (token := _TOKEN.match(text, at)) is not None:
        start, at = token.span()
        mark = token["mark"]
        if token["quote"]:
            at = _after_text(text, at, token["quote"])
            if at < 0:
                return None
        elif token["word"] and in_value and parts == 1 and _is_endless(text, token):
            return Excess(start, f"an integer of more than {MOST_DIGITS} digits", of_levels=False)
        elif mark == ".":
            parts += 1
            if parts > MOST_PARTS:
                return Excess(start, f"a key of more than {MOST_PARTS} parts")
        elif mark:
            parts = 1
            nested = _nested(nested, mark, in_value=in_value)
            if nested > MOST_NESTED:
                return Excess(start, f"more than {MOST_NESTED} values within each other")
            in_value = mark == "=" or (in_value and (nested > 0 or mark != "\n"))
            if mark == "\n" and not nested:
                at = _end_of_plain_lines(text, at)
    return None


def _end_of_plain_lines(text: str, at: int) -> int:
    found = _PLAIN_LINES.match(text, at)
    return found.end() if found else at


def _nested(nested: int, mark: str, *, in_value: bool) -> int:
    if mark in "[{":
        return nested + 1
    if mark in "]}":
        return max(0, nested - 1)
    # A header ends with its line, whether it is closed or not.
    return 0 if mark == "\n" and not in_value else nested


def _after_text(text: str, at: int, quote: str) -> int:
    """Return where a quoted text ends; -1 where it does not."""
    end = _ENDS[quote]
    while (found := end.search(text, at)) is not None:
        if found[0] == "\n":
            return -1
        if found[0] != "\\":
            return found.end()
        at = found.end() + 1  # past the character that is escaped
    return -1


def _is_endless(text: str, token: re.Match[str]) -> bool:
    """Whether a word is an integer that int() refuses, or that no message could show."""
    word = token["word"]
    return (
        len(word) > MOST_DIGITS
        and _INTEGER.fullmatch(word) is not None
        and _KEY_FOLLOWS.match(text, token.end()) is None
    )
