"""One profile is loaded from all that is there."""

import pytest

from tests.support.config_files import BEARER, ConfigFiles, profile_table

pytestmark = pytest.mark.filterwarnings("error")


def test_a_text_in_overrides_is_the_secret_itself_and_does_not_print(config: ConfigFiles) -> None:
    config.user(BEARER)

    loaded = config.load("p", overrides={"auth": {"token": "env:hunter2"}})

    assert loaded.auth.token.reveal() == "env:hunter2"  # type: ignore[attr-defined]
    assert "hunter2" not in repr(loaded)


def test_a_broken_neighbour_does_not_matter(config: ConfigFiles) -> None:
    config.user({"profiles": {"good": profile_table(), "bad": {"urll": 1}, "Worse Name": {}}})

    assert config.load("good").name == "good"


def test_taking_one_of_ten_thousand_profiles_checks_only_that_one(config: ConfigFiles) -> None:
    """Counted, not timed: the other profiles' tables are parsed and never looked into."""
    many = "\n".join(
        f'[profiles.p{number}]\nurl = "https://a.test/{number}"\nauth.scheme = "anonymous"\n'
        for number in range(10_000)
    )
    config.user(f"default_profile = 'p77'\n{many}")

    loaded = config.load("p9999")

    assert loaded.url == "https://a.test/9999/"
    assert config.load().name == "p77"
    assert len(config.layers().names) == 10_000
