"""The sandbox's identity provider: strict about codes, refresh tokens and clients."""

import json
import os
import subprocess
import sys
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote_plus, urlencode, urlsplit

import pytest
import requests
import trustme
from joserfc import jwt
from joserfc.jwk import KeySet

from gatepass.sandbox.provider import (
    CLIENT_ID,
    SERVICE_ID,
    SERVICE_SECRET,
    IdentityProvider,
)
from tests.support.peers.environ import clean_environ
from tests.support.secret_context import PYTHONPATH

USERS = {"alice": "sesame", "bob": "open <&> sésame"}
REDIRECT = "http://127.0.0.1:5/callback"
VERIFIER = "v" * 50
CHALLENGE = urlsafe_b64encode(sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def idp() -> Iterator[IdentityProvider]:
    """A provider with two users."""
    with IdentityProvider(users=USERS) as running:
        yield running


def login_url(idp: IdentityProvider, **changes: str | None) -> str:
    """Return an authorization request; a change to None leaves a parameter out."""
    values: dict[str, str | None] = {
        "response_type": "code",
        "client_id": CLIENT_ID,
        "redirect_uri": REDIRECT,
        "scope": "openid offline_access",
        "state": "state-1",
        "nonce": "nonce-1",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        **changes,
    }
    given = {name: value for name, value in values.items() if value is not None}
    return f"{idp.metadata['authorization_endpoint']}?{urlencode(given)}"


def callback(url: str) -> dict[str, str]:
    """Return the parameters that a browser brings back to the client."""
    assert url.startswith(REDIRECT + "?")
    return dict(parse_qsl(urlsplit(url).query))


def token(
    client: requests.Session, idp: IdentityProvider, grant: str, **form: str
) -> requests.Response:
    data = {"grant_type": grant, "client_id": CLIENT_ID, **form}
    return client.post(idp.issuer + "/token", data=data, allow_redirects=False, timeout=30)


def refresh(
    client: requests.Session, idp: IdentityProvider, refresh_token: str
) -> requests.Response:
    return token(client, idp, "refresh_token", refresh_token=refresh_token)


def redeem(client: requests.Session, idp: IdentityProvider, **changes: str) -> requests.Response:
    form = {"redirect_uri": REDIRECT, "code_verifier": VERIFIER, **changes}
    if "code" not in form:
        form["code"] = callback(idp.sign_in(login_url(idp)))["code"]
    return token(client, idp, "authorization_code", **form)


def claims(client: requests.Session, idp: IdentityProvider, encoded: str) -> dict[str, Any]:
    """Return the claims of a JWT whose signature fits the published keys."""
    keys = KeySet.import_key_set(client.get(idp.metadata["jwks_uri"]).json())
    return dict(jwt.decode(encoded, keys, algorithms=["RS256"]).claims)


def error(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]


# --- discovery and login ---


@pytest.mark.parametrize("path", ["", "/realms/demo"])
def test_the_metadata_are_found_by_openid_and_by_rfc_8414(
    client: requests.Session, path: str
) -> None:
    with IdentityProvider(users=USERS, path=path) as idp:
        root = idp.issuer.removesuffix(path)
        openid = client.get(f"{root}{path}/.well-known/openid-configuration").json()
        oauth = client.get(f"{root}/.well-known/oauth-authorization-server{path}").json()
        assert openid == oauth == idp.metadata
        assert openid["issuer"] == root + path
        assert client.get(root + "/elsewhere").status_code == 404
        assert idp.counts.token_requests == {}
        assert redeem(client, idp).ok


@pytest.mark.parametrize("user", USERS)
def test_a_person_logs_on_with_the_form(
    client: requests.Session, idp: IdentityProvider, user: str
) -> None:
    url = login_url(idp, login_hint=user, state='"><script>')
    form = client.get(url).text
    assert "<script>" not in form
    hidden = {
        name: unescape(value)
        for name, _, value in (
            line.removeprefix('<input type="hidden" name="')
            .removesuffix('">')
            .partition('" value="')
            for line in form.splitlines()
            if line.startswith('<input type="hidden"')
        )
    }
    assert f'value="{user}"' in form
    posted = {**hidden, "login": user, "decision": "allow"}
    wrong = client.post(url, data={**posted, "password": "wrong"}, allow_redirects=False)
    assert (wrong.status_code, "Wrong user name or password" in wrong.text) == (200, True)
    answer = client.post(url, data={**posted, "password": USERS[user]}, allow_redirects=False)
    back = callback(answer.headers["Location"])
    assert (back["state"], back["iss"]) == ('"><script>', idp.issuer)
    tokens = redeem(client, idp, code=back["code"]).json()
    assert claims(client, idp, tokens["access_token"])["sub"] == user


def test_a_person_may_refuse(client: requests.Session, idp: IdentityProvider) -> None:
    hidden = dict(parse_qsl(urlsplit(login_url(idp)).query))
    answer = client.post(login_url(idp), data={**hidden, "decision": "deny"}, allow_redirects=False)
    back = callback(answer.headers["Location"])
    assert (back["error"], back["state"], back["iss"]) == ("access_denied", "state-1", idp.issuer)


def test_with_auto_login_the_browser_comes_back_at_once(client: requests.Session) -> None:
    with IdentityProvider(users=USERS, auto_login="bob") as idp:
        answer = client.get(login_url(idp, prompt="none"), allow_redirects=False)
        tokens = redeem(client, idp, code=callback(answer.headers["Location"])["code"]).json()
        assert claims(client, idp, tokens["id_token"])["sub"] == "bob"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"prompt": "none"}, "login_required"),
    ],
)
def test_a_wrong_request_comes_back_to_the_client(
    client: requests.Session,
    idp: IdentityProvider,
    changes: dict[str, str | None],
    problem: str,
) -> None:
    answer = client.get(login_url(idp, **changes), allow_redirects=False)
    back = callback(answer.headers["Location"])
    assert (back["error"], back["state"], "code" in back) == (problem, "state-1", False)


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "unknown"},
        {"redirect_uri": None},
        {"redirect_uri": "http://evil.example/callback"},
        {"redirect_uri": "https://127.0.0.1/callback"},
        {"redirect_uri": "http://127.0.0.1:5/callback#fragment"},
        {"redirect_uri": "http://127.0.0.1:5/\r\nX-Header: 1"},
        {"redirect_uri": "http://[::1/"},
    ],
)
def test_nobody_is_sent_to_an_address_that_is_not_loopback(
    client: requests.Session, idp: IdentityProvider, changes: dict[str, str | None]
) -> None:
    answer = client.get(login_url(idp, **changes), allow_redirects=False)
    assert (answer.status_code, "Location" in answer.headers) == (400, False)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
def test_any_loopback_address_and_port_is_taken(idp: IdentityProvider, host: str) -> None:
    target = f"http://{host}:54321/a?b=c"
    assert idp.sign_in(login_url(idp, redirect_uri=target)).startswith(target + "&code=")


# --- codes ---


def test_a_login_brings_tokens_that_say_who_and_for_what(
    client: requests.Session, idp: IdentityProvider
) -> None:
    url = login_url(idp, audience="https://mi.example")
    code = callback(idp.sign_in(url, "bob"))["code"]
    answer = redeem(client, idp, code=code)
    tokens = answer.json()
    assert answer.headers["Cache-Control"] == "no-store"
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 60)
    access = claims(client, idp, tokens["access_token"])
    assert (access["iss"], access["sub"], access["aud"]) == (
        idp.issuer,
        "bob",
        "https://mi.example",
    )
    assert access["exp"] - access["iat"] == 60
    identity = claims(client, idp, tokens["id_token"])
    assert (identity["aud"], identity["nonce"]) == (CLIENT_ID, "nonce-1")
    half = sha256(tokens["access_token"].encode()).digest()[:16]
    assert identity["at_hash"] == urlsafe_b64encode(half).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "changes",
    [
        {"code": "unknown"},
        {"code_verifier": "w" * 50},
        {"redirect_uri": "http://127.0.0.1:6/callback"},
        {"client_id": SERVICE_ID, "client_secret": SERVICE_SECRET},
    ],
)
def test_a_code_needs_its_client_its_address_and_its_verifier(
    client: requests.Session, idp: IdentityProvider, changes: dict[str, str]
) -> None:
    assert error(redeem(client, idp, **changes)) == (400, "invalid_grant")


def test_a_code_runs_out(client: requests.Session) -> None:
    clock = Clock()
    with IdentityProvider(users=USERS, clock=clock) as idp:
        code = callback(idp.sign_in(login_url(idp)))["code"]
        clock.now += 61
        assert error(redeem(client, idp, code=code)) == (400, "invalid_grant")


def test_a_code_that_comes_twice_ends_the_login(
    client: requests.Session, idp: IdentityProvider
) -> None:
    code = callback(idp.sign_in(login_url(idp)))["code"]
    first = redeem(client, idp, code=code).json()
    assert error(redeem(client, idp, code=code)) == (400, "invalid_grant")
    assert error(refresh(client, idp, first["refresh_token"])) == (400, "invalid_grant")


def test_without_offline_access_there_is_no_refresh_token(
    client: requests.Session, idp: IdentityProvider
) -> None:
    code = callback(idp.sign_in(login_url(idp, scope="openid")))["code"]
    assert "refresh_token" not in redeem(client, idp, code=code).json()
    assert idp.families == ()


def test_without_openid_there_is_no_id_token(
    client: requests.Session, idp: IdentityProvider
) -> None:
    code = callback(idp.sign_in(login_url(idp, scope="offline_access")))["code"]
    assert "id_token" not in redeem(client, idp, code=code).json()


# --- refresh tokens ---


def test_a_refresh_replaces_the_refresh_token(
    client: requests.Session, idp: IdentityProvider
) -> None:
    first = redeem(client, idp).json()
    second = refresh(client, idp, first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert second["access_token"] != first["access_token"]
    assert "nonce" not in claims(client, idp, second["id_token"])
    (family,) = idp.families
    assert (family.user, family.refresh_token) == ("alice", second["refresh_token"])
    assert (family.rotations, family.revoked) == (1, False)
    assert second["refresh_token"] not in repr(family)


def test_a_refresh_token_that_comes_again_ends_its_family_and_no_other(
    client: requests.Session, idp: IdentityProvider
) -> None:
    old, other = idp.issue("alice")["refresh_token"], idp.issue("bob")["refresh_token"]
    new = refresh(client, idp, old).json()["refresh_token"]
    assert error(refresh(client, idp, old)) == (400, "invalid_grant")
    assert error(refresh(client, idp, new)) == (400, "invalid_grant")
    assert refresh(client, idp, other).ok
    counts = idp.counts
    assert (counts.rotations, counts.reuses, counts.forced_logins) == (2, 1, 1)
    assert (counts.refreshes, counts.logins) == (4, 2)


def test_without_reuse_detection_an_old_token_is_only_refused(client: requests.Session) -> None:
    with IdentityProvider(users=USERS, reuse_detection=False) as idp:
        old = idp.issue()["refresh_token"]
        new = refresh(client, idp, old).json()["refresh_token"]
        assert error(refresh(client, idp, old)) == (400, "invalid_grant")
        assert refresh(client, idp, new).ok
        assert (idp.counts.reuses, idp.counts.forced_logins) == (1, 0)


def test_without_rotation_a_refresh_token_stays(client: requests.Session) -> None:
    with IdentityProvider(users=USERS, rotation=False) as idp:
        old = idp.issue()["refresh_token"]
        assert [refresh(client, idp, old).json()["refresh_token"] for _ in range(2)] == [old, old]
        assert idp.counts.rotations == 0


def test_within_the_grace_an_old_token_brings_a_further_one(client: requests.Session) -> None:
    clock = Clock()
    with IdentityProvider(users=USERS, grace=5, clock=clock) as idp:
        old = idp.issue()["refresh_token"]
        lost = refresh(client, idp, old).json()["refresh_token"]
        clock.now += 5
        found = refresh(client, idp, old).json()["refresh_token"]
        assert refresh(client, idp, lost).ok
        assert refresh(client, idp, found).ok
        clock.now += 0.1
        assert error(refresh(client, idp, old)) == (400, "invalid_grant")
        assert (idp.counts.reuses, idp.counts.forced_logins) == (1, 1)


def test_a_family_runs_out(client: requests.Session) -> None:
    clock = Clock()
    with IdentityProvider(users=USERS, refresh_token_seconds=100, clock=clock) as idp:
        first = idp.issue()["refresh_token"]
        clock.now += 100
        second = refresh(client, idp, first).json()["refresh_token"]
        clock.now += 1
        assert error(refresh(client, idp, second)) == (400, "invalid_grant")


def test_a_refresh_asks_for_no_more_than_was_granted(
    client: requests.Session, idp: IdentityProvider
) -> None:
    old = idp.issue()["refresh_token"]
    wider = token(client, idp, "refresh_token", refresh_token=old, scope="openid admin")
    assert error(wider) == (400, "invalid_scope")
    assert refresh(client, idp, old).ok


def test_a_refresh_token_is_its_client_s(client: requests.Session, idp: IdentityProvider) -> None:
    old = idp.issue()["refresh_token"]
    foreign = {"client_id": SERVICE_ID, "client_secret": SERVICE_SECRET}
    answer = token(client, idp, "refresh_token", refresh_token=old, **foreign)
    assert error(answer) == (400, "invalid_grant")


def test_revocation_ends_the_family_and_knows_no_wrong_token(
    client: requests.Session, idp: IdentityProvider
) -> None:
    first = idp.issue()["refresh_token"]
    second = refresh(client, idp, first).json()["refresh_token"]
    for value in (second, "unknown"):
        data = {"token": value, "client_id": CLIENT_ID}
        assert client.post(idp.metadata["revocation_endpoint"], data=data).status_code == 200
    assert error(refresh(client, idp, second)) == (400, "invalid_grant")
    assert idp.counts.forced_logins == 0


def test_an_administrator_ends_the_logins_of_one_user(
    client: requests.Session, idp: IdentityProvider
) -> None:
    alice, bob = idp.issue("alice"), idp.issue("bob")
    idp.revoke("alice")
    assert not refresh(client, idp, alice["refresh_token"]).ok
    assert refresh(client, idp, bob["refresh_token"]).ok


def test_eight_clients_with_one_refresh_token_at_once_lose_it(idp: IdentityProvider) -> None:
    """... exactly one is served, and what it got is dead too, as at a certified provider."""
    old = idp.issue()["refresh_token"]

    def ask(_: int) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            return refresh(session, idp, old)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 7
    assert (idp.counts.rotations, idp.counts.reuses, idp.counts.forced_logins) == (1, 1, 1)


def test_sixteen_processes_refresh_fifty_times_each(idp: IdentityProvider) -> None:
    program = """
import http.client, json, sys, urllib.parse
address, token = sys.argv[1:]
connection = http.client.HTTPConnection(address)
for _ in range(50):
    form = {"grant_type": "refresh_token", "client_id": "gatepass", "refresh_token": token}
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", "/token", urllib.parse.urlencode(form), headers)
    token = json.load(connection.getresponse())["refresh_token"]
print(token)
"""
    address = urlsplit(idp.issuer).netloc
    tokens = [idp.issue()["refresh_token"] for _ in range(16)]
    running = [
        subprocess.Popen(
            [sys.executable, "-IS", "-c", program, address, value],
            stdout=subprocess.PIPE,
            text=True,
        )
        for value in tokens
    ]
    last = [process.communicate(timeout=120)[0].strip() for process in running]
    assert last == [family.refresh_token for family in idp.families]
    counts = idp.counts
    assert (counts.refreshes, counts.rotations, counts.reuses) == (800, 800, 0)


# --- clients ---


def test_a_service_logs_on_as_itself_by_basic_and_by_post(
    client: requests.Session, idp: IdentityProvider
) -> None:
    encoded = (quote_plus(SERVICE_ID), quote_plus(SERVICE_SECRET))
    form = {"grant_type": "client_credentials", "audience": "https://mi.example"}
    secret = {"client_id": SERVICE_ID, "client_secret": SERVICE_SECRET}
    place = idp.metadata["token_endpoint"]
    by_basic = client.post(place, data=form, auth=encoded)
    by_post = client.post(place, data={**form, **secret})
    for answer in (by_basic, by_post):
        found = claims(client, idp, answer.json()["access_token"])
        assert (found["sub"], found["aud"]) == (SERVICE_ID, "https://mi.example")
        assert "refresh_token" not in answer.json()
    assert [seen.client_secret_by for seen in idp.requests if seen.grant_type] == ["basic", "post"]


def test_a_secret_that_is_wrong_or_not_form_encoded_is_refused(
    client: requests.Session, idp: IdentityProvider
) -> None:
    form, place = {"grant_type": "client_credentials"}, idp.metadata["token_endpoint"]
    raw = client.post(place, data=form, auth=(SERVICE_ID, SERVICE_SECRET))
    assert (*error(raw), raw.headers["WWW-Authenticate"]) == (
        401,
        "invalid_client",
        'Basic realm="idp"',
    )
    for wrong in ({"client_secret": "wrong"}, {}):
        answer = token(client, idp, "client_credentials", client_id=SERVICE_ID, **wrong)
        assert error(answer) == (401, "invalid_client")


def test_a_public_client_brings_no_secret_and_is_no_service(
    client: requests.Session, idp: IdentityProvider
) -> None:
    assert error(token(client, idp, "client_credentials")) == (400, "unauthorized_client")
    surplus = token(client, idp, "client_credentials", client_secret="any")
    assert error(surplus) == (401, "invalid_client")


def test_two_proofs_or_a_parameter_twice_are_refused(
    client: requests.Session, idp: IdentityProvider
) -> None:
    place = idp.metadata["token_endpoint"]
    both = {"grant_type": "client_credentials", "client_secret": "x"}
    twice = [("grant_type", "refresh_token"), ("grant_type", "refresh_token")]
    assert error(client.post(place, data=both, auth=("a", "b"))) == (400, "invalid_request")
    assert error(client.post(place, data=twice)) == (400, "invalid_request")
    assert error(client.post(place, json={})) == (400, "invalid_request")
    assert client.get(place).status_code == 405
    assert client.post(place, data={"a": "x" * 70_000}).status_code == 413
    assert client.post(place, data=iter([b"a=b"])).status_code == 411
    assert error(token(client, idp, "password")) == (400, "unsupported_grant_type")


# --- devices ---


def ask_as_device(client: requests.Session, idp: IdentityProvider) -> dict[str, Any]:
    data = {"client_id": CLIENT_ID, "scope": "openid offline_access"}
    answer = client.post(idp.metadata["device_authorization_endpoint"], data=data)
    return dict(answer.json())


def test_a_device_waits_until_somebody_approves_it(client: requests.Session) -> None:
    clock = Clock()
    with IdentityProvider(users=USERS, clock=clock) as idp:
        asked = ask_as_device(client, idp)

        def poll() -> requests.Response:
            clock.now += 1
            return token(client, idp, DEVICE_GRANT, device_code=asked["device_code"])

        assert error(poll()) == (400, "authorization_pending")
        idp.approve(asked["user_code"].lower().replace("-", " "), "bob")
        tokens = poll().json()
        assert claims(client, idp, tokens["id_token"])["sub"] == "bob"
        assert refresh(client, idp, tokens["refresh_token"]).ok
        assert error(poll()) == (400, "invalid_grant")


def test_a_device_that_asks_too_often_has_to_slow_down(client: requests.Session) -> None:
    clock = Clock()
    with IdentityProvider(users=USERS, clock=clock) as idp:
        code = ask_as_device(client, idp)["device_code"]

        def poll_after(seconds: float) -> str:
            clock.now += seconds
            return error(token(client, idp, DEVICE_GRANT, device_code=code))[1]

        answers = [poll_after(seconds) for seconds in (0, 0.9, 5.9, 11)]
        assert answers == [
            "authorization_pending",
            "slow_down",
            "slow_down",
            "authorization_pending",
        ]
        assert poll_after(300) == "expired_token"


def test_a_person_approves_or_denies_a_device_on_a_page(
    client: requests.Session, idp: IdentityProvider
) -> None:
    for decision, problem in (("deny", "access_denied"), ("allow", None)):
        asked = ask_as_device(client, idp)
        assert asked["user_code"] in client.get(asked["verification_uri_complete"]).text
        form = {"user_code": asked["user_code"], "login": "bob", "decision": decision}
        place = asked["verification_uri"]
        if decision == "allow":
            wrong = client.post(place, data={**form, "password": "wrong"})
            assert "Wrong user name or password" in wrong.text
        assert "Done" in client.post(place, data={**form, "password": USERS["bob"]}).text
        answer = token(client, idp, DEVICE_GRANT, device_code=asked["device_code"])
        assert answer.json().get("error") == problem
    assert "No device" in client.post(place, data={"user_code": "x", "decision": "deny"}).text


def test_a_test_denies_a_device_and_names_only_devices_that_wait(
    client: requests.Session, idp: IdentityProvider
) -> None:
    asked = ask_as_device(client, idp)
    idp.deny(asked["user_code"])
    answer = token(client, idp, DEVICE_GRANT, device_code=asked["device_code"])
    assert error(answer) == (400, "access_denied")
    with pytest.raises(KeyError):
        idp.approve("NO-SUCH")


def test_a_provider_may_know_no_devices(client: requests.Session) -> None:
    with IdentityProvider(users=USERS, device_flow=False) as idp:
        assert "device_authorization_endpoint" not in idp.metadata
        assert client.post(idp.issuer + "/device").status_code == 404
        assert error(token(client, idp, DEVICE_GRANT)) == (400, "unsupported_grant_type")


# --- records ---


def test_requests_are_remembered_without_what_is_secret(
    client: requests.Session, idp: IdentityProvider
) -> None:
    old = idp.issue()["refresh_token"]
    refresh(client, idp, old)
    client.get(login_url(idp))
    first, second = idp.requests
    assert (first.method, first.path, first.status) == ("POST", "/token", 200)
    assert (first.grant_type, first.client_id) == ("refresh_token", CLIENT_ID)
    assert first.parameters == {"grant_type", "client_id", "refresh_token"}
    assert (second.path, second.client_id, second.client_secret_by) == (
        "/authorize",
        CLIENT_ID,
        None,
    )
    assert old not in repr(idp.requests) + repr(idp) + repr(idp.families)
    assert "sesame" not in repr(idp)


def test_a_provider_that_cannot_make_its_key_opens_no_port(tmp_path: Path) -> None:
    """As where joserfc is not installed."""
    (tmp_path / "joserfc.py").write_text("raise ImportError('not installed')\n")
    script = (
        "import gc\n"
        "from gatepass.sandbox.provider import IdentityProvider\n"
        "try:\n    IdentityProvider().__enter__()\n"
        "except ImportError:\n    print('said so')\n"
        "gc.collect()\n"
    )
    sources = os.pathsep.join([str(tmp_path), PYTHONPATH])

    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", script],
        env=clean_environ(tmp_path / "home", PYTHONPATH=sources),
        capture_output=True,
        text=True,
        check=True,
    )

    assert (done.stdout, done.stderr) == ("said so\n", "")


def test_records_stay_readable_and_a_second_run_begins_anew(client: requests.Session) -> None:
    idp = IdentityProvider(users=USERS)
    with pytest.raises(RuntimeError, match="not been started"):
        assert idp.issuer
    with idp:
        refresh(client, idp, idp.issue()["refresh_token"])
        with pytest.raises(RuntimeError, match="runs already"), idp:
            pass
    assert (idp.counts.refreshes, len(idp.requests)) == (1, 1)
    with idp:
        assert (idp.counts.refreshes, idp.requests, idp.families) == (0, (), ())


@pytest.mark.parametrize(
    "wrong", [{"path": "realms"}, {"path": "/realms/"}, {"auto_login": "nobody"}]
)
def test_what_cannot_work_is_refused_at_once(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"path|user"):
        IdentityProvider(users=USERS, **wrong)


def test_a_name_that_nobody_has_logs_on_nowhere(idp: IdentityProvider) -> None:
    for attempt in (
        lambda: idp.issue("nobody"),
        lambda: idp.sign_in(login_url(idp), "nobody"),
        lambda: idp.sign_in("http://127.0.0.1:1/authorize?client_id=gatepass"),
    ):
        with pytest.raises(ValueError, match=r"no such user|not this provider's"):
            attempt()
    with IdentityProvider() as empty, pytest.raises(ValueError, match="no such user"):
        empty.issue()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[Path, Path]]:
    """A certificate authority's file, and a pair for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    issued.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    return folder / "ca.pem", (folder / "cert.pem", folder / "key.pem")


def test_importing_the_provider_loads_no_server_and_no_cryptography() -> None:
    program = (
        "import json, sys, gatepass.sandbox.provider; "
        "print(json.dumps(sorted({'http.server', 'joserfc', 'cryptography'} & {*sys.modules})))"
    )
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert json.loads(output.stdout) == []


def test_a_code_s_address_keeps_its_own_query(idp: IdentityProvider) -> None:
    back = idp.sign_in(login_url(idp, redirect_uri=REDIRECT + "?keep=1"))
    assert parse_qs(urlsplit(back).query)["keep"] == ["1"]
