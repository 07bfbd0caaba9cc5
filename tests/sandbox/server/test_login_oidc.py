"""Mode ``oidc``: the practice server takes access tokens of the identity provider."""

import re
import socket
from collections.abc import Iterator

import pytest
import requests

from gatepass.sandbox import Server
from gatepass.sandbox.provider import (
    CLIENT_ID,
    SERVICE_ID,
    SERVICE_SECRET,
    IdentityProvider,
)

USERS = {"alice": "sesame", "bob": "open <&> sésame"}


@pytest.fixture
def idp() -> Iterator[IdentityProvider]:
    """A provider with two users."""
    with IdentityProvider(users=USERS) as running:
        yield running


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def bearer(client: requests.Session, server: Server, token: str) -> requests.Response:
    return client.get(server.url, headers={"Authorization": f"Bearer {token}"})


def test_the_server_says_where_to_log_on_in_granta_s_words(
    client: requests.Session, idp: IdentityProvider
) -> None:
    place = "http://localhost:8765/"
    with Server(mode="oidc", provider=idp, redirect_uri=place) as server:
        refused = client.get(server.url)
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"] == (
        f'Bearer authority="{idp.issuer}", clientid="{CLIENT_ID}", redirecturi="{place}", '
        'scope="openid offline_access", apiAudience="https://api.example"'
    )


def test_the_server_names_a_port_that_is_free(
    client: requests.Session, idp: IdentityProvider
) -> None:
    with Server(mode="oidc", provider=idp) as server:
        challenge = client.get(server.url).headers["WWW-Authenticate"]
    found = re.search(r'redirecturi="http://localhost:(\d+)/"', challenge)
    assert found is not None
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", int(found[1])))


def test_access_tokens_live_as_long_as_was_said_last(
    client: requests.Session, idp: IdentityProvider
) -> None:
    with Server(mode="oidc", provider=idp) as server:
        idp.set_access_token_seconds(0)
        ended = idp.issue()
        idp.set_access_token_seconds(3600)
        fresh = idp.issue()

        assert (ended["expires_in"], fresh["expires_in"]) == (0, 3600)
        assert bearer(client, server, ended["access_token"]).status_code == 401
        assert bearer(client, server, fresh["access_token"]).ok


def test_the_server_takes_a_token_until_it_runs_out(client: requests.Session) -> None:
    clock = Clock()
    with (
        IdentityProvider(users=USERS, clock=clock) as idp,
        Server(mode="oidc", provider=idp) as server,
    ):
        token = idp.issue("bob")["access_token"]
        assert bearer(client, server, token).json()["user"] == "bob"
        clock.now += 60
        refused = bearer(client, server, token)
        assert (refused.status_code, 'error="invalid_token"' in _challenge_of(refused)) == (
            401,
            True,
        )
        assert f'authority="{idp.issuer}"' in _challenge_of(refused)
        assert bearer(client, server, idp.issue("bob")["access_token"]).ok


def _challenge_of(answer: requests.Response) -> str:
    return answer.headers["WWW-Authenticate"]


def test_the_server_takes_no_other_tokens(client: requests.Session, idp: IdentityProvider) -> None:
    with (
        IdentityProvider(users=USERS) as another,
        Server(mode="oidc", provider=idp) as server,
    ):
        good = idp.issue()
        head, payload, _ = good["access_token"].split(".")
        for token in (
            another.issue()["access_token"],
            idp.issue(audience="https://another.example")["access_token"],
            good["id_token"],
            good["refresh_token"],
            f"{head}.{payload}.",
            "=",
            "é".encode().decode("latin-1"),
        ):
            refused = bearer(client, server, token)
            assert refused.status_code == 401
            assert 'error="invalid_token"' in _challenge_of(refused)
            assert token not in refused.text
        assert client.get(server.url, auth=("alice", "sesame")).status_code == 401
        assert bearer(client, server, good["access_token"]).ok
        schemes = {request.scheme for request in server.requests}
        assert schemes == {"bearer", "basic"}


def test_a_provider_and_mode_oidc_belong_together(idp: IdentityProvider) -> None:
    for wrong in ({"mode": "oidc"}, {"mode": "open", "provider": idp}):
        with pytest.raises(ValueError, match="mode oidc takes one"):
            Server(**wrong)
    only_services = IdentityProvider(users=USERS, clients={SERVICE_ID: SERVICE_SECRET})
    with (
        only_services as running,
        pytest.raises(ValueError, match="no public client"),
        Server(mode="oidc", provider=running),
    ):
        pass
