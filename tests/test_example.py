"""The example file says what is true, and all of it is valid."""

import tomllib
from pathlib import Path
from typing import Any, Final

import pytest

from gatepass._config.load import load_profile
from gatepass._config.locations import Locations
from gatepass._config.profile import references
from gatepass._system import plugins
from gatepass.auth.basic import Basic
from gatepass.secrets import SecretRef

EXAMPLE: Final = Path(__file__).resolve().parent.parent / "profiles.example.toml"
TABLES: Final[dict[str, Any]] = tomllib.loads(EXAMPLE.read_text(encoding="utf-8"))


@pytest.fixture
def where(locations: Locations) -> Locations:
    """The example as the user's own file, with safe permissions."""
    locations.user.parent.mkdir(parents=True)
    locations.user.write_bytes(EXAMPLE.read_bytes())
    locations.user.chmod(0o600)
    return locations


@pytest.mark.parametrize("name", TABLES["profiles"])
def test_every_profile_of_the_example_passes_the_gate(name: str, where: Locations) -> None:
    assert load_profile(name, locations=where, environ={}).name == name


def test_the_example_shows_every_scheme_and_every_source_of_this_version() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    shown = {profile.get("auth", {}).get("scheme") for profile in TABLES["profiles"].values()}

    assert shown - {None} == set(plugins.BUILT_IN[plugins.AUTH])
    for source in set(plugins.BUILT_IN[plugins.SECRETS]) - {"command"}:
        assert f'"{source}:' in text
    assert "{ command = [" in text


def test_the_default_of_the_example_is_taken(where: Locations) -> None:
    assert load_profile(locations=where, environ={}).name == "dev"


def test_what_the_comments_of_the_example_say_is_so(where: Locations) -> None:
    nightly = load_profile("nightly", locations=where, environ={})
    basic = load_profile("basic", locations=where, environ={})
    gateway = load_profile("gateway", locations=where, environ={})

    assert nightly.url == load_profile("prod", locations=where, environ={}).url
    assert nightly.scheme == "credentials"
    assert isinstance(basic.auth, Basic)
    assert basic.auth.user_name == r"CORP\bob"
    assert gateway.tls.ca_file == str(where.user.parent / "company-ca.pem")
    assert all(
        isinstance(value, SecretRef)
        for name in TABLES["profiles"]
        for _, value in references(load_profile(name, locations=where, environ={}))
    )
