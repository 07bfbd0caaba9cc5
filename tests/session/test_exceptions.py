"""Errors of a running request: each is also one of requests, and holds no credentials."""

import copy
import dataclasses
import pickle
from typing import Any

import pytest
import requests

from gatepass._session import exceptions
from gatepass._session.exceptions import (
    LoginRefused,
    ProxyRefused,
    SchemeNotOffered,
    TimedOut,
    TLSFailed,
    Unreachable,
)
from gatepass._session.session import Session
from gatepass.errors import (
    GatepassError,
)
from gatepass.sandbox import Server
from tests.support.echo import Answer, Seen, basic, echo, refused
from tests.support.sessions import (
    NOWHERE,
    PASSWORD,
    USER,
    session_for,
)

LOGIN = basic(USER, PASSWORD)


def _is_a(error: BaseException, *kinds: type[BaseException]) -> None:
    for kind in (GatepassError, requests.RequestException, *kinds):
        assert isinstance(error, kind)


def test_each_error_is_also_what_requests_would_have_raised() -> None:
    for ours, theirs in (
        (LoginRefused, requests.HTTPError),
        (Unreachable, requests.ConnectionError),
        (TLSFailed, requests.exceptions.SSLError),
        (TimedOut, requests.Timeout),
        (exceptions._ConnectTimedOut, requests.ConnectTimeout),
        (exceptions._ReadTimedOut, requests.ReadTimeout),
        (ProxyRefused, requests.exceptions.ProxyError),
    ):
        error = ours("what happened", hint="what to do")
        _is_a(error, theirs)
        for duplicated in (pickle.loads(pickle.dumps(error)), copy.copy(error), error.new_copy()):  # noqa: S301
            assert (type(duplicated), str(duplicated)) == (ours, "what happened\nwhat to do")
            assert (duplicated.request, duplicated.response) == (None, None)


def test_an_error_holds_the_request_without_its_credentials() -> None:
    request = requests.Request("GET", "http://localhost/", headers={"Authorization": LOGIN})
    error = Unreachable("x", request=request.prepare())

    assert error.request is not None
    assert error.request.headers == {}


def reopened(content: bytes) -> Any:
    return pickle.loads(content)  # noqa: S301 - our own


def test_an_answer_after_a_handshake_travels_without_the_login() -> None:
    """The requests of its history had hooks of the scheme, and those hold the password."""
    with Server("windows", {USER: PASSWORD}) as server:
        answer = Session(server.url, user_name=USER, password=PASSWORD).get("Health/v2.svc")

    again = reopened(pickle.dumps(answer))
    assert [each.status_code for each in (*again.history, again)] == [401, 401, 200]
    for each in (*answer.history, answer):
        assert each.request.hooks == {"response": []}
        assert "Authorization" not in each.request.headers


def test_an_error_survives_a_pickle_without_credentials() -> None:
    """Neither the login, nor cookies, nor what the caller sent along."""

    def answers(_: Seen) -> Answer:
        challenge = ("WWW-Authenticate", 'Basic realm="x"')
        return Answer(401, [challenge, ("Set-Cookie", "sid=canary-set")], b"go away")

    with echo(answers) as server:
        mi = session_for(server.url)
        mi.cookies.set("mine", "canary-jar")
        with pytest.raises(LoginRefused) as caught:
            mi.post(
                "x",
                data=(part for part in [b"canary-body"]),
                headers={"X-Api-Key": "canary-key", "X-Tenant": "t"},
                hooks={"response": lambda *_, **__: None},
            )

    content = pickle.dumps(caught.value)
    again = reopened(content)
    assert (type(again), str(again)) == (LoginRefused, str(caught.value))
    assert (again.response.status_code, again.response.text) == (401, "go away")
    assert again.response.headers["WWW-Authenticate"] == 'Basic realm="x"'
    assert again.request.url == again.response.request.url == f"{server.url}x"
    assert again.request.headers["X-Tenant"] == "t"
    assert LOGIN.encode() not in content
    assert b"canary" not in content
    assert str(copy.copy(caught.value)) == str(caught.value)


def test_a_login_in_the_url_does_not_travel_with_an_error() -> None:
    with pytest.raises(GatepassError) as caught:
        session_for(NOWHERE, retries=0).get("http://me:canary@localhost:1/mi/x")

    content = pickle.dumps(caught.value)
    assert reopened(content).request.url == "http://localhost:1/mi/x"
    assert b"canary" not in content


def test_a_refusal_whose_body_was_cut_off_can_be_pickled() -> None:
    cut = dataclasses.replace(refused('Basic realm="x"'), missing=100, closes=True)
    with echo(lambda _: cut) as server:
        mi = session_for(server.url)
        for _ in range(2):
            with pytest.raises(LoginRefused) as caught:
                mi.get("x")

    assert len(server.seen) == 1, "it counts as a refusal"
    assert reopened(pickle.dumps(caught.value)).response.status_code == 401


def test_scheme_not_offered_comes_back_with_its_answer() -> None:
    with echo(lambda _: refused("Negotiate")) as server, pytest.raises(SchemeNotOffered) as caught:
        session_for(server.url).get("x")

    again = reopened(pickle.dumps(caught.value))
    assert again.response.headers["WWW-Authenticate"] == "Negotiate"
