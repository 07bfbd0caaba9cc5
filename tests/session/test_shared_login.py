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


def test_all_pickles_of_a_session_log_on_as_one_in_a_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A pool opens one for each task: a wrong password would be sent once for each."""
    monkeypatch.setenv("MI_PASSWORD", "wrong")
    with echo(wants("nobody")) as server:
        mi, other = session_for(server.url), session_for(server.url)
        for content in (
            pickle.dumps(mi),
            pickle.dumps(mi),
            pickle.dumps(reopened(pickle.dumps(mi))),
        ):
            with pytest.raises(LoginRefused):
                reopened(content).get("x")
        assert server.authorizations == [basic(USER, "wrong")]

        with pytest.raises(LoginRefused):
            reopened(pickle.dumps(other)).get("x")
        with pytest.raises(LoginRefused):
            mi.get("x")  # the one that was pickled is not of them

    assert server.authorizations == [basic(USER, "wrong")] * 2 + [LOGIN]


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
