"""What went wrong with a connection is told by its cause, with the next step of the situation."""

import pytest
import requests
from requests.exceptions import ConnectTimeout

from gatepass._session.exceptions import TimedOut, Unreachable
from gatepass._session.translate import translate_error
from tests.support.peers.waiting import free_port
from tests.support.sessions import session_for


def test_a_name_that_is_not_known_is_explained() -> None:
    with pytest.raises(Unreachable, match=r"the name nowhere\.invalid is not known") as caught:
        session_for("https://nowhere.invalid", "anonymous", environ={}, retries=0).get("x")

    assert "https://nowhere.invalid" in str(caught.value)
    assert "check the spelling" in caught.value.hint


def test_a_port_where_nobody_listens_is_explained() -> None:
    url = f"http://localhost:{free_port()}/"
    with pytest.raises(Unreachable, match="nobody listens there") as caught:
        session_for(url, retries=0).get("x")

    assert caught.value.exit_code == 5
    assert caught.value.__context__ is None, "the original holds the request with its credentials"


def test_a_connection_that_takes_too_long_is_explained() -> None:
    request = requests.Request("GET", "https://mi.example.com/x").prepare()

    error = translate_error(ConnectTimeout(request=request), request)

    assert str(error).startswith("https://mi.example.com did not take a connection in time")
    assert isinstance(error, TimedOut)
    assert isinstance(error, requests.ConnectTimeout)


def test_what_says_nothing_of_the_way_stays_as_it_is() -> None:
    request = requests.Request("GET", "https://mi.example.com/x").prepare()
    original = requests.TooManyRedirects("x")

    assert translate_error(original, request) is original
