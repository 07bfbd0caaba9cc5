"""What foreign text becomes before it is shown or pasted."""

import os
import shlex
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gatepass._config import layer, layers, selection
from gatepass._config.files import FileBytes, read_file
from gatepass._config.layer import Layer, Layers
from gatepass._config.permissions import unsafe_permissions
from gatepass._system.text import local_time, operands, printable, quoted, time_span
from gatepass.cli._wrap import folded
from gatepass.errors import ProfileNotFound, UntrustedFile

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the shell is bash here")

# What an argument of a program on this system may hold: no NUL, nothing that is not UTF-8.
WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
PATHS = WORDS.map(lambda text: Path("/srv") / text.replace("/", "_") / "gatepass.toml")
NASTY = Path("/srv/$(touch PWNED);`id` 'x' \"y\"   z, (w)\\ &/gatepass.toml")
UNSEEN = Path("/srv/a\nb\x1b[2J\t\u202e\udcff/gatepass.toml")


def _read_back(command: str) -> list[str]:
    """What a real shell makes of words."""
    done = subprocess.run(
        ["/bin/bash", "-c", f"printf '%s\\0' {command}"], capture_output=True, check=True
    )
    return [os.fsdecode(word) for word in done.stdout.split(b"\0")[:-1]]


@given(words=st.lists(WORDS.filter(str.isprintable), min_size=1))
def test_printable_words_are_read_back_by_shlex(words: list[str]) -> None:
    assert shlex.split(quoted(*words)) == words


@settings(max_examples=50)
@given(words=st.lists(WORDS, min_size=1))
@example(words=[str(NASTY), str(UNSEEN), "", "-n", "\\101", "it's\n"])
def test_a_shell_reads_back_exactly_the_words(words: list[str]) -> None:
    command = quoted(*words)

    assert command.isprintable()
    assert _read_back(command) == words


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        (r"C:\Users\bob\gatepass.toml", r"C:\Users\bob\gatepass.toml"),
        (r"C:\Program Files\x", r'"C:\Program Files\x"'),
        (r"CORP\bob", r"CORP\bob"),
        (r"C:\a&del b", r'"C:\a&del b"'),
        ("a&b", '"a&b"'),
        ("O'Brien", '"O\'Brien"'),
        ("a;b,(c)|>", '"a;b,(c)|>"'),
        ("c:\\a&b\\", '"c:\\a&b\\\\"'),
        ("", '""'),
    ],
)
def test_on_windows_a_word_is_quoted_for_cmd_and_powershell(word: str, shown: str) -> None:
    assert quoted("gatepass", "trust", word, platform="win32") == f"gatepass trust {shown}"


@pytest.mark.parametrize("words", [("-b", "evil.Backend"), ("service", "-p/tmp")])
def test_what_looks_like_an_option_stands_behind_two_dashes(words: tuple[str, ...]) -> None:
    assert operands(*words) == ("--", *words)


def test_other_operands_stand_alone() -> None:
    assert operands("service", "account") == ("service", "account")


# ------------------------------------------------------------- hints


def _commands(text: str, start: str) -> list[str]:
    return [start + line.split(start, 1)[1] for line in text.split("\n") if start in line]


def _untrusted(path: Path) -> UntrustedFile:
    source = Layer("project", str(path), {"profiles": {"p": {}}})
    nothing = Layer("variable", "variables", {})
    with pytest.raises(UntrustedFile) as caught:
        selection.select_name(Layers((), nothing, nothing, untrusted=(source,)), "p")
    return caught.value


@settings(max_examples=50)
@given(path=PATHS)
@example(path=NASTY)
@example(path=UNSEEN)
def test_the_ways_out_of_an_untrusted_file_name_it_exactly(path: Path) -> None:
    error = _untrusted(path)

    assert error.message.isprintable()
    (command,) = _commands(error.hint, "gatepass trust ")
    (option,) = _commands(error.hint, "--config-file ")
    assert _read_back(command) == ["gatepass", "trust", str(path)]
    option = option.removesuffix(" (config_file= in Python)")
    assert _read_back(f"x {option}") == ["x", "--config-file", str(path)]


@settings(max_examples=50)
@given(path=PATHS)
@example(path=NASTY)
@example(path=UNSEEN)
def test_the_command_that_mends_permissions_names_the_file_exactly(path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("needs POSIX")
    status = os.stat_result((0o100666, 0, 0, 1, os.getuid(), 0, 0, 0, 0, 0))

    problem = unsafe_permissions(FileBytes(path, b"", status), own=True)

    assert problem is not None
    assert str(problem).replace("\n", "").isprintable()
    mend, _, admit = (line.strip() for line in problem.hint.split("\n"))
    assert _read_back(mend) == ["chmod", "go-w", str(path)]
    assert _read_back(admit) == ["gatepass", "trust", str(path)]


def test_a_stray_file_is_named_for_pasting() -> None:
    nothing = Layer("variable", "variables", {})
    with pytest.raises(ProfileNotFound) as caught:
        selection.select_name(Layers((), nothing, nothing, stray=NASTY), None)

    (option,) = _commands(caught.value.hint, "--config-file ")
    option = option.removesuffix(", or call it gatepass.toml")
    assert shlex.split(option) == ["--config-file", str(NASTY)]


@given(place=st.text(), key=st.text().map(printable))
def test_the_place_of_a_complaint_is_one_line(place: str, key: str) -> None:
    source = layer.Layer("argument", place, {})

    assert str(layer.KeyLocation(source, (key,)).problem("wrong")).isprintable()


def test_the_line_of_a_complaint_does_not_steer_the_terminal(
    tmp_path: Path,
) -> None:
    file = tmp_path / "f.toml"
    file.write_text('[profiles."a\u202eb"]\nurl = "https://a.test"\n\t[profiles."c\u202ed"]\n')
    found = read_file(file)
    assert found is not None
    source = layers.parse_layer(found, "file")

    for name in ("a\u202eb", "c\u202ed"):
        problem = layer.KeyLocation(source, ("profiles", name)).problem("wrong")
        text = str(problem).replace("\n", "").replace("\t", "")
        assert text.isprintable()
        assert "\\u202e" in problem.excerpt


@pytest.mark.parametrize("path", ["/a b/it's; a (long), path/" + "x y/" * 30, "/a   b/c d" * 9])
@pytest.mark.parametrize(
    "sentence",
    ["it was skipped; look at it with: {}", "read it and trust it:     {}", "run: {}"],
)
def test_a_command_in_a_sentence_is_not_broken_within_quotes(sentence: str, path: str) -> None:
    command = quoted("gatepass", "trust", path)

    lines = folded(sentence.format(command), 60)

    assert any(command in line for line in lines)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0 s"), (59.9, "59 s"), (60, "1 min"), (7500, "2 h 5 min"), (7200, "2 h"),
     (90_000, "1 d 1 h"), (86_460, "1 d")],
)  # fmt: skip
def test_a_length_is_shown_in_its_two_largest_units(seconds: float, shown: str) -> None:
    assert time_span(seconds) == shown


def test_a_point_in_time_is_shown_as_the_clock_on_the_wall_shows_it() -> None:
    noon = datetime(2026, 7, 1, 12, 0, 5).astimezone()

    assert local_time(noon.timestamp()) == "2026-07-01 12:00:05"
