"""``Session(url, ...)``: the keywords of the constructor."""

from pathlib import Path
from typing import Any

import pytest

from gatepass._session.session import Session
from gatepass.errors import (
    ProfileError,
)
from gatepass.sandbox import Server
from gatepass.secrets import ref
from tests.support.echo import basic, echo, wants
from tests.support.sessions import (
    ENVIRON,
    PASSWORD,
    USER,
)

LOGIN = basic(USER, PASSWORD)


def test_the_keywords_of_the_guide_become_a_session() -> None:
    with Server(mode="standalone", users={"CORP\\bob": PASSWORD}) as server:
        mi = Session(server.url, user_name=USER, password=PASSWORD, domain="CORP")
        answer = mi.get("Health/v2.svc").json()

    assert answer["user"] == "CORP\\bob"
    assert mi.profile.scheme == "credentials"
    assert repr(mi) == f"<gatepass.Session {server.url} (credentials)>"


def test_keywords_may_be_references_and_other_keys_of_a_profile() -> None:
    with echo(wants(LOGIN)) as server:
        mi = Session(
            server.url,
            user_name=ref("env:MI_USERNAME"),
            password=ref("env:MI_PASSWORD"),
            headers={"X-Tenant": "t"},
            timeout=5,
            environ={**ENVIRON, "MI_USERNAME": USER},
        )
        assert mi.get("x").ok

    assert server.seen[-1].headers["x-tenant"] == "t"
    assert mi.profile.timeout == (5, 5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "no way to log on"),
        ({"user_name": None, "password": None}, "no way to log on"),
        ({"user_name": USER}, "belong together"),
        ({"password": PASSWORD}, "belong together"),
        ({"domain": "CORP"}, "belong together"),
        ({"autologon": True, "oidc": True}, "more than one way to log on: autologon, oidc"),
        ({"anonymous": True, "user_name": USER}, "more than one way"),
        ({"anonymous": True, "use_stored_token": True}, "use_stored_token: goes with oidc=True"),
        ({"refresh_token": PASSWORD, "anonymous": True}, "refresh_token: goes with oidc=True"),
        ({"anonymous": True, "tiemout": 3}, 'tiemout=: unknown keyword; did you mean "timeout"'),
        ({"username": USER, "password": PASSWORD}, 'username=: .* did you mean "user_name"'),
    ],
)
def test_keywords_that_are_not_clear_are_an_error(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ProfileError, match=message) as caught:
        Session("https://mi.example.com", **arguments)

    assert PASSWORD not in str(caught.value)


def test_a_session_made_by_keywords_takes_the_machine_settings_of_variables(
    tmp_path: Path,
) -> None:
    """A login stored on a computer without a keyring is of use to it only with the vault's key."""
    environ = {"GATEPASS_VAULT_KEY": "file:/k", "GATEPASS_VAULT": str(tmp_path)}

    machine = Session("https://mi.example.com", oidc=True, environ=environ).profile.machine

    assert (str(machine.vault_key), machine.vault) == ("file:/k", str(tmp_path))
    with pytest.raises(ProfileError, match="GATEPASS_VAULT_KEY: vault_key: a secret field takes"):
        Session("https://mi.example.com", oidc=True, environ={"GATEPASS_VAULT_KEY": PASSWORD})


def test_a_profile_name_instead_of_a_url_is_recognised() -> None:
    with pytest.raises(ProfileError, match=r'did you mean Session\.from_profile\("my-prod"\)\?'):
        Session("my-prod", anonymous=True)


def test_other_text_instead_of_a_url_is_not_repeated() -> None:
    with pytest.raises(ProfileError, match="not a URL") as caught:
        Session(f"bob:{PASSWORD}@mi.example.com", anonymous=True)

    assert PASSWORD not in str(caught.value)
