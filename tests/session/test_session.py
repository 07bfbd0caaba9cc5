"""A session: how it is built, and where its requests go."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from gatepass._session.exceptions import LoginRefused
from gatepass._session.session import Session
from gatepass._system.context import RunContext
from gatepass.auth import AuthContext, SchemeBase
from gatepass.errors import (
    GatepassError,
    ProfileError,
    ProfileNotFound,
)
from gatepass.sandbox import Server
from tests.support.echo import Answer, basic, echo, wants
from tests.support.sessions import (
    ENVIRON,
    NOWHERE,
    PASSWORD,
    USER,
    profile_for,
    session_for,
)

LOGIN = basic(USER, PASSWORD)


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


def test_a_url_instead_of_a_profile_name_is_recognised_and_not_repeated() -> None:
    with pytest.raises(ProfileNotFound, match="a URL is not the name of a profile") as caught:
        Session.from_profile(f"https://bob:{PASSWORD}@mi.example.com", environ={})

    assert "gatepass init NAME --url URL" in caught.value.hint
    assert PASSWORD not in str(caught.value)


def test_credentials_over_plain_http_to_another_machine_are_refused() -> None:
    with pytest.raises(ProfileError, match="plain http"):
        Session("http://mi.example.com", user_name=USER, password=PASSWORD)


def test_building_sends_nothing() -> None:
    with echo() as server:
        session_for(server.url)
        session_for(server.url, "credentials")

    assert server.connections == 0


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


@pytest.mark.parametrize("follow", [True, False])
@pytest.mark.parametrize("scheme", ["basic", "anonymous"])
@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_a_redirect_whose_body_does_not_end_is_read_no_further(
    scheme: str, coding: str, follow: bool
) -> None:
    """Also one that cannot be decoded, of which requests reads the rest as it comes."""
    headers = [("Location", "y"), ("Content-Encoding", coding)]
    endless = Answer(302, headers, b"x" * 50_000, endless=True)
    with echo(lambda seen: endless if seen.path == "/mi/x" else Answer()) as server:
        answer = session_for(server.url, scheme).get("x", allow_redirects=follow)

    redirect = answer.history[0] if follow else answer
    assert answer.status_code == (200 if follow else 302)
    assert len(redirect.content) == (0 if coding == "gzip" else 1 << 20)


@pytest.mark.parametrize("name", ["refresh_token", "persist_oidc_token"])
def test_what_the_scheme_cannot_do_is_said(name: str) -> None:
    mi = session_for(NOWHERE)

    assert not hasattr(mi._login.authenticator, name)
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
        tokens = _Tokens()
        mi._guard.login = dataclasses.replace(mi._login, authenticator=tokens)
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
        mi = Session._from_checked(profile, RunContext.of(environ={}))
        (context,) = contexts
        context.http().get(server.url)
        mi.close()

    assert context.origin == "http://localhost:1"
    assert context.url == NOWHERE
    assert context.http() is context.http()
    assert server.authorizations == [None]
    assert "x-tenant" not in server.seen[0].headers


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


def test_a_closed_session_can_be_used_again() -> None:
    """Closing also closes what its scheme uses."""
    with echo() as server:
        mi = session_for(server.url)
        for _ in range(2):
            mi.get("x")
            mi._http().get(server.url)
            mi.close()

    assert [seen.connection for seen in server.seen] == [1, 2, 3, 4]
