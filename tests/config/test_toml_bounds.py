"""What nobody trusts is not parsed at any price: bombs, and the bounds that keep them out."""

import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gatepass._config import files, layers, trust
from gatepass._config.load import load_profile
from gatepass._config.locations import Locations
from gatepass._config.toml_bounds import MOST_DIGITS, MOST_NESTED, MOST_PARTS, excess
from gatepass.errors import ProfileError

Write = Callable[[Path, str | bytes], Path]

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


# ---------------------------------------------------------------- bombs

PROD = """
[profiles.mine]
url = "https://mine.example.com/"
auth = { scheme = "anonymous" }
"""
_LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
from gatepass.cli import main
sys.argv[0] = "gatepass"
sys.exit(main())
"""
posix = pytest.mark.skipif(sys.platform == "win32", reason="limits and files of POSIX")
BOMBS = {
    "key": ("a." * 400_000 + "a = 1", "a key of more than 16 parts"),
    "headers": ("[" + "a." * 20_000 + "a]\n" + "[b]\n" * 9, "a key of more than 16 parts"),
    "arrays": ("a = " + "[" * 400_000, "more than 16 values within each other"),
    "tables": ("a = " + "{a=" * 200_000, "more than 16 values within each other"),
    "digits": ("a = " + "1" * 1_000_000, "an integer of more than 200 digits"),
    "hexadecimal": ("a = 0x" + "F" * 1_000_000, "an integer of more than 200 digits"),
    "size": ("#" * 1024 * 1024 + "\n", "is larger than 1 MiB"),
}


@pytest.fixture
def limited(tmp_path: Path, write: Write) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``gatepass`` in a repository, with 20 seconds of CPU and 1 GiB of memory."""
    home, work = tmp_path / "home", tmp_path / "work"
    write(home / ".config" / "gatepass" / "profiles.toml", PROD)
    (work / ".git").mkdir(parents=True)

    def run(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", _LIMITED, *words],
            cwd=work,
            env={"HOME": str(home), "PATH": os.environ["PATH"], **more},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@posix
@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_that_nobody_trusts_is_told_and_hinders_nobody(
    kind: str,
    limited: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
    write: Write,
) -> None:
    text, why = BOMBS[kind]
    bomb = write(tmp_path / "work" / "gatepass.toml", text)

    shown = limited("show", "mine")
    unknown = limited("show", "other")

    assert shown.returncode == 0, shown.stderr
    assert "https://mine.example.com/" in shown.stdout
    assert shown.stderr.count(why) == shown.stderr.count(str(bomb)) == 1
    assert unknown.returncode == 2
    assert f"{bomb} " in unknown.stderr.split("error:")[1]
    assert why in unknown.stderr.split("error:")[1]


@posix
def test_the_names_are_completed_below_a_bomb(
    limited: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, write: Write
) -> None:
    write(tmp_path / "work" / "gatepass.toml", BOMBS["key"][0])
    tab = {"_GATEPASS_COMPLETE": "bash_complete", "COMP_WORDS": "gatepass show ", "COMP_CWORD": "2"}

    done = limited(**tab)

    assert done.stdout == "plain,mine\n"
    assert done.stderr == ""


@posix
@pytest.mark.parametrize("kind", [kind for kind in BOMBS if kind != "size"])
def test_a_bomb_that_is_named_is_an_error_with_its_place(
    kind: str,
    limited: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
    write: Write,
) -> None:
    text, why = BOMBS[kind]
    bomb = write(tmp_path / "bomb.toml", text)

    for words in (("show", "mine", "--config-file", str(bomb)), ("trust", "--yes", str(bomb))):
        done = limited(*words)
        assert done.returncode == 2
        assert f"{bomb}:1:" in done.stderr
        assert why in done.stderr
        assert len(done.stderr) < 1_000


@posix
@pytest.mark.parametrize(
    "text",
    [
        "a = 0." + "1" * 1_000_000,
        "".join(f"{number} = 1\n" for number in range(90_000)),
        "a = [" + "1," * 500_000 + "]",
        "\ufeff[profiles.other]\nurl = 'https://other.test'",
    ],
    ids=["float", "keys", "list", "bom"],
)
def test_what_is_much_but_within_bounds_is_read(
    text: str,
    limited: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
    write: Write,
) -> None:
    bomb = write(tmp_path / "work" / "gatepass.toml", text)

    done = limited("show", "mine")

    assert done.returncode == 0, done.stderr
    assert f"{bomb} is not trusted and was skipped" in done.stderr


@posix
@pytest.mark.parametrize(
    "text",
    [b"\0" * 1_000_000, b"\xff" * 1_000_000, b"a = 1\n" * 100_000, b"a = 1979-99-99", b'"' * 999],
    ids=["nul", "utf-8", "twice", "date", "quotes"],
)
def test_what_is_no_toml_is_an_error_that_names_the_file(
    text: bytes,
    limited: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
    write: Write,
) -> None:
    bomb = write(tmp_path / "work" / "gatepass.toml", text)

    done = limited("show", "mine")

    assert done.returncode == 2
    assert f"error: {bomb}:" in done.stderr
    assert len(done.stderr) < 1_000


def _fifo(path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("needs POSIX")
    os.mkfifo(path)


def _link(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


@posix
@pytest.mark.parametrize(
    "make",
    [_fifo, Path.mkdir, _link("/dev/zero"), _link("/proc/self/mem"), _link("gatepass.toml")],
    ids=["fifo", "folder", "zero", "mem", "loop"],
)
def test_what_is_no_file_is_an_error_that_names_it(
    make: Callable[[Path], None],
    limited: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
) -> None:
    bomb = tmp_path / "work" / "gatepass.toml"
    make(bomb)

    for words in (("show", "mine"), ("show", "mine", "--config-file", str(bomb)), ("trust",)):
        done = limited(*words)
        assert done.returncode == 2, done.stderr
        assert f"error: {bomb}: " in done.stderr


@posix
@pytest.mark.parametrize("path", ["/" + "x" * 100_000, "/x" * 40_000, "a\0b", "\ud800"])
def test_a_path_that_none_can_be_is_an_error(path: str, locations: Locations) -> None:
    with pytest.raises(ProfileError):
        load_profile("mine", config_file=path, environ={}, locations=locations)


def test_a_trusted_file_out_of_bounds_is_an_error(locations: Locations, write: Write) -> None:
    """What it holds was wanted: a profile of that name from elsewhere must not take its place."""
    assert locations.working is not None
    write(locations.user, PROD)
    path = write(locations.working / "gatepass.toml", PROD + "[" + "a." * 16 + "a]")
    file = files.read_file(path)
    assert file is not None
    trust.TrustStore(locations.state).add(file)

    with pytest.raises(ProfileError, match=r"gatepass\.toml:5:33: a key of more than 16 parts"):
        load_profile("mine", environ={}, locations=locations)
    write(path, PROD + "#" * files.MOST_OF_PROJECT)
    with pytest.raises(ProfileError, match=r"gatepass\.toml: is larger than 1 MiB"):
        load_profile("mine", environ={}, locations=locations)


def test_a_file_of_the_user_is_bounded_in_depth_and_not_in_size(
    locations: Locations, write: Write
) -> None:
    write(locations.user, PROD + "#" * files.MOST_OF_PROJECT)
    assert load_profile("mine", environ={}, locations=locations).name == "mine"

    write(locations.user, PROD + "[profiles." + "a." * 16 + "a]")
    with pytest.raises(ProfileError, match="a key of more than 16 parts"):
        load_profile("mine", environ={}, locations=locations)


def test_no_more_of_a_file_is_read_than_it_may_have(tmp_path: Path, write: Write) -> None:
    path = write(tmp_path / "file", b"x" * 100)

    with pytest.raises(ProfileError, match="is larger than"):
        files.read_file(path, most=99)
    found = files.read_file(path, most=100)
    assert found is not None
    assert len(found.data) == 100


def test_keys_and_headers_within_bounds_may_still_be_nested_too_deeply() -> None:
    """Sixteen parts within sixteen tables are 256 levels; what reads them calls itself for each."""
    deep = "a = " + ("{" + "a." * 15 + "a = ") * 8 + "1" + "}" * 8
    file = files.FileBytes(Path("x.toml"), deep.encode(), os.stat(os.devnull))  # noqa: PTH116

    with pytest.raises(ProfileError, match="nested too deeply"):
        layers.parse_layer(file, "file")
