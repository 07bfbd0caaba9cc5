"""Files, variables and arguments: what is merged, what is not, and who wins."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from gatepass._config import files, layer, merge
from gatepass._config.explain import explain
from gatepass._config.layer import Layers
from gatepass._config.layers import read_layers
from gatepass._config.load import load_profile
from gatepass._config.locations import Locations
from gatepass._config.profile import Profile
from gatepass._config.trust import TrustStore
from gatepass.errors import GatepassWarning, ProfileError, ProfileNotFound

Write = Callable[[Path, str | bytes], Path]

pytestmark = pytest.mark.filterwarnings("error")


def profile(url: str = "https://a.test/", **keys: Any) -> dict[str, Any]:
    return {"url": url, "auth": {"scheme": "anonymous"}, **keys}


class World:
    """Writes the files of a test and loads from them."""

    def __init__(self, locations: Locations, write: Write) -> None:
        self.locations = locations
        self._write = write
        assert locations.working is not None
        self.project = locations.working / "gatepass.toml"
        self.local = locations.working / "gatepass.local.toml"

    def system(self, text: str | dict[str, Any]) -> Path:
        return self._file(self.locations.system[0], text)

    def user(self, text: str | dict[str, Any]) -> Path:
        return self._file(self.locations.user, text)

    def in_project(self, text: str | dict[str, Any], *, local: bool = False) -> Path:
        path = self._file(self.local if local else self.project, text)
        file = files.read_file(path)
        assert file is not None
        TrustStore(self.locations.state).add(file)
        return path

    def _file(self, path: Path, text: str | dict[str, Any]) -> Path:
        return self._write(path, text if isinstance(text, str) else tomli_w.dumps(text))

    def load(self, name: str | None = None, **more: Any) -> Profile:
        more.setdefault("environ", {})
        return load_profile(name, locations=self.locations, **more)

    def layers(self, **environ: str) -> Layers:
        return read_layers(
            config_file=None, overrides=None, environ=environ, locations=self.locations
        )


@pytest.fixture
def world(locations: Locations, write: Write) -> World:
    return World(locations, write)


# ------------------------------------------------------------- merging


def test_within_a_group_tables_merge_key_by_key(world: World) -> None:
    world.system({"profiles": {"p": profile(timeout=5, headers={"X-A": "1", "X-B": "1"})}})
    world.user({"profiles": {"p": {"timeout": 7, "headers": {"X-B": "2"}}}})

    loaded = world.load("p")

    assert loaded.timeout == (7, 7)
    assert loaded.headers == {"X-A": "1", "X-B": "2"}


def test_the_local_file_merges_over_the_project_file(world: World) -> None:
    world.in_project({"profiles": {"p": profile(description="shared", retries=1)}})
    world.in_project({"profiles": {"p": {"retries": 2}}}, local=True)

    loaded = world.load("p")

    assert (loaded.description, loaded.retries) == ("shared", 2)


def test_a_project_profile_replaces_an_own_one_whole(world: World) -> None:
    """No secret of the user meets the URL of a project by merging."""
    world.user(
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
    world.in_project({"profiles": {"p": {"url": "https://theirs.test"}}})

    with pytest.raises(ProfileError, match=r"profiles\.p\.auth: missing"):
        world.load("p")


def test_extends_does_not_cross_the_groups(world: World) -> None:
    world.user({"profiles": {"base": profile()}})
    world.in_project({"profiles": {"p": {"extends": "base"}}})

    with pytest.raises(ProfileError, match=r"gatepass.toml:2:1: profiles\.p\.extends: unknown"):
        world.load("p")


def test_extends_takes_over_keys_and_the_child_wins(world: World) -> None:
    world.user(
        {
            "profiles": {
                "base": profile(retries=1, protected=True, headers={"X-A": "1"}),
                "middle": {"extends": "base", "headers": {"X-B": "2"}},
                "p": {"extends": "middle", "retries": 9},
            }
        }
    )

    loaded = world.load("p")

    assert loaded.url == "https://a.test/"
    assert loaded.retries == 9
    assert loaded.headers == {"X-A": "1", "X-B": "2"}
    assert loaded.protected
    assert loaded.extends == "middle"


def test_a_circle_of_extends_names_the_chain(world: World) -> None:
    world.user({"profiles": {"a": {"extends": "b"}, "b": {"extends": "a"}}})

    with pytest.raises(ProfileError, match="a -> b -> a"):
        world.load("a")


def test_another_scheme_drops_the_auth_table_below(world: World) -> None:
    world.system({"profiles": {"p": {**profile(), "auth": {"scheme": "bearer", "token": "env:T"}}}})
    world.user(
        {"profiles": {"p": {"auth": {"scheme": "basic", "user_name": "u", "password": "env:P"}}}}
    )

    assert world.load("p").scheme == "basic"


def test_the_same_scheme_merges_its_keys(world: World) -> None:
    world.system(
        {
            "profiles": {
                "p": {
                    **profile(),
                    "auth": {"scheme": "basic", "user_name": "u", "password": "env:P"},
                }
            }
        }
    )
    world.user({"profiles": {"p": {"auth": {"user_name": "v"}}}})

    assert world.load("p").auth.user_name == "v"  # type: ignore[attr-defined]  # a Basic


def test_a_child_that_changes_the_scheme_drops_the_parents_auth(world: World) -> None:
    world.user(
        {
            "profiles": {
                "base": {**profile(), "auth": {"scheme": "bearer", "token": "env:T"}},
                "p": {"extends": "base", "auth": {"scheme": "anonymous"}},
            }
        }
    )

    assert world.load("p").scheme == "anonymous"


# ------------------------------------------------------------- variables and arguments


def test_a_variable_overrides_one_key_of_the_chosen_profile(world: World) -> None:
    world.user({"profiles": {"my-prod": profile()}})

    loaded = world.load("my-prod", environ={"GATEPASS_PROFILES__MY_PROD__TIMEOUT": "5"})

    assert loaded.timeout == (5, 5)


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("retries", "7", 7),
        ("protected", "true", True),
        ("protected", "0", False),
        ("timeout", "2.5", (2.5, 2.5)),
        ("description", "12", "12"),
        ("proxy", "none", None),
    ],
)
def test_variables_are_strings_and_checked_leniently(
    world: World, key: str, text: str, expected: object
) -> None:
    world.user({"profiles": {"p": profile()}})

    loaded = world.load("p", environ={f"GATEPASS_PROFILES__P__{key.upper()}": text})

    value = getattr(loaded, key)
    assert (value.url if key == "proxy" else value) == (text if key == "proxy" else expected)


def test_toml_is_checked_strictly(world: World) -> None:
    world.user({"profiles": {"p": profile(retries="7", protected="true")}})

    with pytest.raises(ProfileError) as caught:
        world.load("p")

    assert {problem.key for problem in caught.value.problems} == {
        "profiles.p.retries",
        "profiles.p.protected",
    }


def test_a_wrong_variable_is_named(world: World) -> None:
    world.user({"profiles": {"p": profile()}})

    with pytest.raises(ProfileError, match=r"GATEPASS_PROFILES__P__RETRIES: .*integer"):
        world.load("p", environ={"GATEPASS_PROFILES__P__RETRIES": "many"})


def test_a_secret_field_in_a_variable_is_a_reference_too(world: World) -> None:
    world.user({"profiles": {"p": {**profile(), "auth": {"scheme": "bearer", "token": "env:T"}}}})
    variable = "GATEPASS_PROFILES__P__AUTH__TOKEN"

    assert str(world.load("p", environ={variable: "file:/x"}).auth.token) == "file:/x"  # type: ignore[attr-defined]
    with pytest.raises(ProfileError, match=variable) as caught:
        world.load("p", environ={variable: "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_a_variable_that_moves_the_url_must_bring_its_own_auth(world: World) -> None:
    """A stray variable must not send the profile's password to another server."""
    world.user({"profiles": {"p": {**profile(), "auth": {"scheme": "bearer", "token": "env:T"}}}})
    moved = {"GATEPASS_PROFILES__P__URL": "https://evil.test/"}

    with pytest.raises(ProfileError, match="moves the profile to another server") as caught:
        world.load("p", environ=moved)
    assert [problem.place for problem in caught.value.problems] == ["GATEPASS_PROFILES__P__URL"]
    own = moved | {"GATEPASS_PROFILES__P__AUTH__SCHEME": "anonymous"}
    assert world.load("p", environ=own).scheme == "anonymous"


def test_a_variable_that_moves_the_url_with_the_same_scheme_inherits_no_secret(
    world: World,
) -> None:
    world.user({"profiles": {"p": {**profile(), "auth": {"scheme": "bearer", "token": "env:T"}}}})

    with pytest.raises(ProfileError, match=r"token: missing"):
        world.load(
            "p",
            environ={
                "GATEPASS_PROFILES__P__URL": "https://evil.test/",
                "GATEPASS_PROFILES__P__AUTH__SCHEME": "bearer",
            },
        )


def test_a_variable_may_change_the_path_at_the_same_server(world: World) -> None:
    world.user({"profiles": {"p": profile("https://a.test/one")}})

    loaded = world.load("p", environ={"GATEPASS_PROFILES__P__URL": "https://A.test:443/two"})

    assert loaded.url == "https://a.test:443/two/"


def test_an_override_that_moves_the_url_must_bring_its_own_auth(world: World) -> None:
    world.user({"profiles": {"p": profile()}})

    with pytest.raises(ProfileError, match="overrides: url: moves"):
        world.load("p", overrides={"url": "http://a.test/"})


_ISSUER = "GATEPASS_PROFILES__P__AUTH__ISSUER"
_OF_CLIENT = "GATEPASS_PROFILES__P__AUTH__CLIENT_SECRET"


def at_provider(issuer: str | None = "https://a.test/x", **keys: Any) -> dict[str, Any]:
    """Return a profile with the two secrets that go to an identity provider."""
    written = {} if issuer is None else {"issuer": issuer}
    secrets = {"client_secret": "env:C", "refresh_token": "env:R"}
    return {**profile(), "auth": {"scheme": "oidc", "client_id": "c", **secrets, **written, **keys}}


def test_a_variable_that_moves_the_issuer_must_bring_the_secrets_that_go_there(
    world: World,
) -> None:
    """A stray variable must not send a client's secret or a token to another provider."""
    world.user({"profiles": {"p": at_provider()}})
    moved = {_ISSUER: "https://evil.test/x"}

    with pytest.raises(ProfileError) as caught:
        world.load("p", environ=moved)
    assert [problem.place for problem in caught.value.problems] == [_ISSUER] * 2
    told = str(caught.value)
    for name in ("client_secret", "refresh_token"):
        assert f"another identity provider, so the profile's own {name} is not sent there" in told
        assert f"set auth.{name} in the same place, or add a profile" in told
    moved[_OF_CLIENT] = "env:MINE"
    with pytest.raises(ProfileError, match="own refresh_token is not sent there") as caught:
        world.load("p", environ=moved)
    assert len(caught.value.problems) == 1
    moved["GATEPASS_PROFILES__P__AUTH__REFRESH_TOKEN"] = "env:MINE"
    assert world.load("p", environ=moved).auth.issuer == "https://evil.test/x"  # type: ignore[attr-defined]


def test_an_override_that_moves_the_issuer_must_bring_or_clear_them(world: World) -> None:
    world.user({"profiles": {"p": at_provider()}})
    moved: dict[str, Any] = {"issuer": "https://b.test", "client_secret": "mine"}

    with pytest.raises(ProfileError, match=r"overrides: auth\.issuer: moves .* own refresh_token"):
        world.load("p", overrides={"auth": moved})
    loaded = world.load("p", overrides={"auth": {**moved, "refresh_token": None}})

    assert loaded.auth.client_secret.reveal() == "mine"  # type: ignore[attr-defined]


def test_an_override_gets_no_secret_that_a_variable_brought_for_its_own_issuer(
    world: World,
) -> None:
    world.user({"profiles": {"p": at_provider(refresh_token="env:R")}})
    environ = {
        _ISSUER: "https://b.test",
        _OF_CLIENT: "env:B",
        "GATEPASS_PROFILES__P__AUTH__REFRESH_TOKEN": "env:B",
    }

    assert world.load("p", environ=environ).scheme == "oidc"
    with pytest.raises(ProfileError, match="own client_secret is not sent there"):
        world.load("p", environ=environ, overrides={"auth": {"issuer": "https://c.test"}})


def test_an_issuer_that_is_cleared_first_moves_all_the_same(world: World) -> None:
    world.user({"profiles": {"p": at_provider()}})

    with pytest.raises(ProfileError, match="own client_secret is not sent there"):
        world.load("p", environ={_ISSUER: ""}, overrides={"auth": {"issuer": "https://evil.test"}})
    with pytest.raises(ProfileError, match="client_secret: needs issuer"):
        world.load("p", environ={_ISSUER: ""})


def test_a_secret_of_a_parent_does_not_move_with_the_childs_issuer(world: World) -> None:
    """Where another table of the same files holds the issuer."""
    parent = at_provider(issuer=None)
    child = {"extends": "parent", "auth": {"issuer": "https://a.test"}}
    world.user({"profiles": {"parent": parent, "p": child}})

    assert world.load("p").scheme == "oidc"
    with pytest.raises(ProfileError, match="own client_secret is not sent there"):
        world.load("p", environ={_ISSUER: "https://evil.test"})


@pytest.mark.parametrize("issuer", ["https://a.test/x", "https://a.test/x/"])
def test_the_same_issuer_with_or_without_a_last_slash_is_not_moved(
    world: World, issuer: str
) -> None:
    world.user({"profiles": {"p": at_provider()}})

    assert world.load("p", environ={_ISSUER: issuer}).auth.issuer == issuer  # type: ignore[attr-defined]


def test_a_variable_may_give_the_issuer_where_none_is_written(world: World) -> None:
    """As it may give the url: the secret in the file was meant for no other place."""
    world.user({"profiles": {"p": at_provider(issuer=None)}})

    assert world.load("p", environ={_ISSUER: "https://a.test"}).scheme == "oidc"


def test_within_a_group_of_files_the_issuer_is_a_key_like_others(world: World) -> None:
    world.in_project({"profiles": {"p": at_provider()}})
    world.in_project({"profiles": {"p": {"auth": {"issuer": "https://b.test"}}}}, local=True)

    assert world.load("p").auth.issuer == "https://b.test"  # type: ignore[attr-defined]


def test_a_moved_url_with_its_own_auth_complains_of_no_issuer(world: World) -> None:
    world.user({"profiles": {"p": at_provider()}})
    environ = {
        "GATEPASS_PROFILES__P__URL": "https://b.test/",
        "GATEPASS_PROFILES__P__AUTH__SCHEME": "oidc",
        _ISSUER: "https://b.test",
    }

    loaded = world.load("p", environ=environ)

    assert loaded.auth.client_secret is None  # type: ignore[attr-defined]


def test_a_variable_that_sets_another_proxy_drops_the_proxys_credentials(world: World) -> None:
    proxy = {"url": "http://proxy.test:3128", "user_name": "u", "password": "env:PP"}
    world.user({"profiles": {"p": profile(proxy=proxy)}})

    loaded = world.load("p", environ={"GATEPASS_PROFILES__P__PROXY__URL": "http://evil.test"})

    assert loaded.proxy is not None
    assert (loaded.proxy.url, loaded.proxy.password) == ("http://evil.test", None)


@pytest.mark.parametrize("name", ["PROXY", "PROXY__URL"])
@pytest.mark.parametrize("by_override", [False, True])
def test_another_proxy_for_the_provider_drops_its_proxys_credentials(
    world: World, name: str, by_override: bool
) -> None:
    """And nothing else: not those of the server's proxy, and no other key of ``auth``."""
    proxy = {"url": "http://proxy.test:3128", "user_name": "u", "password": "env:PP"}
    auth = {"scheme": "oidc", "issuer": "https://login.test", "proxy": proxy}
    world.user({"profiles": {"p": profile(proxy=proxy, auth=auth)}})
    evil = "http://evil.test"
    other = {"auth": {"proxy": {"url": evil} if name == "PROXY__URL" else evil}}

    loaded: Any = (
        world.load("p", overrides=other)
        if by_override
        else world.load("p", environ={f"GATEPASS_PROFILES__P__AUTH__{name}": evil})
    )

    assert (loaded.auth.proxy.url, loaded.auth.proxy.user_name) == (evil, None)
    assert loaded.auth.proxy.password is None
    assert loaded.auth.issuer == "https://login.test"
    assert str(loaded.proxy.password) == "env:PP"
    told = explain(loaded)
    lost = {each.key: each for key in told.keys for each in key.overrode}
    assert lost["auth.proxy.password"].value == "env:PP"
    assert "another proxy" in lost["auth.proxy.password"].why


def test_a_variable_for_the_providers_certificates_is_read_leniently(world: World) -> None:
    world.user({"profiles": {"p": profile(auth={"scheme": "oidc"})}})

    loaded: Any = world.load("p", environ={"GATEPASS_PROFILES__P__AUTH__TLS__VERIFY": "false"})

    assert loaded.auth.tls.verify is False
    assert loaded.tls.verify is True


def test_overrides_win_over_variables(world: World) -> None:
    world.user({"profiles": {"p": profile()}})

    loaded = world.load(
        "p", environ={"GATEPASS_PROFILES__P__RETRIES": "1"}, overrides={"retries": 2}
    )

    assert loaded.retries == 2


def test_a_text_in_overrides_is_the_secret_itself_and_does_not_print(world: World) -> None:
    world.user({"profiles": {"p": {**profile(), "auth": {"scheme": "bearer", "token": "env:T"}}}})

    loaded = world.load("p", overrides={"auth": {"token": "env:hunter2"}})

    assert loaded.auth.token.reveal() == "env:hunter2"  # type: ignore[attr-defined]
    assert "hunter2" not in repr(loaded)


def test_a_profile_can_stand_in_variables_alone(world: World) -> None:
    environ = {
        "GATEPASS_PROFILES__CI__URL": "https://a.test/",
        "GATEPASS_PROFILES__CI__AUTH__SCHEME": "bearer",
        "GATEPASS_PROFILES__CI__AUTH__TOKEN": "env:TOKEN",
    }

    assert world.load("ci", environ=environ).scheme == "bearer"
    assert world.load(environ=environ).name == "ci"


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("GATEPASS_PROFIL", "did you mean GATEPASS_PROFILE?"),
        ("GATEPASS_PROFILES__P", "matches nothing"),
        ("GATEPASS_PROFILES__PRDO__TIMEOUT", 'did you mean "prod"?'),
        ("GATEPASS_VAULT_KEYS", "did you mean GATEPASS_VAULT_KEY?"),
    ],
)
def test_a_variable_that_matches_nothing_is_a_warning(
    world: World, variable: str, said: str
) -> None:
    world.user({"profiles": {"prod": profile()}})

    with pytest.warns(GatepassWarning, match="match") as warned:
        world.load("prod", environ={variable: "1"})

    assert len(warned) == 1
    assert said in str(warned[0].message)


def test_a_variable_that_a_reference_names_is_no_stray(world: World) -> None:
    """Whatever file or variable holds the reference, and whichever profile is taken."""
    robot = profile(auth={"scheme": "bearer", "token": ["env:GATEPASS_ROBOT", "prompt:"]})
    world.user({"vault_key": "env:GATEPASS_OWN_KEY", "profiles": {"p": profile(), "robot": robot}})
    environ = {
        "GATEPASS_ROBOT": "t0ken",
        "GATEPASS_OWN_KEY": "key",
        "GATEPASS_PROFILES__ROBOT__AUTH__TOKEN": "env:GATEPASS_PW",
        "GATEPASS_PW": "pw",
    }

    assert world.load("p", environ=environ).name == "p"  # a warning would be an error
    with pytest.warns(GatepassWarning, match="GATEPASS_PW2 matches nothing"):
        world.load("p", environ={**environ, "GATEPASS_PW2": "pw"})


def test_extends_is_set_by_files_only(world: World) -> None:
    world.user({"profiles": {"p": profile(), "other": profile()}})

    with pytest.raises(ProfileError, match="GATEPASS_PROFILES__P__EXTENDS: .*only a file"):
        world.load("p", environ={"GATEPASS_PROFILES__P__EXTENDS": "other"})


# ------------------------------------------------------------- selection


def test_the_argument_wins_over_the_variable(world: World) -> None:
    world.user({"profiles": {"a": profile(), "b": profile()}})

    assert world.load("a", environ={"GATEPASS_PROFILE": "b"}).name == "a"
    assert world.load(None, environ={"GATEPASS_PROFILE": "b"}).name == "b"


def test_the_project_default_wins_over_the_own_default(world: World) -> None:
    world.user({"default_profile": "a", "profiles": {"a": profile(), "b": profile()}})
    assert world.load().name == "a"

    world.in_project({"default_profile": "b"})
    assert world.load().name == "b"


def test_an_empty_variable_is_unset(world: World) -> None:
    world.user({"default_profile": "a", "profiles": {"a": profile()}})

    assert world.load(environ={"GATEPASS_PROFILE": "", "GATEPASS_CONFIG_FILE": ""}).name == "a"


def test_the_only_unprotected_profile_is_the_default(world: World) -> None:
    world.user({"profiles": {"dev": profile(), "prod": profile(protected=True)}})

    assert world.load().name == "dev"


def test_several_profiles_without_a_default_are_listed(world: World) -> None:
    world.user({"profiles": {"dev": profile(), "test": profile()}})

    with pytest.raises(ProfileNotFound, match="profiles: dev, test"):
        world.load()


def test_a_protected_profile_is_never_the_default(world: World) -> None:
    world.user({"default_profile": "prod", "profiles": {"prod": profile(protected=True)}})

    with pytest.raises(ProfileNotFound, match="only taken by name"):
        world.load()
    assert world.load("prod").name == "prod"
    assert world.load(environ={"GATEPASS_PROFILE": "prod"}).name == "prod"


def test_a_child_of_a_protected_profile_is_protected(world: World) -> None:
    world.user({"profiles": {"base": profile(protected=True), "child": {"extends": "base"}}})

    with pytest.raises(ProfileNotFound):
        world.load()


@pytest.mark.parametrize(
    ("how", "said_by"),
    [
        ({"name": "prdo"}, "the argument"),
        ({"environ": {"GATEPASS_PROFILE": "prdo"}}, "GATEPASS_PROFILE"),
        ({}, "profiles.toml:1:1"),
    ],
)
def test_an_unknown_name_is_an_error_that_names_its_source(
    world: World, how: dict[str, Any], said_by: str
) -> None:
    world.user({"default_profile": "prdo", "profiles": {"prod": profile(), "dev": profile()}})

    with pytest.raises(ProfileNotFound) as caught:
        world.load(**how)

    text = str(caught.value)
    assert said_by in text
    assert 'did you mean "prod"?' in text
    assert "dev, prod" in text


def test_without_any_profile_the_error_tells_where_it_looked(world: World) -> None:
    with pytest.raises(ProfileNotFound) as caught:
        world.load("prod")

    assert str(world.locations.user) in str(caught.value)
    assert "gatepass init" in str(caught.value)


def test_a_profiles_toml_that_is_not_read_earns_a_hint(world: World, write: Write) -> None:
    assert world.locations.working is not None
    stray = write(world.locations.working / "profiles.toml", "")

    with pytest.raises(ProfileNotFound, match="exists but is not read") as caught:
        world.load("prod")

    assert str(stray) in str(caught.value)


def test_a_broken_neighbour_does_not_matter(world: World) -> None:
    world.user({"profiles": {"good": profile(), "bad": {"urll": 1}, "Worse Name": {}}})

    assert world.load("good").name == "good"


def test_names_that_variables_cannot_tell_apart_are_an_error(world: World) -> None:
    world.user({"profiles": {"a-b": profile(), "a_b": profile()}})

    with pytest.raises(ProfileError, match="a-b and a_b"):
        world.load("a-b")


@pytest.mark.parametrize("name", ["Prod", "a__b", "-a", "ä", "a b", ""])
def test_a_bad_name_is_refused(world: World, name: str) -> None:
    world.user({"profiles": {name: profile()}})

    with pytest.raises(ProfileError, match="name is made of"):
        world.load(name)


# ------------------------------------------------------------- files


def test_an_explicit_file_replaces_the_search(world: World, write: Write, tmp_path: Path) -> None:
    world.user({"profiles": {"p": profile(retries=1)}})
    path = write(tmp_path / "other.toml", tomli_w.dumps({"profiles": {"p": profile(retries=2)}}))

    assert world.load("p", config_file=path).retries == 2
    assert world.load("p", environ={"GATEPASS_CONFIG_FILE": str(path)}).retries == 2


def test_several_explicit_files_merge_in_order(world: World, write: Write, tmp_path: Path) -> None:
    import os

    first = write(tmp_path / "1.toml", tomli_w.dumps({"profiles": {"p": profile(retries=1)}}))
    second = write(tmp_path / "2.toml", tomli_w.dumps({"profiles": {"p": {"retries": 2}}}))

    assert world.load("p", config_file=[first, second]).retries == 2
    both = os.pathsep.join([str(second), str(first)])
    assert world.load("p", environ={"GATEPASS_CONFIG_FILE": both}).retries == 1


def test_a_missing_explicit_file_is_an_error(world: World, tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="no such file"):
        world.load("p", config_file=tmp_path / "none.toml")


def test_relative_paths_start_at_their_file(world: World) -> None:
    tls = {"ca_file": "ca.pem"}
    auth = {"scheme": "bearer", "token": "file:token.txt"}
    path = world.user({"profiles": {"p": {**profile(tls=tls), "auth": auth}}})

    loaded = world.load("p")

    assert loaded.tls.ca_file == str(path.parent / "ca.pem")
    assert loaded.auth.token.base_dir == str(path.parent)  # type: ignore[attr-defined]
    assert loaded.auth.token.layer == "user"  # type: ignore[attr-defined]


@pytest.mark.parametrize("key", layer.MACHINE_KEYS)
def test_machine_settings_stand_in_own_files_only(world: World, key: str) -> None:
    world.user({"profiles": {"p": profile()}})
    world.in_project({key: True})

    with pytest.raises(ProfileError, match=f"gatepass.toml:1:1: {key}: a machine setting"):
        world.load("p")


def test_machine_settings_are_read_even_when_the_search_is_replaced(
    world: World, write: Write, tmp_path: Path
) -> None:
    world.system({"allow_insecure_keyring": True, "vault": "/a"})
    world.user({"allow_commands": True, "vault": "/b", "vault_key": "file:key"})
    path = write(tmp_path / "x.toml", tomli_w.dumps({"profiles": {"p": profile()}}))

    loaded = world.load("p", config_file=path, environ={"GATEPASS_VAULT": "/c"}).machine

    assert loaded.allow_commands
    assert loaded.allow_insecure_keyring
    assert loaded.vault == "/c"
    assert str(loaded.vault_key) == "file:key"


def test_a_wrong_machine_setting_is_placed(world: World) -> None:
    world.user({"allow_commands": "yes", "vault_key": "hunter2", "profiles": {"p": profile()}})

    with pytest.raises(ProfileError) as caught:
        world.load("p")

    assert "profiles.toml:1:1: allow_commands: should be a boolean" in str(caught.value)
    assert "profiles.toml:2:1: vault_key" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_each_key_knows_where_it_was_written(world: World) -> None:
    user = world.user('[profiles.p]\nurl = "https://a.test"\nauth = { scheme = "anonymous" }\n')
    system = world.system("[profiles.p]\nretries = 1\ntimeout = 5\n")

    origins = world.load(
        "p", environ={"GATEPASS_PROFILES__P__RETRIES": "2"}, overrides={"protected": True}
    ).key_locations

    assert {".".join(key): origin.where for key, origin in origins.items()} == {
        "url": f"{user}:2:1",
        "auth.scheme": f"{user}:3:10",
        "retries": "GATEPASS_PROFILES__P__RETRIES",
        "timeout": f"{system}:3:1",
        "protected": "overrides",
    }


_tables = st.recursive(
    st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3), max_size=4),
    lambda inner: st.dictionaries(st.text(max_size=3), inner | st.integers(), max_size=4),
    max_leaves=10,
)


def _by_hand(lower: dict[str, Any], upper: dict[str, Any]) -> dict[str, Any]:
    merged = dict(lower)
    for key, value in upper.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _by_hand(merged[key], value) if both else value
    return merged


@given(_tables, _tables, _tables)
def test_merging_is_key_by_key_whatever_the_keys(
    low: dict[str, Any], middle: dict[str, Any], high: dict[str, Any]
) -> None:
    assert merge.merge_tables([low, middle, high]) == _by_hand(_by_hand(low, middle), high)


def test_taking_one_of_ten_thousand_profiles_checks_only_that_one(world: World) -> None:
    """Counted, not timed: the other profiles' tables are parsed and never looked into."""
    many = "\n".join(
        f'[profiles.p{number}]\nurl = "https://a.test/{number}"\nauth.scheme = "anonymous"\n'
        for number in range(10_000)
    )
    world.user(f"default_profile = 'p77'\n{many}")

    loaded = world.load("p9999")

    assert loaded.url == "https://a.test/9999/"
    assert world.load().name == "p77"
    assert len(world.layers().names) == 10_000
