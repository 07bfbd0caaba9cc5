"""Where the search for project files goes, and where it ends."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gatepass._config.locations import Locations
from tests.support.config_files import PROD, ConfigFiles

EVIL = PROD.replace("mine", "evil")


def test_the_search_ends_at_the_repository(config: ConfigFiles) -> None:
    config.user(PROD)
    config.write(config.project.parent.parent / "gatepass.toml", EVIL)

    assert config.load("prod").url == "https://mine.example.com/"


def test_the_home_folder_is_never_looked_at(config: ConfigFiles) -> None:
    home = config.locations.home
    assert home is not None
    config.user(PROD)
    config.write(home / "gatepass.toml", EVIL)
    (home / "project").mkdir()
    for folder in (home / "project", home):
        here = replace(config.locations, working=folder)

        assert config.load("prod", locations=here).url == "https://mine.example.com/"


def test_the_page_of_files_names_where_they_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """On the system of this test, and on macOS, whatever is said in variables there."""
    page = Path(__file__).parents[2] / "docs" / "reference" / "files.md"
    rows = [
        line.split("|")[1:-1]
        for line in page.read_text("utf-8").splitlines()
        if line.startswith("|")
    ]
    linux, macos = ([row[column].strip().strip("`") for row in rows[2:]] for column in (1, 2))
    home = Path("/home/alice")
    monkeypatch.setenv("HOME", str(home))
    for name in ("CONFIG_HOME", "CONFIG_DIRS", "STATE_HOME", "CACHE_HOME"):
        monkeypatch.delenv(f"XDG_{name}", raising=False)

    def shown(found: Locations) -> list[str]:
        places = [found.user, *found.system, found.state, found.cache]
        return [str(place).replace(str(home), "~") for place in places]

    assert shown(Locations.on_macos(home, tmp_path)) == macos
    if sys.platform == "linux":
        assert shown(Locations.of_this_process()) == linux


def test_without_a_home_folder_nothing_is_kept_on_macos(tmp_path: Path) -> None:
    found = Locations.on_macos(None, tmp_path)

    assert (found.home, found.cache) == (None, None)
    assert "HOME is not set" in str(found.user)
