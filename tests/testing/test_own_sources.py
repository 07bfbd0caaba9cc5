"""Our own secret sources keep the contract that strangers are held to."""
# ruff: noqa: ARG002 - world() has the arguments of the contract

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gatepass._system import plugins
from gatepass._system.terminal import Terminal
from gatepass.secrets import SecretContext
from gatepass.testing import SourceContract
from gatepass.testing._profiles import isolated


class TestEnv(SourceContract):
    source = "env"
    text = "MI_PASSWORD"

    def world(self, secret: str | None, folder: Path) -> SecretContext:
        return self.context(environ={} if secret is None else {"MI_PASSWORD": secret})


class TestFile(SourceContract):
    source = "file"
    text = "password"

    def world(self, secret: str | None, folder: Path) -> SecretContext:
        if secret is not None:
            (folder / "password").write_text(f"{secret}\n", encoding="utf-8")
        return self.context(base_dir=folder)


class TestKeyring(SourceContract):
    source = "keyring"
    text = "mi/alice"

    @pytest.fixture(autouse=True)
    def _private(self, tmp_path: Path) -> Iterator[None]:
        (tmp_path / "private").mkdir()
        with isolated(tmp_path / "private", tmp_path) as profiles:
            self.keyring = profiles.keyring
            yield

    def world(self, secret: str | None, folder: Path) -> SecretContext:
        if secret is not None:
            self.keyring.set_password("mi", "alice", secret)
        return self.context()


class TestCommand(SourceContract):
    source = "command"
    text = json.dumps([sys.executable, "-c", "import os; print(os.environ['CANARY'])"])
    elsewhere = json.dumps(["no-such-program-anywhere"])

    def world(self, secret: str | None, folder: Path) -> SecretContext:
        environ = {"PYTHONUTF8": "1", **({} if secret is None else {"CANARY": secret})}
        return self.context(environ=environ)


class TestPrompt(SourceContract):
    source = "prompt"
    text = "Password"

    def world(self, secret: str | None, folder: Path) -> SecretContext:
        person = Terminal({}, interactive=True, read_hidden=lambda _: secret or "")
        return self.context() if secret is None else self.context(terminal=person)

    def test_no_error_shows_a_secret(self, tmp_path: Path) -> None:
        pytest.skip("where a person answers there is no other text")


def test_every_source_of_ours_is_held_to_the_contract() -> None:
    held: set[Any] = {each.source for each in SourceContract.__subclasses__()}

    assert held >= set(plugins.BUILT_IN[plugins.SECRETS])
