"""Folding of long lines: what may be pasted stays in one piece."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.cli._wrap import folded


def _words(lines: list[str]) -> list[str]:
    return [word for line in lines for word in line.split()]


@given(st.text(alphabet="ab ;,('\"\\t", max_size=300), st.integers(min_value=0, max_value=200))
def test_folding_changes_nothing_but_blanks(line: str, columns: int) -> None:
    assert _words(folded(line, columns)) == line.split()


@given(st.lists(st.text("abc", min_size=1, max_size=20), max_size=60), st.integers(30, 200))
def test_no_line_is_longer_than_the_terminal_where_words_allow_it(
    words: list[str], columns: int
) -> None:
    assert all(len(line) < columns for line in folded(" ".join(words), columns))


@given(st.text("ab ", max_size=300))
def test_a_line_that_fits_and_a_line_to_be_pasted_stay_as_they_are(line: str) -> None:
    assert folded(line, len(line) + 1) == [line]
    assert folded(f"    {line}", 40) == [f"    {line}"]


@pytest.mark.parametrize(
    "pasted",
    [
        "   timeout = [10, 300]   ",
        "   openssl s_client -connect HOST:PORT",
        "gatepass secret set nightly client_secret --config-file 'a b c'",
        "python -m gatepass check prod",
        "'/home/b o b/some where/profiles.toml'",
        '"C:\\Program Files\\gatepass\\profiles.toml"',
        "`keyring --list-backends`",
    ],
)
@given(before=st.integers(0, 60), columns=st.integers(30, 100))
def test_no_break_comes_into_what_may_be_pasted(pasted: str, before: int, columns: int) -> None:
    line = f"{'a ' * before}see {pasted}; and so on and so on and so on"

    assert any(pasted.strip() in part for part in folded(line, columns))


def test_what_follows_is_indented_below_its_line() -> None:
    line = "  sets a machine setting, and this line is too long for its terminal"

    assert folded(line, 40) == [
        "  sets a machine setting, and this line",
        "    is too long for its terminal",
    ]


def test_a_terminal_too_narrow_for_sentences_gets_them_whole() -> None:
    assert folded("one two three four five six seven eight", 20) == [
        "one two three four five six seven eight"
    ]
