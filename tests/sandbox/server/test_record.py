"""What the practice server records of requests: no secret."""

import requests
from hypothesis import given
from hypothesis import strategies as st

from gatepass.sandbox import Server
from gatepass.sandbox._server.basic import credentials
from gatepass.sandbox._server.record import scheme_name
from tests.sandbox.conftest import basic


def test_no_secret_value_is_kept_or_shown(server: Server, client: requests.Session) -> None:
    header = basic("alice", "hunter2secret")
    client.get(server.url, headers={**header, "Cookie": "id=cookiesecret"})
    client.get(server.url, headers={"Authorization": "baresecret"})
    client.get(server.url, headers={"Authorization": "wordsecret more"})
    shown = repr(server) + repr(server.requests)
    encoded = header["Authorization"].removeprefix("Basic ")
    for secret in ("hunter2secret", encoded, "cookiesecret", "baresecret", "wordsecret", "sesame"):
        assert secret not in shown
    assert [request.scheme for request in server.requests] == ["basic", "other", "other"]
    assert "cookie" in server.requests[0].header_names


def test_a_request_without_the_header_has_no_scheme(
    server: Server, client: requests.Session
) -> None:
    client.get(server.url)
    assert (server.requests[0].has_authorization, server.requests[0].scheme) == (False, None)


@given(st.text())
def test_a_foreign_header_is_never_an_exception(header: str) -> None:
    credentials(header)
    credentials("Basic " + header)
    assert scheme_name(header) in {"basic", "bearer", "digest", "negotiate", "ntlm", "other"}
