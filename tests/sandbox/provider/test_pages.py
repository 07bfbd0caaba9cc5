"""The pages of the identity provider, filled in as a browser does."""

from html import unescape

import pytest
import requests

from gatepass.sandbox.provider import IdentityProvider
from tests.support.provider_requests import (
    DEVICE_GRANT,
    USERS,
    ask_as_device,
    callback,
    claims,
    login_url,
    redeem,
    token,
)


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
