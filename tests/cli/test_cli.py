"""The command line as a whole: exit codes, help, what is imported, and what never leaks."""

import shlex
import sys
from collections.abc import Iterator
from typing import NoReturn

import click
import pytest

from gatepass._system.terminal import Terminal
from gatepass.cli import _VERBS, _gatepass, run
from gatepass.cli._context import Context
from gatepass.sandbox.server import Server
from tests.support.home import ARGV, Home, ended, screen
from tests.support.peers.terminal import without_terminal
from tests.test_architecture import HEAVY

CANARY = "Pa55-CANARY-w0rd"
ANONYMOUS = '[profiles.{0}]\nurl = "https://mi.example.com/mi"\nauth = {{ scheme = "anonymous" }}\n'


def _profile(url: str, password: str = "env:MI_PASSWORD", more: str = "") -> str:
    return (
        f'[profiles.prod]\nurl = "{url}"\nproxy = "none"\nretries = 0\n{more}'
        f'[profiles.prod.auth]\nscheme = "basic"\nuser_name = "alice"\npassword = "{password}"\n'
    )


# ---------------------------------------------------------------- exit codes


def test_a_login_that_works_ends_with_0(home: Home, server: Server) -> None:
    home.user(_profile(server.url))

    done = home.having(MI_PASSWORD="sesame").run("check", "prod")

    assert done.returncode == 0
    assert done.stdout.startswith("ok: ")
    assert "alice" in done.stdout
    assert done.stderr == ""


def test_an_answer_that_is_no_success_ends_with_1(home: Home, server: Server) -> None:
    home.user(_profile(server.url, more='check_path = "redirect?to=/nowhere"\n'))

    done = home.having(MI_PASSWORD="sesame").run("check", "prod")

    assert done.returncode == 1
    assert done.stdout.startswith("failed: ")


def test_a_wrong_word_ends_with_2_and_a_guess(home: Home) -> None:
    done = home.run("shwo")

    assert done.returncode == 2
    assert done.stdout == ""
    assert "did you mean 'show'?" in done.stderr


@pytest.mark.parametrize("arguments", [(), ("secret",)])
def test_half_a_command_shows_its_help_on_stderr_and_ends_with_2(
    home: Home, arguments: tuple[str, ...]
) -> None:
    done = home.run(*arguments)

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("Usage: gatepass")


def test_an_unknown_option_ends_with_2(home: Home) -> None:
    done = home.run("show", "--orign")

    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "gatepass show --help" in done.stderr


def test_an_invalid_profile_ends_with_2(home: Home) -> None:
    home.user('[profiles.dev]\nurl = "https://mi.example.com/mi"\n')

    done = home.run("show", "dev")

    assert done.returncode == 2
    assert "profiles.dev.auth: missing" in done.stderr


def test_a_missing_secret_ends_with_3(home: Home, server: Server) -> None:
    home.user(_profile(server.url))

    done = home.run("check", "prod")

    assert done.returncode == 3
    assert "MI_PASSWORD is not set" in done.stderr
    assert server.requests == ()


class _Spiteful(dict[str, str]):
    """Variables that cannot be looked up: a bug, whose text holds a secret."""

    def get(self, *_: object) -> NoReturn:
        raise RuntimeError(f"cannot use {CANARY}") from ValueError(CANARY)


def test_a_bug_ends_with_70_and_tells_kind_and_place_but_no_text(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = run(["profiles"], Context(_Spiteful(), Terminal({}, interactive=False)))

    assert code == 70
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "this is a bug in gatepass, please report it" in printed.err
    assert "builtins.RuntimeError" in printed.err
    assert "builtins.ValueError" in printed.err
    assert "test_cli.py:" in printed.err
    assert " get\n" in printed.err
    assert CANARY not in printed.err


def test_ctrl_c_ends_with_130(home: Home) -> None:
    home.project(ANONYMOUS.format("dev"))
    with home.sit("trust") as child:
        child.expect("trust this file")
        child.sendintr()

        assert ended(child) == 130


# ---------------------------------------------------------------- errors


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps a working directory")
@pytest.mark.parametrize(
    "arguments",
    [
        ["trust", "--yes", "gatepass.toml"],
        ["trust", "--revoke", "gatepass.toml"],
        ["profiles", "--config-file", "gatepass.toml"],
        ["init", "p", "--url", "https://x.test", "--scheme", "anonymous", "--offline", "--project"],
        ["schema", "gatepass.toml"],
        ["secret", "new-key", "key"],
    ],
    ids=lambda arguments: arguments[0] + arguments[1],
)
def test_a_relative_path_in_a_folder_that_is_gone_is_told(home: Home, arguments: list[str]) -> None:
    gone = home.work / "gone"
    gone.mkdir()
    words = shlex.join([*ARGV, *arguments])
    script = f"rmdir {shlex.quote(str(gone))} && exec {words}"

    done = without_terminal(("sh", "-c", script), home._environ(), cwd=gone)

    assert "working directory" in done.stderr
    assert "change into a folder that exists" in done.stderr
    assert done.returncode in {1, 2}


def test_errors_are_text_on_stderr_also_with_json(home: Home) -> None:
    done = home.run("show", "nix", "--json")

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith('error: there is no profile "nix"')


# ---------------------------------------------------------------- help and imports


def _commands(
    command: click.Command, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Each command and each below it, with the words that lead there."""
    yield words, command
    if isinstance(command, click.Group):
        group = click.Context(command)
        for name in command.list_commands(group):
            below = command.get_command(group, name)
            assert below is not None
            yield from _commands(below, (*words, name))


COMMANDS = dict(_commands(_gatepass))


def test_every_verb_is_among_the_help_pages() -> None:
    assert {words[0] for words in COMMANDS if words} == set(_VERBS)
    assert ("secret", "new-key") in COMMANDS


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_each_option_is_explained(words: tuple[str, ...]) -> None:
    for option in COMMANDS[words].params:
        if isinstance(option, click.Option) and not option.hidden:
            assert option.help, f"{option.name} has no help"
            assert option.help.endswith("."), f"the help of {option.name} is no sentence"


def test_no_summary_on_the_first_page_is_cut(home: Home) -> None:
    with home.sit("--help", columns=80) as child:
        assert ended(child) == 0
        page = screen(child)

    assert page.count("...") == 1, "the dots of the usage line"


def test_the_version_is_told(home: Home) -> None:
    done = home.run("--version")

    assert done.returncode == 0
    assert done.stdout.startswith("gatepass ")


LIGHT = tuple(sorted({*HEAVY, "urllib3"} - {"click"}))


@pytest.mark.parametrize("arguments", [["--help"], ["show", "-h"]])
def test_help_import_nothing_heavy(home: Home, arguments: list[str]) -> None:
    done = home.python(
        f"import sys; from gatepass.cli import run; run({arguments!r}); "
        f"print(sorted(set({LIGHT!r}) & set(sys.modules)))"
    )

    assert done.stdout.splitlines()[-1] == "[]"


# ---------------------------------------------------------------- no secret anywhere


EVERY_VERB = (
    ("profiles",),
    ("profiles", "--json"),
    ("show", "prod"),
    ("show", "prod", "--origin"),
    ("show", "keyed"),
    ("show", "keyed", "--origin", "--json"),
    ("show", "runs"),
    ("show", "runs", "--origin"),
    ("show", "runs", "--json"),
    ("login", "runs"),
    ("secret", "set", "runs"),
    ("secret", "delete", "runs", "token"),
    ("validate", "--all"),
    ("validate", "--all", "--json"),
    ("check", "prod", "--unattended"),
    ("check", "keyed", "--unattended", "--json"),
    ("check", "prod"),
    ("secret", "set", "prod"),
    ("secret", "delete", "prod"),
    ("secret", "list", "--all"),
    ("secret", "list", "prod"),
    ("trust", "literal.toml"),
    ("trust", "--yes", "literal.toml"),
    ("schema", "literal.toml"),
    ("init", "prod", "--url", "https://x.y/", "--scheme", "basic", "--user-name", "alice",
     "--password-from", CANARY),
    ("init", "new", "--file", "literal.toml", "--url", f"https://u:{CANARY}@x.y/",
     "--scheme", "anonymous"),
    ("secret", "set", "prod", "password", CANARY),
    ("secret", "set", "prod", CANARY),
    ("secret", "set", "prod", "--value", CANARY),
)  # fmt: skip


@pytest.mark.parametrize("arguments", EVERY_VERB, ids=" ".join)
def test_no_verb_prints_a_secret_that_stands_in_a_profile(
    home: Home, arguments: tuple[str, ...]
) -> None:
    text = (
        _profile("https://mi.example.com", CANARY)
        + f'[profiles.proxied]\nurl = "https://mi.example.com"\nproxy = "http://u:{CANARY}@p:1"\n'
        f'auth = {{ scheme = "bearer", token = ["env:X", "{CANARY}"] }}\n'
        f'[profiles.split]\nurl = "https://u:{CANARY}@mi.example.com"\n'
        f'headers = {{ Authorization = "{CANARY}" }}\nauth = {{ scheme = "anonymous" }}\n'
        f'[profiles.keyed]\nurl = "https://mi.example.com"\n'
        f'headers = {{ X-Api-Key = "{CANARY}" }}\nauth = {{ scheme = "anonymous" }}\n'
        f'[profiles.runs]\nurl = "https://mi.example.com"\nauth = {{ scheme = "bearer", '
        f'token = {{ command = ["no-such-program", "https://u:{CANARY}@mi.example.com/x"] }} }}\n'
        f'[profiles.odd]\nurl = "https://mi.example.com"\nauth = {{ scheme = "basic", '
        f'user_name = "env:X {CANARY}", password = {{ command = "{CANARY}" }} }}\n'
        f'proxy = "http:/u:{CANARY}@p:1"\n'
    )
    home.user(text)
    home.write(home.work / "literal.toml", text)

    done = home.having(GATEPASS_LOG="debug").run(*arguments, stdin=f"{CANARY}\n")

    assert CANARY not in done.stdout + done.stderr
    assert done.returncode != 70


def test_python_runs_the_command_without_an_installed_script(home: Home) -> None:
    assert home.run("--help").stdout.startswith("Usage: gatepass ")
    assert sys.executable == ARGV[0]
