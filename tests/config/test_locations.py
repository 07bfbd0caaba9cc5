"""Where the search for project files goes, and where it ends."""

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
