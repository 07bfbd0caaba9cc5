"""Fixtures that write files of profiles and load from them."""

import pytest

from gatepass._config.load import load_profile
from gatepass._config.locations import Locations
from gatepass._config.profile import Profile
from tests.support.config_files import ConfigFiles, Load, Write


@pytest.fixture
def config(locations: Locations, write: Write) -> ConfigFiles:
    return ConfigFiles(locations, write)


@pytest.fixture
def try_load(locations: Locations, write: Write) -> Load:
    """Return a function that loads the profile p of a user file with this text."""

    def load_text(text: str | bytes) -> Profile:
        write(locations.user, text)
        return load_profile("p", environ={}, locations=locations)

    return load_text
