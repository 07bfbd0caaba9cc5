"""Requests to the sandbox's identity provider, as a client and a browser send them."""

from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import requests
from joserfc import jwt
from joserfc.jwk import KeySet

from gatepass.sandbox.provider import CLIENT_ID, IdentityProvider

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


def ask_as_device(client: requests.Session, idp: IdentityProvider) -> dict[str, Any]:
    data = {"client_id": CLIENT_ID, "scope": "openid offline_access"}
    answer = client.post(idp.metadata["device_authorization_endpoint"], data=data)
    return dict(answer.json())
