"""The OpenID peers do what their fixtures claim: the provider, the room in Apache, the browser."""

import os
import threading
import webbrowser
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from urllib.parse import parse_qsl, quote_plus, urlencode, urlsplit

import pytest
import requests

from gatepass.sandbox.provider import IdentityProvider
from tests.support.peers import browser as browser_peer
from tests.support.peers import oidc_provider as oidc_peer
from tests.support.peers.apache import Apache
from tests.support.peers.browser import Browser
from tests.support.peers.ca import CertificateAuthority
from tests.support.peers.oidc_provider import (
    AUDIENCE,
    NATIVE,
    SECRETS,
    SERVICE,
    SERVICE_POST,
    OidcAddress,
)
from tests.support.peers.oidc_provider import OidcProvider as Provider
from tests.support.peers.waiting import wait_for

WHOAMI = "/cgi/whoami"
VERIFIER = "v" * 50
CHALLENGE = urlsafe_b64encode(sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


@pytest.fixture
def client(ca: CertificateAuthority) -> Iterator[requests.Session]:
    """A plain session that trusts the test CA and ignores this machine's variables."""
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(ca.ca_file)
        yield session


def login_url(endpoint: str, redirect_uri: str, client_id: str = NATIVE) -> str:
    values = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "scope": "openid offline_access",
        "prompt": "consent",
        "state": "state-1",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    }
    return f"{endpoint}?{urlencode(values)}"


def redeem(
    client: requests.Session, endpoint: str, callback: str, client_id: str = NATIVE
) -> dict[str, Any]:
    address, _, query = callback.partition("?")
    form = {
        "grant_type": "authorization_code",
        "client_id": client_id,
        "redirect_uri": address,
        "code": dict(parse_qsl(query))["code"],
        "code_verifier": VERIFIER,
    }
    return dict(client.post(endpoint, data=form).json())


def tokens_of(client: requests.Session, provider: Provider, user: str = "alice") -> dict[str, Any]:
    """Log on and return the tokens."""
    found = provider.metadata()
    url = login_url(found["authorization_endpoint"], "http://127.0.0.1:5/callback")
    return redeem(client, found["token_endpoint"], provider.sign_in(url, user))


def refresh(client: requests.Session, provider: Provider, token: str) -> requests.Response:
    form = {"grant_type": "refresh_token", "client_id": NATIVE, "refresh_token": token}
    return client.post(provider.issuer + "/token", data=form)


def ask(client: requests.Session, apache: Apache, access_token: str) -> requests.Response:
    headers = {"Authorization": f"Bearer {access_token}"}
    return client.get(apache.oidc.https + WHOAMI, headers=headers)


# --- the provider ---


def test_the_metadata_promise_what_a_careful_client_needs(oidc_provider: Provider) -> None:
    found = oidc_provider.metadata()
    assert found["issuer"] == oidc_provider.issuer
    assert found["authorization_response_iss_parameter_supported"] is True
    assert found["code_challenge_methods_supported"] == ["S256"]
    assert {"device_authorization_endpoint", "revocation_endpoint", "jwks_uri"} <= found.keys()


@pytest.mark.parametrize("host", ["127.0.0.1:5", "[::1]:6", "localhost:7"])
def test_a_login_comes_back_to_any_port_with_state_and_issuer(
    client: requests.Session, oidc_provider: Provider, host: str
) -> None:
    found = oidc_provider.metadata()
    url = login_url(found["authorization_endpoint"], f"http://{host}/callback")
    callback = oidc_provider.sign_in(url)
    back = dict(parse_qsl(urlsplit(callback).query))
    assert (back["state"], back["iss"]) == ("state-1", oidc_provider.issuer)
    tokens = redeem(client, found["token_endpoint"], callback)
    assert {"access_token", "refresh_token", "id_token"} <= tokens.keys()


def test_offline_access_needs_prompt_consent(
    client: requests.Session, oidc_provider: Provider
) -> None:
    """... or is dropped without a word (OIDC Core, section 11)."""
    found = oidc_provider.metadata()
    url = login_url(found["authorization_endpoint"], "http://127.0.0.1:5/callback")
    callback = oidc_provider.sign_in(url.replace("&prompt=consent", ""))
    tokens = redeem(client, found["token_endpoint"], callback)
    assert "id_token" in tokens
    assert "refresh_token" not in tokens


def test_a_refresh_token_that_comes_again_ends_the_login(
    client: requests.Session, oidc_provider: Provider
) -> None:
    old = tokens_of(client, oidc_provider)["refresh_token"]
    mark = oidc_provider.mark()
    new = refresh(client, oidc_provider, old).json()["refresh_token"]
    assert new != old
    assert refresh(client, oidc_provider, old).json()["error"] == "invalid_grant"
    assert refresh(client, oidc_provider, new).json()["error"] == "invalid_grant"
    assert oidc_provider.token_requests(mark) == [200, 400, 400]
    assert "revoked" in {line.event for line in oidc_provider.log_since(mark)}


def test_a_device_is_approved_in_a_browser(
    client: requests.Session, oidc_provider: Provider
) -> None:
    found = oidc_provider.metadata()
    form = {"client_id": NATIVE, "scope": "openid offline_access"}
    asked = client.post(found["device_authorization_endpoint"], data=form).json()
    poll = {
        "grant_type": DEVICE_GRANT,
        "client_id": NATIVE,
        "device_code": asked["device_code"],
    }
    pending = client.post(found["token_endpoint"], data=poll).json()
    assert pending["error"] == "authorization_pending"
    oidc_provider.approve(asked["verification_uri_complete"], "bob")
    assert "access_token" in client.post(found["token_endpoint"], data=poll).json()


def test_a_service_s_secret_must_be_form_encoded_in_basic(
    client: requests.Session, oidc_provider: Provider, oidc_apache: Apache
) -> None:
    place, form = oidc_provider.issuer + "/token", {"grant_type": "client_credentials"}
    secret = SECRETS[SERVICE]
    assert client.post(place, data=form, auth=(SERVICE, secret)).status_code == 401
    by_basic = client.post(place, data=form, auth=(quote_plus(SERVICE), quote_plus(secret)))
    by_post = client.post(
        place,
        data={**form, "client_id": SERVICE_POST, "client_secret": SECRETS[SERVICE_POST]},
    )
    for answer in (by_basic, by_post):
        assert ask(client, oidc_apache, answer.json()["access_token"]).ok


def test_a_login_can_be_revoked(client: requests.Session, oidc_provider: Provider) -> None:
    token = tokens_of(client, oidc_provider)["refresh_token"]
    form = {"client_id": NATIVE, "token": token}
    assert client.post(oidc_provider.metadata()["revocation_endpoint"], data=form).ok
    assert refresh(client, oidc_provider, token).json()["error"] == "invalid_grant"


def test_a_second_provider_may_be_less_strict_and_is_believed_as_well(
    client: requests.Session,
    oidc_apache: Apache,
    ca: CertificateAuthority,
    peers_folder: Path,
) -> None:
    address = OidcAddress.free()
    with oidc_peer.oidc_provider(
        peers_folder / "oidc", ca, address, access_token_seconds=2, rotate=False
    ) as second:
        tokens = tokens_of(client, second)
        old, short = tokens["refresh_token"], tokens["access_token"]
        assert tokens["expires_in"] == 2
        assert refresh(client, second, old).json()["refresh_token"] == old
        # In a row: on a slow machine one token may run out on its way.
        wait_for(
            lambda: (
                ask(client, oidc_apache, refresh(client, second, old).json()["access_token"]).ok
            ),
            20,
            "a token is taken",
        )
        answers: list[requests.Response] = []  # a refused one is falsy

        def has_run_out() -> bool:
            answers.append(ask(client, oidc_apache, short))
            return not answers[-1].ok

        wait_for(has_run_out, 20, "the token runs out")
    assert answers[-1].status_code == 401
    assert 'error="invalid_token"' in answers[-1].headers["WWW-Authenticate"]


# --- Apache's room ---


def test_the_room_asks_for_a_token_as_granta_does(
    client: requests.Session, oidc_apache: Apache, oidc_address: OidcAddress
) -> None:
    refused = client.get(oidc_apache.oidc.https + WHOAMI)
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"] == (
        f'Bearer authority="{oidc_address.issuer}", clientid="{NATIVE}", '
        f'redirecturi="{oidc_address.redirect_uri}", scope="openid offline_access", '
        f'apiAudience="{AUDIENCE}"'
    )


def test_the_room_takes_the_provider_s_tokens_and_no_others(
    client: requests.Session, oidc_apache: Apache, oidc_provider: Provider
) -> None:
    token = tokens_of(client, oidc_provider, "bob")["access_token"]
    answer = ask(client, oidc_apache, token).json()
    assert (answer["user"], answer["auth"]) == ("bob", "oauth20")
    head, payload, signature = token.split(".")
    forged = ask(client, oidc_apache, f"{head}.{payload}.{signature[::-1]}")
    assert forged.status_code == 401
    assert 'error="invalid_token"' in forged.headers["WWW-Authenticate"]
    with IdentityProvider(users={"alice": "sesame"}, audience=AUDIENCE) as other:
        assert ask(client, oidc_apache, other.issue()["access_token"]).status_code == 401


# --- the browser ---


class _Once(BaseHTTPRequestHandler):
    """Takes a browser that comes back."""

    server: "_Listener"

    def do_GET(self) -> None:
        body = b"<title>Back</title>You can close this page."
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        if self.path.startswith("/callback?"):
            self.server.came.put(self.path)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in http.server
        """Print nothing."""


class _Listener(HTTPServer):
    came: "SimpleQueue[str]"


@contextmanager
def listening() -> Iterator[tuple[str, "SimpleQueue[str]"]]:
    """Wait for browsers at an address; it, and the paths with which they came."""
    with _Listener(("127.0.0.1", 0), _Once) as server:
        server.came = SimpleQueue()
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/callback", server.came
        finally:
            server.shutdown()
            thread.join()


def test_python_opens_the_browser_which_logs_on_and_comes_back(
    browser: Browser,
    client: requests.Session,
    oidc_provider: Provider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BROWSER", browser.command)
    found = oidc_provider.metadata()
    with listening() as (address, came):
        url = login_url(found["authorization_endpoint"], address)
        assert webbrowser.get(os.environ["BROWSER"]).open(url)
        path = came.get(timeout=60)
        page = browser.last_page()
    assert page.problem == ""
    assert (page.title, page.text) == ("Back", "You can close this page.")
    assert page.visited[-1] == address
    assert browser.screenshot.read_bytes().startswith(b"\x89PNG")
    callback = address + path.removeprefix("/callback")
    assert "refresh_token" in redeem(client, found["token_endpoint"], callback)


def test_the_browser_logs_on_at_the_sandbox_too(
    peers_folder: Path, tmp_path: Path, client: requests.Session
) -> None:
    folder = peers_folder / tmp_path.name
    with (
        browser_peer.browser(folder, login="zoë", password="päss") as person,
        IdentityProvider(users={"zoë": "päss"}) as idp,
        listening() as (address, came),
    ):
        url = login_url(idp.metadata["authorization_endpoint"], address, "gatepass")
        assert webbrowser.get(person.command).open(url)
        path = came.get(timeout=60)
        assert person.last_page().problem == ""
        callback = address + path.removeprefix("/callback")
        assert "access_token" in redeem(client, idp.issuer + "/token", callback, "gatepass")
        assert idp.families[0].user == "zoë"
