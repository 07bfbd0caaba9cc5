"""The server of the contracts: it takes any credentials, and keeps what arrived."""

from collections.abc import Iterator

import pytest
import requests

from gatepass.testing._loopback import Loopback


@pytest.fixture
def client() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


def test_credentials_of_any_kind_are_demanded_taken_and_not_shown(
    client: requests.Session,
) -> None:
    with Loopback(challenges=("Key", "Basic"), demands=True).running() as server:
        refused = client.get(server.url)
        by_header = client.get(server.url, headers={"X-Api-Key": "canary"})
        by_query = client.get(server.url + "?key=canary")

    assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Key, Basic")
    assert (by_header.json(), by_query.json()) == ({}, {})
    assert [each.carries for each in server.requests] == [False, True, True]
    assert server.requests[1].headers["x-api-key"] == "canary"
    assert "canary" not in repr(server)


def test_a_refusal_counts_for_every_request(client: requests.Session) -> None:
    with Loopback(challenges=("Key",), refuses=True).running() as server:
        assert client.get(server.url, headers={"X-Api-Key": "k"}).status_code == 401
        assert client.head(server.url, headers={"X-Api-Key": "k"}).status_code == 401


def test_a_redirect_leads_where_it_is_told_and_is_no_credential(client: requests.Session) -> None:
    with Loopback().running() as elsewhere, Loopback().running() as server:
        assert client.get(f"{server.url}redirect?to={elsewhere.url}x").url == f"{elsewhere.url}x"

    assert [each.carries for each in (*server.requests, *elsewhere.requests)] == [False, False]


def test_a_mistake_of_the_server_itself_is_raised_at_its_end(client: requests.Session) -> None:
    def run() -> None:
        with Loopback(refuses=True).running() as server:
            server.challenges = None  # type: ignore[assignment] # the mistake
            with pytest.raises(requests.ConnectionError):
                client.get(server.url)

    with pytest.raises(TypeError):
        run()
