"""What commands share: lengths of time, and the completion of names."""

import subprocess

import pytest
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


TWO = ANONYMOUS.format("dev") + ANONYMOUS.format("qa")


@pytest.mark.parametrize("verb", ["show", "validate", "status", "secret list", "check", "token"])
def test_each_verb_takes_the_selected_profile_unless_one_is_named(home: Home, verb: str) -> None:
    home.user(TWO.replace('https://mi.example.com/mi"', 'http://127.0.0.1:1"\nretries = 0'))
    words = verb.split()
    there = home.having(GATEPASS_PROFILE="qa")

    selected, by_option = there.run(*words), home.run(*words, "-p", "qa")
    named, both = home.run(*words, "qa"), home.run(*words, "qa", "--profile", "qa")
    none = home.run(*words)

    assert selected.returncode == by_option.returncode == named.returncode != 70
    assert selected.stdout == by_option.stdout == named.stdout
    assert (both.returncode, none.returncode) == (2, 2)
    assert "give one of them" in both.stderr
    assert 'default_profile = "dev"' in none.stderr
    assert "gatepass init dev --default" in none.stderr


@pytest.mark.parametrize(
    "words", [["logout"], ["secret", "set"], ["secret", "delete"], ["secret", "set", "--stdin"]]
)
def test_what_stores_or_deletes_wants_the_profile_written(home: Home, words: list[str]) -> None:
    home.user('default_profile = "dev"\n' + TWO)

    done = home.run(*words)
    named = home.run(*words, "-p", "dev")

    assert done.returncode == 2
    assert "NAME is missing" in done.stderr
    assert "NAME is missing" not in named.stderr


def test_where_an_option_names_the_profile_the_field_comes_first(home: Home) -> None:
    home.user(TWO)

    field = home.run("secret", "set", "-p", "dev", "token")
    secret = home.run("secret", "set", "-p", "dev", "token", "hunter2")

    assert "the profile dev has no secret field" in field.stderr
    assert "a secret is never given as one" in secret.stderr
    assert "hunter2" not in secret.stderr


def test_validate_says_what_it_left_out_and_all_leaves_out_nothing(home: Home) -> None:
    home.user('default_profile = "dev"\n' + TWO + "[profiles.bad]\n")

    one, everything = home.run("validate"), home.run("validate", "--all")

    assert (one.returncode, one.stdout) == (0, "ok: dev (2 not checked: --all)\n")
    assert everything.returncode == 2
    assert everything.stdout.endswith(" in 3 profiles\n")
    assert "--all takes no NAME" in home.run("validate", "--all", "dev").stderr


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
