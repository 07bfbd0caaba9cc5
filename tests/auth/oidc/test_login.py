"""A login in memory: tokens that cannot be stored, renewals that fail, logouts."""

import dataclasses
import sys
import time
from collections.abc import Callable
from threading import Thread
from typing import Any

import pytest

from gatepass._vault.records import Record
from gatepass.auth._oidc.login import OidcLogin
from gatepass.errors import GatepassError, GatepassWarning
from tests.auth.oidc.test_refresh import disk_full_from_the_question_on
from tests.auth.test_oidc import World, login_of
from tests.auth.test_oidc import make as make  # noqa: PLC0414 - a fixture
from tests.support.vaults import token

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="needs limits and signals of POSIX")


def at_its_end(world: World) -> Any:
    """Return the login of a later run, whose stored access token the API does not take."""
    login = login_of(world.session(use_stored_token=True))
    world.dead.add(login.access_token().reveal())
    return login


@posix_only
def test_a_token_that_cannot_be_stored_is_used_told_and_stored_later(
    make: Callable[..., World],
) -> None:
    world = make()
    world.logged_in()
    mi = world.session(use_stored_token=True)
    world.dead.add(login_of(mi).access_token().reveal())
    with disk_full_from_the_question_on(world):
        with pytest.warns(GatepassWarning, match="could not be stored"):
            assert mi.get("x").ok
        assert mi.get("y").ok  # in memory it goes on
        new = mi.refresh_token
        login = login_of(mi)
        assert token(login._vault.read(login._identity)) != new

    assert mi.get("z").ok

    assert world.session(use_stored_token=True).refresh_token == new
    assert world.session(use_stored_token=True).get("x").ok
    assert not list(world.folder.glob("*.inflight"))
    assert world.idp.counts.reuses == 0


@posix_only
def test_what_is_stored_later_does_not_replace_a_later_login(make: Callable[..., World]) -> None:
    world = make()
    world.logged_in()
    login = at_its_end(world)
    with (
        disk_full_from_the_question_on(world),
        pytest.warns(GatepassWarning, match="could not be stored"),
    ):
        login.access_token(refused=login.access_token())

    other = world.session(person=True)
    login_of(other).login()
    newest = other.refresh_token
    login.access_token()

    assert world.session(use_stored_token=True).refresh_token == newest
    assert login.refresh_token == newest


def test_a_login_in_memory_survives_an_odd_answer(make: Callable[..., World]) -> None:
    """The new refresh token is kept although the access token beside it cannot be used."""
    world = make()
    mi = world.session(person=True)
    assert mi.get("x").ok
    login = login_of(mi)
    token = login.access_token()
    world.idp.inject("other_token_type")
    with pytest.raises(GatepassError):
        login.access_token(refused=token)
    world.idp.inject()

    assert login.access_token(refused=token).reveal()
    assert world.idp.counts.reuses == 0
    assert world.idp.counts.forced_logins == 0


def test_a_refresh_that_fails_while_the_access_token_lasts_is_told_and_the_token_used(
    make: Callable[..., World],
) -> None:
    """A provider that is away for a moment must not stop a run that could go on."""
    later = [0.0]
    world = make(clock=lambda: time.time() + later[0])
    world.logged_in()
    mi = world.session(use_stored_token=True)
    context = login_of(mi)._context
    login = OidcLogin(
        login_of(mi)._scheme, dataclasses.replace(context, clock=lambda: time.time() + later[0])
    )
    token = login.access_token().reveal()
    later[0] = 3600 - 30.0  # it is time to renew it
    world.idp.answer_once("token", status=503)
    world.idp.answer_once("token", status=503)

    with pytest.warns(GatepassWarning, match="no new token yet"):
        assert login.access_token().reveal() == token
    assert login.access_token().reveal() != token
    assert world.idp.counts.forced_logins == 0


def test_a_logout_during_a_refresh_of_another_process_revokes_the_new_token(
    make: Callable[..., World],
) -> None:
    """Read before the lock, the old one would be revoked, and the new one live on unseen."""
    world = make()
    mi = world.logged_in()
    login, leaving = login_of(mi), login_of(world.session(use_stored_token=True))
    token = login.access_token()
    revoked: list[str] = []

    def revoke(record: Record) -> bool:
        revoked.append(record.refresh_token.reveal() if record.refresh_token else "")
        return True

    leaving._revoke = revoke  # type: ignore[method-assign]  # looks at what is revoked
    with world.idp.hold() as responses:
        refreshing = Thread(target=lambda: login.access_token(refused=token))
        refreshing.start()
        responses.wait_for(1)
        forgetting = Thread(target=leaving.logout)
        forgetting.start()
        forgetting.join(0.5)  # without the lock it would be over
    refreshing.join()
    forgetting.join()

    (family,) = world.idp.families
    assert revoked == [family.refresh_token]
    assert login._vault.read(login._identity) is None
