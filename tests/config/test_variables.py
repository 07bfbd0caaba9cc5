"""Variables as a layer: what they set, how they are read, which ones match nothing."""

from pathlib import Path
from typing import Any

import pytest

from gatepass.errors import GatepassWarning, ProfileError
from tests.support.config_files import OPEN, URL, Case, ConfigFiles, one, variables

pytestmark = pytest.mark.filterwarnings("error")

_TOKEN = "GATEPASS_PROFILES__P__AUTH__TOKEN"
_BEARER = one(URL, 'auth = { scheme = "bearer", token = "env:T" }')
_OIDC = one(URL, 'auth.scheme = "oidc"')
_FILE = str(Path("/a,b.pem").absolute())  # on Windows it is below a drive

CASES = {
    "a variable overrides one key of the chosen profile": Case(
        user=one(OPEN, name="my-prod"),
        name="my-prod",
        environ=variables("my_prod", timeout="5"),
        has={"timeout": (5, 5)},
    ),
    "a wrong variable is named": Case(
        user=one(OPEN),
        environ=variables(retries="many"),
        error="GATEPASS_PROFILES__P__RETRIES: .*integer",
    ),
    "a secret field in a variable is a reference too": Case(
        user=_BEARER, environ={_TOKEN: "file:/x"}, has={"auth.token": "file:/x"}
    ),
    "a secret itself in a variable is refused": Case(
        user=_BEARER, environ={_TOKEN: "hunter2"}, error=_TOKEN
    ),
    "a variable for the provider's certificates is read leniently": Case(
        user=_OIDC,
        environ=variables(auth__tls__verify="false"),
        has={"auth.tls.verify": False, "tls.verify": True},
    ),
    "a profile can stand in variables alone": Case(
        environ=variables(url="https://a.test/", auth__scheme="bearer", auth__token="env:TOKEN"),
        name=None,
        has={"name": "p", "scheme": "bearer"},
    ),
    "alternatives of a secret are given as json": Case(
        user=_BEARER,
        environ={_TOKEN: '["env:A", "prompt:Name, please"]'},
        has={"auth.token": "env:A | prompt:Name, please", "auth.token.layer": "variable"},
    ),
    "a comma in one reference makes no list": Case(
        user=_BEARER,
        environ={_TOKEN: "prompt:Name, please"},
        has={"auth.token": "prompt:Name, please"},
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_variables_set(config: ConfigFiles, case: Case) -> None:
    config.check(case)


@pytest.mark.parametrize(
    ("key", "text", "attribute", "expected"),
    [
        ("retries", "7", "retries", 7),
        ("protected", "true", "protected", True),
        ("protected", "0", "protected", False),
        ("timeout", "2.5", "timeout", (2.5, 2.5)),
        ("timeout", "[5, 30]", "timeout", (5, 30)),
        ("timeout", " 5 , 30 ", "timeout", (5, 30)),
        ("description", "12", "description", "12"),
        ("proxy", "none", "proxy.url", "none"),
        ("auth__scopes", "openid, profile,", "auth.scopes", ["openid", "profile"]),
        ("auth__scopes", '["openid", "profile"]', "auth.scopes", ["openid", "profile"]),
        ("auth__scopes", "openid", "auth.scopes", ["openid"]),
        ("auth__tls__ca_file", '["system", "/a,b.pem"]', "auth.tls.ca_file", ["system", _FILE]),
        ("auth__tls__ca_file", "/a,b.pem", "auth.tls.ca_file", _FILE),
        ("auth__account", "[a], b", "auth.account", "[a], b"),
    ],
)
def test_variables_are_read_as_the_key_needs_it_and_lists_as_json_or_with_commas(
    config: ConfigFiles, key: str, text: str, attribute: str, expected: Any
) -> None:
    config.check(Case(user=_OIDC, environ=variables(**{key: text}), has={attribute: expected}))


def test_an_empty_variable_is_unset(config: ConfigFiles) -> None:
    """As Docker and CI systems set those that have no value; it clears no key."""
    config.user(
        one(URL, "timeout = 5", 'auth = { scheme = "basic", user_name = "a", password = "env:P" }')
    )
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
    config.user(one(OPEN) + one(OPEN, name="q"))

    with caplog.at_level("INFO", "gatepass"), pytest.raises(ProfileError) as caught:
        config.load(environ={name: ""})

    assert f"{name} is set, but empty" in caplog.text
    assert f"{name} is set, but empty" in str(caught.value)


@pytest.mark.parametrize("text", ['["hunter2"]', "[hunter2", '[["env:A"]]', "[1]", "[]"])
def test_a_list_that_is_wrong_is_named_and_not_repeated(config: ConfigFiles, text: str) -> None:
    config.user(_BEARER)

    assert f"{_TOKEN}: " in config.refusal(environ={_TOKEN: text})


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
    config.user(one(OPEN, name="prod"))

    with pytest.warns(GatepassWarning, match="match") as warned:
        config.load("prod", environ={variable: "1"})

    assert [said in str(each.message) for each in warned] == [True]


def test_a_variable_that_a_reference_names_is_no_stray(config: ConfigFiles) -> None:
    """Whatever file or variable holds the reference, and whichever profile is taken."""
    robot = 'auth = { scheme = "bearer", token = ["env:GATEPASS_ROBOT", "prompt:"] }'
    config.user('vault_key = "env:GATEPASS_OWN_KEY"\n' + one(OPEN) + one(URL, robot, name="robot"))
    environ = {
        "GATEPASS_ROBOT": "t0ken",
        "GATEPASS_OWN_KEY": "key",
        "GATEPASS_PROFILES__ROBOT__AUTH__TOKEN": "env:GATEPASS_PW",
        "GATEPASS_PW": "pw",
    }

    assert config.load("p", environ=environ).name == "p"  # a warning would be an error
    with pytest.warns(GatepassWarning, match="GATEPASS_PW2 matches nothing"):
        config.load("p", environ={**environ, "GATEPASS_PW2": "pw"})
