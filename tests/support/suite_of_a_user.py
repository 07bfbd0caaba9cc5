"""What a user's tests may look like. ``test_plugin.py`` runs them, in a project of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import keyring
import pytest
import requests

from gatepass import (
    LoginRefused,
    LoginRequired,
    NobodyThere,
    ProfileNotFound,
    SecretUnavailable,
    Session,
    profiles,
)
from gatepass.sandbox import IdentityProvider, Server
from gatepass.testing import Profiles

PAGE = "Health/v2.svc"


def report(profile: str = "prod") -> str:
    """Stand in for a user's script."""
    with Session.from_profile(profile) as mi:
        return str(mi.get(PAGE).json()["user"])


# ---------------------------------------------------------------- the servers


def test_a_server_runs_and_knows_alice(gatepass_server: Server) -> None:
    mi = Session(gatepass_server.url, user_name="alice", password="sesame")

    assert gatepass_server.mode == "standalone"
    assert mi.get(PAGE).json()["user"] == "alice"


@pytest.mark.gatepass_server(mode="windows", users={"bob": "pw"}, lock_after=2)
def test_a_mark_says_how_the_server_is_made(gatepass_server: Server) -> None:
    assert (gatepass_server.mode, gatepass_server.lock_after) == ("windows", 2)
    assert dict(gatepass_server.users) == {"bob": "pw"}


@pytest.mark.parametrize("gatepass_server", ["standalone", "mixed", "windows"], indirect=True)
def test_a_script_works_in_each_mode(gatepass_server: Server, gatepass_profiles: Profiles) -> None:
    gatepass_profiles.replace("prod", gatepass_server)

    assert report() == "alice"


@pytest.mark.parametrize("gatepass_server", [{"users": {"eve": "x"}}], indirect=True)
def test_a_parameter_may_be_a_table(gatepass_server: Server) -> None:
    assert dict(gatepass_server.users) == {"eve": "x"}


@pytest.mark.gatepass_idp(access_token_seconds=7)
def test_a_mark_says_how_the_provider_is_made(gatepass_idp: IdentityProvider) -> None:
    assert gatepass_idp.access_token_seconds == 7
    assert requests.get(f"{gatepass_idp.issuer}/.well-known/openid-configuration", timeout=60).ok


@pytest.fixture(scope="module")
def shared_server() -> Iterator[Server]:
    with Server(users={"alice": "sesame"}) as server:
        yield server


@pytest.mark.parametrize("_number", range(2))
def test_a_server_for_several_tests_is_a_with_block(
    shared_server: Server, gatepass_profiles: Profiles, _number: int
) -> None:
    gatepass_profiles.replace("prod", shared_server)

    assert report() == "alice"


# ---------------------------------------------------------------- passwords


def test_a_refused_login_is_an_error_of_the_script(
    gatepass_server: Server, gatepass_profiles: Profiles
) -> None:
    gatepass_profiles.replace("prod", gatepass_server, password="of last month")

    with pytest.raises(LoginRefused, match="refused the login of alice"):
        report()
    assert gatepass_server.attempts("alice") == 1


@pytest.mark.gatepass_server(mode="windows", users={"CORP\\carol": "pw"})
def test_a_user_may_have_a_domain(gatepass_server: Server, gatepass_profiles: Profiles) -> None:
    gatepass_profiles.replace("prod", gatepass_server)

    assert report() == "CORP\\carol"


@pytest.mark.gatepass_server(users={"alice": "sesame", "bob": "pw-bob"})
def test_another_user_may_log_on(gatepass_server: Server, gatepass_profiles: Profiles) -> None:
    gatepass_profiles.replace("prod", gatepass_server, user="bob")

    assert report() == "bob"


def test_the_own_references_can_be_kept(
    gatepass_server: Server, gatepass_profiles: Profiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    gatepass_profiles.replace("prod", gatepass_server, auth="kept")

    with pytest.raises(SecretUnavailable, match="MI_USERNAME is not set"):
        report()
    monkeypatch.setenv("MI_USERNAME", "alice")
    with pytest.raises(NobodyThere, match="GATEPASS_NO_INPUT forbids"):  # the last one: prompt:
        report()
    origin = gatepass_server.url.removesuffix("/mi_servicelayer/")
    gatepass_profiles.keyring.set_password(f"gatepass:{origin}", "alice", "sesame")
    assert report() == "alice"
    monkeypatch.setenv("MI_PASSWORD", "wrong")
    with pytest.raises(LoginRefused):
        report()


def test_a_table_says_how_to_log_on(
    gatepass_server: Server, gatepass_profiles: Profiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    auth = {"scheme": "basic", "user_name": "alice", "password": "env:PW"}
    gatepass_profiles.replace("prod", gatepass_server, auth=auth)
    monkeypatch.setenv("PW", "sesame")

    assert report() == "alice"


@pytest.mark.gatepass_server(mode="open")
def test_where_nobody_logs_on_the_profile_is_anonymous(
    gatepass_server: Server, gatepass_profiles: Profiles
) -> None:
    gatepass_profiles.replace("prod", gatepass_server)

    assert Session.from_profile("prod").profile.scheme == "anonymous"


# ---------------------------------------------------------------- what the profile keeps


def test_the_projects_own_keys_are_kept(
    gatepass_server: Server, gatepass_profiles: Profiles
) -> None:
    """The parent's too; not those that belong to its server."""
    gatepass_profiles.replace("prod", gatepass_server, retries=0)

    profile = Session.from_profile("prod").profile
    assert profile.headers == {"X-Tenant": "steel"}
    assert (profile.timeout, profile.retries) == ((5.0, 9.0), 0)
    assert profile.tls.ca_file is None


def test_another_file_may_define_the_profile(
    gatepass_server: Server, gatepass_profiles: Profiles
) -> None:
    gatepass_profiles.replace("job", gatepass_server, file="deploy/profiles.toml")

    assert Session.from_profile("job").profile.description == "at night"
    with pytest.raises(FileNotFoundError):
        gatepass_profiles.replace("job", gatepass_server, file="deploy/nowhere.toml")


def test_a_profile_that_nobody_wrote_has_no_auth_to_keep(
    gatepass_server: Server, gatepass_profiles: Profiles
) -> None:
    gatepass_profiles.replace("new", gatepass_server)
    assert report("new") == "alice"
    with pytest.raises(ProfileNotFound, match="whose auth could be kept"):
        gatepass_profiles.replace("new", gatepass_server, auth="kept")


def test_a_default_profile_is_one_that_was_replaced(
    gatepass_server: Server, gatepass_profiles: Profiles
) -> None:
    gatepass_profiles.replace("prod", gatepass_server)
    gatepass_profiles.replace("dev", gatepass_server)

    with Session.from_profile() as mi:  # gatepass.toml says which is the default
        assert mi.profile.name == "dev"


# ---------------------------------------------------------------- OpenID Connect


@pytest.mark.gatepass_server(mode="oidc")
def test_a_run_without_a_login_says_what_to_do(
    gatepass_server: Server, gatepass_profiles: Profiles
) -> None:
    gatepass_profiles.replace("nightly", gatepass_server)

    with pytest.raises(LoginRequired, match="gatepass login nightly"):
        report("nightly")


@pytest.mark.gatepass_server(mode="oidc")
@pytest.mark.gatepass_idp(users={"alice": "sesame", "bob": "pw"})
def test_a_login_serves_later_runs(
    gatepass_server: Server, gatepass_profiles: Profiles, gatepass_idp: IdentityProvider
) -> None:
    stored = {"scheme": "oidc", "use_stored_token": True}
    gatepass_profiles.replace("nightly", gatepass_server, auth=stored)
    gatepass_profiles.log_in("nightly", "bob")
    asked = len(gatepass_idp.requests)

    assert report("nightly") == "bob"
    assert len(gatepass_idp.requests) == asked
    assert gatepass_idp.counts.forced_logins == 0


@pytest.mark.gatepass_server(mode="oidc")
def test_a_token_that_has_run_out_is_renewed_without_a_person(
    gatepass_server: Server, gatepass_profiles: Profiles, gatepass_idp: IdentityProvider
) -> None:
    gatepass_profiles.replace("nightly", gatepass_server)
    gatepass_idp.set_access_token_seconds(0)
    gatepass_profiles.log_in("nightly")
    gatepass_idp.set_access_token_seconds(60)

    assert [report("nightly"), report("nightly")] == ["alice", "alice"]
    assert gatepass_idp.counts.rotations == 1


def test_only_a_server_of_that_mode_has_logins(
    gatepass_server: Server, gatepass_profiles: Profiles
) -> None:
    gatepass_profiles.replace("prod", gatepass_server)

    with pytest.raises(ValueError, match="not of mode oidc"):
        gatepass_profiles.log_in("prod")


# ---------------------------------------------------------------- nothing of the person


def test_what_was_not_replaced_does_not_exist(
    gatepass_server: Server, gatepass_profiles: Profiles
) -> None:
    """Neither the person's own profiles nor the project's nor those of variables."""
    assert profiles() == ()
    gatepass_profiles.replace("prod", gatepass_server)

    assert profiles() == gatepass_profiles.names == ("prod",)
    assert repr(gatepass_profiles) == "<gatepass.testing.Profiles ['prod']>"


def test_the_settings_of_this_machine_are_gone(
    gatepass_server: Server, gatepass_profiles: Profiles
) -> None:
    """Neither the person's own file nor the system's says anything."""
    gatepass_profiles.replace("prod", gatepass_server)

    machine = Session.from_profile("prod").profile.machine
    assert not machine.allow_commands
    assert not machine.allow_insecure_keyring


@pytest.mark.usefixtures("gatepass_profiles")
def test_variables_of_the_person_are_gone() -> None:
    assert "GATEPASS_PROFILE" not in os.environ
    assert "GATEPASS_ALLOW_COMMANDS" not in os.environ
    assert not list(Path.home().iterdir())


def test_variables_of_the_person_come_back() -> None:
    assert os.environ["GATEPASS_PROFILE"] == "mine"
    assert "PYTHON_KEYRING_BACKEND" not in os.environ
    assert (Path.home() / ".config/gatepass/profiles.toml").exists()


def test_a_keyring_belongs_to_one_test(gatepass_profiles: Profiles) -> None:
    keyring.set_password("s", "a", "sésame")

    assert keyring.get_password("s", "a") == "sésame"
    assert keyring.get_keyring() is gatepass_profiles.keyring
    script = "import keyring; print(keyring.get_password('s', 'a') == 's\\xe9same')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout.split() == [b"True"]
    keyring.delete_password("s", "a")
    with pytest.raises(keyring.errors.PasswordDeleteError):
        keyring.delete_password("s", "a")


@pytest.mark.usefixtures("gatepass_profiles")
def test_another_test_has_another_keyring() -> None:
    assert keyring.get_password("s", "a") is None


def test_the_private_keyring_is_never_chosen_by_itself() -> None:
    """It is loaded by now. Nothing else is there, so the package says that it has none."""
    assert type(keyring.get_keyring()).__module__ == "keyring.backends.fail"


def test_a_script_in_another_process_meets_the_same_server(
    gatepass_server: Server, gatepass_profiles: Profiles
) -> None:
    gatepass_profiles.replace("prod", gatepass_server)
    script = f"from gatepass import Session; Session.from_profile('prod').get({PAGE!r})"

    subprocess.run([sys.executable, "-c", script], check=True)

    assert gatepass_server.requests[-1].user == "alice"
