"""What is shown of a profile's values: references as they are written, secrets never."""

from typing import Any

import pytest

from gatepass._config.explain import ExplainedKey, Explanation, explain
from gatepass._config.load import load_profile
from gatepass._config.locations import Locations
from gatepass._config.profile import Profile
from gatepass._config.shown import may_be_shown, table_of
from gatepass._config.unnamed import unnamed_profile
from tests.support.config_files import BEARER, Write


def _load(locations: Locations, **more: Any) -> Profile:
    more.setdefault("environ", {})
    return load_profile("p", locations=locations, **more)


def _key(explained: Explanation, name: str) -> ExplainedKey:
    return next(each for each in explained.keys if each.key == name)


def _lost(explained: Explanation, name: str) -> list[tuple[Any, str, str]]:
    return [(each.value, each.location, each.why) for each in _key(explained, name).overrode]


@pytest.mark.parametrize("name", ["X-Pwd", "x_pass", "X-Api-Keys", "Ocp-Apim-Subscription-Key"])
def test_a_header_that_sounds_like_a_secret_is_not_shown(
    locations: Locations, write: Write, name: str
) -> None:
    write(locations.user, BEARER + f"[profiles.p.headers]\n{name} = 'hunter2'\nX-Author = 'al'\n")

    explained = explain(_load(locations))

    assert "hunter2" not in repr(explained)
    assert _key(explained, "headers.X-Author").value == "al"


def test_a_loser_of_an_unknown_scheme_shows_references_only(
    locations: Locations, write: Write
) -> None:
    write(
        locations.system[0],
        "[profiles.p]\nauth = { scheme = 'saml', user_name = 'hunter2', token = 'env:X' }\n",
    )
    write(locations.user, BEARER)

    explained = explain(_load(locations))

    assert [(each.key, each.value) for each in explained.unused] == [
        ("auth.user_name", "(not shown)")
    ]
    assert [value for value, _, _ in _lost(explained, "auth.token")] == ["env:X"]
    assert "hunter2" not in repr(explained)


def test_no_representation_of_what_is_kept_holds_a_secret(
    locations: Locations, write: Write
) -> None:
    write(locations.user, BEARER + "# hunter2\n")

    profile = _load(locations, overrides={"auth": {"token": "hunter2"}})

    assert "hunter2" not in repr(profile.merged) + repr(profile.key_locations) + repr(
        explain(profile)
    )


def test_a_voided_login_of_the_same_scheme_shows_references_only(
    locations: Locations, write: Write
) -> None:
    """Where the login is voided, its keys may have been meant for anything."""
    write(
        locations.user,
        '[profiles.p]\nurl = "https://a.test/"\n'
        'auth = { scheme = "basic", user_name = "hunter2", password = "env:X" }\n',
    )
    environ = {
        "GATEPASS_PROFILES__P__URL": "https://b.test/",
        "GATEPASS_PROFILES__P__AUTH__SCHEME": "anonymous",
    }

    explained = explain(load_profile("p", environ=environ, locations=locations))

    assert {each.key: each.value for each in explained.unused} == {
        "auth.user_name": "(not shown)",
        "auth.password": "env:X",
    }
    assert "hunter2" not in repr(explained)


def test_the_name_of_a_user_that_is_overridden_is_shown(locations: Locations, write: Write) -> None:
    """It belongs to the scheme that is in effect, whose field says that it is no secret."""
    write(locations.user, BEARER.replace("bearer", "basic").replace("token", "password"))
    overrides = {"auth": {"user_name": "carol"}}
    environ = {"GATEPASS_PROFILES__P__AUTH__USER_NAME": "bob"}

    profile = load_profile("p", environ=environ, overrides=overrides, locations=locations)

    (key,) = (each for each in explain(profile).keys if each.key == "auth.user_name")
    assert (key.value, [each.value for each in key.overrode]) == ("carol", ["bob"])


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
        ("urn:corp:mi", "urn:corp:mi"),
        ("https://a.test/api", "https://a.test/api"),
        ("file://x/y", "file://x/y"),
        ("env:WHO", "env:WHO"),
        ("https://u:hunter2@a.test/api", "https://...@a.test/api"),
    ],
)
@pytest.mark.parametrize("by", ["file", "variable", "loser"])
def test_a_name_with_a_colon_is_shown_as_it_is_written(
    locations: Locations, write: Write, key: str, written: str, shown: str, by: str
) -> None:
    write(locations.user, OIDC + f'{key} = "{written}"\n' * (by != "variable"))
    variable = {f"GATEPASS_PROFILES__P__AUTH__{key.upper()}": written}
    overrides = {"auth": {key: "other"}} if by == "loser" else None
    environ = variable if by == "variable" else {}

    explained = explain(_load(locations, environ=environ, overrides=overrides))

    found = _key(explained, f"auth.{key}")
    assert (found.overrode[0].value if by == "loser" else found.value) == shown


def test_a_name_given_in_python_is_shown_whole(locations: Locations, write: Write) -> None:
    write(locations.user, OIDC)

    profile = _load(locations, overrides={"auth": {"audience": "env:x", "client_id": "a:b"}})

    auth = table_of(profile)["auth"]
    assert (auth["audience"], auth["client_id"]) == ("env:x", "a:b")


def test_a_name_with_a_colon_is_shown_in_a_file_that_was_not_checked() -> None:
    assert may_be_shown(("auth", "audience"), "api://x")
    assert not may_be_shown(("auth", "user_name"), "alice:hunter2")
