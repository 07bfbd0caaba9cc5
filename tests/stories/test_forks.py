"""After a fork: no shared connection, no lock that stays locked, no login that is used twice."""

import copy
import dataclasses
import inspect
import os
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from requests.adapters import HTTPAdapter

from gatepass._config.profile import MachineSettings
from gatepass._config.redis_vault import RedisVault
from gatepass._session import shared_login, vault_config
from gatepass._session.connections import Connections
from gatepass._session.exceptions import LoginRefused
from gatepass._session.session import Session
from gatepass._system.context import RunContext
from gatepass._system.terminal import Terminal
from gatepass._vault.redis_store import RedisStore
from gatepass.sandbox import Server
from gatepass.secrets import Secret
from tests.support.echo import Answer, Seen, basic, echo, wants
from tests.support.forks import in_child
from tests.support.sessions import NOWHERE, PASSWORD, USER, session_for
from tests.support.threads import together

LOGIN = basic(USER, PASSWORD)

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
]


@contextmanager
def held_elsewhere(*locks: Any) -> Iterator[None]:
    """Let another thread hold locks, as it may in the moment of a fork."""
    taken, go_on = Event(), Event()

    def hold() -> None:
        for lock in locks:
            lock.acquire()
        taken.set()
        go_on.wait()
        for lock in reversed(locks):
            lock.release()

    thread = Thread(target=hold)
    thread.start()
    taken.wait()
    try:
        yield
    finally:
        go_on.set()
        thread.join()


def _code(mi: Session, path: str = "x") -> int:
    return mi.get(path).status_code


# ---------------------------------------------------------------- connections


def test_a_forked_process_makes_connections_of_its_own() -> None:
    """Also when another thread held the lock of the first login during the fork."""
    arrived, go_on = Event(), Event()

    def answers(seen: Seen) -> Answer:
        if seen.path == "/mi/slow":
            arrived.set()
            go_on.wait(timeout=60)
        return Answer()

    with echo(answers) as server, ThreadPoolExecutor(1) as pool:
        mi = session_for(server.url)
        slow = pool.submit(mi.get, "slow")
        arrived.wait(timeout=60)
        assert in_child(lambda: _code(mi, "child")) == 200
        go_on.set()
        assert slow.result().ok
        assert mi.get("parent").ok

    assert server.paths == ["/mi/slow", "/mi/child", "/mi/parent"]
    assert [seen.connection for seen in server.seen] == [1, 2, 1]


def test_a_forked_process_leaves_idle_connections_to_its_parent() -> None:
    with echo() as server:
        mi = session_for(server.url)
        mine = HTTPAdapter(pool_maxsize=1, pool_block=True)  # waits for one that is given back
        mi.mount(f"{server.root}/mine", mine)
        paths = ("a", f"{server.root}/mine")
        for path in paths:
            assert mi.get(path).ok
        assert mi._http().get(f"{server.url}plain").ok

        def work() -> int:
            first = mi._http().get(f"{server.url}plain").status_code
            return ({_code(mi, path) for path in paths} | {first}).pop()

        assert in_child(work) == 200
        for path in paths:
            assert mi.get(path).ok
        assert mi._http().get(f"{server.url}plain").ok

    assert [seen.connection for seen in server.seen] == [1, 2, 3, 4, 5, 6, 1, 2, 3]


def _sockets() -> set[str]:
    """Name the sockets that this process holds."""
    files = (each for each in Path("/proc/self/fd").iterdir() if each.is_symlink())
    return {name for name in (str(each.readlink()) for each in files) if name.startswith("socket:")}


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_a_forked_process_that_sends_lets_go_of_the_parents_idle_connections() -> None:
    """Held open by a child, a connection would outlive the parent that closed it."""

    def work() -> set[str]:
        assert mi.get("x").ok
        return _sockets()

    with echo() as server:
        mi = session_for(server.url)
        assert mi.get("x").ok
        pools = mi.adapters["http://"].transports["authenticated"].poolmanager.pools  # type: ignore[attr-defined]
        (key,) = pools.keys()
        (connection,) = filter(None, pools.get(key).pool.queue)
        its = str(Path(f"/proc/self/fd/{connection.sock.fileno()}").readlink())
        assert its in _sockets()

        assert its not in in_child(work)


@pytest.mark.parametrize("scheme", ["ntlm", "credentials"])
def test_a_connection_that_is_logged_on_stays_with_the_parent(scheme: str) -> None:
    with Server("windows", {USER: PASSWORD}) as server:
        mi = session_for(server.url, scheme, auth={"user_name": USER, "password": PASSWORD})
        assert mi.get("Health/v2.svc").ok
        connections = mi.adapters["http://"]
        assert isinstance(connections, Connections)
        (exclusive,) = connections._exclusive
        logins = len(server.requests)

        assert in_child(lambda: (_code(mi, "Health/v2.svc"), len(connections._exclusive))) == (
            200,
            1,
        )
        assert len(server.requests) == logins + 3, "the child logs on anew"
        assert mi.get("Health/v2.svc").ok
        assert len(server.requests) == logins + 4, "the parent is still logged on"
        assert connections._exclusive == [exclusive]


# ---------------------------------------------------------------- locks


def _locks_of(mi: Session) -> list[Any]:
    """Every lock that a session's threads may hold, those of urllib3 included."""
    connections = mi.adapters["https://"]
    assert isinstance(connections, Connections)
    assert mi._plain is not None
    found: list[Any] = [
        mi._guard.login.state._locks.get(),
        connections._lock,
        shared_login.OPENING_LOCKS.get(),
        vars(mi.cookies)["_cookies_lock"],
    ]
    transports = [*connections.transports.values(), *mi._plain.adapters.values()]
    for transport in transports:
        made: Any = transport
        found.append(made.poolmanager.pools.lock)
        pools = [made.poolmanager.pools.get(key) for key in made.poolmanager.pools.keys()]  # noqa: SIM118
        found += [pool.pool.mutex for pool in pools]
    return found


def test_no_lock_of_another_thread_stays_locked_in_a_child() -> None:
    with echo() as server:
        mi = session_for(server.url, retries=0)
        mine = HTTPAdapter()
        mi.mount(f"{server.root}/mine", mine)
        again = pickle.loads(pickle.dumps(session_for(server.url, "anonymous")))  # noqa: S301
        for path in ("x", f"{server.root}/mine", "http://127.0.0.1:1"):
            with_suppressed(mi, path)
        mi._http().get(server.url)
        locks = [*_locks_of(mi), mine.poolmanager.pools.lock]
        assert len(locks) >= 9

        def work() -> tuple[int, ...]:
            codes = (_code(mi), _code(again), _code(copy.copy(mi)))
            mi.close()
            return (
                *codes,
                _code(mi, f"{server.root}/mine"),
                mi._http().get(server.url).status_code,
            )

        with held_elsewhere(*locks):
            assert in_child(work) == (200,) * 5
            in_child(mi.close)


def test_no_lock_of_the_secrets_of_a_redis_stays_locked_in_a_child() -> None:
    """Another thread may wait for a program that prints the password, in the moment of the fork."""
    machine = MachineSettings(vault=RedisVault("redis://localhost", password=Secret(PASSWORD)))
    mi = session_for(NOWHERE)
    profile = dataclasses.replace(mi.profile, machine=machine)
    run = RunContext({}, Terminal({}, interactive=False))
    store = vault_config.vault_of(profile.machine, run).store
    assert isinstance(store, RedisStore)
    secrets = inspect.getclosurevars(store.server.credentials).nonlocals["secrets"]
    assert isinstance(secrets, vault_config._Secrets)

    def work() -> tuple[str | None, str | None]:
        user, password = store.server.credentials()
        return user, None if password is None else password.reveal()

    with held_elsewhere(secrets._locks.get()):
        assert in_child(work) == (None, PASSWORD)


def with_suppressed(mi: Session, path: str) -> None:
    """Make a request that may fail."""
    try:
        mi.get(path)
    except OSError:
        return


def test_threads_that_hammer_while_the_process_forks_disturb_no_child() -> None:
    """Whatever lock a thread holds in the moment of the fork, the child goes on without it."""
    with echo(wants(LOGIN)) as server, ThreadPoolExecutor(4) as pool:
        mi = session_for(server.url)
        done = Event()

        def hammer() -> int:
            count = 0
            while not done.is_set():
                assert mi.get("x").ok
                count += 1
            return count

        threads = [pool.submit(hammer) for _ in range(4)]
        try:
            assert [in_child(lambda: _code(mi)) for _ in range(15)] == [200] * 15
        finally:
            done.set()
        assert all(each.result() for each in threads)


def test_threads_of_a_child_send_a_wrong_password_once() -> None:
    """They find one lock, not each one of its own."""
    with echo(wants("nobody")) as server:
        mi = session_for(server.url)

        def attempt(_: int) -> None:
            with pytest.raises(LoginRefused):
                mi.get("x")

        assert in_child(lambda: together(8, attempt)) == [None] * 8

    assert len(server.seen) == 1


def test_a_child_knows_that_the_password_was_refused() -> None:
    with echo(wants("nobody")) as server:
        mi = session_for(server.url)
        with pytest.raises(LoginRefused):
            mi.get("x")
        with pytest.raises(LoginRefused):
            in_child(lambda: _code(mi))

    assert len(server.seen) == 1
