"""The tokens of the identity provider: who, for what, and signed."""

from base64 import urlsafe_b64encode
from hashlib import sha256

import requests

from gatepass.sandbox.provider import CLIENT_ID, IdentityProvider
from tests.support.provider_requests import callback, claims, login_url, redeem


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


def test_without_openid_there_is_no_id_token(
    client: requests.Session, idp: IdentityProvider
) -> None:
    code = callback(idp.sign_in(login_url(idp, scope="offline_access")))["code"]
    assert "id_token" not in redeem(client, idp, code=code).json()
