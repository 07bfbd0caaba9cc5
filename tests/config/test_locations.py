"""Where the search for project files goes, and where it ends."""

import sys
from pathlib import Path

import pytest

from gatepass._config.load import load_profile
from gatepass._config.locations import Locations
from gatepass._config.profile import Profile
from tests.support.config_files import Write

PROD = """
[profiles.prod]
url = "https://mine.example.com/"
auth = { scheme = "bearer", token = "env:TOKEN" }
"""


EVIL = PROD.replace("mine", "evil")


def _load(locations: Locations) -> Profile:
    return load_profile("prod", environ={}, locations=locations)


def test_the_search_ends_at_the_repository(locations: Locations, write: Write) -> None:
    assert locations.working is not None
    write(locations.user, PROD)
    write(locations.working.parent / "gatepass.toml", EVIL)

    assert _load(locations).url == "https://mine.example.com/"


def test_the_home_folder_is_never_looked_at(locations: Locations, write: Write) -> None:
    assert locations.home is not None
    write(locations.user, PROD)
    write(locations.home / "gatepass.toml", EVIL)
    inside = locations.home / "project"
    inside.mkdir(parents=True)
    for folder in (inside, locations.home):
        here = Locations((), locations.user, locations.state, folder, locations.home)

        assert _load(here).url == "https://mine.example.com/"


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
