"""The endpoints of the identity provider: what leads where, and what is recorded."""

from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
import requests

from gatepass.sandbox.provider import CLIENT_ID, IdentityProvider
from tests.support.provider_requests import (
    DEVICE_GRANT,
    REDIRECT,
    USERS,
    callback,
    claims,
    error,
    login_url,
    redeem,
    refresh,
    token,
)


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


def test_a_provider_may_know_no_devices(client: requests.Session) -> None:
    with IdentityProvider(users=USERS, device_flow=False) as idp:
        assert "device_authorization_endpoint" not in idp.metadata
        assert client.post(idp.issuer + "/device").status_code == 404
        assert error(token(client, idp, DEVICE_GRANT)) == (400, "unsupported_grant_type")


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


def test_a_code_s_address_keeps_its_own_query(idp: IdentityProvider) -> None:
    back = idp.sign_in(login_url(idp, redirect_uri=REDIRECT + "?keep=1"))
    assert parse_qs(urlsplit(back).query)["keep"] == ["1"]
