"""Run a command in the process of the tests, and write the files that it reads."""

import json
from pathlib import Path
from typing import Any

import pytest

from gatepass.cli import run
from gatepass.cli._context import Context

DEV = '[profiles.dev]\nurl = "https://dev.example.com/mi"\nauth = { scheme = "anonymous" }\n'
PROD = """\
[profiles.prod]
url = "https://mi.example.com/mi"
protected = true
description = "the real one"
timeout = [1, 5]
[profiles.prod.auth]
scheme = "basic"
user_name = "env:MI_USER"
password = ["env:MI_PASSWORD", { command = ["op", "read", "op://x"] }, "keyring:"]
"""
BROKEN = '[profiles.broken]\nurl = "https://mi.example.com"\nauth = { scheme = "bsic" }\n'


class Result:
    """Exit code and output of one command."""

    def __init__(
        self, context: Context, capsys: pytest.CaptureFixture[str], *arguments: str
    ) -> None:
        self.code = run(arguments, context)
        self.out, self.err = capsys.readouterr()

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def write_user_file(context: Context, text: str | bytes) -> Path:
    path = context.locations.user
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(0o600)
    return path


def write_project_file(context: Context, text: str) -> Path:
    assert context.locations.working is not None
    path = context.locations.working / "gatepass.toml"
    path.write_text(text)
    return path


class Cli:
    """The command in the surroundings of a test: called with its arguments, it gives a result."""

    def __init__(self, context: Context, capsys: pytest.CaptureFixture[str]) -> None:
        self.context = context
        self._capsys = capsys
        assert context.locations.working is not None
        self.work = context.locations.working

    def __call__(self, *arguments: str) -> Result:
        return Result(self.context, self._capsys, *arguments)

    def within(self, context: Context) -> "Cli":
        return Cli(context, self._capsys)

    def having(self, environ: dict[str, str]) -> "Cli":
        """The command with these variables."""
        return self.within(Context(environ, self.context.terminal, self.context.locations))

    def user(self, text: str | bytes) -> Path:
        return write_user_file(self.context, text)

    def project(self, text: str) -> Path:
        return write_project_file(self.context, text)
