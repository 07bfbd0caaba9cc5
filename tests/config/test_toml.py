"""Where keys stand, and that no value is shown."""

import re
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass._config.toml import Places, syntax_error
from tests.support.config_files import ANONYMOUS, Load, problem_of

TEXT = """\
default_profile = "prod"
[profiles.prod]
url = "https://example.com"
auth = { scheme = "basic", pass.word = "hunter2" }
tls.ca_file = "x"

[profiles."we\\u0069rd".auth]
\tscheme = "é" # [profiles.fake]
[profiles.prod.headers]
X-A = \"\"\"
[profiles.inside]
a = hunter2
\"\"\"
"""


@pytest.mark.parametrize(
    ("key", "line", "column"),
    [
        (("default_profile",), 1, 1),
        (("profiles", "prod"), 2, 11),
        (("profiles", "prod", "url"), 3, 1),
        (("profiles", "prod", "auth", "scheme"), 4, 10),
        (("profiles", "prod", "auth", "pass", "word"), 4, 33),
        (("profiles", "prod", "tls", "ca_file"), 5, 5),
        (("profiles", "weird", "auth", "scheme"), 8, 2),
        (("profiles", "prod", "headers", "X-A"), 10, 1),
    ],
)
def test_each_way_to_write_a_key_is_found(key: tuple[str, ...], line: int, column: int) -> None:
    place = Places(TEXT.encode()).of(key)

    assert place is not None
    assert (place.line, place.column) == (line, column)


def test_a_missing_key_is_placed_at_the_table_around_it() -> None:
    place = Places(TEXT.encode()).of(("profiles", "prod", "missing"))

    assert place is not None
    assert place.line == 2


def test_text_inside_a_string_is_no_key() -> None:
    assert Places(TEXT.encode()).of(("profiles", "inside")) is not None  # the table "profiles"
    place = Places(TEXT.encode()).of(("profiles", "inside"))
    assert place is not None
    assert place.line == 2


def test_columns_count_characters_not_bytes() -> None:
    text = 'a = { "é" = 1, "bé" = 2, c = 3 }'
    place = Places(text.encode()).of(("a", "c"))

    assert place is not None
    assert place.column == text.index("c") + 1


def test_the_excerpt_ends_before_the_value() -> None:
    places = Places(TEXT.encode())
    word = places.of(("profiles", "prod", "auth", "pass", "word"))
    url = places.of(("profiles", "prod", "url"))

    assert word is not None
    assert url is not None
    assert word.excerpt == "    ... word =\n        ^"
    assert url.excerpt == "    url =\n    ^"


@given(secret=st.text(min_size=6).filter(lambda text: text.strip() and '"' not in text))
def test_no_excerpt_ever_shows_a_value(secret: str) -> None:
    """Whatever the value is, the excerpt of any key of the file does not hold it."""
    import tomli_w

    table = {"a": {"kkk": f"<{secret}>", "lll": 1}, "mmm": [{"command": [f"<{secret}>"]}]}
    text = (
        tomli_w.dumps(table) + f"[z]\nq = {{ nnn = {tomli_w.dumps({'v': secret})[4:-1]}, ooo = 1 }}"
    )
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return  # a multi-line rendering does not fit into an inline table
    places = Places(text.encode())
    for key in [("a", "kkk"), ("a", "lll"), ("mmm",), ("z", "q", "nnn"), ("z", "q", "ooo")]:
        place = places.of(key)
        assert place is not None
        assert f"<{secret}>" not in place.excerpt


def _fail(text: str) -> tuple[str, str, int, int]:
    with pytest.raises(tomllib.TOMLDecodeError) as caught:
        tomllib.loads(text)
    message, place = syntax_error(text, caught.value)
    return message, place.excerpt, place.line, place.column


def test_a_syntax_error_is_placed() -> None:
    message, excerpt, line, column = _fail('[profiles.prod]\nurl = "x\n')

    assert "at line" not in message
    assert (line, column) == (2, 9)
    assert excerpt.startswith("    url =\n")


def test_a_syntax_error_at_the_end_of_the_file_is_placed_there() -> None:
    _, _, line, _ = _fail('a = 1\nb = """abc\n')

    assert line == 3


@pytest.mark.parametrize(
    "text",
    [
        "[profiles.x]\nhunter2hunter2=\n",  # a pasted secret: base64 ends in "="
        "[profiles.x]\nhunter2hunter2\n",
        'password = "a" hunter2\n',
        'a = """\nurl = hunter2\n""" x\n',
        "a = '''\nhunter2 = 1\n\x00'''",
    ],
)
def test_the_excerpt_of_a_syntax_error_shows_known_keys_only(text: str) -> None:
    message, excerpt, _, _ = _fail(text)

    assert "hunter2" not in excerpt
    assert "hunter2" not in message


@pytest.mark.parametrize("after", ["", ", verify = true }"])
@pytest.mark.parametrize(
    "path",
    r"C:\Users\me C:\UNIX C:\certs \\server\share C:\ D:\x1 D:\u12 C:\temp\new CORP\bob"
    r" C:\UFFFFFFFF C:\\certs\\\ ".split(),
)
def test_a_windows_path_in_double_quotes_belongs_into_single_ones(
    try_load: Load, path: str, after: str
) -> None:
    before = "tls = { ca_file = " if after else "description = "

    message = problem_of(try_load, f'{ANONYMOUS}{before}"{path}"{after}\n')

    assert re.search(r"profiles\.toml:4:\d+: ", message)
    assert "in single quotes: '" in message


def test_a_byte_order_mark_and_crlf_are_fine_and_positions_stay_right(try_load: Load) -> None:
    good = b"\xef\xbb\xbf" + ANONYMOUS.replace("\n", "\r\n").encode()
    assert try_load(good).name == "p"

    bad = good + b'nonsense = "hunter2"\r\n'
    assert "profiles.toml:4:1: profiles.p.nonsense" in problem_of(try_load, bad)
