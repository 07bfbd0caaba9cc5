"""The clients of the identity provider: who they are, and where a login may lead."""

from urllib.parse import quote_plus

import pytest
import requests

from gatepass.sandbox.provider import SERVICE_ID, SERVICE_SECRET, IdentityProvider
from tests.support.provider_requests import claims, error, login_url, token


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
