"""TAB in a shell: what a file names must not run, nor steer the terminal."""

import subprocess
from pathlib import Path

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from gatepass._config.layer import PROFILE_NAME, Layer, Layers
from tests.support.home import ARGV, Home
from tests.support.peers.terminal import terminal

PROFILE = {"url": "https://mi.example.com/mi", "auth": {"scheme": "anonymous"}}
SHELLS = ("bash", "zsh", "fish")
HOSTILE = (
    "$(touch PWNED)",
    "$(touch${IFS}PWNED)",
    "`touch PWNED`",
    ";touch PWNED;",
    "prod;touch PWNED",
    "prod touch PWNED",
    "prod'PWNED",
    'prod"PWNED',
    "prod\ntouch PWNED",
    "prod\nplain\nPWNED\nhelp",
    "prod\r\x1b]0;PWNED\x07",
    "\x1b[2JPWNED",
    "--config-file=PWNED",
    "-PWNED",
    "\u202ePWNED",
    "prod\u00a0PWNED",
    "*PWNED",
    "~/PWNED",
    "prod>PWNED",
    "plain,PWNED",
    "PWNED",
    "a__pwned",
    "$(touch PWNED)" * 1000,
)


def _file(*names: str) -> str:
    return tomli_w.dumps({"profiles": dict.fromkeys(names, PROFILE)})


def _complete(home: Home, shell: str, *words: str) -> "subprocess.CompletedProcess[str]":
    count = str(len(words) - 1)
    position = words[-1] if shell == "fish" else count
    return home.having(
        _GATEPASS_COMPLETE=f"{shell}_complete", COMP_WORDS=" ".join(words), COMP_CWORD=position
    ).run()


@pytest.mark.parametrize("names", [HOSTILE[:1], HOSTILE], ids=["one", "all"])
def test_a_name_that_is_none_is_not_typed_into_a_shell(
    home: Home, tmp_path: Path, names: tuple[str, ...]
) -> None:
    home.user(_file(*names))
    program = home.write(
        tmp_path / "bin" / "gatepass", f'#!/bin/sh\nexec {ARGV[0]} -m gatepass "$@"\n'
    )
    program.chmod(0o700)
    script = home.write(
        tmp_path / "complete.sh", home.having(_GATEPASS_COMPLETE="bash_source").run().stdout
    )
    environ = home._environ() | {"PS1": "READY> ", "PATH": f"{program.parent}:/usr/bin:/bin"}

    with terminal(("bash", "--norc", "--noprofile", "-i"), environ, cwd=home.work) as shell:
        shell.expect_exact("READY> ")
        shell.sendline(f". {script}")
        shell.expect_exact("READY> ")
        shell.send("gatepass logout \t\t\r")
        shell.expect_exact("NAME is missing")
        shell.expect_exact("READY> ")
        shell.sendline("exit")
        shell.wait()
        seen = shell.logfile_read.getvalue()

    assert not list(home.work.glob("*PWNED*"))
    assert "pwned" not in seen.lower()


def test_a_name_in_a_shell_is_completed_beside_names_that_are_none(
    home: Home,
) -> None:
    home.user(_file(*HOSTILE, "prod"))

    for shell in SHELLS:
        done = _complete(home, shell, "gatepass", "token", "p")
        assert "prod" in done.stdout
        assert "pwned" not in done.stdout.lower()
        assert done.stderr == ""


@pytest.mark.parametrize(
    "verb", ["show", "validate", "check", "login", "logout", "status", "token"]
)
def test_each_verb_completes_names_alone(home: Home, verb: str) -> None:
    home.user(_file(*HOSTILE, "prod"))

    assert _complete(home, "bash", "gatepass", verb, "").stdout == "plain,prod\n"


@pytest.mark.parametrize("verb", ["set", "delete", "list"])
def test_each_verb_of_secrets_completes_names_alone(home: Home, verb: str) -> None:
    home.user(_file(*HOSTILE, "prod"))

    assert _complete(home, "bash", "gatepass", "secret", verb, "").stdout == "plain,prod\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_command_prints_what_the_variable_does(home: Home, shell: str) -> None:
    by_variable = home.having(_GATEPASS_COMPLETE=f"{shell}_source").run().stdout

    assert home.run("completion", shell).stdout.strip() == by_variable.strip()
    assert "gatepass" in by_variable


def test_powershell_asks_for_names_too(home: Home) -> None:
    done = home.run("completion", "powershell")

    assert "Register-ArgumentCompleter -Native -CommandName gatepass" in done.stdout
    assert "fish_complete" in done.stdout
    assert home.run("completion", "cmd").returncode == 2


def test_a_description_does_not_reach_the_shell(home: Home) -> None:
    home.user(_file("prod") + 'description = "a\\nplain\\nPWNED\\n_"\n')

    for shell in SHELLS:
        assert "PWNED" not in _complete(home, shell, "gatepass", "show", "").stdout


def test_a_variable_does_not_bring_a_name_that_is_none(home: Home) -> None:
    there = home.having(**{"GATEPASS_PROFILES__$(touch pwned)__URL": "https://mi.example.com"})

    assert _complete(there, "bash", "gatepass", "show", "").stdout.split() == []


_NAMES = st.text(max_size=20) | st.from_regex(PROFILE_NAME.pattern) | st.sampled_from(HOSTILE)


@given(names=st.sets(_NAMES))
def test_names_are_names_whatever_a_file_says(names: set[str]) -> None:
    tables = {"profiles": dict.fromkeys(names, PROFILE)}
    nothing = Layer("variable", "variables", {})
    layers = Layers((Layer("user", "file", tables),), nothing, Layer("argument", "", {}))

    assert all(PROFILE_NAME.fullmatch(name) for name in layers.names)
    assert set(layers.names) == set(filter(PROFILE_NAME.fullmatch, names))
    assert set(layers.all_names) == names


# ------------------------------------------------------------- names beside completion


def test_each_name_that_is_none_is_a_complaint(home: Home) -> None:
    home.user(_file(*HOSTILE, "prod"))

    done = home.run("validate", "--all")

    assert done.returncode == 2
    assert done.stdout.count("a profile's name is made of") == len(HOSTILE)
    assert done.stdout.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    "words",
    ["show absent", "show", "secret list", "status", "validate", "check", "profiles"],
)
def test_no_verb_offers_a_name_that_is_none(home: Home, words: str) -> None:
    home.user(_file(*HOSTILE, "prod", "dev") + '[profiles.heir]\nextends = "nobody"\n')

    done = home.run(*words.split())

    shown = done.stdout + done.stderr
    assert shown.replace("\n", "").isprintable()
    for line in shown.splitlines():
        listed = line.removeprefix("profiles: ") if line.startswith("profiles: ") else ""
        for offered in (
            listed,
            line.partition("allowed here: ")[2],
            line.partition("gatepass ")[2],
        ):
            assert "pwned" not in offered.lower()


def test_a_name_that_is_none_is_refused_before_anything_else(home: Home) -> None:
    home.user(_file("$(touch PWNED)") + "protected = true\n")

    for words in (["show", "$(touch PWNED)"], ["secret", "set", "$(touch PWNED)", "nothing"]):
        done = home.run(*words)
        assert done.returncode == 2
        assert "a profile's name is made of" in done.stderr
        assert "GATEPASS_PROFILE=" not in done.stderr


def test_an_only_profile_of_a_wrong_name_says_so(home: Home) -> None:
    home.user(_file("Prod"))

    for words in (["show"], ["show", "Prod"]):
        done = home.run(*words)
        assert done.returncode == 2
        assert "profiles.Prod: a profile's name is made of" in done.stderr
    assert "see why: gatepass validate" in home.run("show", "absent").stderr


def test_a_literal_secret_below_a_wrong_name_names_no_command_with_it(home: Home) -> None:
    home.user(
        '[profiles."$(touch PWNED)"]\nurl = "https://mi.example.com"\n'
        'auth = { scheme = "basic", user_name = "u", password = "hunter2" }\n'
    )

    shown = home.run("validate", "--all").stdout

    assert "gatepass secret set NAME password" in shown
    assert "hunter2" not in shown
