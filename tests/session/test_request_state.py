"""What the guard notes on requests, and that none that a caller sees holds credentials."""

import io

import pytest
import requests
from requests.auth import HTTPBasicAuth
from requests.exceptions import UnrewindableBodyError

from tests.support.echo import basic, echo, redirects
from tests.support.sessions import PASSWORD, USER, session_for

HOME_LOGIN = basic(USER, PASSWORD)


OWN = HTTPBasicAuth("own", "own-password")


OWN_LOGIN = basic("own", "own-password")


@pytest.mark.parametrize("code", [307, 308])
@pytest.mark.parametrize("scheme", ["anonymous", "basic", "credentials"])
def test_a_stream_is_never_sent_empty_after_a_redirect(scheme: str, code: int) -> None:
    """It is spent by then; requests would send nothing, and get a 200."""
    with echo(redirects({"/mi/a": "/mi/b"}, code=code)) as home:
        mi = session_for(home.url, scheme)
        with pytest.raises(UnrewindableBodyError, match="read only once"):
            mi.post("a", data=iter([b"bo", b"dy"]))
        assert mi.post("a", data=iter([b"body"]), allow_redirects=False).status_code == code
        assert mi.post("a", data=io.BytesIO(b"body")).ok

    arrived = [(seen.method, seen.body) for seen in home.seen if seen.path == "/mi/b"]
    assert [body for method, body in arrived if method == "POST"] == [b"body"]


def test_no_answer_shows_the_credentials() -> None:
    with echo(redirects({"/mi/a": "/mi/b"})) as home:
        mi = session_for(home.url)
        answers = [
            mi.get("b"),
            mi.get("b", stream=True),
            mi.get("a"),
            mi.get("a", allow_redirects=False),
            mi.get("b", auth=OWN),
            mi.get("a", headers={"Authorization": "Token own"}),
            mi.get("a", headers={"Authorization": "Token own"}, allow_redirects=False),
        ]
        followed = [mi.send(answers[index].next) for index in (3,)]  # type: ignore[arg-type]

    for answer in (*answers, *followed):
        following = [answer.next] if answer.next else []
        for request in (answer.request, *(each.request for each in answer.history), *following):
            assert "Authorization" not in request.headers
            assert "Proxy-Authorization" not in request.headers
        answer.close()
    assert home.authorizations[-1] == HOME_LOGIN, "the next request of an answer can be sent"


def test_a_request_of_the_caller_can_be_sent_twice() -> None:
    with echo() as home:
        mi = session_for(home.url)
        prepared = mi.prepare_request(requests.Request("GET", "x", auth=OWN))
        mi.send(prepared)
        mi.send(prepared)

    assert home.authorizations == [OWN_LOGIN] * 2


def test_no_exception_shows_the_credentials() -> None:
    with echo(redirects({"/mi/a": "/mi/a"})) as home:
        mi = session_for(home.url)
        mi.max_redirects = 1
        for headers in ({}, {"Authorization": "Token own"}):
            with pytest.raises(requests.TooManyRedirects) as caught:
                mi.get("a", headers=headers)
            assert caught.value.response is not None
            assert "Authorization" not in caught.value.response.request.headers
            assert "Authorization" not in caught.value.request.headers  # type: ignore[union-attr]


def test_a_redirect_to_something_that_is_no_url_is_an_error_of_requests() -> None:
    malformed = pytest.raises(requests.exceptions.InvalidURL, match="redirects to a malformed URL")
    with echo(redirects({"/mi/x": "http://e[vil/"})) as server, malformed:
        session_for(server.url).get("x")
