"""The endpoints of the identity provider: what leads where, and what is recorded."""

from urllib.parse import parse_qs, parse_qsl, quote_plus, urlsplit

import pytest
import requests

from gatepass.sandbox.provider import CLIENT_ID, SERVICE_ID, SERVICE_SECRET, IdentityProvider
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
