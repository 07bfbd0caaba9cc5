"""What every command gets: files with what is odd about them, and whether a person can answer."""

import os
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gatepass._system.terminal import Terminal
from gatepass.cli import run
from gatepass.cli._context import Context
from gatepass.errors import GatepassWarning, ProfileError

DEV = b'[profiles.dev]\nurl = "https://x.y/"\nauth = { scheme = "anonymous" }\n'


def test_reading_for_a_command_warns_of_what_is_odd_and_reading_for_a_shell_does_not(
    context: Context, user: Callable[[bytes], Path]
) -> None:
    user(DEV)
    odd = replace(context, environ={"GATEPASS_PROFIL": "dev"})

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert odd.read().names == ("dev",)
    with pytest.warns(GatepassWarning, match="did you mean GATEPASS_PROFILE"):
        assert odd.layers().names == ("dev",)


def test_files_that_are_named_are_read_in_place_of_the_search(
    context: Context, user: Callable[[bytes], Path], tmp_path: Path
) -> None:
    user(DEV)
    other = tmp_path / "other.toml"
    other.write_bytes(DEV.replace(b"dev", b"other"))
    other.chmod(0o600)

    assert replace(context, config_files=(str(other),)).read().names == ("other",)
    with pytest.raises(ProfileError):
        replace(context, config_files=(str(tmp_path / "none.toml"),)).read()


@pytest.mark.skipif(sys.platform == "win32", reason="a terminal of POSIX")
def test_an_answer_is_taken_from_a_terminal_and_never_from_a_pipe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody would have seen the question, also where GATEPASS_NO_INPUT=0 says that one may ask."""
    if sys.platform == "win32":
        pytest.skip("needs POSIX")
    person = Context({}, Terminal({}, interactive=True))
    main, side = os.openpty()
    reader, writer = os.pipe()
    with os.fdopen(side) as terminal, os.fdopen(reader) as pipe:
        monkeypatch.setattr(sys, "stdin", terminal)
        assert person.why_not_ask() is None
        monkeypatch.setattr(sys, "stdin", pipe)
        assert person.why_not_ask() == "standard input is not a terminal"
        monkeypatch.setattr(sys, "stdin", None)
        assert person.why_not_ask() == "standard input is not a terminal"
    os.close(main)
    os.close(writer)
    nobody = Context({}, Terminal({}, interactive=False))
    assert nobody.why_not_ask() == "interactive=False forbids asking"


_LONG = "a" * 100_000


@pytest.mark.skipif(sys.platform == "win32", reason="there such a path has another error")
@pytest.mark.parametrize(
    "keys",
    [
        f'auth = {{ scheme = "bearer", token = "file:{_LONG}" }}',
        f'auth = {{ scheme = "bearer", token = {{ command = ["{_LONG}"] }} }}',
        f'auth = {{ scheme = "bearer", token = {{ command = ["/{_LONG}"] }} }}',
        f'tls = {{ ca_file = "{_LONG}" }}\nauth = {{ scheme = "anonymous" }}',
        f'tls = {{ client_cert = "{_LONG}" }}\nauth = {{ scheme = "anonymous" }}',
    ],
    ids=["file", "bare command", "command", "ca_file", "client_cert"],
)
def test_a_path_of_many_letters_is_an_error_like_any_other(context: Context, keys: str) -> None:
    user = context.locations.user
    user.parent.mkdir(parents=True)
    user.write_text(f'[profiles.p]\nurl = "https://127.0.0.1:1/"\n{keys}\n')
    user.chmod(0o600)

    assert run(["check", "p"], context) in {2, 3}
    assert run(["trust", _LONG], context) == 2
