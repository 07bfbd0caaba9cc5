"""Which profile is selected, and what is said where none is."""

from typing import Any

import pytest

from gatepass.errors import ProfileError, ProfileNotFound
from tests.support.config_files import ConfigFiles, profile_table

pytestmark = pytest.mark.filterwarnings("error")


def test_the_argument_wins_over_the_variable(config: ConfigFiles) -> None:
    config.user({"profiles": {"a": profile_table(), "b": profile_table()}})

    assert config.load("a", environ={"GATEPASS_PROFILE": "b"}).name == "a"
    assert config.load(None, environ={"GATEPASS_PROFILE": "b"}).name == "b"


def test_the_project_default_wins_over_the_own_default(config: ConfigFiles) -> None:
    config.user({"default_profile": "a", "profiles": {"a": profile_table(), "b": profile_table()}})
    assert config.load().name == "a"

    config.in_project({"default_profile": "b"})
    assert config.load().name == "b"


def test_an_empty_variable_is_unset(config: ConfigFiles) -> None:
    config.user({"default_profile": "a", "profiles": {"a": profile_table()}})

    assert config.load(environ={"GATEPASS_PROFILE": "", "GATEPASS_CONFIG_FILE": ""}).name == "a"


def test_the_only_unprotected_profile_is_the_default(config: ConfigFiles) -> None:
    config.user({"profiles": {"dev": profile_table(), "prod": profile_table(protected=True)}})

    assert config.load().name == "dev"


def test_several_profiles_without_a_default_are_listed(config: ConfigFiles) -> None:
    config.user({"profiles": {"dev": profile_table(), "test": profile_table()}})

    with pytest.raises(ProfileNotFound, match="profiles: dev, test"):
        config.load()


def test_a_protected_profile_is_never_the_default(config: ConfigFiles) -> None:
    config.user({"default_profile": "prod", "profiles": {"prod": profile_table(protected=True)}})

    with pytest.raises(ProfileNotFound, match="only taken by name"):
        config.load()
    assert config.load("prod").name == "prod"
    assert config.load(environ={"GATEPASS_PROFILE": "prod"}).name == "prod"


def test_a_child_of_a_protected_profile_is_protected(config: ConfigFiles) -> None:
    config.user({"profiles": {"base": profile_table(protected=True), "child": {"extends": "base"}}})

    with pytest.raises(ProfileNotFound):
        config.load()


@pytest.mark.parametrize(
    ("how", "said_by"),
    [
        ({"name": "prdo"}, "the argument"),
        ({"environ": {"GATEPASS_PROFILE": "prdo"}}, "GATEPASS_PROFILE"),
        ({}, "profiles.toml:1:1"),
    ],
)
def test_an_unknown_name_is_an_error_that_names_its_source(
    config: ConfigFiles, how: dict[str, Any], said_by: str
) -> None:
    config.user(
        {"default_profile": "prdo", "profiles": {"prod": profile_table(), "dev": profile_table()}}
    )

    with pytest.raises(ProfileNotFound) as caught:
        config.load(**how)

    text = str(caught.value)
    assert said_by in text
    assert 'did you mean "prod"?' in text
    assert "dev, prod" in text


def test_without_a_profile_the_error_tells_where_it_looked_and_what_is_not_read(
    config: ConfigFiles,
) -> None:
    stray = config.write(config.project.with_name("profiles.toml"), "")

    message = config.refusal("prod")

    for each in (str(config.locations.user), "gatepass init", f"{stray} exists but is not read"):
        assert each in message


def test_names_that_variables_cannot_tell_apart_are_an_error(config: ConfigFiles) -> None:
    config.user({"profiles": {"a-b": profile_table(), "a_b": profile_table()}})

    with pytest.raises(ProfileError, match="a-b and a_b"):
        config.load("a-b")


@pytest.mark.parametrize("name", ["Prod", "a__b", "-a", "ä", "a b", ""])
def test_a_bad_name_is_refused(config: ConfigFiles, name: str) -> None:
    config.user({"profiles": {name: profile_table()}})

    with pytest.raises(ProfileError, match="name is made of"):
        config.load(name)


def test_where_no_profile_exists_the_message_begins_with_that(config: ConfigFiles) -> None:
    message = config.refusal(None)

    assert message.startswith("no profile was found\nlooked for ")
    assert message.endswith("make one with: gatepass init")
