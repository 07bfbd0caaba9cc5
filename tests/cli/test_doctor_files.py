"""The doctor looks at files: profiles, permissions, trust and the vault."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatepass.sandbox.provider import IdentityProvider
from tests.support.doctor import ANONYMOUS, diagnosed, of, one, posix, problems_about
from tests.support.home import Home
from tests.support.logins import USERS, Office, profile
from tests.support.peers.redis_server import Redis


def test_files_are_told_with_what_became_of_them(home: Home) -> None:
    user = home.user(ANONYMOUS)
    home.project(ANONYMOUS.replace("dev", "other"))
    (home.work / "profiles.toml").write_text("")

    code, found = diagnosed(home)

    report = {each["place"]: each for each in of(found, "files")}
    assert code == 0
    assert report[str(user)]["message"] == "read (user)"
    assert report[str(home.project_file)]["message"] == "skipped (project): not trusted"
    assert f"gatepass trust {home.project_file}" in report[str(home.project_file)]["hint"]
    assert report[str(home.work / "profiles.toml")]["verdict"] == "info"
    assert "1 can be used: anonymous" in one(found, "profiles")["message"]


def test_a_malformed_file_is_a_problem_with_its_place(home: Home) -> None:
    user = home.user("this is [ no TOML")

    code, found = diagnosed(home)

    assert code == 1
    assert one(found, "files")["place"].startswith(f"{user}:1:")


@posix
@pytest.mark.parametrize("place", ["config", "state", "trust"])
def test_a_folder_that_others_can_write_to_is_a_problem(home: Home, place: str) -> None:
    user = home.user(ANONYMOUS)
    state = Path(home.environ["XDG_STATE_HOME"], "gatepass")
    folder = {"config": user.parent, "state": state, "trust": state / "trust"}[place]
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o777)

    code, found = diagnosed(home)

    assert code == 1
    assert one(found, "permissions")["place"] == str(folder)
    assert one(found, "permissions")["hint"] == f"    chmod go-w {folder}"


@posix
def test_a_file_of_profiles_that_others_can_write_to_is_a_problem(home: Home) -> None:
    home.user(ANONYMOUS).chmod(0o666)

    code, found = diagnosed(home)

    assert code == 1
    assert "can be written by anybody" in one(found, "files")["message"]
    assert "chmod go-w" in one(found, "files")["hint"]


def test_records_of_trust_are_told_as_they_are(home: Home) -> None:
    home.project(ANONYMOUS)
    assert home.run("trust", "--yes").returncode == 0
    (record,) = Path(home.environ["XDG_STATE_HOME"], "gatepass", "trust").glob("*.json")

    _, same = diagnosed(home)
    home.project(ANONYMOUS + "\n")
    code, changed = diagnosed(home)
    home.project_file.unlink()
    _, absent = diagnosed(home)
    record.write_text("{}")
    damaged_code, damaged = diagnosed(home)

    assert one(same, "trust")["message"] == "1 trusted file as they were"
    assert (code, one(changed, "trust")["verdict"]) == (0, "info")
    assert "has changed since" in one(changed, "trust")["message"]
    assert one(absent, "trust")["message"] == "is trusted, and absent"
    assert (damaged_code, one(damaged, "trust")["verdict"]) == (1, "problem")
    assert f"gatepass trust --revoke {record}" in one(damaged, "trust")["hint"]


@pytest.fixture
def office(home: Home, tmp_path: Path) -> Iterator[Office]:
    """A home with a stored login."""
    with IdentityProvider(users=USERS, auto_login="alice") as idp:
        furnished = Office.furnished(home, tmp_path)
        furnished.home.user(profile(idp.issuer))
        assert furnished.home.run("login", "nightly").returncode == 0
        yield furnished


def test_a_vault_in_order_says_how_many_logins_its_key_opens(office: Office) -> None:
    code, found = diagnosed(office.home)

    assert code == 0
    assert one(found, "vault", "locks hold")["verdict"] == "ok"
    assert one(found, "vault", "1 login can be opened")["message"].endswith(f"file:{office.key}")


def test_a_key_that_is_gone_or_open_to_others_is_a_problem(office: Office) -> None:
    office.key.chmod(0o644)
    code, found = diagnosed(office.home)
    office.key.unlink()
    gone, missing = diagnosed(office.home)

    assert code == gone == 1
    assert "others can read the vault's key" in problems_about(found, "vault")
    assert "the vault's key cannot be read" in problems_about(missing, "vault")


def test_a_key_that_nobody_made_is_a_problem_before_the_first_login(home: Home) -> None:
    home.user(profile("https://login.example.com/"))

    code, found = diagnosed(home.having(GATEPASS_VAULT_KEY="file:/gone/vault.key"))
    short, wrong = diagnosed(home.having(GATEPASS_VAULT_KEY="env:K", K="short"))

    assert code == short == 1
    assert "the vault's key cannot be read" in problems_about(found, "vault")
    assert "not base64url of 32 bytes" in problems_about(wrong, "vault")


def test_a_login_that_is_damaged_is_a_problem(office: Office) -> None:
    (record,) = office.vault.glob("*.token")
    record.write_bytes(record.read_bytes()[:-1])

    code, found = diagnosed(office.home)

    assert code == 1
    assert one(found, "vault", record.name)["verdict"] == "problem"


@posix
def test_a_vault_in_which_others_can_write_is_a_problem(office: Office) -> None:
    office.vault.chmod(0o777)

    code, found = diagnosed(office.home)

    assert code == 1
    assert "others can write to the folder of the vault" in problems_about(found, "vault")


def test_a_key_that_may_need_a_person_is_not_asked_for(office: Office) -> None:
    _, found = diagnosed(office.home.having(GATEPASS_VAULT_KEY="prompt:"))

    assert one(found, "vault", "was not asked for")["verdict"] == "warning"


def test_a_vault_in_a_redis_that_stands_still_is_a_problem(home: Home, own_redis: Redis) -> None:
    home = home.having(GATEPASS_VAULT=own_redis.url, GATEPASS_VAULT_KEY="env:K", K="A" * 43)

    code, good = diagnosed(home)
    own_redis.stop()
    stopped, found = diagnosed(home)
    _, redacted = diagnosed(home, "--redacted")

    assert code == 0
    assert [each["verdict"] for each in of(good, "vault")] == ["ok"] * len(of(good, "vault"))
    assert stopped == 1
    assert "redis at 127.0.0.1" in json.dumps(found)
    assert "127.0.0.1" not in json.dumps(redacted)
