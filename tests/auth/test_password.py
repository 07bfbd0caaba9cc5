"""User name and password, as all password schemes take them."""

from base64 import b64decode
from pathlib import Path

import pytest

from gatepass import Session, load_profile
from gatepass.auth._password import basic_header
from gatepass.errors import GatepassError, ProfileError, SecretUnavailable
from gatepass.sandbox import Server
from gatepass.secrets import Secret, ref
from tests.support.echo import basic, echo, refused, wants
from tests.support.sessions import PASSWORD, USER, session_for


def test_a_pair_of_any_letters_goes_as_utf_8_and_only_the_password_may_hold_a_colon() -> None:
    word, _, encoded = basic_header("zoë", Secret("pä:ss")).reveal().partition(" ")

    assert (word, b64decode(encoded).decode()) == ("Basic", "zoë:pä:ss")
    with pytest.raises(GatepassError, match="colon"):
        basic_header("zo:ë", Secret("x"))


@pytest.mark.parametrize("character", ["\0", "\t", "\n", "\x1f", "\x7f"])
def test_a_control_character_is_refused_and_the_pair_not_repeated(character: str) -> None:
    for name, password in ((f"alice{character}", "hunter2"), ("alice", f"hunter2{character}")):
        with pytest.raises(GatepassError, match="control character") as caught:
            basic_header(name, Secret(password))
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


_TWO_DOMAINS = [(r"CORP\alice", "CORP"), (r"OTHER\alice", "CORP"), ("alice@corp.example", "CORP")]


@pytest.mark.parametrize("scheme", ["basic", "credentials", "ntlm"])
@pytest.mark.parametrize(("user_name", "domain"), _TWO_DOMAINS)
def test_two_domains_in_a_profile_are_refused_at_their_place(
    tmp_path: Path, scheme: str, user_name: str, domain: str
) -> None:
    file = tmp_path / "profiles.toml"
    file.write_text(
        '[profiles.p]\nurl = "https://mi.example.com"\n[profiles.p.auth]\n'
        f"scheme = '{scheme}'\nuser_name = '{user_name}'\ndomain = '{domain}'\n"
        "password = 'env:MI_PASSWORD'\n"
    )
    with pytest.raises(ProfileError, match=r"names a domain itself") as caught:
        load_profile("p", environ={"GATEPASS_CONFIG_FILE": str(file)})

    assert f"{file}:5:1" in str(caught.value)
    assert "without its domain, or take the key domain out" in str(caught.value)


@pytest.mark.parametrize(
    ("user_name", "domain", "key"),
    [
        ("CORP\\", None, "user_name"),
        (r"\alice", None, "user_name"),
        (r"A\B\alice", None, "user_name"),
        ("alice", r"A\B", "domain"),
    ],
)
def test_a_name_with_a_backslash_is_a_domain_and_a_user(
    user_name: str, domain: str | None, key: str
) -> None:
    with pytest.raises(ProfileError, match=rf"{key}: (is not|holds)"):
        Session("https://localhost:1/", user_name=user_name, password="pw", domain=domain)


@pytest.mark.parametrize(("user_name", "domain"), _TWO_DOMAINS)
def test_two_domains_of_keywords_are_refused(user_name: str, domain: str) -> None:
    with pytest.raises(ProfileError, match=r"user_name.*names a domain itself") as caught:
        Session("https://localhost:1/", user_name=user_name, password="pw", domain=domain)

    assert "take the key domain out" in str(caught.value)


@pytest.mark.parametrize("scheme", ["basic", "credentials", "ntlm"])
@pytest.mark.parametrize(("user_name", "domain"), _TWO_DOMAINS)
def test_two_domains_that_references_name_cost_no_attempt(
    scheme: str, user_name: str, domain: str
) -> None:
    password = ref("env:MI_PASSWORD")
    auth = {"user_name": ref("env:NAME"), "password": password, "domain": ref("env:DOMAIN")}
    environ = {"MI_PASSWORD": PASSWORD, "NAME": user_name, "DOMAIN": domain}
    with (
        echo(lambda _: refused("Basic", "NTLM")) as server,
        pytest.raises(GatepassError, match=r"user_name: names a domain itself"),
    ):
        session_for(server.url, scheme, auth=auth, environ=environ).get("x")

    assert set(server.authorizations) <= {None}


def test_a_name_with_its_domain_is_taken_where_domain_is_empty_or_missing() -> None:
    for more in ({}, {"domain": ""}):
        auth = {"user_name": r"CORP\alice", **more}
        with echo(wants(basic(r"CORP\alice", PASSWORD))) as server:
            assert session_for(server.url, "basic", auth=auth).get("x").ok
