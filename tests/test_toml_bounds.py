"""What nobody trusts is not parsed at any price: bombs, and the bounds that keep them out."""

import sys
import tomllib
from dataclasses import dataclass
from types import FrameType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gatepass._toml_bounds import MOST_DIGITS, MOST_NESTED, MOST_PARTS, excess

# ---------------------------------------------------------------- what tomllib itself sees


@dataclass
class Seen:
    """What tomllib read of a text before its end, or before its first error."""

    parts: int = 0
    nested: int = 0
    valid: bool = True

    @property
    def within_bounds(self) -> bool:
        return self.parts <= MOST_PARTS and self.nested <= MOST_NESTED


def _seen_by_tomllib(text: str) -> Seen:
    """Read a text with tomllib, and count which of its own functions are called meanwhile."""
    seen = Seen()
    parts = nested = 0

    def watch(frame: FrameType, event: str, value: Any) -> None:
        nonlocal parts, nested
        if not frame.f_globals.get("__name__", "").startswith("tomllib"):
            return
        name = frame.f_code.co_name
        if name == "parse_key" and event == "call":
            parts = 0
        elif name == "parse_key_part" and event == "return" and value is not None:
            parts += 1
            seen.parts = max(seen.parts, parts)
        elif name in {"parse_array", "parse_inline_table"}:
            nested += {"call": 1, "return": -1}.get(event, 0)
            seen.nested = max(seen.nested, nested)

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        seen.valid = False
    finally:
        sys.setprofile(before)
    return seen


def _agrees(text: str) -> None:
    seen = _seen_by_tomllib(text)
    if not seen.within_bounds:
        assert excess(text) is not None
    elif seen.valid:
        assert excess(text) is None


# ---------------------------------------------------------------- texts

_HARD = [*"aé.=,#[]{}' ", "[[", "]]", '\\"', r"\\", r"\u0022", r"\n", "a.b.c", "# ", "=["]
_blank = st.sampled_from(["", "", " ", "\t"])
_inside = st.lists(st.sampled_from(_HARD), max_size=6).map("".join)
_basic = _inside.map(lambda text: f'"{text}"')
_literal = _inside.map(lambda text: "'" + text.replace("'", "") + "'")
_lines = st.lists(st.sampled_from([*_HARD, "\n", '"', '""', "\\\n"]), max_size=6).map("".join)


def _long_basic(text: str) -> str:
    while '"""' in text:
        text = text.replace('"""', '"')
    return f'"""{text}"""' if not text.endswith('"') else f'"""{text}\n"""'


_long_literal = _lines.map(lambda text: "'''" + text.replace("'''", "'").rstrip("'") + "'''''")
_scalar = st.one_of(
    _basic,
    _literal,
    _lines.map(_long_basic),
    _long_literal,
    st.sampled_from(["1", "-1_0.5e+3", "true", "inf", "0xFF", "1979-05-27T07:32:00.999Z", "[]"]),
)
_name = st.one_of(st.sampled_from(["a", "b-", "1", "-"]), _basic, _literal)


@st.composite
def _key(draw: st.DrawFn) -> str:
    names = [draw(_name)] * draw(st.sampled_from([1, 1, 2, 15, 16, 17, 20]))
    return f"{draw(_blank)}.{draw(_blank)}".join(names)


@st.composite
def _value(draw: st.DrawFn) -> str:
    value = draw(_scalar)
    for _ in range(draw(st.sampled_from([0, 0, 1, 2, 15, 16, 17, 19]))):
        if draw(st.booleans()):
            value = "[" + draw(st.sampled_from(["", "\n", "# ]][[\n"])) + value
            value += draw(st.sampled_from(["", ",", " , 'x' # [\n", "\n"])) + "]"
        else:
            value = "{" + f"{draw(_blank)}{draw(_key())} = {value}" + draw(_blank) + "}"
    return value


@st.composite
def _document(draw: st.DrawFn) -> str:
    """A text that is TOML; every key begins with a number of its own."""
    lines = []
    for number in range(draw(st.integers(0, 4))):
        key = f"{draw(_blank)}{number}{draw(_blank)}"
        if draw(st.booleans()):
            key += f".{draw(_key())}"
        kind = draw(st.sampled_from(["[{}]", "[[{}]]", "{} = {}", "{} = {}"]))
        line = kind.format(key, draw(_value()) if "=" in kind else None)
        lines.append(line + draw(st.sampled_from(["", " # '''", '# """', "\t", "\n"])))
    return draw(st.sampled_from(["\n", "\n\n"])).join(lines)


_deep = ["a." * 17, "." * 17, "'.'." * 17, "[" * 17, "{a=" * 17, "]" * 17, "=", "a=1\n"]
_soup = st.lists(
    st.sampled_from([*_HARD, *_deep, '"', '"""', "'", "'''", "\n", "\\", "1", "a="]), max_size=14
).map("".join)


@given(_document())
@example("a = [1.5, 2.5, 3.5, 4.5, 1.5, 2.5, 3.5, 4.5, 1.5, 2.5, 3.5, 4.5, 1.5, 2.5, 3.5, 4.5]")
@example("\n".join(f"[[a.b]]\nx.y = [[{number}]]" for number in range(40)))
@example('a = """' + "\\" + '"""." "' + ".a" * 20 + '"""')
def test_a_toml_text_is_refused_exactly_when_tomllib_sees_too_much_in_it(text: str) -> None:
    assert _seen_by_tomllib(text).valid
    _agrees(text)


@given(_soup)
@example("'a' . " * 17)
@example('""' + "." * 2 + "a." * 17)
def test_no_text_hides_from_the_bounds_what_tomllib_reads(text: str) -> None:
    """Neither one that is not TOML: it is judged as far as tomllib reads it."""
    _agrees(text)


@pytest.mark.parametrize("digits", ["1" * 300, "-1" + "_1" * 200, "0x" + "F" * 300])
def test_an_integer_that_no_message_could_show_is_refused(digits: str) -> None:
    for text in (f"a = {digits}", f"a = [1, {digits}]", f"a = {{b = {digits}}}"):
        found = excess(text)
        assert found is not None
        assert text[found.offset :].startswith(digits)


def test_a_long_key_and_a_long_float_are_not_taken_for_an_integer() -> None:
    long = "1" * (MOST_DIGITS + 1)
    for text in (
        f"{long} = 1",
        f"[{long}]",
        f"a = {{ {long} . b = 1 }}",
        f"a = {long}.5",
        f"a = 0.{long}",
    ):
        assert excess(text) is None
        tomllib.loads(text)
