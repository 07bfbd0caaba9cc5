"""Copies of a session, and sessions out of one pickle, share one login."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from requests.adapters import BaseAdapter

from gatepass._session.exceptions import LoginRefused
from gatepass._session.session import Session
from gatepass._system.context import RunContext
from gatepass.secrets import Secret, ref
from tests.support.echo import basic, echo, wants
from tests.support.sessions import (
    NOWHERE,
    PASSWORD,
    USER,
    person,
    profile_for,
    session_for,
)

LOGIN = basic(USER, PASSWORD)


def reopened(content: bytes) -> Any:
    return pickle.loads(content)  # noqa: S301 - our own


@pytest.mark.parametrize("scheme", ["basic", "bearer"])
def test_all_pickles_of_a_session_log_on_as_one_in_a_process(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pool opens one for each task: a wrong secret would be sent once for each."""
    monkeypatch.setenv("MI_PASSWORD", "wrong")
    auth = {"token": ref("env:MI_PASSWORD")} if scheme == "bearer" else {}
    with echo(wants("nobody", scheme)) as server:
        environ = {"MI_PASSWORD": "another"}
        mi, other = (session_for(server.url, scheme, auth=auth, environ=environ) for _ in range(2))
        again = reopened(pickle.dumps(mi))
        for content in (pickle.dumps(mi), pickle.dumps(mi), pickle.dumps(again)):
            with pytest.raises(LoginRefused):
                reopened(content).get("x")
        assert len(server.seen) == 1

        for each in (reopened(pickle.dumps(other)), mi):  # of another session, or another password
            with pytest.raises(LoginRefused):
                each.get("x")

    of_other = 0 if scheme == "basic" else 1  # of a password all sessions know
    assert len(server.seen) == 1 + of_other + 1


def test_closing_one_does_not_close_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MI_PASSWORD", PASSWORD)
    with echo(wants(LOGIN)) as server:
        content = pickle.dumps(session_for(server.url))
        with reopened(content) as first:
            assert first.get("x").ok
        second = reopened(content)
        assert second.get("x").ok
        assert second.get("x").ok

    assert [seen.connection for seen in server.seen] == [1, 2, 2]


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_a_copy_shares_secrets_and_settings_but_no_connection(
    duplicate: Callable[[Session], Session],
) -> None:
    asked, terminal = person(PASSWORD)
    with echo(wants(LOGIN)) as server:
        profile = profile_for(server.url, auth={"password": ref("prompt:")})
        mi = Session._from_checked(profile, RunContext.of(environ={}, terminal=terminal))
        mi.headers["X-Mine"] = "1"
        duplicated = duplicate(mi)
        assert mi.get("x").ok
        assert duplicated.get("x").ok

    assert len(asked) == 1
    assert [seen.headers["x-mine"] for seen in server.seen] == ["1", "1"]
    assert [seen.connection for seen in server.seen] == [1, 2]


class _Everywhere(BaseAdapter):
    """An adapter that stands in the place of ours."""

    def close(self) -> None:
        """Do nothing."""


def test_an_adapter_in_the_place_of_ours_stays_there() -> None:
    mi = session_for(NOWHERE)
    mi.mount("http://", _Everywhere())

    for duplicated in (copy.copy(mi), copy.deepcopy(mi), reopened(pickle.dumps(mi))):
        assert type(duplicated.adapters["http://"]) is _Everywhere


def test_a_session_with_a_secret_as_a_value_can_be_copied() -> None:
    with echo(wants(LOGIN)) as server:
        mi = Session(server.url, user_name=USER, password=Secret(PASSWORD))
        assert copy.deepcopy(mi).get("x").ok
        assert copy.deepcopy(mi.profile) == mi.profile


def test_copies_send_a_refused_password_once() -> None:
    with echo(wants("nobody")) as server:
        mi = session_for(server.url)
        for _ in range(3):
            with pytest.raises(LoginRefused):
                copy.copy(mi).get("x")

    assert len(server.seen) == 1
