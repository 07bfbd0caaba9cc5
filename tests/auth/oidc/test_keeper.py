"""Where a new login goes, and that it makes no stored one worse."""

import dataclasses
import shutil
import sys
from collections.abc import Callable
from threading import Thread
from typing import Any

import pytest
import requests

from gatepass._system.terminal import Terminal
from gatepass._vault.records import Record
from gatepass.auth._oidc.login import OidcLogin
from gatepass.errors import VaultError
from tests.auth.test_oidc import World, login_of
from tests.auth.test_oidc import make as make  # noqa: PLC0414 - a fixture
from tests.support.peers.waiting import wait_for
from tests.support.vaults import plain

pytestmark = pytest.mark.filterwarnings("ignore:the identity provider gave no refresh token")


def _stored(world: World) -> Record | None:
    login = login_of(world.session(use_stored_token=True))
    return login._vault.read(login._identity)


@pytest.fixture
def with_login(make: Callable[..., World]) -> World:
    """A world with a login of alice that can be renewed; the next one cannot."""
    world = make()
    world.logged_in()
    world.idp.inject("no_refresh_token")
    return world


def test_a_second_login_of_the_same_person_keeps_the_refresh_token(with_login: World) -> None:
    before = _stored(with_login)
    login_of(with_login.session(person=True)).login()

    after = _stored(with_login)
    assert before is not None
    assert after is not None
    assert plain(after.refresh_token) == plain(before.refresh_token)
    assert plain(after.access_token) != plain(before.access_token)
    with_login.idp.inject()
    assert login_of(with_login.session()).access_token(refused=after.access_token).reveal()


def _changed(world: World, **fields: Any) -> None:
    login, before = login_of(world.session()), _stored(world)
    assert before is not None
    login._vault.write(login._identity, dataclasses.replace(before, **fields))


@pytest.mark.parametrize(
    "fields", [{"subject": "bob"}, {"subject": None}, {"scopes": ("openid",)}], ids=str
)
def test_a_login_of_another_person_or_for_more_replaces_one_only_when_that_was_said(
    with_login: World, fields: dict[str, Any]
) -> None:
    _changed(with_login, **fields)
    before = _stored(with_login)

    mi = with_login.session(person=True)
    mi.login()
    assert plain(_stored(with_login)) == plain(before)
    assert mi.get("x").ok, "in memory it serves"
    with pytest.raises(VaultError, match="can be renewed, the new one cannot") as caught:
        mi.persist_oidc_token()
    assert "--yes" in caught.value.hint

    login_of(with_login.session(person=True)).login(replace=True)
    after = _stored(with_login)
    assert after is not None
    assert (after.subject, after.refresh_token) == ("alice", None)


@pytest.mark.parametrize(("answer", "replaced"), [("y", True), ("n", False), ("", False)])
def test_the_person_decides(
    with_login: World, answer: str, replaced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    _changed(with_login, subject="bob")
    asked: list[str] = []

    def ask(_self: Terminal, label: str) -> str:
        asked.append(label)
        return answer

    monkeypatch.setattr(Terminal, "ask_line", ask)
    with_login.session(person=True).login()

    after = _stored(with_login)
    assert after is not None
    assert (after.subject == "alice") is replaced
    assert len(asked) == 1
    assert "alice" in asked[0]


def test_a_login_that_has_ended_makes_way_without_a_question(with_login: World) -> None:
    _changed(with_login, subject="bob", refused="interaction_required")

    with_login.session(person=True).login()

    after = _stored(with_login)
    assert after is not None
    assert (after.subject, after.refresh_token, after.refused) == ("alice", None, None)


def _of_a_verb(world: World, told: list[str], pages: list[str], **change: Any) -> OidcLogin:
    """Return the login of a verb at a terminal, for a named profile."""
    login = login_of(world.session(person=True))

    def browse(url: str) -> None:
        for action in change.pop("meanwhile", []):
            action()
        address = world.idp.sign_in(url, "alice")
        Thread(target=lambda: pages.append(requests.get(address, timeout=30).text)).start()

    terminal = Terminal(
        {}, interactive=True, write=told.append, open_url=browse, open_console=lambda _: None
    )
    keys: dict[str, Any] = {"profile_name": "nightly", "keeps_logins": True, "terminal": terminal}
    changed = {name: value for name, value in change.items() if name != "meanwhile"}
    context = dataclasses.replace(login._context, **(keys | changed))
    return OidcLogin(login._scheme, context)


@pytest.mark.parametrize("change", [{}, {"profile_name": ""}, {"keeps_logins": False}], ids=str)
def test_a_login_of_a_verb_for_a_named_profile_is_stored_and_that_is_told(
    make: Callable[..., World], change: dict[str, Any]
) -> None:
    world, told = make(), list[str]()
    _of_a_verb(world, told, [], **change).access_token()

    assert (_stored(world) is not None) is not bool(change)
    assert ("The login is stored" in "".join(told)) is not bool(change)


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of POSIX")
@pytest.mark.parametrize("pages", [0, 1])
def test_a_disk_without_room_is_told_before_the_login(
    make: Callable[..., World], pages: int
) -> None:
    """The note of a renewal alone would fit into one page."""
    if sys.platform == "win32":
        pytest.skip("needs POSIX")
    import resource

    world, told = make(), list[str]()
    login = _of_a_verb(world, told, [])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (pages * 4096, hard))
    try:
        with pytest.raises(VaultError, match="cannot write"):
            login.persist_oidc_token()
        assert world.idp.counts.logins == 0
        assert login.access_token().reveal()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    login.persist_oidc_token()

    assert "will not be stored" in told[0]
    assert str(world.folder) in told[0]
    assert "Logging in at" in told[1]
    assert world.idp.counts.logins == 1
    assert _stored(world) is not None


def test_where_storing_fails_page_and_terminal_say_so_and_the_login_serves_this_run(
    make: Callable[..., World],
) -> None:
    world, told, pages = make(), list[str](), list[str]()

    def no_folder() -> None:
        shutil.rmtree(world.folder)
        world.folder.write_text("no folder")

    login = _of_a_verb(world, told, pages, meanwhile=[no_folder])

    assert login.access_token().reveal() == login.access_token().reveal()

    assert "could not be stored" in told[-1]
    assert world.idp.counts.logins == 1
    wait_for(lambda: pages, 30, "the page")
    assert "for this run alone" in pages[0]


def test_persisting_needs_a_vault_before_it_needs_a_person(make: Callable[..., World]) -> None:
    world = make()
    world.folder.write_text("no folder")

    with pytest.raises(VaultError):
        world.session(person=True).persist_oidc_token()

    assert world.idp.counts.logins == 0
