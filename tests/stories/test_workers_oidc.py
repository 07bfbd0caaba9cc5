"""One stored login for many workers; a login in memory belongs to one process."""

import dataclasses
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from gatepass._config.profile import MachineSettings
from gatepass._session.session import Session
from gatepass._system.context import RunContext
from gatepass.auth._oidc.login import OidcLogin
from gatepass.errors import LoginRequired, VaultError
from gatepass.secrets import Secret
from tests.auth.test_oidc import World, login_of
from tests.auth.test_oidc import make as make  # noqa: PLC0414 - a fixture
from tests.support import worker_tasks
from tests.support.forks import in_child
from tests.support.pools import Pool, pool

Make = Callable[..., World]

pytestmark = [
    pytest.mark.filterwarnings("ignore:the identity provider gave no refresh token"),
]
posix_only = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def _job(world: World, **keys: Any) -> Session:
    """Return a session of a profile that names no vault: each process says where its own is."""
    profile = dataclasses.replace(world.session(use_stored_token=True, **keys).profile)
    return Session._from_checked(
        dataclasses.replace(profile, machine=MachineSettings()), RunContext.of()
    )


def _told(world: World) -> dict[str, str]:
    return {
        "GATEPASS_VAULT": str(world.folder),
        "GATEPASS_VAULT_KEY": f"file:{world.folder}.key",
    }


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Callable[..., list[Pool]]]:
    """Return what starts several pools of one worker, with variables of their own."""
    with ExitStack() as stack:

        def start(count: int, **environ: str) -> list[Pool]:
            folders = [tmp_path / f"worker{number}" for number in range(count)]
            kind = "multiprocessing spawn"
            return [stack.enter_context(pool(kind, folder, environ)) for folder in folders]

        yield start


def test_workers_that_start_at_expiry_cost_one_token_request(
    make: Make, workers: Callable[..., list[Pool]]
) -> None:
    """The vault is the one of the worker's variables; the parent has none."""
    world = make()
    mi = world.logged_in()
    world.dead.add(login_of(mi).access_token().reveal())
    before = world.token_requests
    job = _job(world)
    crew = workers(4, **_told(world))

    with ThreadPoolExecutor(len(crew)) as threads:
        found = list(threads.map(lambda each: each(worker_tasks.status, job), crew * 2))

    assert {code for code, _, _ in found} == {200}
    assert len({where for _, where, _ in found}) == len(crew)
    assert world.token_requests == before + 1


def test_a_worker_without_the_login_says_who_and_what_to_run(
    make: Make, workers: Callable[..., list[Pool]], tmp_path: Path
) -> None:
    world = make()
    world.logged_in()
    other = {**_told(world), "GATEPASS_VAULT": str(tmp_path / "empty")}
    (without,) = workers(1, **other)

    with pytest.raises(LoginRequired) as caught:
        without(worker_tasks.status, _job(world))

    there = without(worker_tasks.where)
    assert caught.value.message.startswith(f"{there}: nobody has logged in yet")
    assert "persist_oidc_token()" in caught.value.hint


def test_a_worker_without_the_vaults_key_says_so(
    make: Make, workers: Callable[..., list[Pool]]
) -> None:
    world = make()
    world.logged_in()
    (without,) = workers(1, **{**_told(world), "GATEPASS_VAULT_KEY": "env:NOT_THERE"})

    with pytest.raises(VaultError, match=r"(?s)^process \d+ on .*NOT_THERE"):
        without(worker_tasks.status, _job(world))


@posix_only
def test_a_fork_in_the_middle_of_a_refresh_waits_for_its_parent(make: Make) -> None:
    """The parent's thread holds the locks; in the child nobody would ever give them back."""
    world = make()
    mi = world.logged_in()
    world.dead.add(login_of(mi).access_token().reveal())
    before = world.token_requests
    started, ended = os.pipe()
    with ThreadPoolExecutor(2) as pool:
        with world.idp.hold() as responses:
            parent = pool.submit(mi.get, "x")
            responses.wait_for(1)

            def work() -> int:
                os.write(ended, b"!")
                return mi.get("x").status_code

            child = pool.submit(in_child, work)
            assert os.read(started, 1) == b"!"
        assert (parent.result().status_code, child.result()) == (200, 200)
    os.close(started)
    os.close(ended)

    assert world.token_requests == before + 1
    assert world.idp.counts.reuses == 0


@posix_only
def test_no_lock_of_a_login_stays_locked_in_a_child(make: Make) -> None:
    world = make()
    mi = world.logged_in()
    login = login_of(mi)
    taken, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with login._memory._locks.get(), login._memory._renewal_locks.get():
            taken.set()
            go_on.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    try:
        assert in_child(lambda: bool(mi.refresh_token)) is True
    finally:
        go_on.set()
        thread.join()


@posix_only
def test_a_login_in_memory_stays_with_the_process_that_has_it(make: Make) -> None:
    """Two owners of a token that rotates would end the login for each other."""
    world = make()
    mi = world.session(refresh_token=Secret(world.idp.issue("alice")["refresh_token"]))
    assert mi.get("x").ok

    with pytest.raises(LoginRequired, match="there is no refresh token yet"):
        in_child(lambda: mi.refresh_token)
    assert in_child(lambda: mi.get("x").status_code) == 200, "the access token still serves"
    world.dead.add(login_of(mi).access_token().reveal())
    for _ in range(2):
        with pytest.raises(LoginRequired, match="belongs to the process that this one was forked"):
            in_child(lambda: _fails(mi) and mi.get("x"))

    assert mi.get("x").ok
    assert world.idp.counts.reuses == 0


@posix_only
def test_a_token_that_could_not_be_stored_is_stored_by_its_own_process_alone(make: Make) -> None:
    """At the end of a child it may be spent already: stored then, it would end the login."""
    world = make()
    login = login_of(world.logged_in())
    stored = login._read_stored()
    assert stored is not None
    assert stored.refresh_token is not None
    memory = login._memory
    memory.record = dataclasses.replace(stored, refresh_token=Secret("newer"))
    memory.spent, memory._vault = stored.refresh_token, (login._vault, login._identity)

    in_child(memory.save)
    assert _stored_token(login) == stored.refresh_token.reveal()

    memory.save()
    assert _stored_token(login) == "newer"


def _stored_token(login: OidcLogin) -> str:
    record = login._read_stored()
    assert record is not None
    assert record.refresh_token is not None
    return record.refresh_token.reveal()


def _fails(mi: Session) -> bool:
    with pytest.raises(LoginRequired):
        mi.get("x")
    return True


def test_a_person_can_log_in_in_a_child_as_well(make: Make) -> None:
    """The provider of this test is not forked along, so this process takes the child's part."""
    world = make()
    mi = world.session(person=True)
    mi.login()
    login = login_of(mi)
    login._memory._pid = -1  # as if a process with another number had forked this one
    for _ in range(2):  # log in, then renew that login
        world.dead.add(login.access_token().reveal())
        assert mi.get("x").ok

    counts = world.idp.counts
    assert (counts.token_requests["authorization_code"], counts.reuses) == (2, 0)
