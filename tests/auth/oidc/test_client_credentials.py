"""The login of a program by its own secret, over real HTTP."""

import pytest

from gatepass._vault.records import Client
from gatepass.auth._oidc import client_credentials
from gatepass.errors import GatepassError
from gatepass.secrets import Secret
from tests.support.small_provider import in_json, small_provider

SECRET = Secret("hush")


def test_a_program_logs_in_with_its_secret_and_sends_it_once() -> None:
    client = Client("app", secret=SECRET, scopes=("mi", "read"), audience="granta")
    with small_provider() as provider:
        tokens = client_credentials.log_in(client, send=provider.send(client))
    assert tokens.access_token.reveal() == "at"
    assert provider.posted == [
        {"grant_type": "client_credentials", "scope": "mi read", "audience": "granta"}
    ]
    assert provider.headers[0]["authorization"].startswith("Basic ")


def test_what_only_people_have_is_not_asked_for() -> None:
    """Providers refuse these scopes here, and they are the default."""
    client = Client("app", secret=SECRET)
    with small_provider() as provider:
        client_credentials.log_in(client, send=provider.send(client))
    assert provider.posted == [{"grant_type": "client_credentials"}]


def test_a_public_client_has_no_such_login() -> None:
    client = Client("app")
    with small_provider() as provider, pytest.raises(GatepassError, match="client_secret"):
        client_credentials.log_in(client, send=provider.send(client))
    assert provider.posted == []


def test_a_refusal_is_passed_on_without_the_secret() -> None:
    client = Client("app", secret=SECRET)
    refusal = in_json({"error": "invalid_client", "error_description": "not hush"}, 401)
    with (
        small_provider(token=lambda _: refusal) as provider,
        pytest.raises(GatepassError, match="invalid_client") as caught,
    ):
        client_credentials.log_in(client, send=provider.send(client))
    assert "hush" not in str(caught.value)
