"""``gatepass status`` and ``token``: what they tell, what they keep to themselves."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.faulty_provider import Fault, FaultyProvider
from tests.support.home import Home
from tests.support.logins import USERS, Office, log_in, profile

BEARER = '[profiles.api]\nurl = "https://x.y/"\nauth = { scheme = "bearer", token = "env:T" }\n'


def _seen(office: Office, *arguments: str) -> tuple[int, list[dict[str, object]]]:
    done = office.empty_office.run("status", "--json", *arguments)
    return done.returncode, json.loads(done.stdout)


# ---------------------------------------------------------------- status


def test_it_tells_who_where_and_how_long_and_asks_no_server(
    office: Office, idp: FaultyProvider
) -> None:
    log_in(office, profile(idp.issuer))
    asked = len(idp.requests)

    done = office.empty_office.run("status", "nightly")
    code, (row,) = _seen(office, "nightly")

    assert (done.returncode, code) == (0, 0)
    assert "alice" in done.stdout
    assert idp.issuer in done.stdout
    assert "(59 min)" in done.stdout
    assert (row["profile"], row["user"], row["renewable"]) == ("nightly", "alice", True)
    saved, until = row["saved_at"], row["access_until"]
    assert isinstance(saved, float)
    assert isinstance(until, float)
    assert 3500 < until - saved < 3700
    assert len(idp.requests) == asked


def test_with_all_it_shows_each_profile_with_oidc(office: Office, idp: FaultyProvider) -> None:
    log_in(office, profile(idp.issuer) + BEARER + profile(idp.issuer, 'account = "b"\n', "other"))

    code, rows = _seen(office, "--all")

    assert code == 0
    assert {row["profile"]: row["stored"] for row in rows} == {"nightly": True, "other": False}


def test_a_named_profile_where_nobody_is_logged_in_ends_with_3(
    office: Office, idp: FaultyProvider
) -> None:
    office.home.user(profile(idp.issuer))

    everything, named = (
        office.empty_office.run("status", *name) for name in (["--all"], ["nightly"])
    )

    assert (everything.returncode, named.returncode) == (0, 3)
    assert "nobody" in named.stdout
    assert "gatepass login nightly" in named.stderr


def test_a_login_that_renews_itself_lasts_as_long_as_one_likes(
    office: Office, idp: FaultyProvider
) -> None:
    log_in(office, profile(idp.issuer))

    assert _seen(office, "nightly", "--min-valid", "8h")[0] == 0


@pytest.mark.parametrize(("length", "code"), [("8h", 3), ("30m", 0), ("1800", 0)])
def test_one_that_does_not_must_last_as_long_as_is_asked(
    office: Office, idp: FaultyProvider, length: str, code: int
) -> None:
    idp.inject(Fault.NO_REFRESH_TOKEN)
    log_in(office, profile(idp.issuer))

    assert _seen(office, "--min-valid", length)[0] == code


@pytest.mark.parametrize("name", [[], ["nightly"]])
def test_nobody_lasts_for_no_time(office: Office, idp: FaultyProvider, name: list[str]) -> None:
    office.home.user(profile(idp.issuer))

    assert _seen(office, *name, "--min-valid", "0")[0] == 3


def test_where_no_profile_has_a_login_nothing_lasts(home: Home) -> None:
    home.user(BEARER)

    looked = home.run("status", "--all")
    checked = home.run("status", "--all", "--min-valid", "8h")
    named = home.run("status", "api")

    assert (looked.returncode, checked.returncode, named.returncode) == (0, 3, 0)
    assert "gatepass secret list api" in named.stderr


def test_a_client_with_a_secret_needs_no_login(office: Office, idp: FaultyProvider) -> None:
    more = 'flow = "client_credentials"\nclient_secret = "env:NOT_SET"\n'
    office.home.user(profile(idp.issuer, more))

    done = office.empty_office.run("status", "nightly", "--min-valid", "8h")

    assert done.returncode == 0
    assert "by secret" in done.stdout


def test_a_token_of_the_profile_itself_is_mentioned(office: Office, idp: FaultyProvider) -> None:
    office.home.user(profile(idp.issuer, 'refresh_token = "env:NOT_SET"\n'))

    assert "its own refresh_token is used" in office.empty_office.run("status", "nightly").stderr


def test_a_record_that_cannot_be_read_is_told_beside_the_others(
    office: Office, idp: FaultyProvider
) -> None:
    text = profile(idp.issuer) + profile(idp.issuer, 'account = "b"\n', "other")
    log_in(office, text)
    (record,) = office.vault.glob("*.token")
    record.write_bytes(record.read_bytes()[:-1])

    done = office.empty_office.run("status", "--all")
    code, rows = _seen(office, "--all")

    assert (done.returncode, code) == (3, 3)
    assert "unreadable" in done.stdout
    assert "nightly: error: " in done.stderr
    assert [bool(row["error"]) for row in rows] == [True, False]


def test_a_keyring_that_gives_no_key_is_asked_once_for_all_profiles(
    office: Office, idp: FaultyProvider, tmp_path: Path
) -> None:
    """One that hangs costs seconds each time."""
    names = ("nightly", "second", "third")
    text = "".join(profile(idp.issuer, f'account = "{name}"\n', name) for name in names)
    log_in(office, text)
    calls = tmp_path / "calls"
    environ = dict(office.empty_office.environ, BACKEND_CALLS=str(calls))
    del environ["GATEPASS_VAULT_KEY"]
    environ["PYTHON_KEYRING_BACKEND"] = "tests.support.keyring_backends.CountsAndFails"
    home = replace(office.empty_office, environ=environ, path=[str(Path(__file__).parents[2])])

    done = home.run("status", "--all")

    assert done.returncode == 3
    assert calls.read_text().splitlines() == ["gatepass/vault-key"]
    for name in names:
        assert f"{name}: error: the vault's key cannot be read" in done.stderr


def test_a_key_that_needs_a_person_is_not_asked_for(office: Office, idp: FaultyProvider) -> None:
    log_in(office, profile(idp.issuer))

    there = office.home.having(GATEPASS_VAULT_KEY="prompt:The key")
    done = there.run("status", "nightly", stdin="x\n")

    assert done.returncode == 3
    assert "it needs a person" in done.stderr


def test_a_refresh_that_has_not_ended_is_told(office: Office, idp: FaultyProvider) -> None:
    log_in(office, profile(idp.issuer))
    begun = office.home.python(
        "from gatepass import Session; mi = Session.from_profile('nightly'); "
        "login = mi._login.authenticator; "
        "login._vault.begin_refresh(login._identity); import os; print(os.getpid())"
    )

    done = office.empty_office.run("status", "nightly")
    _, (row,) = _seen(office)

    assert f"process {begun.stdout.strip()} on " in done.stderr
    assert isinstance(row["in_flight"], dict)
    assert row["in_flight"]["pid"] == int(begun.stdout)


def test_a_token_that_is_suspect_is_told_with_the_reason(office: Office) -> None:
    with FaultyProvider(users=USERS, auto_login="alice", access_token_seconds=0) as idp:
        log_in(office, profile(idp.issuer))
        idp.inject(Fault.ID_TOKEN_ISS)
        done = office.empty_office.run("token", "nightly")
        assert done.returncode == 3, done.stderr

        done = office.empty_office.run("status", "nightly")

    assert done.returncode == 3
    assert "not used: " in done.stderr
    assert "gatepass login nightly" in done.stderr


def test_a_broken_neighbour_does_not_hide_the_others(office: Office, idp: FaultyProvider) -> None:
    office.home.user(profile(idp.issuer) + profile(idp.issuer, "pasword = 1\n", "bad"))

    everything, named = (office.empty_office.run("status", *name) for name in (["--all"], ["bad"]))

    assert "nightly" in everything.stdout
    assert "gatepass validate bad" in everything.stderr
    assert named.returncode == 2


# ---------------------------------------------------------------- token


def test_a_stored_token_is_printed_alone_and_asks_nobody(
    office: Office, idp: FaultyProvider
) -> None:
    log_in(office, profile(idp.issuer))
    asked = len(idp.requests)

    done = office.empty_office.run("token", "nightly")

    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    assert done.stdout.count(".") == 2, "a JWT"
    assert len(idp.requests) == asked


def test_where_nobody_is_logged_in_there_is_no_token(office: Office, idp: FaultyProvider) -> None:
    office.home.user(profile(idp.issuer))

    done = office.empty_office.run("token", "nightly")

    assert (done.returncode, done.stdout) == (3, "")
    assert "gatepass login nightly" in done.stderr
    assert idp.requests == ()


def test_the_token_of_another_scheme_is_not_printed(home: Home) -> None:
    home.user(BEARER)

    done = home.having(T="some-token").run("token", "api")

    assert (done.returncode, done.stdout) == (2, "")
    assert "token is for the scheme oidc; api uses bearer" in done.stderr
    assert "some-token" not in done.stderr


# ---------------------------------------------------------------- no token anywhere else


def test_no_verb_but_token_prints_a_token(office: Office, idp: FaultyProvider) -> None:
    office.home.user(profile(idp.issuer))
    verbs = (["login", "nightly"], ["token", "nightly"], ["status"], ["status", "--json"],
             ["show", "nightly"], ["profiles"], ["secret", "list"], ["validate", "--all"],
             ["login", "nightly"], ["logout", "nightly"])  # fmt: skip

    ran = [office.home.run(*verb) for verb in verbs]

    access = ran[1].stdout.strip()
    assert access
    tokens = {access, *(family.refresh_token for family in idp.families)}
    tokens.add(office.key.read_text().strip())
    for verb, done in zip(verbs, ran, strict=True):
        assert done.returncode == 0, verb
        shown = done.stderr + (done.stdout if verb[0] != "token" else "")
        assert not any(token in shown for token in tokens), verb
    assert not any(token in ran[1].stdout for token in tokens - {access})
