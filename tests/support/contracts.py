"""Runs single checks of the contracts for plug-in authors, and installs plug-ins for that."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import signature
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.support import broken_plugins
from tests.support.distribution import install


def entry_point_name(name: str) -> str:
    """Return the entry point of a class or function: small letters, dashes between words."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|_", "-", name).lower()


@contextmanager
def installed(folder: Path, group: str, names: list[str]) -> Iterator[None]:
    """Let these names of ``broken_plugins`` look installed until the block ends."""
    module = broken_plugins.__name__
    points = {entry_point_name(name): f"{module}:{name}" for name in names}
    install(folder, "broken-plugins", {group: points})
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield


def checks_of(contract: type) -> list[str]:
    """Return the names of a contract's checks."""
    return [name for name in vars(contract) if name.startswith("test_")]


class Checker:
    """Runs checks in this test, without a collection of their own."""

    def __init__(
        self, folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self._folder = folder
        self._given: dict[str, Any] = {"caplog": caplog, "monkeypatch": monkeypatch}
        self._numbers = count()

    def failures(self, contract: type, check: str) -> list[str]:
        """Run one check, once for each of its parameters; return what failures say."""
        found = []
        for parameters in _parameters(getattr(contract, check)):
            try:
                self._run(contract, check, parameters)
            except pytest.fail.Exception as failure:
                found.append(str(failure))
        return found

    def _run(self, contract: type, check: str, parameters: dict[str, Any]) -> None:
        folder = self._folder / str(next(self._numbers))
        folder.mkdir()
        instance = contract()
        instance._folder = folder
        method: Callable[..., None] = getattr(instance, check)
        given = {**self._given, "tmp_path": folder, **parameters}
        method(**{name: given[name] for name in signature(method).parameters})


def _parameters(check: Callable[..., None]) -> list[dict[str, Any]]:
    for mark in getattr(check, "pytestmark", []):
        if mark.name == "parametrize":
            name, values = mark.args
            return [{name: value} for value in values]
    return [{}]
