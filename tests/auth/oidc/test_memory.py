"""What the sessions of one identity share in a process: one login, and its failure."""

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import get_ident
from typing import Any

import pytest

from gatepass._session.session import Session
from gatepass.errors import GatepassError, LoginRequired
from tests.auth.test_oidc import World, login_of
from tests.auth.test_oidc import make as make  # noqa: PLC0414 - a fixture
from tests.support.peers.waiting import wait_for

COUNT = 4


def _together(world: World, use: Callable[[Session], Any]) -> list[Any]:
    """Let threads with a session each log in, all of them while the first login is under way."""
    idents: list[int] = []

    def run(session: Session) -> Any:
        idents.append(get_ident())
        try:
            return use(session)
        except GatepassError as error:
            return error.message

    def are_waiting() -> bool:
        frames = sys._current_frames()
        names = {"access_token", "login", "persist_oidc_token"}
        return len(idents) == COUNT and all(
            frames[ident].f_code.co_name in names for ident in idents[1:]
        )

    sessions = [world.session(person=True) for _ in range(COUNT)]
    with ThreadPoolExecutor(COUNT) as pool, world.idp.hold() as responses:
        came = [pool.submit(run, sessions[0])]
        responses.wait_for(1)
        came += [pool.submit(run, session) for session in sessions[1:]]
        wait_for(are_waiting, 30, "the others wait for the first")
        responses.release()
        return [each.result() for each in came]


@pytest.mark.parametrize(
    "use",
    [lambda mi: mi.get("x").ok, Session.login, Session.persist_oidc_token],
    ids=["a request", "login()", "persist_oidc_token()"],
)
def test_threads_with_a_session_each_open_one_browser(
    make: Callable[..., World], use: Callable[[Session], Any]
) -> None:
    world = make()

    _together(world, use)

    assert world.idp.counts.logins == 1
    assert world.token_requests == 1
    for session in (world.session(person=True), world.session()):
        assert session.get("x").ok
    assert world.idp.counts.logins == 1


def test_who_waits_for_a_login_that_fails_fails_alike_and_asks_nobody(
    make: Callable[..., World],
) -> None:
    world = make()
    world.idp.inject("other_token_type")
    seen = _together(world, lambda mi: mi.get("x").ok)
    world.idp.inject()

    assert world.idp.counts.logins == 1
    assert len(set(seen)) == 1, seen
    assert world.session(person=True).get("x").ok, "a later request may ask again"


def test_a_login_in_memory_serves_no_session_that_wants_a_stored_one(
    make: Callable[..., World],
) -> None:
    world = make()
    assert world.session(person=True).get("x").ok

    with pytest.raises(LoginRequired, match="nobody has logged in yet"):
        world.session(use_stored_token=True).get("x")


def test_logins_of_different_accounts_and_vaults_are_not_shared(
    make: Callable[..., World],
) -> None:
    world = make()
    assert world.session(person=True).get("x").ok
    assert world.session(person=True, account="other", sees="bob").get("x").ok
    first = login_of(world.session(person=True))
    world.vault = f"{world.vault}-other"
    assert login_of(world.session(person=True))._memory is not first._memory
    assert world.idp.counts.logins == 2
