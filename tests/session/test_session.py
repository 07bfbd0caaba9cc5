"""A session: how it is built, where its requests go, and what it can tell."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from gatepass._session.exceptions import LoginRefused, Unreachable
from gatepass._session.session import Session
from gatepass.auth import AuthContext, SchemeBase
from gatepass.errors import (
    GatepassError,
    GatepassWarning,
    NobodyThere,
    ProfileError,
    ProfileNotFound,
    SecretUnavailable,
)
from gatepass.sandbox import Server
from gatepass.secrets import ref
from tests.support.echo import Answer, basic, echo, redirects, wants
from tests.support.sessions import (
    ENVIRON,
    NOWHERE,
    PASSWORD,
    USER,
    person,
    profile_for,
    session_for,
)

LOGIN = basic(USER, PASSWORD)

# Building.


def test_a_profile_name_becomes_a_session_that_is_logged_on(
    tmp_path: Path, write: Callable[[Path, str], Path]
) -> None:
    with Server(mode="standalone", users={"CORP\\bob": PASSWORD}) as server:
        profiles = write(
            tmp_path / "p.toml",
            f"""
            [profiles.prod]
            url = "{server.url}"
            [profiles.prod.auth]
            scheme = "credentials"
            user_name = "env:MI_USERNAME"
            password = ["env:NOT_SET", "env:MI_PASSWORD"]
            domain = "CORP"
            """,
        )
        environ = {**ENVIRON, "MI_USERNAME": "bob"}
        mi = Session.from_profile("prod", config_file=profiles, environ=environ)
        answer = mi.get("Health/v2.svc").json()
        result = mi.check()

    assert answer["user"] == "CORP\\bob"
    assert (result.ok, result.status, result.user) == (True, 200, "CORP\\bob")
    assert result.server_configuration == "standalone"
    assert repr(mi) == f"<gatepass.Session 'prod' {server.url} (credentials)>"


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


def test_an_anonymous_session_sends_nothing() -> None:
    with echo() as server, Session(server.url, anonymous=True) as mi:
        assert mi.get("x").ok

    assert server.authorizations == [None]


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


def test_a_url_instead_of_a_profile_name_is_recognised_and_not_repeated() -> None:
    with pytest.raises(ProfileNotFound, match="a URL is not the name of a profile") as caught:
        Session.from_profile(f"https://bob:{PASSWORD}@mi.example.com", environ={})

    assert "gatepass init NAME --url URL" in caught.value.hint
    assert PASSWORD not in str(caught.value)


def test_other_text_instead_of_a_url_is_not_repeated() -> None:
    with pytest.raises(ProfileError, match="not a URL") as caught:
        Session(f"bob:{PASSWORD}@mi.example.com", anonymous=True)

    assert PASSWORD not in str(caught.value)


def test_credentials_over_plain_http_to_another_machine_are_refused() -> None:
    with pytest.raises(ProfileError, match="plain http"):
        Session("http://mi.example.com", user_name=USER, password=PASSWORD)


def test_building_sends_nothing() -> None:
    with echo() as server:
        session_for(server.url)
        session_for(server.url, "credentials")

    assert server.connections == 0


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
        return Session._from_checked(profile, environ=environ, terminal=terminal)

    with pytest.raises(SecretUnavailable, match=r"^user_name: env:U"):
        build({})
    assert asked == []
    build({"U": "bob"})
    assert asked == ["password of bob at http://localhost:1: "]


def test_a_prompt_without_a_person_is_told_as_such() -> None:
    with pytest.raises(NobodyThere, match="interactive=False"):
        session_for(NOWHERE, auth={"password": ref("prompt:")}, interactive=False)


# Addresses.


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("", "/mi/"),
        ("x", "/mi/x"),
        ("/x", "/mi/x"),
        ("//evil.example/x", "/mi//evil.example/x"),
        ("\\\\evil.example\\x", "/mi/%5C%5Cevil.example%5Cx"),
        ("?a=b", "/mi/?a=b"),
        ("#f", "/mi/"),
        ("x?u=https://evil.example/", "/mi/x?u=https://evil.example/"),
        ("/a:b", "/mi/a:b"),
        ("../other", "/other"),
        ("../../../x", "/x"),
        (b"x", "/mi/x"),
    ],
)
def test_a_relative_url_lies_below_the_profiles(url: Any, path: str) -> None:
    with echo() as server:
        session_for(server.url).get(url)

    assert server.paths == [path]
    assert server.authorizations == [LOGIN]


def test_an_absolute_url_is_taken_as_it_is() -> None:
    with echo() as server:
        mi = session_for(server.url)
        mi.get(f"{server.root}/elsewhere", params={"a": "b"})
        mi.get(server.root.upper().replace("HTTP", "http"))

    assert server.paths == ["/elsewhere?a=b", "/"]
    assert server.authorizations == [LOGIN, LOGIN]


@pytest.mark.parametrize(
    "url",
    ["https:evil.example", "http:\\\\evil.example", "ftp://x/", "a:b", "x\ty", "x\r\nHost: y"],
)
def test_a_url_that_may_be_misread_is_refused(url: str) -> None:
    with pytest.raises(requests.exceptions.InvalidURL):
        session_for(NOWHERE).get(url)


# check


def test_check_tells_a_page_that_is_not_there() -> None:
    with echo(lambda _: Answer(404)) as server:
        result = session_for(server.url, check_path="Health/v2.svc").check()

    assert server.paths == ["/mi/Health/v2.svc"]
    assert (result.ok, result.status) == (False, 404)
    assert "check url and check_path" in result.sentence


def test_check_is_not_content_with_the_login_page_of_another_server() -> None:
    with echo() as idp, echo(redirects({"/mi/": f"{idp.root}/login"})) as server:
        result = session_for(server.url).check()

    assert (result.ok, result.status) == (False, 200)
    assert f"redirects to {idp.root}" in result.sentence


def test_a_server_cannot_steer_the_terminal_through_the_result_of_check() -> None:
    with echo(lambda _: Answer(404, reason="\x1b[2Jgone\x9b31m")) as server:
        sentence = session_for(server.url).check().sentence

    assert r"404 \x1b[2Jgone\x9b31m" in sentence


def test_a_redirect_to_something_that_is_no_url_is_an_error_of_requests() -> None:
    malformed = pytest.raises(requests.exceptions.InvalidURL, match="redirects to a malformed URL")
    with echo(redirects({"/mi/x": "http://e[vil/"})) as server, malformed:
        session_for(server.url).get("x")


def test_check_raises_what_a_request_raises() -> None:
    with pytest.raises(Unreachable):
        session_for(NOWHERE, retries=0).check()


# What only some schemes can do.


@pytest.mark.parametrize("name", ["refresh_token", "persist_oidc_token", "login"])
def test_what_the_scheme_cannot_do_is_said(name: str) -> None:
    mi = session_for(NOWHERE)

    assert not hasattr(mi._authenticator, name)
    with pytest.raises(GatepassError, match=f"{name} belongs to the scheme oidc.*uses basic"):
        getattr(mi, name)()


class _Tokens:
    """An auth with all abilities."""

    refresh_token = "rt"

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {len(self.calls)}"
        return request

    def persist_oidc_token(self) -> None:
        self.calls.append("persist")

    def login(self) -> None:
        self.calls.append("login")


def test_what_the_scheme_can_do_is_passed_on_and_a_login_ends_a_refusal() -> None:
    with echo(wants("Bearer 2")) as server:
        mi = session_for(server.url)
        tokens = mi._authenticator = mi._guard._authenticator = _Tokens()
        with pytest.raises(LoginRefused):
            mi.get("x")
        mi.persist_oidc_token()
        mi.login()
        assert mi.get("x").ok

    assert mi.refresh_token == "rt"
    assert tokens.calls == ["persist", "login"]


def test_a_scheme_gets_a_session_without_credentials() -> None:
    contexts: list[AuthContext] = []

    class Looking(SchemeBase):
        def authenticator(self, context: AuthContext) -> Any:
            contexts.append(context)
            return lambda request: request

    profile = profile_for(NOWHERE, "anonymous", headers={"X-Tenant": "t"})
    object.__setattr__(profile, "auth", Looking())
    with echo() as server:
        mi = Session._from_checked(profile, environ={})
        (context,) = contexts
        context.http().get(server.url)
        mi.close()

    assert context.origin == "http://localhost:1"
    assert context.url == NOWHERE
    assert context.http() is context.http()
    assert server.authorizations == [None]
    assert "x-tenant" not in server.seen[0].headers


def test_tls_without_verification_warns_each_time() -> None:
    for _ in range(2):
        with pytest.warns(GatepassWarning, match=r"tls\.verify = false") as warned:
            Session("https://mi.example.com", anonymous=True, tls={"verify": False})
        assert warned[0].filename == __file__


# As requests does it.

_WORDS = st.sampled_from(["X-Team", "x-team", "Accept", "User-Agent", "Cookie", "q"])
_VALUES = st.none() | st.sampled_from(["a", "b"])
_SETTINGS = st.dictionaries(_WORDS, _VALUES, max_size=3)
_PROXIES = st.dictionaries(
    st.sampled_from(["http", "all"]), st.sampled_from(["http://a:1", ""]) | st.none(), max_size=2
)


_PARAMS = _SETTINGS | st.just("x=1")


@given(_SETTINGS, st.none() | _SETTINGS, _PARAMS, st.none() | _PARAMS)
def test_headers_and_params_are_merged_as_requests_merges_them(
    headers: Any, own_headers: Any, params: Any, own_params: Any
) -> None:
    ours, theirs = session_for(NOWHERE, "anonymous"), requests.Session()
    theirs.trust_env = False
    for session in (ours, theirs):
        session.headers.update(headers)
        session.params = params
    own = {"headers": own_headers, "params": own_params}

    found = ours.prepare_request(requests.Request("GET", "x", **own))
    expected = theirs.prepare_request(requests.Request("GET", NOWHERE + "x", **own))

    assert (found.url, found.headers) == (expected.url, expected.headers)
    assert list(found.headers) == list(expected.headers)


@given(_PROXIES, st.none() | _PROXIES)
def test_proxies_are_merged_as_requests_merges_them(session: Any, own: Any) -> None:
    ours, theirs = session_for(NOWHERE, "anonymous"), requests.Session()
    theirs.trust_env = False
    ours.proxies, theirs.proxies = dict(session), dict(session)

    found, expected = (
        dict(each.merge_environment_settings(NOWHERE, own and dict(own), None, None, None))
        for each in (ours, theirs)
    )

    assert found == expected


def test_merged_proxies_are_not_the_sessions_own() -> None:
    """Who prepares a request by hand may add one for that request."""
    session = session_for(NOWHERE, "anonymous")
    session.merge_environment_settings(NOWHERE, {}, None, None, None)["proxies"]["http"] = "x"
    assert session.proxies == {}
