"""Each line of the page about secret managers, with a program that takes just these words."""

import json
import os
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from gatepass.errors import SecretUnavailable
from gatepass.secrets.command import command
from tests.support.peers.environ import clean_environ
from tests.support.secret_context import context

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="runs programs for /bin/sh")

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "secret-managers.md"
# What the managers' own pages document; what else stands there is a mistake of ours.
ARGUMENTS: Final = {
    "op": "read|op://Work/Granta MI/password",
    "bw": "--nointeraction|get|password|Granta MI",
    "vault": "kv|get|-mount=kv|-field=password|mi",
    "aws": "secretsmanager|get-secret-value|--secret-id|granta/mi|--query|SecretString"
    "|--output|text",
    "az": "keyvault|secret|show|--vault-name|corp|--name|granta-mi|--query|value|--output|tsv",
    "gcloud": "secrets|versions|access|latest|--secret=granta-mi",
    "pass": "show|granta/mi",
    "secret-tool": "lookup|service|granta-mi",
}


def _lines() -> Iterator[list[str]]:
    text = PAGE.read_text(encoding="utf-8")
    for block in re.findall(r"```toml\n(.*?)```", text, re.DOTALL):
        for line in re.findall(r"^password = \{.*?\] \}$", block, re.MULTILINE | re.DOTALL):
            yield tomllib.loads(line)["password"]["command"]


LINES: Final = list({line[0]: line for line in _lines()}.values())


def test_the_page_has_a_line_for_each_manager() -> None:
    assert {line[0] for line in LINES} == set(ARGUMENTS)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return clean_environ(tmp_path) | {"PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.defpath}"}


def _manager(folder: Path, name: str, then: str) -> Path:
    """Write a program that takes the documented arguments alone, and then does something."""
    program = folder / "bin" / name
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\nIFS='|'; [ \"$*\" = '{ARGUMENTS[name]}' ] || exit 64\n{then}\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("line", LINES, ids=lambda line: str(line[0]))
def test_the_arguments_are_those_of_the_manager_and_its_first_line_is_the_secret(
    environ: dict[str, str], tmp_path: Path, line: list[str]
) -> None:
    _manager(tmp_path, line[0], "printf 'hunter2\\nuser: alice\\n'; echo a warning >&2")

    assert command(json.dumps(line), context(environ=environ)) == "hunter2"


@pytest.mark.parametrize("line", LINES, ids=lambda line: str(line[0]))
def test_a_locked_manager_can_ask_nobody_and_its_words_are_not_shown(
    environ: dict[str, str], tmp_path: Path, line: list[str]
) -> None:
    ask = "echo 'locked; last: hunter2' >&2; read answer && exit 0; (: </dev/tty) && exit 0; exit 3"
    program = _manager(tmp_path, line[0], ask)

    with pytest.raises(SecretUnavailable) as caught:
        command(json.dumps(line), context(environ=environ))

    assert caught.value.message == f"{program} ended with status 3"
    assert caught.value.hint == "run the same command by hand to see why"


@pytest.mark.parametrize("line", LINES, ids=lambda line: str(line[0]))
def test_a_manager_that_hangs_is_ended(
    environ: dict[str, str], tmp_path: Path, line: list[str]
) -> None:
    program = _manager(tmp_path, line[0], "exec sleep 1000")

    with pytest.raises(SecretUnavailable) as caught:
        command(json.dumps(line), context(environ=environ), seconds=0.2)

    assert caught.value.message == f"{program} was still running after 0.2 s"
    assert "waits for a person or for the network" in caught.value.hint
