"""Variables as a layer: what they set, how they are read, which ones match nothing."""

from pathlib import Path
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


def test_an_empty_variable_is_unset(config: ConfigFiles) -> None:
    """As Docker and CI systems set those that have no value; it clears no key."""
    auth = {"scheme": "basic", "user_name": "alice", "password": "env:P"}
    config.user({"profiles": {"p": profile_table(auth=auth, timeout=5)}})
    expected = config.load("p")

    empty = ["P__AUTH__USER_NAME", "P__URL", "P__TIMEOUT", "P__PROXY__URL", "P__X", "NOBODY__URL"]
    environ = {f"GATEPASS_PROFILES__{each}": "" for each in empty}
    assert config.load("p", environ=environ) == expected
    hidden = {**environ, "GATEPASS_PROFILES__P__PROXY": "none"}
    assert config.load("p", environ=hidden).proxy is not None, "an empty deeper one hides nothing"


@pytest.mark.parametrize("name", ["GATEPASS_PROFILE", "GATEPASS_CONFIG_FILE"])
def test_a_switch_that_is_set_but_empty_is_logged_and_named_by_the_error(
    config: ConfigFiles, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    config.user({"profiles": {"p": profile_table(), "q": profile_table()}})

    with caplog.at_level("INFO", "gatepass"), pytest.raises(ProfileError) as caught:
        config.load(environ={name: ""})

    assert f"{name} is set, but empty" in caplog.text
    assert f"{name} is set, but empty" in str(caught.value)


_FILE = str(Path("/a,b.pem").absolute())  # on Windows it is below a drive


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("SCOPES", "openid, profile,", ["openid", "profile"]),
        ("SCOPES", '["openid", "profile"]', ["openid", "profile"]),
        ("SCOPES", "openid", ["openid"]),
        ("TLS__CA_FILE", '["system", "/a,b.pem"]', ["system", _FILE]),
        ("TLS__CA_FILE", "/a,b.pem", _FILE),
        ("ACCOUNT", "[a], b", "[a], b"),
    ],
)
def test_a_list_is_given_as_json_or_with_commas_where_nothing_else_fits(
    config: ConfigFiles, key: str, text: str, expected: Any
) -> None:
    config.user({"profiles": {"p": profile_table(auth={"scheme": "oidc"})}})

    loaded: Any = config.load("p", environ={f"GATEPASS_PROFILES__P__AUTH__{key}": text})

    found = loaded.auth
    for name in key.lower().split("__"):
        found = getattr(found, name)
    assert found == expected


@pytest.mark.parametrize("text", ["[5, 30]", "5,30", " 5 , 30 "])
def test_two_timeouts_are_given_as_a_list(config: ConfigFiles, text: str) -> None:
    config.user({"profiles": {"p": profile_table()}})

    assert config.load("p", environ={"GATEPASS_PROFILES__P__TIMEOUT": text}).timeout == (5, 30)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('["env:A", "prompt:Name, please"]', "env:A | prompt:Name, please"),
        ("prompt:Name, please", "prompt:Name, please"),
    ],
)
def test_the_alternatives_of_a_secret_are_given_as_json(
    config: ConfigFiles, text: str, expected: str
) -> None:
    auth = {"scheme": "bearer", "token": "env:T"}
    config.user({"profiles": {"p": profile_table(auth=auth)}})

    loaded: Any = config.load("p", environ={"GATEPASS_PROFILES__P__AUTH__TOKEN": text})

    assert str(loaded.auth.token) == expected
    assert loaded.auth.token.layer == "variable"


@pytest.mark.parametrize("text", ['["hunter2"]', "[hunter2", '[["env:A"]]', "[1]", "[]"])
def test_a_list_that_is_wrong_is_named_and_not_repeated(config: ConfigFiles, text: str) -> None:
    auth = {"scheme": "bearer", "token": "env:T"}
    config.user({"profiles": {"p": profile_table(auth=auth)}})

    with pytest.raises(ProfileError, match="GATEPASS_PROFILES__P__AUTH__TOKEN: ") as caught:
        config.load("p", environ={"GATEPASS_PROFILES__P__AUTH__TOKEN": text})

    assert "hunter2" not in str(caught.value)


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
