"""HTTP of the identity provider: forms that are refused before anything is looked up."""

import socket
from urllib.parse import urlsplit

import requests

from gatepass.sandbox.provider import IdentityProvider
from tests.support import raw
from tests.support.provider_requests import error, token


def test_two_proofs_or_a_parameter_twice_are_refused(
    client: requests.Session, idp: IdentityProvider
) -> None:
    place = idp.metadata["token_endpoint"]
    both = {"grant_type": "client_credentials", "client_secret": "x"}
    twice = [("grant_type", "refresh_token"), ("grant_type", "refresh_token")]
    assert error(client.post(place, data=both, auth=("a", "b"))) == (400, "invalid_request")
    assert error(client.post(place, data=twice)) == (400, "invalid_request")
    assert error(client.post(place, json={})) == (400, "invalid_request")
    assert client.get(place).status_code == 405
    assert client.post(place, data={"a": "x" * 70_000}).status_code == 413
    assert error(token(client, idp, "password")) == (400, "unsupported_grant_type")


def test_a_head_request_gets_the_length_of_the_page_and_no_page(idp: IdentityProvider) -> None:
    where = urlsplit(idp.issuer)
    assert where.port is not None
    request = raw.get("/elsewhere", where.netloc, "Connection: close", method="HEAD")

    found = raw.ask(where.port, request)

    assert (found.status, found.body) == (404, b"")
    assert int(found.headers["Content-Length"]) > 0


def test_a_form_that_breaks_off_is_neither_answered_nor_recorded(idp: IdentityProvider) -> None:
    where = urlsplit(idp.issuer)
    assert where.port is not None
    head = raw.get("/token", where.netloc, "Content-Length: 9", method="POST")

    with raw.asked(where.port, head + b"grant") as connection:
        connection.shutdown(socket.SHUT_WR)
        assert raw.everything(connection) == b""

    assert idp.requests == ()
    assert idp.counts.token_requests == {}
