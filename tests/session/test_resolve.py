"""The secrets of a profile: resolved once, all missing ones reported together."""

from pathlib import Path

import pytest

from gatepass._session.exceptions import LoginRefused
from gatepass._session.session import Session
from gatepass._system.context import RunContext
from gatepass.errors import (
    NobodyThere,
    SecretUnavailable,
)
from gatepass.secrets import ref
from tests.support.echo import echo, wants
from tests.support.sessions import (
    ENVIRON,
    NOWHERE,
    person,
    profile_for,
    session_for,
)


def test_all_missing_secrets_are_told_at_once() -> None:
    with pytest.raises(SecretUnavailable) as caught:
        session_for(
            "https://mi.example.com",
            auth={"user_name": ref("env:U"), "password": ref("env:P"), "domain": ref("env:D")},
            proxy={"url": "http://proxy:3128", "user_name": "p", "password": ref("env:PP")},
            tls={"client_cert": "/c.pem", "client_key_password": ref("env:K")},
        )

    lines = str(caught.value).splitlines()
    assert lines[0] == "5 secrets are missing:"
    assert [line.split(":")[0].strip() for line in lines[1:6]] == [
        "proxy.password",
        "tls.client_key_password",
        "user_name",
        "domain",
        "password",
    ]


def test_a_missing_or_refused_secret_is_named_with_its_place(tmp_path: Path) -> None:
    with echo(wants("nobody", "Basic")) as server:
        path = tmp_path / "profiles.toml"
        path.write_text(
            f'[profiles.p]\nurl = "{server.url}"\n[profiles.p.auth]\nscheme = "basic"\n'
            'user_name = "bob"\npassword = "env:MI_PASSWORD"\n'
        )

        with pytest.raises(SecretUnavailable) as missing:
            Session.from_profile("p", config_file=path, environ={})
        with pytest.raises(LoginRefused) as refused:
            Session.from_profile("p", config_file=path, environ=ENVIRON).get("x")

    assert f"{path}:6:1: profiles.p.auth.password: env:MI_PASSWORD" in missing.value.message
    assert f"{path}:6:1: auth.password" in refused.value.hint


def test_nobody_is_asked_for_a_password_when_something_else_is_missing() -> None:
    asked, terminal = person("x")

    def build(environ: dict[str, str]) -> Session:
        profile = profile_for(NOWHERE, auth={"user_name": ref("env:U"), "password": ref("prompt:")})
        return Session._from_checked(profile, RunContext.of(environ=environ, terminal=terminal))

    with pytest.raises(SecretUnavailable, match=r"^user_name: env:U"):
        build({})
    assert asked == []
    build({"U": "bob"})
    assert asked == ["password of bob at http://localhost:1: "]


def test_a_prompt_without_a_person_is_told_as_such() -> None:
    with pytest.raises(NobodyThere, match="interactive=False"):
        session_for(NOWHERE, auth={"password": ref("prompt:")}, interactive=False)
