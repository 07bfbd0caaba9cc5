"""Variables as a layer: what they set, how they are read, which ones match nothing."""

from typing import Any

import pytest

from gatepass.errors import GatepassWarning, ProfileError
from tests.support.config_files import ConfigFiles, profile_table

pytestmark = pytest.mark.filterwarnings("error")


def test_a_variable_overrides_one_key_of_the_chosen_profile(config: ConfigFiles) -> None:
    config.user({"profiles": {"my-prod": profile_table()}})

    loaded = config.load("my-prod", environ={"GATEPASS_PROFILES__MY_PROD__TIMEOUT": "5"})

    assert loaded.timeout == (5, 5)


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("retries", "7", 7),
        ("protected", "true", True),
        ("protected", "0", False),
        ("timeout", "2.5", (2.5, 2.5)),
        ("description", "12", "12"),
        ("proxy", "none", None),
    ],
)
def test_variables_are_strings_and_checked_leniently(
    config: ConfigFiles, key: str, text: str, expected: object
) -> None:
    config.user({"profiles": {"p": profile_table()}})

    loaded = config.load("p", environ={f"GATEPASS_PROFILES__P__{key.upper()}": text})

    value = getattr(loaded, key)
    assert (value.url if key == "proxy" else value) == (text if key == "proxy" else expected)


def test_a_wrong_variable_is_named(config: ConfigFiles) -> None:
    config.user({"profiles": {"p": profile_table()}})

    with pytest.raises(ProfileError, match=r"GATEPASS_PROFILES__P__RETRIES: .*integer"):
        config.load("p", environ={"GATEPASS_PROFILES__P__RETRIES": "many"})


def test_a_secret_field_in_a_variable_is_a_reference_too(config: ConfigFiles) -> None:
    config.user(
        {"profiles": {"p": {**profile_table(), "auth": {"scheme": "bearer", "token": "env:T"}}}}
    )
    variable = "GATEPASS_PROFILES__P__AUTH__TOKEN"

    assert str(config.load("p", environ={variable: "file:/x"}).auth.token) == "file:/x"  # type: ignore[attr-defined]
    with pytest.raises(ProfileError, match=variable) as caught:
        config.load("p", environ={variable: "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_a_variable_for_the_providers_certificates_is_read_leniently(config: ConfigFiles) -> None:
    config.user({"profiles": {"p": profile_table(auth={"scheme": "oidc"})}})

    loaded: Any = config.load("p", environ={"GATEPASS_PROFILES__P__AUTH__TLS__VERIFY": "false"})

    assert loaded.auth.tls.verify is False
    assert loaded.tls.verify is True


def test_a_profile_can_stand_in_variables_alone(config: ConfigFiles) -> None:
    environ = {
        "GATEPASS_PROFILES__CI__URL": "https://a.test/",
        "GATEPASS_PROFILES__CI__AUTH__SCHEME": "bearer",
        "GATEPASS_PROFILES__CI__AUTH__TOKEN": "env:TOKEN",
    }

    assert config.load("ci", environ=environ).scheme == "bearer"
    assert config.load(environ=environ).name == "ci"


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("GATEPASS_PROFIL", "did you mean GATEPASS_PROFILE?"),
        ("GATEPASS_PROFILES__P", "matches nothing"),
        ("GATEPASS_PROFILES__PRDO__TIMEOUT", 'did you mean "prod"?'),
        ("GATEPASS_VAULT_KEYS", "did you mean GATEPASS_VAULT_KEY?"),
    ],
)
def test_a_variable_that_matches_nothing_is_a_warning(
    config: ConfigFiles, variable: str, said: str
) -> None:
    config.user({"profiles": {"prod": profile_table()}})

    with pytest.warns(GatepassWarning, match="match") as warned:
        config.load("prod", environ={variable: "1"})

    assert len(warned) == 1
    assert said in str(warned[0].message)


def test_a_variable_that_a_reference_names_is_no_stray(config: ConfigFiles) -> None:
    """Whatever file or variable holds the reference, and whichever profile is taken."""
    robot = profile_table(auth={"scheme": "bearer", "token": ["env:GATEPASS_ROBOT", "prompt:"]})
    config.user(
        {"vault_key": "env:GATEPASS_OWN_KEY", "profiles": {"p": profile_table(), "robot": robot}}
    )
    environ = {
        "GATEPASS_ROBOT": "t0ken",
        "GATEPASS_OWN_KEY": "key",
        "GATEPASS_PROFILES__ROBOT__AUTH__TOKEN": "env:GATEPASS_PW",
        "GATEPASS_PW": "pw",
    }

    assert config.load("p", environ=environ).name == "p"  # a warning would be an error
    with pytest.warns(GatepassWarning, match="GATEPASS_PW2 matches nothing"):
        config.load("p", environ={**environ, "GATEPASS_PW2": "pw"})
