"""The forms that oauthlib builds: complete, and without what a client says about itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass._vault.records import Client
from gatepass.auth._oidc.token_request import (
    form_of_client_credentials,
    form_of_code,
    form_of_device_authorization,
    form_of_device_code,
    form_of_refresh_token,
    form_of_revocation,
)
from gatepass.secrets import Secret

_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)


@pytest.mark.parametrize("audience", [None, "granta"])
def test_a_code_is_exchanged_with_its_verifier_and_redirect_uri(audience: str | None) -> None:
    client = Client("us", Secret("s"), audience=audience)

    form = form_of_code(client, Secret("c&o=d e"), verifier=Secret("v"), redirect_uri="http://a/b")

    wanted = {
        "grant_type": "authorization_code",
        "code": "c&o=d e",
        "code_verifier": "v",
        "redirect_uri": "http://a/b",
    }
    assert form == (wanted if audience is None else {**wanted, "audience": audience})


@given(_TEXTS)
def test_every_token_is_sent_as_it_came(token: str) -> None:
    assert form_of_refresh_token(Secret(token)) == {
        "grant_type": "refresh_token",
        "refresh_token": token,
    }
    assert form_of_device_code(Secret(token)) == {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "device_code": token,
    }
    assert form_of_revocation(Secret(token)) == {
        "token": token,
        "token_type_hint": "refresh_token",
    }


def test_a_device_asks_for_what_the_profile_says() -> None:
    client = Client(
        "us", Secret("s"), scopes=("a", "b"), audience="granta", extra_params={"tenant": "x & y"}
    )

    assert form_of_device_authorization(client) == {
        "scope": "a b",
        "audience": "granta",
        "tenant": "x & y",
    }
    assert form_of_device_authorization(Client("us", scopes=())) == {}


def test_a_client_asks_for_its_scopes_or_none() -> None:
    client = Client("us", Secret("s"))

    assert form_of_client_credentials(client, []) == {"grant_type": "client_credentials"}
    assert form_of_client_credentials(client, ["a", "b"])["scope"] == "a b"
