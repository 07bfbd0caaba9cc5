"""What is shown of a profile's values: references as they are written, secrets never."""

import pytest

from gatepass._config.explain import explain
from gatepass._config.shown import may_be_shown, table_of
from gatepass._config.unnamed import unnamed_profile
from tests.support.config_files import BEARER, ConfigFiles, one, variables


@pytest.mark.parametrize("name", ["X-Pwd", "x_pass", "X-Api-Keys", "Ocp-Apim-Subscription-Key"])
def test_a_header_that_sounds_like_a_secret_is_not_shown(config: ConfigFiles, name: str) -> None:
    config.user(BEARER + f"[profiles.p.headers]\n{name} = 'hunter2'\nX-Author = 'al'\n")

    explained = config.explain()

    assert "hunter2" not in repr(explained.all)
    assert explained.key("headers.X-Author").value == "al"


def test_a_loser_of_an_unknown_scheme_shows_references_only(config: ConfigFiles) -> None:
    config.system(one("auth = { scheme = 'saml', user_name = 'hunter2', token = 'env:X' }"))
    config.user(BEARER)

    explained = config.explain()

    assert explained.unused == [("auth.user_name", "(not shown)")]
    assert [value for value, _, _ in explained.lost("auth.token")] == ["env:X"]
    assert "hunter2" not in repr(explained.all)


def test_no_representation_of_what_is_kept_holds_a_secret(config: ConfigFiles) -> None:
    config.user(BEARER + "# hunter2\n")

    profile = config.load("p", overrides={"auth": {"token": "hunter2"}})

    for kept in (profile.merged, profile.key_locations, explain(profile)):
        assert "hunter2" not in repr(kept)


def test_the_name_of_a_user_that_is_overridden_is_shown(config: ConfigFiles) -> None:
    """It belongs to the scheme that is in effect, whose field says that it is no secret."""
    config.user(BEARER.replace("bearer", "basic").replace("token", "password"))
    overrides = {"auth": {"user_name": "carol"}}

    explained = config.explain(environ=variables(auth__user_name="bob"), overrides=overrides)

    assert explained.key("auth.user_name").value == "carol"
    assert [value for value, _, _ in explained.lost("auth.user_name")] == ["bob"]


def test_a_profile_without_files_has_a_table_too() -> None:
    auth = {"scheme": "basic", "user_name": "u", "password": "hunter2"}

    table = table_of(unnamed_profile("https://a.test/", auth, timeout=5))

    assert table == {
        "url": "https://a.test/",
        "auth": {"scheme": "basic", "user_name": "u", "password": "Secret(...)"},
        "timeout": 5,
    }


OIDC = (
    '[profiles.p]\nurl = "https://a.test/"\n[profiles.p.auth]\nscheme = "oidc"\n'
    'issuer = "https://id.test/"\n'
)


@pytest.mark.parametrize("key", ["audience", "client_id"])
@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("api://x", "api://x"),
        ("https://a.test/api", "https://a.test/api"),
        ("env:WHO", "env:WHO"),
        ("https://u:hunter2@a.test/api", "https://...@a.test/api"),
    ],
)
@pytest.mark.parametrize("by", ["file", "variable", "loser"])
def test_a_name_with_a_colon_is_shown_as_it_is_written(
    config: ConfigFiles, key: str, written: str, shown: str, by: str
) -> None:
    config.user(OIDC + f'{key} = "{written}"\n' * (by != "variable"))
    overrides = {"auth": {key: "other"}} if by == "loser" else None
    environ = variables(**{f"auth__{key}": written}) if by == "variable" else {}

    explained = config.explain(environ=environ, overrides=overrides)

    found = explained.key(f"auth.{key}")
    assert (found.overrode[0].value if by == "loser" else found.value) == shown


def test_a_name_given_in_python_is_shown_whole(config: ConfigFiles) -> None:
    config.user(OIDC)

    profile = config.load("p", overrides={"auth": {"audience": "env:x", "client_id": "a:b"}})

    auth = table_of(profile)["auth"]
    assert (auth["audience"], auth["client_id"]) == ("env:x", "a:b")


def test_a_name_with_a_colon_is_shown_in_a_file_that_was_not_checked() -> None:
    assert may_be_shown(("auth", "audience"), "api://x")
    assert not may_be_shown(("auth", "user_name"), "alice:hunter2")
