"""What commands share: lengths of time, and the completion of names."""

import subprocess

from hypothesis import given
from hypothesis import strategies as st

from gatepass.cli._options import seconds_of
from tests.support.home import Home

ANONYMOUS = '[profiles.{0}]\nurl = "https://mi.example.com/mi"\nauth = {{ scheme = "anonymous" }}\n'


def _complete(home: Home, words: str) -> "subprocess.CompletedProcess[str]":
    return home.having(
        _GATEPASS_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=str(words.count(" "))
    ).run()


def test_the_shell_completes_names_of_profiles(home: Home) -> None:
    home.user(ANONYMOUS.format("prod") + ANONYMOUS.format("preview") + ANONYMOUS.format("dev"))

    done = _complete(home, "gatepass show pr")

    assert done.stdout.splitlines() == ["plain,preview", "plain,prod"]
    assert done.stderr == ""


def test_the_shell_completes_verbs(home: Home) -> None:
    assert _complete(home, "gatepass val").stdout.splitlines() == ["plain,validate"]


def test_completion_reads_the_files_that_are_named(home: Home) -> None:
    file = home.write(home.work / "other.toml", ANONYMOUS.format("elsewhere"))

    done = _complete(home, f"gatepass show --config-file {file} e")

    assert done.stdout.splitlines() == ["plain,elsewhere"]


def test_completion_never_fails_noisily(home: Home) -> None:
    home.user("this is [ no TOML")
    home.project(ANONYMOUS.format("dev"))

    done = _complete(home, "gatepass show ")

    assert done.returncode == 0
    assert done.stdout.strip() == ""
    assert done.stderr == ""


@given(st.integers(0, 999_999_999), st.sampled_from([("", 1), ("s", 1), ("m", 60), ("h", 3600)]))
def test_a_length_of_time_is_a_number_and_a_unit(number: int, unit: tuple[str, int]) -> None:
    assert seconds_of(f"{number}{unit[0]}") == number * unit[1]


@given(st.text())
def test_what_is_no_length_of_time_is_none(text: str) -> None:
    found = seconds_of(text)

    assert found is None or (text.isascii() and text[0].isdigit())


def test_a_wrong_length_of_time_is_a_wrong_use(home: Home) -> None:
    done = home.run("status", "--min-valid", "8 hours")

    assert done.returncode == 2
    assert "'8 hours' is not a time such as 8h" in done.stderr
