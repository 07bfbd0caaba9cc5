"""The contract of a secret source: our own keep it, and each check finds what breaks it."""
# ruff: noqa: ARG002 - prepare() and a check have the arguments of the contract

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from gatepass._system import plugins
from gatepass._system.terminal import Terminal
from gatepass.secrets import SecretContext
from gatepass.testing import SourceContract
from gatepass.testing._profiles import isolated
from tests.support.broken_plugins import WHERE
from tests.support.contracts import Checker, checks_of, entry_point_name, installed


class TestEnv(SourceContract):
    source = "env"
    text = "MI_PASSWORD"

    def prepare(self, secret: str | None, folder: Path) -> SecretContext:
        return self.context(environ={} if secret is None else {"MI_PASSWORD": secret})


class TestFile(SourceContract):
    source = "file"
    text = "password"

    def prepare(self, secret: str | None, folder: Path) -> SecretContext:
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

    def prepare(self, secret: str | None, folder: Path) -> SecretContext:
        if secret is not None:
            self.keyring.set_password("mi", "alice", secret)
        return self.context()


class TestCommand(SourceContract):
    source = "command"
    text = json.dumps([sys.executable, "-c", "import os; print(os.environ['CANARY'])"])
    elsewhere = json.dumps(["no-such-program-anywhere"])

    def prepare(self, secret: str | None, folder: Path) -> SecretContext:
        environ = {"PYTHONUTF8": "1", **({} if secret is None else {"CANARY": secret})}
        return self.context(environ=environ)


class TestPrompt(SourceContract):
    source = "prompt"
    text = "Password"

    def prepare(self, secret: str | None, folder: Path) -> SecretContext:
        person = Terminal({}, interactive=True, read_hidden=lambda _: secret or "")
        return self.context() if secret is None else self.context(terminal=person)

    def test_no_error_and_no_log_shows_a_secret(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        pytest.skip("where a person answers there is no other text")


def test_every_source_of_ours_is_held_to_the_contract() -> None:
    held: set[Any] = {each.source for each in SourceContract.__subclasses__() if each is not _Shelf}

    assert held >= set(plugins.BUILT_IN[plugins.SECRETS])


ENTRY: Final = "test_the_entry_point_loads_under_its_name"
ANSWERS: Final = "test_it_answers_with_the_secret_as_text"
ABSENT: Final = "test_what_is_not_there_is_unavailable_and_says_what_to_do"
EMPTY: Final = "test_an_empty_secret_counts_as_none"
SHOWN: Final = "test_no_error_and_no_log_shows_a_secret"
NOBODY: Final = "test_nobody_is_asked_where_nobody_is"
THREADS: Final = "test_several_threads_may_ask_at_once"

# Function of tests/support/broken_plugins.py, the check that it fails, and words of the advice.
BROKEN: Final = [
    ("not_installed", ENTRY, '[project.entry-points."gatepass.secrets"]'),
    ("answers_bytes", ANSWERS, "answers with bytes"),
    ("strips_odd_characters", ANSWERS, "something else than the secret"),
    ("raises_os_errors", ABSENT, "ends with FileNotFoundError"),
    ("gives_no_advice", ABSENT, 'the next step as hint="..."'),
    ("answers_none", ABSENT, "answers with NoneType"),
    ("waits_for_ever", ABSENT, "did not answer within 0.5 s"),
    ("has_a_default", EMPTY, "answers all the same"),
    ("lists_what_there_is", SHOWN, "its error shows a secret"),
    ("logs", SHOWN, "log what was looked for"),
    ("asks_by_input", NOBODY, "(input)"),
    ("asks_the_terminal", NOBODY, "(/dev/tty)"),
    ("asks_past_the_terminal", NOBODY, "(mi)"),
    ("answers_only_once", THREADS, "keep nothing between calls"),
]


@pytest.fixture(scope="module", autouse=True)
def _installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder: Path = tmp_path_factory.mktemp("plugins")
    names = ["good", *(name for name, _, _ in BROKEN if name != "not_installed")]
    with installed(folder, plugins.SECRETS, names):
        yield


class _Shelf(SourceContract):
    """The contract as the author of these functions would write it."""

    text = "mi"

    def prepare(self, secret: str | None, folder: Path) -> SecretContext:
        if secret is not None:
            (folder / "mi").write_text(secret, encoding="utf-8")
        return self.context(environ={WHERE: str(folder)})


def _contract(name: str) -> type[SourceContract]:
    seconds = 0.5 if name == "waits_for_ever" else 60.0
    return type(name, (_Shelf,), {"source": entry_point_name(name), "seconds": seconds})


@pytest.mark.parametrize("check", checks_of(SourceContract))
def test_a_good_source_passes(checker: Checker, check: str) -> None:
    assert checker.failures(_contract("good"), check) == []


@pytest.mark.parametrize(("name", "check", "advice"), BROKEN)
def test_a_broken_source_is_told_what_to_do(
    checker: Checker, name: str, check: str, advice: str
) -> None:
    assert any(advice in failure for failure in checker.failures(_contract(name), check))


def test_every_check_of_the_contract_can_fail() -> None:
    assert {check for _, check, _ in BROKEN} == set(checks_of(SourceContract))
