"""What is printed: to which stream, in which encoding, how wide; and foreign text in it."""

import contextlib
import os
import subprocess
import warnings
from pathlib import Path

import pytest

from gatepass.cli import _output
from gatepass.errors import GatepassWarning
from tests.support.home import ARGV, Home, ended, screen

ANONYMOUS = '[profiles.{0}]\nurl = "https://mi.example.com/mi"\nauth = {{ scheme = "anonymous" }}\n'


def test_a_pipe_that_nobody_reads_ends_quietly(home: Home) -> None:
    """As in ``gatepass profiles --json | head -0``: more output than any buffer holds."""
    home.user("".join(ANONYMOUS.format(f"p{number}") for number in range(200)))
    reader, writer = os.pipe()
    os.close(reader)

    with os.fdopen(writer, "wb") as stdout:
        done = subprocess.run(
            [*ARGV, "profiles", "--json"],
            env=home._environ(),
            cwd=home.work,
            stdout=stdout,
            stderr=subprocess.PIPE,
            check=False,
        )

    assert done.returncode == 141
    assert done.stderr == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
@pytest.mark.parametrize("profiles", [1, 200], ids=["at the end", "in the middle"])
def test_output_that_cannot_be_written_is_an_error(home: Home, profiles: int) -> None:
    """Else ``gatepass token prod > file`` on a full disk leaves an empty file, or a traceback."""
    home.user("".join(ANONYMOUS.format(f"p{number}") for number in range(profiles)))

    with Path("/dev/full").open("wb") as full:
        argv = [*ARGV, "profiles", "--json"]
        done = subprocess.run(
            argv,
            env=home._environ(),
            cwd=home.work,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        silent = subprocess.run(
            argv, env=home._environ(), cwd=home.work, stdout=full, stderr=full, check=False
        )

    assert done.stderr == "error: the output cannot be written: No space left on device\n"
    assert (done.returncode, silent.returncode) == (1, 1)


def test_a_stream_that_cannot_print_a_character_shows_its_escape(home: Home) -> None:
    home.user(ANONYMOUS.format("dev") + 'description = "Größe"\n')

    done = home.having(PYTHONIOENCODING="ascii:strict").run("profiles")

    assert done.returncode == 0
    assert r"Gr\xf6\xdfe" in done.stdout


# As on Windows: streams in a code page, unless somebody says otherwise.
_CODE_PAGE = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


def _raw(home: Home, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [*ARGV, *arguments],
        env=home._environ() | _CODE_PAGE | variables,
        cwd=home.work,
        capture_output=True,
        check=False,
    )


def test_data_and_messages_in_a_pipe_are_utf_8_whatever_the_code_page(home: Home) -> None:
    home.user(ANONYMOUS.format("dev") + 'description = "Größe"\n')

    shown = _raw(home, "show", "dev")
    home.user(ANONYMOUS.format("dev") + '"größe" = 1\n')
    wrong = _raw(home, "show", "dev")

    assert 'description = "Größe"'.encode() in shown.stdout
    assert "größe".encode() in wrong.stderr


@pytest.mark.parametrize("wish", ["latin-1", "latin-1:strict"])
def test_an_encoding_that_somebody_asks_for_is_taken(home: Home, wish: str) -> None:
    home.user(ANONYMOUS.format("dev") + 'description = "Größe"\n')

    assert "Größe".encode("latin-1") in _raw(home, "profiles", PYTHONIOENCODING=wish).stdout
    assert "Größe".encode() in _raw(home, "profiles", PYTHONIOENCODING=":strict").stdout


def _many(home: Home) -> list[str]:
    names = [f"profile-number-{number}" for number in range(10)]
    home.user("".join(ANONYMOUS.format(name) for name in names))
    return names


def test_a_long_message_is_folded_between_words_for_a_person(home: Home) -> None:
    names = _many(home)

    with home.sit("show", "nobody") as child:
        assert ended(child) == 2
        lines = screen(child).replace("\r", "").split("\n")

    assert len(lines) > 2
    assert all(len(line) < 100 for line in lines)
    assert lines[0].startswith("error: ")
    assert lines[1].startswith("profiles: ")
    assert lines[2].startswith("  profile-number-")
    for name in names:
        assert any(name in line for line in lines)


def test_a_long_message_is_one_line_in_a_pipe(home: Home) -> None:
    names = _many(home)

    done = home.having(COLUMNS="40").run("show", "nobody")

    assert any(all(name in line for name in names) for line in done.stderr.splitlines())


def test_the_width_may_be_said_by_a_variable(home: Home) -> None:
    _many(home)

    with home.having(COLUMNS="60").sit("show", "nobody") as child:
        ended(child)
        lines = screen(child).replace("\r", "").split("\n")

    assert all(len(line) < 60 for line in lines)


def test_what_validate_finds_is_folded_for_a_person_too(home: Home) -> None:
    home.user(ANONYMOUS.format("dev") + "tiemout = 3   # " + "a long line " * 20 + "\n")

    with home.having(COLUMNS="60").sit("validate", "dev") as child:
        ended(child)
        lines = screen(child).replace("\r", "").split("\n")

    assert any(line.startswith("    tiemout") for line in lines), "the excerpt stays as it is"
    assert not any(
        "tiemout" in line and "did you mean" in line and len(line) > 60 for line in lines
    )


def test_foreign_text_cannot_steer_the_terminal(home: Home) -> None:
    home.user(ANONYMOUS.format("dev") + 'description = "a\u202e\u009b2Jb"\n')
    home.project('[profiles."\\u001b[2J"]\nurl = "https://x\\u001b[2J"\n')

    everything = [
        home.run(*words) for words in (["profiles"], ["validate", "--all"], ["show"], ["trust"])
    ]

    for done in everything:
        assert "\x1b" not in done.stdout + done.stderr
        assert "\u202e" not in done.stdout + done.stderr
        assert "\x9b" not in done.stdout + done.stderr


def test_a_table_is_coloured_for_a_person_only_and_never_with_no_color(home: Home) -> None:
    home.user(ANONYMOUS.format("dev"))

    piped = home.having(FORCE_COLOR="1").run("profiles")
    with home.sit("profiles") as child:
        ended(child)
        seen = child.logfile_read.getvalue()
    with home.having(NO_COLOR="1").sit("profiles") as child:
        ended(child)
        plain = child.logfile_read.getvalue()

    assert "\x1b" not in piped.stdout
    assert "\x1b[1m" in seen
    assert "\x1b" not in plain
    assert "dev" in plain


def test_a_warning_is_one_line_on_stderr_told_once(home: Home) -> None:
    home.user(ANONYMOUS.format("dev"))

    done = home.having(GATEPASS_PROFIL="dev").run("profiles")

    assert done.returncode == 0
    assert done.stderr.count("warning: ") == 1
    assert "did you mean GATEPASS_PROFILE?" in done.stderr


def test_the_same_warning_twice_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with _output.shown_warnings():
        for sentence in ("one", "two", "one"):
            warnings.warn(sentence, GatepassWarning, stacklevel=1)

    assert capsys.readouterr().err == "warning: one\nwarning: two\n"


def test_where_stdout_is_closed_data_goes_nowhere(capsys: pytest.CaptureFixture[str]) -> None:
    """It may be a token, and stderr is often a log."""
    with contextlib.redirect_stdout(None):
        _output.data("hunter2")

    assert capsys.readouterr() == ("", "")
