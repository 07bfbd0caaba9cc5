"""What is merged and what is not: groups of files, ``extends``, and what voids a login."""

from typing import Any

import pytest

from gatepass._config.explain import explain
from gatepass._config.unnamed import unnamed_profile
from gatepass.errors import ProfileError
from tests.support.config_files import ConfigFiles, profile_table

pytestmark = pytest.mark.filterwarnings("error")


def test_within_a_group_tables_merge_key_by_key(config: ConfigFiles) -> None:
    config.system({"profiles": {"p": profile_table(timeout=5, headers={"X-A": "1", "X-B": "1"})}})
    config.user({"profiles": {"p": {"timeout": 7, "headers": {"X-B": "2"}}}})

    loaded = config.load("p")

    assert loaded.timeout == (7, 7)
    assert loaded.headers == {"X-A": "1", "X-B": "2"}


def test_the_local_file_merges_over_the_project_file(config: ConfigFiles) -> None:
    config.in_project({"profiles": {"p": profile_table(description="shared", retries=1)}})
    config.in_project({"profiles": {"p": {"retries": 2}}}, local=True)

    loaded = config.load("p")

    assert (loaded.description, loaded.retries) == ("shared", 2)


def test_a_project_profile_replaces_an_own_one_whole(config: ConfigFiles) -> None:
    """No secret of the user meets the URL of a project by merging."""
    config.user(
        {
            "profiles": {
                "p": {
                    "url": "https://mine.test",
                    "headers": {"X-Mine": "1"},
                    "auth": {"scheme": "bearer", "token": "env:MINE"},
                }
            }
        }
    )
    config.in_project({"profiles": {"p": {"url": "https://theirs.test"}}})

    with pytest.raises(ProfileError, match=r"profiles\.p\.auth: missing"):
        config.load("p")


def test_extends_does_not_cross_the_groups(config: ConfigFiles) -> None:
    config.user({"profiles": {"base": profile_table()}})
    config.in_project({"profiles": {"p": {"extends": "base"}}})

    with pytest.raises(ProfileError, match=r"gatepass.toml:2:1: profiles\.p\.extends: unknown"):
        config.load("p")


def test_extends_takes_over_keys_and_the_child_wins(config: ConfigFiles) -> None:
    config.user(
        {
            "profiles": {
                "base": profile_table(retries=1, protected=True, headers={"X-A": "1"}),
                "middle": {"extends": "base", "headers": {"X-B": "2"}},
                "p": {"extends": "middle", "retries": 9},
            }
        }
    )

    loaded = config.load("p")

    assert loaded.url == "https://a.test/"
    assert loaded.retries == 9
    assert loaded.headers == {"X-A": "1", "X-B": "2"}
    assert loaded.protected
    assert loaded.extends == "middle"


def test_a_circle_of_extends_names_the_chain(config: ConfigFiles) -> None:
    config.user({"profiles": {"a": {"extends": "b"}, "b": {"extends": "a"}}})

    with pytest.raises(ProfileError, match="a -> b -> a"):
        config.load("a")


def test_another_scheme_drops_the_auth_table_below(config: ConfigFiles) -> None:
    config.system(
        {"profiles": {"p": {**profile_table(), "auth": {"scheme": "bearer", "token": "env:T"}}}}
    )
    config.user(
        {"profiles": {"p": {"auth": {"scheme": "basic", "user_name": "u", "password": "env:P"}}}}
    )

    assert config.load("p").scheme == "basic"


def test_the_same_scheme_merges_its_keys(config: ConfigFiles) -> None:
    config.system(
        {
            "profiles": {
                "p": {
                    **profile_table(),
                    "auth": {"scheme": "basic", "user_name": "u", "password": "env:P"},
                }
            }
        }
    )
    config.user({"profiles": {"p": {"auth": {"user_name": "v"}}}})

    assert config.load("p").auth.user_name == "v"  # type: ignore[attr-defined]  # a Basic


def test_a_child_that_changes_the_scheme_drops_the_parents_auth(config: ConfigFiles) -> None:
    config.user(
        {
            "profiles": {
                "base": {**profile_table(), "auth": {"scheme": "bearer", "token": "env:T"}},
                "p": {"extends": "base", "auth": {"scheme": "anonymous"}},
            }
        }
    )

    assert config.load("p").scheme == "anonymous"


def test_a_variable_that_moves_the_url_must_bring_its_own_auth(config: ConfigFiles) -> None:
    """A stray variable must not send the profile's password to another server."""
    config.user(
        {"profiles": {"p": {**profile_table(), "auth": {"scheme": "bearer", "token": "env:T"}}}}
    )
    moved = {"GATEPASS_PROFILES__P__URL": "https://evil.test/"}

    with pytest.raises(ProfileError, match="moves the profile to another server") as caught:
        config.load("p", environ=moved)
    assert [problem.place for problem in caught.value.problems] == ["GATEPASS_PROFILES__P__URL"]
    own = moved | {"GATEPASS_PROFILES__P__AUTH__SCHEME": "anonymous"}
    assert config.load("p", environ=own).scheme == "anonymous"


def test_a_variable_that_moves_the_url_with_the_same_scheme_inherits_no_secret(
    config: ConfigFiles,
) -> None:
    config.user(
        {"profiles": {"p": {**profile_table(), "auth": {"scheme": "bearer", "token": "env:T"}}}}
    )

    with pytest.raises(ProfileError, match=r"token: missing"):
        config.load(
            "p",
            environ={
                "GATEPASS_PROFILES__P__URL": "https://evil.test/",
                "GATEPASS_PROFILES__P__AUTH__SCHEME": "bearer",
            },
        )


def test_a_variable_may_change_the_path_at_the_same_server(config: ConfigFiles) -> None:
    config.user({"profiles": {"p": profile_table("https://a.test/one")}})

    loaded = config.load("p", environ={"GATEPASS_PROFILES__P__URL": "https://A.test:443/two"})

    assert loaded.url == "https://a.test:443/two/"


def test_an_override_that_moves_the_url_must_bring_its_own_auth(config: ConfigFiles) -> None:
    config.user({"profiles": {"p": profile_table()}})

    with pytest.raises(ProfileError, match="overrides: url: moves"):
        config.load("p", overrides={"url": "http://a.test/"})


_ISSUER = "GATEPASS_PROFILES__P__AUTH__ISSUER"


_OF_CLIENT = "GATEPASS_PROFILES__P__AUTH__CLIENT_SECRET"


def at_provider(issuer: str | None = "https://a.test/x", **keys: Any) -> dict[str, Any]:
    """Return a profile with the two secrets that go to an identity provider."""
    written = {} if issuer is None else {"issuer": issuer}
    secrets = {"client_secret": "env:C", "refresh_token": "env:R"}
    return {
        **profile_table(),
        "auth": {"scheme": "oidc", "client_id": "c", **secrets, **written, **keys},
    }


def test_a_variable_that_moves_the_issuer_must_bring_the_secrets_that_go_there(
    config: ConfigFiles,
) -> None:
    """A stray variable must not send a client's secret or a token to another provider."""
    config.user({"profiles": {"p": at_provider()}})
    moved = {_ISSUER: "https://evil.test/x"}

    with pytest.raises(ProfileError) as caught:
        config.load("p", environ=moved)
    assert [problem.place for problem in caught.value.problems] == [_ISSUER] * 2
    message = str(caught.value)
    for name in ("client_secret", "refresh_token"):
        assert (
            f"another identity provider, so the profile's own {name} is not sent there" in message
        )
        assert f"set auth.{name} in the same place, or add a profile" in message
    moved[_OF_CLIENT] = "env:MINE"
    with pytest.raises(ProfileError, match="own refresh_token is not sent there") as caught:
        config.load("p", environ=moved)
    assert len(caught.value.problems) == 1
    moved["GATEPASS_PROFILES__P__AUTH__REFRESH_TOKEN"] = "env:MINE"
    assert config.load("p", environ=moved).auth.issuer == "https://evil.test/x"  # type: ignore[attr-defined]


def test_an_override_that_moves_the_issuer_must_bring_or_clear_them(config: ConfigFiles) -> None:
    config.user({"profiles": {"p": at_provider()}})
    moved: dict[str, Any] = {"issuer": "https://b.test", "client_secret": "mine"}

    with pytest.raises(ProfileError, match=r"overrides: auth\.issuer: moves .* own refresh_token"):
        config.load("p", overrides={"auth": moved})
    loaded = config.load("p", overrides={"auth": {**moved, "refresh_token": None}})

    assert loaded.auth.client_secret.reveal() == "mine"  # type: ignore[attr-defined]


def test_an_override_gets_no_secret_that_a_variable_brought_for_its_own_issuer(
    config: ConfigFiles,
) -> None:
    config.user({"profiles": {"p": at_provider(refresh_token="env:R")}})
    environ = {
        _ISSUER: "https://b.test",
        _OF_CLIENT: "env:B",
        "GATEPASS_PROFILES__P__AUTH__REFRESH_TOKEN": "env:B",
    }

    assert config.load("p", environ=environ).scheme == "oidc"
    with pytest.raises(ProfileError, match="own client_secret is not sent there"):
        config.load("p", environ=environ, overrides={"auth": {"issuer": "https://c.test"}})


def test_an_issuer_that_is_cleared_first_moves_all_the_same(config: ConfigFiles) -> None:
    config.system({"profiles": {"p": at_provider()}})
    config.user({"profiles": {"p": {"auth": {"issuer": ""}}}})

    with pytest.raises(ProfileError, match="own client_secret is not sent there"):
        config.load("p", overrides={"auth": {"issuer": "https://evil.test"}})
    with pytest.raises(ProfileError, match="client_secret: needs issuer"):
        config.load("p", overrides={"auth": {"issuer": None}})


def test_a_secret_of_a_parent_does_not_move_with_the_childs_issuer(config: ConfigFiles) -> None:
    """Where another table of the same files holds the issuer."""
    parent = at_provider(issuer=None)
    child = {"extends": "parent", "auth": {"issuer": "https://a.test"}}
    config.user({"profiles": {"parent": parent, "p": child}})

    assert config.load("p").scheme == "oidc"
    with pytest.raises(ProfileError, match="own client_secret is not sent there"):
        config.load("p", environ={_ISSUER: "https://evil.test"})


@pytest.mark.parametrize("issuer", ["https://a.test/x", "https://a.test/x/"])
def test_the_same_issuer_with_or_without_a_last_slash_is_not_moved(
    config: ConfigFiles, issuer: str
) -> None:
    config.user({"profiles": {"p": at_provider()}})

    assert config.load("p", environ={_ISSUER: issuer}).auth.issuer == issuer  # type: ignore[attr-defined]


def test_a_variable_may_give_the_issuer_where_none_is_written(config: ConfigFiles) -> None:
    """As it may give the url: the secret in the file was meant for no other place."""
    config.user({"profiles": {"p": at_provider(issuer=None)}})

    assert config.load("p", environ={_ISSUER: "https://a.test"}).scheme == "oidc"


def test_within_a_group_of_files_the_issuer_is_a_key_like_others(config: ConfigFiles) -> None:
    config.in_project({"profiles": {"p": at_provider()}})
    config.in_project({"profiles": {"p": {"auth": {"issuer": "https://b.test"}}}}, local=True)

    assert config.load("p").auth.issuer == "https://b.test"  # type: ignore[attr-defined]


def test_a_moved_url_with_its_own_auth_complains_of_no_issuer(config: ConfigFiles) -> None:
    config.user({"profiles": {"p": at_provider()}})
    environ = {
        "GATEPASS_PROFILES__P__URL": "https://b.test/",
        "GATEPASS_PROFILES__P__AUTH__SCHEME": "oidc",
        _ISSUER: "https://b.test",
    }

    loaded = config.load("p", environ=environ)

    assert loaded.auth.client_secret is None  # type: ignore[attr-defined]


def test_a_variable_that_sets_another_proxy_drops_the_proxys_credentials(
    config: ConfigFiles,
) -> None:
    proxy = {"url": "http://proxy.test:3128", "user_name": "u", "password": "env:PP"}
    config.user({"profiles": {"p": profile_table(proxy=proxy)}})

    loaded = config.load("p", environ={"GATEPASS_PROFILES__P__PROXY__URL": "http://evil.test"})

    assert loaded.proxy is not None
    assert (loaded.proxy.url, loaded.proxy.password) == ("http://evil.test", None)


@pytest.mark.parametrize("name", ["PROXY", "PROXY__URL"])
@pytest.mark.parametrize("by_override", [False, True])
def test_another_proxy_for_the_provider_drops_its_proxys_credentials(
    config: ConfigFiles, name: str, by_override: bool
) -> None:
    """And nothing else: not those of the server's proxy, and no other key of ``auth``."""
    proxy = {"url": "http://proxy.test:3128", "user_name": "u", "password": "env:PP"}
    auth = {"scheme": "oidc", "issuer": "https://login.test", "proxy": proxy}
    config.user({"profiles": {"p": profile_table(proxy=proxy, auth=auth)}})
    evil = "http://evil.test"
    other = {"auth": {"proxy": {"url": evil} if name == "PROXY__URL" else evil}}

    loaded: Any = (
        config.load("p", overrides=other)
        if by_override
        else config.load("p", environ={f"GATEPASS_PROFILES__P__AUTH__{name}": evil})
    )

    assert (loaded.auth.proxy.url, loaded.auth.proxy.user_name) == (evil, None)
    assert loaded.auth.proxy.password is None
    assert loaded.auth.issuer == "https://login.test"
    assert str(loaded.proxy.password) == "env:PP"
    explained = explain(loaded)
    lost = {each.key: each for key in explained.keys for each in key.overrode}
    assert lost["auth.proxy.password"].value == "env:PP"
    assert "another proxy" in lost["auth.proxy.password"].why


def test_overrides_win_over_variables(config: ConfigFiles) -> None:
    config.user({"profiles": {"p": profile_table()}})

    loaded = config.load(
        "p", environ={"GATEPASS_PROFILES__P__RETRIES": "1"}, overrides={"retries": 2}
    )

    assert loaded.retries == 2


def test_extends_is_set_by_files_only(config: ConfigFiles) -> None:
    config.user({"profiles": {"p": profile_table(), "other": profile_table()}})

    with pytest.raises(ProfileError, match="GATEPASS_PROFILES__P__EXTENDS: .*only a file"):
        config.load("p", environ={"GATEPASS_PROFILES__P__EXTENDS": "other"})


# ---------------------------------------------------------------- names that are one


@pytest.mark.parametrize(
    ("lower", "variable", "merged"),
    [
        ({"X-Tenant": "a"}, "X_TENANT", {"X-Tenant": "v"}),
        ({"x-tenant": "a"}, "X_TENANT", {"x-tenant": "v"}),
        ({"X_Tenant": "a"}, "X_TENANT", {"X_Tenant": "v"}),
        ({"X_Tenant": "a", "X-Tenant": "b"}, "X_TENANT", {"X_Tenant": "v", "X-Tenant": "b"}),
        ({"Accept": "a"}, "X_TEAM_NAME", {"Accept": "a", "x-team-name": "v"}),
        ({"Accept": "a"}, "ACCEPT", {"Accept": "v"}),
    ],
)
def test_a_variable_replaces_the_header_that_a_file_has_in_its_spelling(
    config: ConfigFiles, lower: dict[str, str], variable: str, merged: dict[str, str]
) -> None:
    config.user({"profiles": {"p": profile_table(headers=lower)}})
    variable = f"GATEPASS_PROFILES__P__HEADERS__{variable}"

    loaded = config.load("p", environ={variable: "v"})

    assert loaded.headers == merged
    (key,) = [key for key, value in merged.items() if value == "v"]
    assert loaded.place_of("headers", key) == variable
    explained = {each.key: each for each in explain(loaded).keys}
    lost = explained[f"headers.{key}"].overrode
    assert [each.value for each in lost] == ([lower[key]] if key in lower else [])


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
    auth = {"scheme": "oidc", table: {"loginHint": "a", "Prompt": "a"}}
    config.system({"profiles": {"p": profile_table(auth=auth)}})
    config.user({"profiles": {"p": {"auth": {table: {"prompt": "b"}}}}})
    above = f"GATEPASS_PROFILES__P__AUTH__{table.upper()}__"

    loaded: Any = config.load(
        "p", environ={above + "LOGINHINT": "v", above + "PROMPT": "w", above + "NEW_ONE": "x"}
    )

    assert getattr(loaded.auth, table) == {
        "loginHint": "v", "Prompt": "a", "prompt": "w", "new_one": "x",
    }  # fmt: skip


def test_headers_that_meet_in_one_layer_are_an_error_at_the_second(config: ConfigFiles) -> None:
    config.user({"profiles": {"p": profile_table(headers={"X-Team": "a", "x-team": "b"})}})

    with pytest.raises(ProfileError, match=r":9:1: .*x-team: is the same name as X-Team"):
        config.load("p")
    config.user({"profiles": {"p": profile_table()}})
    above = "GATEPASS_PROFILES__P__HEADERS__X"
    with pytest.raises(ProfileError, match=f"{above}_TEAM: .*is the same name as x-team"):
        config.load("p", environ={f"{above}_TEAM": "a", f"{above}-TEAM": "b"})
    with pytest.raises(ProfileError, match="headers.x-a: is the same name as X-A"):
        unnamed_profile("https://a.test", {"scheme": "anonymous"}, headers={"X-A": "a", "x-a": "b"})
