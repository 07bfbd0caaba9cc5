"""``stk_arguments``: what the Scripting Toolkit's own session gets."""

import pickle
import pprint
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gatepass._config.load import load_profile
from gatepass._config.unnamed import unnamed_profile
from gatepass.errors import NobodyThere, ProfileError, SecretUnavailable
from gatepass.integrations.stk import stk_arguments
from gatepass.secrets import ref
from tests.support.sessions import PASSWORD, person

URL = "https://mi.example.com/mi_servicelayer"
LOGIN: dict[str, Any] = {"user_name": "bob", "password": ref("env:MI_PASSWORD")}


def mpy_session(
    service_layer_url: str,
    user_name: str | None = None,
    password: str | None = None,
    domain: str | None = None,
    *,
    autologon: bool = False,
    oidc: bool = False,
    refresh_token: str | None = None,
    use_stored_token: bool = False,
) -> dict[str, Any]:
    """Return what ``mpy.Session`` was called with; the names are those of its reference page."""
    return {name: value for name, value in locals().items() if value not in {None, False}}


def arguments(environ: dict[str, str] | None = None, **auth: Any) -> Mapping[str, Any]:
    return stk_arguments(unnamed_profile(URL, auth), environ=environ or {"MI_PASSWORD": PASSWORD})


@pytest.mark.parametrize(
    ("auth", "expected"),
    [
        ({"scheme": "autologon"}, {"autologon": True}),
        ({"scheme": "credentials", **LOGIN}, {"user_name": "bob", "password": PASSWORD}),
        (
            {"scheme": "basic", "domain": "CORP", **LOGIN},
            {"user_name": "bob", "password": PASSWORD, "domain": "CORP"},
        ),
        ({"scheme": "oidc"}, {"oidc": True}),
        ({"scheme": "oidc", "use_stored_token": True}, {"oidc": True, "use_stored_token": True}),
        (
            {
                "scheme": "oidc",
                "issuer": "https://idp.test",
                "refresh_token": ref("env:MI_PASSWORD"),
            },
            {"oidc": True, "refresh_token": PASSWORD},
        ),
        (
            {"scheme": "oidc", "refresh_token": "a token", "use_stored_token": True},
            {"oidc": True, "refresh_token": "a token"},
        ),
    ],
    ids=["autologon", "no domain", "domain", "browser", "stored", "token", "token before stored"],
)
def test_the_scripting_toolkit_is_called_as_its_guide_says(
    auth: dict[str, Any], expected: dict[str, Any]
) -> None:
    given = mpy_session(**arguments(**auth))

    assert given == {"service_layer_url": URL, **expected}
    assert all(type(value) in {str, bool} for value in given.values())


def test_a_profile_of_a_file_resolves_its_references_when_it_is_asked(tmp_path: Path) -> None:
    file = tmp_path / "profiles.toml"
    file.write_text(
        f'[profiles.prod]\nurl = "{URL}"\n[profiles.prod.auth]\nscheme = "credentials"\n'
        'user_name = "env:MI_USERNAME"\npassword = "env:MI_PASSWORD"\n'
    )
    file.chmod(0o600)
    profile = load_profile("prod", config_file=file, environ={})

    with pytest.raises(SecretUnavailable, match="2 secrets are missing") as caught:
        stk_arguments(profile, environ={})
    given = stk_arguments(profile, environ={"MI_USERNAME": "bob", "MI_PASSWORD": PASSWORD})

    assert f"{file}:5:1: profiles.prod.auth.user_name" in str(caught.value)
    assert given["user_name"] == "bob"


def test_a_person_is_asked_where_one_is_there() -> None:
    profile = unnamed_profile(URL, {**LOGIN, "scheme": "basic", "password": ref("prompt:Password")})
    asked, terminal = person("sesame")

    assert stk_arguments(profile, environ={}, terminal=terminal)["password"] == "sesame"
    assert len(asked) == 1
    with pytest.raises(NobodyThere):
        stk_arguments(profile, environ={}, interactive=False)


def test_the_arguments_print_no_secret_and_do_not_travel() -> None:
    given = arguments(scheme="credentials", **LOGIN)

    for printed in (repr(given), str(given), f"{given}", pprint.pformat(given)):
        assert PASSWORD not in printed
        assert URL in printed
        assert "password=..." in printed
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(given)


@pytest.mark.parametrize(
    ("auth", "message", "hint"),
    [
        ({"scheme": "bearer", "token": "canary"}, 'scheme = "bearer"', 'scheme = "oidc"'),
        ({"scheme": "ntlm", **LOGIN}, 'scheme = "ntlm"', 'scheme = "credentials"'),
        ({"scheme": "anonymous"}, 'scheme = "anonymous"', "autologon, basic, credentials and oidc"),
        ({"scheme": "autologon", "principal": "bob@X"}, 'principal = "bob@X"', "Windows"),
        ({"scheme": "oidc", "flow": "device"}, 'flow = "device"', "browser"),
        ({"scheme": "oidc", "account": "robot"}, 'account = "robot"', "one login for each server"),
    ],
    ids=["bearer", "ntlm", "anonymous", "principal", "device", "account"],
)
def test_what_the_scripting_toolkit_cannot_do_is_refused_with_another_way(
    auth: dict[str, Any], message: str, hint: str
) -> None:
    with pytest.raises(ProfileError) as caught:
        arguments(**auth)

    assert message in caught.value.message
    assert hint in caught.value.hint
    assert "canary" not in str(caught.value)


def test_a_refusal_says_where_the_key_stands(tmp_path: Path) -> None:
    file = tmp_path / "profiles.toml"
    file.write_text(
        f'[profiles.dev]\nurl = "{URL}"\n[profiles.dev.auth]\n'
        'scheme = "bearer"\ntoken = "env:TOKEN"\n'
    )
    file.chmod(0o600)
    profile = load_profile("dev", config_file=file, environ={})

    with pytest.raises(ProfileError, match=f"^{file}:4:1: the Scripting Toolkit cannot log on"):
        stk_arguments(profile, environ={})
