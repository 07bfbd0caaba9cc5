"""What the identity provider has granted: strict about codes, refresh tokens and devices."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from gatepass.sandbox.provider import CLIENT_ID, SERVICE_ID, SERVICE_SECRET, IdentityProvider
from tests.support.provider_requests import (
    DEVICE_GRANT,
    USERS,
    Clock,
    ask_as_device,
    callback,
    claims,
    error,
    login_url,
    redeem,
    refresh,
    token,
)


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


def test_a_refresh_replaces_the_refresh_token(
    client: requests.Session, idp: IdentityProvider
) -> None:
    first = redeem(client, idp).json()
    second = refresh(client, idp, first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert second["access_token"] != first["access_token"]
    assert "nonce" not in claims(client, idp, second["id_token"])
    (family,) = idp.families
    assert (family.grant.subject, family.refresh_token) == ("alice", second["refresh_token"])
    assert not family.revoked
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


def test_a_test_denies_a_device_and_names_only_devices_that_wait(
    client: requests.Session, idp: IdentityProvider
) -> None:
    asked = ask_as_device(client, idp)
    idp.deny(asked["user_code"])
    answer = token(client, idp, DEVICE_GRANT, device_code=asked["device_code"])
    assert error(answer) == (400, "access_denied")
    with pytest.raises(KeyError):
        idp.approve("NO-SUCH")
