"""What is merged and what is not: groups of files, ``extends``, and what voids a login."""

from typing import Any

import pytest

from gatepass._config.unnamed import unnamed_profile
from gatepass.errors import ProfileError
from tests.support.config_files import OPEN, URL, Case, ConfigFiles, one, profile_table, variables

pytestmark = pytest.mark.filterwarnings("error")

_BEARER = 'auth = { scheme = "bearer", token = "env:T" }'
_BASIC = 'auth = { scheme = "basic", user_name = "u", password = "env:P" }'
_PROXY = 'proxy = { url = "http://proxy.test:3128", user_name = "u", password = "env:PP" }'
_MOVED = variables(url="https://evil.test/")


def _oidc(issuer: str = "https://a.test/x") -> str:
    """Return a profile with the two secrets that go to an identity provider."""
    secrets = 'client_secret = "env:C", refresh_token = "env:R"'
    where = f', issuer = "{issuer}"' if issuer else ""
    return one(URL, f'auth = {{ scheme = "oidc", client_id = "c", {secrets}{where} }}')


CASES = {
    "in a group of files tables merge key by key": Case(
        system=one(OPEN, "timeout = 5", 'headers = { X-A = "1", X-B = "1" }'),
        user=one("timeout = 7", 'headers = { X-B = "2" }'),
        has={"timeout": (7, 7), "headers": {"X-A": "1", "X-B": "2"}},
    ),
    "the local file merges over the project's": Case(
        project=one(OPEN, 'description = "shared"', "retries = 1"),
        local=one("retries = 2"),
        has={"description": "shared", "retries": 2},
    ),
    # No secret of the user meets the URL of a project by merging.
    "a profile of a project replaces an own one whole": Case(
        user=one('url = "https://mine.test"', 'headers.X-Mine = "1"', _BEARER),
        project=one('url = "https://theirs.test"'),
        error=r"profiles\.p\.auth: missing",
    ),
    "extends does not cross the groups": Case(
        user=one(OPEN, name="base"),
        project=one('extends = "base"'),
        error=r"gatepass.toml:1:16: profiles\.p\.extends: unknown",
    ),
    "extends takes over keys and the child wins": Case(
        user=one(OPEN, "retries = 1", "protected = true", 'headers.X-A = "1"', name="base")
        + one('extends = "base"', 'headers.X-B = "2"', name="middle")
        + one('extends = "middle"', "retries = 9"),
        has={
            "url": "https://a.test/",
            "retries": 9,
            "headers": {"X-A": "1", "X-B": "2"},
            "protected": True,
            "extends": "middle",
        },
    ),
    "a circle of extends names the chain": Case(
        user=one('extends = "b"') + one('extends = "p"', name="b"), error="p -> b -> p"
    ),
    "extends is set by files only": Case(
        user=one(OPEN) + one(OPEN, name="other"),
        environ=variables(extends="other"),
        error="GATEPASS_PROFILES__P__EXTENDS: .*only a file",
    ),
    "another scheme drops the auth table below": Case(
        system=one(URL, _BEARER), user=one(_BASIC), has={"scheme": "basic"}
    ),
    "the same scheme merges its keys": Case(
        system=one(URL, _BASIC), user=one('auth.user_name = "v"'), has={"auth.user_name": "v"}
    ),
    "a child that changes the scheme drops its parent's auth": Case(
        user=one(URL, _BEARER, name="base") + one('extends = "base"', 'auth.scheme = "anonymous"'),
        has={"scheme": "anonymous"},
    ),
    # A stray variable must not send the profile's password to another server.
    "a variable that moves the url must bring its own auth": Case(
        user=one(URL, _BEARER),
        environ=_MOVED,
        error=r"\AGATEPASS_PROFILES__P__URL: .*moves the profile to another server(?!.*: missing)",
    ),
    "a variable that moves the url may bring its own auth": Case(
        user=one(URL, _BEARER),
        environ=_MOVED | variables(auth__scheme="anonymous"),
        has={"scheme": "anonymous"},
    ),
    "a variable that moves the url inherits no secret with the same scheme": Case(
        user=one(URL, _BEARER),
        environ=_MOVED | variables(auth__scheme="bearer"),
        error="token: missing",
    ),
    "a variable may change the path at the same server": Case(
        user=one(OPEN),
        environ=variables(url="https://A.test:443/two"),
        has={"url": "https://a.test:443/two/"},
    ),
    "an override that moves the url must bring its own auth": Case(
        user=one(OPEN), overrides={"url": "http://a.test/"}, error="overrides: url: moves"
    ),
    "an override that moves the issuer must bring or clear the secrets": Case(
        user=_oidc(),
        overrides={"auth": {"issuer": "https://b.test", "client_secret": "mine"}},
        error=r"overrides: auth\.issuer: moves .* own refresh_token",
    ),
    "an override may move the issuer and clear a secret": Case(
        user=_oidc(),
        overrides={
            "auth": {"issuer": "https://b.test", "client_secret": "mine", "refresh_token": None}
        },
        has={"auth.client_secret": "mine", "auth.refresh_token": None},
    ),
    "an override gets no secret that a variable brought for its own issuer": Case(
        user=_oidc(),
        environ=variables(
            auth__issuer="https://b.test", auth__client_secret="env:B", auth__refresh_token="env:B"
        ),
        overrides={"auth": {"issuer": "https://c.test"}},
        error="own client_secret is not sent there",
    ),
    "an issuer that is cleared first moves all the same": Case(
        system=_oidc(),
        user=one('auth.issuer = ""'),
        overrides={"auth": {"issuer": "https://evil.test"}},
        error="own client_secret is not sent there",
    ),
    "an issuer that is cleared leaves its secrets without one": Case(
        user=_oidc(), overrides={"auth": {"issuer": None}}, error="client_secret: needs issuer"
    ),
    # Where another table of the same files holds the issuer.
    "a secret of a parent does not move with the child's issuer": Case(
        user=_oidc("").replace(".p ", ".parent ")
        + one('extends = "parent"', 'auth.issuer = "https://a.test"'),
        environ=variables(auth__issuer="https://evil.test"),
        error="own client_secret is not sent there",
    ),
    "a last slash does not move an issuer": Case(
        user=_oidc(),
        environ=variables(auth__issuer="https://a.test/x/"),
        has={"auth.issuer": "https://a.test/x/", "auth.client_secret": "env:C"},
    ),
    # As it may give the url: the secret in the file was meant for no other place.
    "a variable may give the issuer where none is written": Case(
        user=_oidc(""),
        environ=variables(auth__issuer="https://a.test"),
        has={"auth.client_secret": "env:C"},
    ),
    "within a group of files the issuer is a key like others": Case(
        project=_oidc(),
        local=one('auth.issuer = "https://b.test"'),
        has={"auth.issuer": "https://b.test", "auth.client_secret": "env:C"},
    ),
    "a moved url with its own auth complains of no issuer": Case(
        user=_oidc(),
        environ=_MOVED | variables(auth__scheme="oidc", auth__issuer="https://b.test"),
        has={"auth.client_secret": None},
    ),
    "a variable that sets another proxy drops the proxy's credentials": Case(
        user=one(OPEN, _PROXY),
        environ=variables(proxy__url="http://evil.test"),
        has={"proxy.url": "http://evil.test", "proxy.password": None},
    ),
    "overrides win over variables": Case(
        user=one(OPEN), environ=variables(retries="1"), overrides={"retries": 2}, has={"retries": 2}
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_is_merged(config: ConfigFiles, case: Case) -> None:
    config.check(case)


def test_a_variable_that_moves_the_issuer_must_bring_each_secret_that_goes_there(
    config: ConfigFiles,
) -> None:
    """A stray variable must not send a client's secret or a token to another provider."""
    config.user(_oidc())
    moved = variables(auth__issuer="https://evil.test/x")
    names = ["client_secret", "refresh_token"]

    while names:
        message = config.refusal(environ=moved)
        assert message.count("GATEPASS_PROFILES__P__AUTH__ISSUER: ") == len(names)
        for name in names:
            assert f"another identity provider, so the profile's own {name} is not sent" in message
            assert f"set auth.{name} in the same place, or add a profile" in message
        moved |= variables(**{f"auth__{names.pop()}": "env:MINE"})

    config.check(Case(environ=moved, has={"auth.issuer": "https://evil.test/x"}))


@pytest.mark.parametrize("name", ["PROXY", "PROXY__URL"])
@pytest.mark.parametrize("by_override", [False, True])
def test_another_proxy_for_the_provider_drops_its_proxys_credentials(
    config: ConfigFiles, name: str, by_override: bool
) -> None:
    """And nothing else: not those of the server's proxy, and no other key of ``auth``."""
    auth = f'auth = {{ scheme = "oidc", issuer = "https://login.test", {_PROXY} }}'
    config.user(one(URL, _PROXY, auth))
    evil = "http://evil.test"
    other: dict[str, Any] = {
        "overrides": {"auth": {"proxy": evil if name == "PROXY" else {"url": evil}}}
    }
    case = Case(
        **(other if by_override else {"environ": variables(**{f"auth__{name}": evil})}),
        has={
            "auth.proxy.url": evil,
            "auth.proxy.user_name": None,
            "auth.proxy.password": None,
            "auth.issuer": "https://login.test",
            "proxy.password": "env:PP",
        },
    )

    config.check(case)
    explained = config.explain(environ=case.environ, overrides=case.overrides).all
    lost = {each.key: each for key in explained.keys for each in key.overrode}
    assert lost["auth.proxy.password"].value == "env:PP"
    assert "another proxy" in lost["auth.proxy.password"].why


# ---------------------------------------------------------------- names that are one


@pytest.mark.parametrize(
    ("lower", "variable", "merged"),
    [
        ({"X-Tenant": "a"}, "X_TENANT", {"X-Tenant": "v"}),
        ({"x-tenant": "a"}, "X_TENANT", {"x-tenant": "v"}),
        ({"X_Tenant": "a", "X-Tenant": "b"}, "X_TENANT", {"X_Tenant": "v", "X-Tenant": "b"}),
        ({"Accept": "a"}, "X_TEAM_NAME", {"Accept": "a", "x-team-name": "v"}),
    ],
)
def test_a_variable_replaces_the_header_that_a_file_has_in_its_spelling(
    config: ConfigFiles, lower: dict[str, str], variable: str, merged: dict[str, str]
) -> None:
    config.user({"profiles": {"p": profile_table(headers=lower)}})
    environ = {f"GATEPASS_PROFILES__P__HEADERS__{variable}": "v"}

    explained = config.explain(environ=environ)

    assert config.load("p", environ=environ).headers == merged
    (key,) = (f"headers.{key}" for key, value in merged.items() if value == "v")
    assert [explained.key(key).location] == list(environ)
    replaced = [lower[name] for name in lower if f"headers.{name}" == key]
    assert [value for value, _, _ in explained.lost(key)] == replaced


def test_headers_of_files_and_overrides_match_without_case(config: ConfigFiles) -> None:
    base = profile_table(headers={"X-A": "1", "X-B": "1", "X-C": "1", "X-D": "1"})
    config.system({"profiles": {"base": base, "p": {"headers": {"x-b": "2"}}}})
    config.user({"profiles": {"p": {"extends": "base", "headers": {"x-C": "3"}}}})

    loaded = config.load("p", overrides={"headers": {"x-d": "4"}})

    assert loaded.headers == {"X-A": "1", "X-B": "2", "X-C": "3", "X-D": "4"}
    assert loaded.place_of("headers", "X-C").endswith("profiles.toml:5:1")


@pytest.mark.parametrize("table", ["extra_params", "token_params"])
def test_parameters_match_exactly_in_files_and_without_case_by_variable(
    config: ConfigFiles, table: str
) -> None:
    """The case of a parameter counts at providers (RFC 6749, section 3.1)."""
    keys = {f"auth__{table}__loginhint": "v", f"auth__{table}__prompt": "w"}
    config.check(
        Case(
            system=one(
                URL, f'auth = {{ scheme = "oidc", {table} = {{ loginHint = "a", Prompt = "a" }} }}'
            ),
            user=one(f'auth.{table}.prompt = "b"'),
            environ=variables(**keys, **{f"auth__{table}__new_one": "x"}),
            has={f"auth.{table}": {"loginHint": "v", "Prompt": "a", "prompt": "w", "new_one": "x"}},
        )
    )


def test_headers_that_meet_in_one_layer_are_an_error_at_the_second(config: ConfigFiles) -> None:
    config.user({"profiles": {"p": profile_table(headers={"X-Team": "a", "x-team": "b"})}})
    with pytest.raises(ProfileError, match=r":9:1: .*x-team: is the same name as X-Team"):
        config.load("p")
    config.user(one(OPEN))
    above = "GATEPASS_PROFILES__P__HEADERS__X"
    with pytest.raises(ProfileError, match=f"{above}_TEAM: .*is the same name as x-team"):
        config.load("p", environ={f"{above}_TEAM": "a", f"{above}-TEAM": "b"})
    with pytest.raises(ProfileError, match="headers.x-a: is the same name as X-A"):
        unnamed_profile("https://a.test", {"scheme": "anonymous"}, headers={"X-A": "a", "x-a": "b"})
