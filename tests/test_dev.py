"""``dev.py``: what it installs."""

from pathlib import Path

import dev
import pytest


@pytest.mark.skipif(not dev.is_debian(), reason="needs apt")
def test_a_package_that_apt_does_not_have_keeps_no_other_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As `chromium` on Ubuntu. Here one is pinned away, for apt in this test alone."""
    pins = tmp_path / "preferences"
    pins.write_text("Package: dpkg\nPin: version *\nPin-Priority: -1\n")
    settings = tmp_path / "apt.conf"
    settings.write_text(f'Dir::Etc::preferences "{pins}";\n')
    wanted = ["apt", "dpkg", "no-such-package", "base-files"]  # all others are always there
    assert dev.installable(["apt", "dpkg"]) == ["apt", "dpkg"]

    monkeypatch.setenv("APT_CONFIG", str(settings))

    assert dev.installable(wanted) == ["apt", "base-files"]
