"""User name and password, as all password schemes take them."""

from base64 import b64decode

import pytest

from gatepass.auth._password import basic_header
from gatepass.errors import GatepassError, SecretUnavailable
from gatepass.sandbox import Server
from gatepass.secrets import ref
from tests.support.sessions import PASSWORD, USER, session_for


def test_a_pair_of_any_letters_goes_as_utf_8_and_only_the_password_may_hold_a_colon() -> None:
    word, _, encoded = basic_header("zoë", "pä:ss").partition(" ")

    assert (word, b64decode(encoded).decode()) == ("Basic", "zoë:pä:ss")
    with pytest.raises(GatepassError, match="colon"):
        basic_header("zo:ë", "x")


@pytest.mark.parametrize("character", ["\0", "\t", "\n", "\x1f", "\x7f"])
def test_a_control_character_is_refused_and_the_pair_not_repeated(character: str) -> None:
    for pair in ((f"alice{character}", "hunter2"), ("alice", f"hunter2{character}")):
        with pytest.raises(GatepassError, match="control character") as caught:
            basic_header(*pair)
        assert "hunter2" not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize("scheme", ["basic", "credentials", "ntlm"])
def test_a_domain_stands_before_the_name_as_windows_writes_it(scheme: str) -> None:
    mode = "windows" if scheme == "ntlm" else "standalone"
    password = ref("env:MI_PASSWORD")
    auth = {"user_name": USER, "password": password, "domain": ref("env:DOMAIN")}
    environ = {"MI_PASSWORD": PASSWORD, "DOMAIN": "CORP"}
    with Server(mode=mode, users={rf"CORP\{USER}": PASSWORD}) as server:
        mi = session_for(server.url, scheme, auth=auth, environ=environ)

        assert mi.get("Health/v2.svc").json()["user"] == rf"CORP\{USER}"


def test_all_that_is_missing_of_a_login_is_told_at_once() -> None:
    auth = {"user_name": ref("env:NAME"), "domain": ref("env:DOMAIN")}
    with pytest.raises(SecretUnavailable) as caught:
        session_for("http://localhost:1/", "basic", auth=auth, environ={})

    for name in ("NAME", "DOMAIN", "MI_PASSWORD"):
        assert f"{name} is not set" in str(caught.value)
