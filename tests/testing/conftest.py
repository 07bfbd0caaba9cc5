"""What the tests of the contracts share."""

from pathlib import Path

import pytest

from tests.support.contracts import Checker


@pytest.fixture
def checker(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> Checker:
    """Run single checks."""
    return Checker(tmp_path, caplog, monkeypatch)
