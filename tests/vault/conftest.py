"""Fixtures of the tests of the vault."""

from pathlib import Path

import pytest

from tests.support.vaults import (
    Place,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a vault will be; not made yet."""
    return tmp_path / "state" / "vault"


@pytest.fixture(params=["files", "redis"])
def place(request: pytest.FixtureRequest, folder: Path) -> Place:
    """Where a vault of either kind will be."""
    return folder if request.param == "files" else request.getfixturevalue("redis").url
