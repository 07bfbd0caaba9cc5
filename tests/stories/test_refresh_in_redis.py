"""The order of a refresh where the vault is in a redis: leases that end, a redis that stops."""

import dataclasses
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from threading import Thread
from typing import Any

import pytest

from gatepass._config.redis_vault import RedisVault
from gatepass._system.context import RunContext
from gatepass._vault.records import Record
from gatepass._vault.redis_store import RedisStore
from gatepass.auth._oidc import refresh
from gatepass.errors import GatepassWarning, LoginRequired, VaultError
from gatepass.secrets import Secret, ref
from tests.auth.test_oidc import World, login_of
from tests.auth.test_oidc import make as make  # noqa: PLC0414 - a fixture
from tests.support.peers.redis_server import Redis
from tests.support.peers.waiting import wait_for
from tests.support.threads import together

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="redis runs on POSIX")


class Shared:
    """A world whose vault is in a redis, with a login in it."""

    def __init__(self, world: World, redis: Redis) -> None:
        self.world = world
        self.redis = redis
        world.vault = RedisVault(redis.url)
        self.first = login_of(world.logged_in())
        self.token = self.first.access_token()

    def renew(self, **request: Any) -> Record:
        """Renew the login as another session would, with times of our own."""
        login = login_of(self.world.session(use_stored_token=True))
        asked = dataclasses.replace(login._refresh_context(), **request)
        return refresh.renew_login(login._vault, asked, refused=self.token)

    @property
    def lock(self) -> str:
        """The name of the login's lock in redis."""
        return (
            f"gatepass:lock:{self.first._vault._require_key().name_of(self.first._identity).hex()}"
        )

    def good(self) -> None:
        """What is stored works: nobody has to log in again."""
        assert self.world.session(use_stored_token=True).get("x").ok
        login = login_of(self.world.session(use_stored_token=True))
        assert login.access_token(refused=login.access_token()).reveal()
        assert self.world.idp.counts.forced_logins == 0
        assert self.world.idp.counts.reuses == 0


class Background(Thread):
    """Does something in a thread of its own, and hands out what came of it."""

    def __init__(self, action: Callable[[], Any]) -> None:
        super().__init__()
        self._action = action
        self._came: Any = None
        self.start()

    def run(self) -> None:
        try:
            self._came = self._action()
        except BaseException as error:  # noqa: BLE001 - handed on to the test
            self._came = error

    def result(self) -> Any:
        """Wait for the end; raise what it raised."""
        self.join(120)
        if isinstance(self._came, BaseException):
            raise self._came
        return self._came


@pytest.fixture
def shared(make: Callable[..., World], redis: Redis) -> Shared:
    """A login in a redis; no refresh token works twice."""
    return Shared(make(), redis)


@pytest.fixture
def restartable(make: Callable[..., World], own_redis: Redis) -> Shared:
    """The same in a redis that can be stopped."""
    return Shared(make(), own_redis)


def test_a_login_is_stored_used_and_renewed(shared: Shared) -> None:
    before = shared.world.token_requests
    assert shared.world.session(use_stored_token=True).get("x").ok
    assert shared.world.token_requests == before

    shared.good()


def test_sixteen_sessions_share_one_renewal(shared: Shared) -> None:
    logins = [login_of(shared.world.session(use_stored_token=True)) for _ in range(16)]
    before = shared.world.token_requests

    def run(number: int) -> str:
        return logins[number].access_token(refused=shared.token).reveal()

    assert len(set(together(16, run))) == 1
    assert shared.world.token_requests == before + 1


def test_a_token_whose_lease_ended_during_the_request_is_stored_nevertheless(
    shared: Shared,
) -> None:
    client = shared.redis.client()
    with shared.world.idp.hold() as responses:
        renewing = Background(shared.renew)
        responses.wait_for(1)
        client.set(shared.lock, b"another's")
    renewing.result()

    assert client.get(shared.lock) == b"another's"
    client.delete(shared.lock)
    shared.good()


def test_without_a_lease_that_outlasts_the_request_no_token_is_spent(shared: Shared) -> None:
    """And the note of a refresh that began is taken back."""
    client, before = shared.redis.client(), shared.world.token_requests
    login = shared.first

    def lease_ends() -> bool:
        client.delete(shared.lock)
        return False

    with pytest.raises(VaultError, match="ended before its holder was done"):
        refresh.refresh_stored(
            login._vault, login._refresh_context(), shared.token, lease_ends, lambda: False
        )

    assert shared.world.token_requests == before
    assert login._vault.read_in_flight(login._identity) is None
    shared.good()


def test_who_gets_an_ended_lease_first_looks_whether_its_holder_still_comes(
    shared: Shared,
) -> None:
    """Its holder has the only token that works in its hands, and is only late."""
    client, before = shared.redis.client(), shared.world.token_requests
    with shared.world.idp.hold() as responses:
        late = Background(shared.renew)
        responses.wait_for(1)
        client.delete(shared.lock)
        next_one = Background(lambda: shared.renew(settle=60.0))
        wait_for(lambda: client.exists(shared.lock), 60, "the next one has the lease")
    records = [late.result(), next_one.result()]

    assert shared.world.token_requests == before + 1
    assert len({record.access_token.reveal() for record in records}) == 1
    shared.good()


def test_a_login_during_a_renewal_wins_and_the_renewed_token_is_used_in_memory(
    shared: Shared,
) -> None:
    with shared.world.idp.hold() as responses:
        renewing = Background(shared.renew)
        responses.wait_for(1)
        shared.redis.client().delete(shared.lock)
        responses.release()
        newest = shared.world.logged_in().refresh_token
    record = renewing.result()

    assert record.access_token.reveal()
    assert shared.world.session(use_stored_token=True).refresh_token in {
        newest,
        record.refresh_token.reveal(),
    }


def test_a_logout_during_a_renewal_whose_lease_ended_stays_a_logout(shared: Shared) -> None:
    with shared.world.idp.hold() as responses:
        renewing = Background(shared.renew)
        responses.wait_for(1)
        shared.redis.client().delete(shared.lock)
        shared.first._vault.remove(shared.first._identity)
    with pytest.raises(LoginRequired, match="somebody logged out while"):
        renewing.result()

    assert shared.first._vault.read(shared.first._identity) is None


def test_a_redis_that_stops_in_the_middle_and_comes_back_costs_no_login(
    restartable: Shared,
) -> None:
    redis = restartable.redis
    with restartable.world.idp.hold() as responses:
        renewing = Background(lambda: restartable.renew(patience=120.0))
        responses.wait_for(1)
        redis.stop()
        with pytest.raises(VaultError, match="cannot be reached"):
            restartable.first._vault.read(restartable.first._identity)
    redis.start()
    renewing.result()

    restartable.good()


def _renewed_but_not_stored(restartable: Shared) -> Secret:
    """Let redis stop while the first one's renewal is under way; return its new token."""
    login = restartable.first
    request = dataclasses.replace(login._refresh_context(), patience=0.0)
    login._refresh_context = lambda: request  # type: ignore[method-assign]  # times of our own
    with restartable.world.idp.hold() as responses:
        renewing = Background(lambda: login.access_token(refused=restartable.token))
        responses.wait_for(1)
        restartable.redis.stop()
        responses.release()
        with pytest.warns(GatepassWarning, match="could not be stored: the vault's redis at 127"):
            new: Secret = renewing.result()
    return new


def test_a_token_that_redis_does_not_take_in_time_is_told_and_stored_later(
    restartable: Shared,
) -> None:
    redis, login = restartable.redis, restartable.first
    new = _renewed_but_not_stored(restartable)
    assert login.access_token().reveal() == new.reveal()  # in memory it goes on
    assert login._memory.spent is not None
    redis.start()

    assert login.access_token().reveal() == new.reveal()

    assert login._memory.spent is None
    assert not redis.client().exists(restartable.lock)  # it could not be given back before
    assert login._vault.read_in_flight(login._identity) is None
    restartable.good()


def test_a_token_that_was_not_stored_is_stored_without_being_needed_again(
    restartable: Shared,
) -> None:
    """Otherwise the next host would send the spent one, and end the login."""
    redis, new = restartable.redis, _renewed_but_not_stored(restartable)
    before = restartable.world.token_requests
    redis.start()
    record = restartable.renew(settle=60.0)

    assert record.access_token is not None
    assert record.access_token.reveal() == new.reveal()
    assert restartable.world.token_requests == before
    restartable.good()


def test_a_redis_that_is_away_while_the_access_token_lasts_earns_a_warning(
    restartable: Shared,
) -> None:
    login = restartable.first
    assert login._cached is not None
    login._cached = dataclasses.replace(login._cached, ahead=10_000.0)  # it is time to renew it
    restartable.redis.stop()

    with pytest.warns(GatepassWarning, match="no new token yet: the vault's redis at"):
        assert login.access_token().reveal() == restartable.token.reveal()
    with pytest.raises(VaultError, match="cannot be reached"):
        login.access_token(refused=restartable.token)


def test_a_session_travels_with_its_redis_and_without_its_password(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To workers on other hosts; references are resolved there."""
    world = shared.world
    monkeypatch.setenv("CANARY_KEY", Path(f"{world.folder}.key").read_text().strip())
    monkeypatch.setenv("CANARY_PASSWORD", "canary-password")
    session = world.session(use_stored_token=True)
    machine = dataclasses.replace(
        session.profile.machine,
        vault=RedisVault(shared.redis.url, password=ref("env:CANARY_PASSWORD")),
        vault_key=ref("env:CANARY_KEY"),
    )
    session = type(session)._from_checked(
        dataclasses.replace(session.profile, machine=machine), RunContext.of(interactive=False)
    )

    data = pickle.dumps(session)
    profile = pickle.loads(data).profile  # noqa: S301 - our own
    again = type(session)._from_checked(profile, RunContext.of(interactive=False))
    store = login_of(again)._vault.store

    assert b"canary-password" not in data
    assert isinstance(store, RedisStore)
    user, password = store.server.credentials()
    assert (user, password and password.reveal()) == (None, "canary-password")


_WORKER = """
import dataclasses, sys, time
import requests
from gatepass.auth._oidc import refresh
from gatepass.auth._oidc.memory import MemoryLogin
from gatepass.auth._oidc.refresh import RefreshContext
from gatepass._vault.redis_client import Server
from gatepass._vault.redis_store import RedisStore
from gatepass._vault.key import referenced_key
from gatepass._vault.records import Client, Identity
from gatepass._vault.vault import Vault
from gatepass.errors import GatepassError
from gatepass.secrets import Secret
port, origin, key = int(sys.argv[1]), sys.argv[2], sys.argv[3]
store = RedisStore(Server("127.0.0.1", port, 0), lease=1.5)
vault = Vault(store, referenced_key("file:key", lambda: Secret(open(key).read().strip())))
context = RefreshContext(
    Identity(origin), MemoryLogin(), requests.Session(), Client(""), time.time, "",
    seconds=1.0, settle=0.1,
)
token = None
while True:
    try:
        token = refresh.renew_login(vault, context, refused=token).access_token
    except GatepassError as error:
        print("trouble", type(error).__name__, error.message, flush=True)
    print("ok", flush=True)
"""


_STOPS = """
import os, signal
keep = Vault.keep_lock
def keep_and_stop(self, identity):
    lock = keep(self, identity)
    os.kill(os.getpid(), signal.SIGSTOP)
    return lock
Vault.keep_lock = keep_and_stop
try:
    refresh.renew_login(vault, context, refused=Secret(input()))
except GatepassError as error:
    print(type(error).__name__, flush=True)
"""


@posix_only
def test_who_is_stopped_until_its_lease_has_ended_sends_no_token(shared: Shared) -> None:
    """Another has used the token up meanwhile, and it must not come to the provider twice."""
    if sys.platform == "win32":
        pytest.skip("needs POSIX")
    world = shared.world
    argv = [str(shared.redis.port), shared.first._identity.origin, f"{world.folder}.key"]
    script = _WORKER.partition("token = None")[0] + _STOPS
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", script, *argv],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as stopped:
        try:
            assert stopped.stdin is not None
            stopped.stdin.write(shared.token.reveal() + "\n")
            stopped.stdin.flush()
            os.waitpid(stopped.pid, os.WUNTRACED)
            new = shared.renew(settle=0.0).access_token  # waits for the end of the lease
            before = world.token_requests
            stopped.send_signal(signal.SIGCONT)
            out, _ = stopped.communicate(timeout=60)
        finally:
            stopped.kill()

    assert new is not None
    assert out == "NotSent\n"
    assert world.token_requests == before
    shared.good()


def test_the_wrong_clock_of_one_host_ends_no_login_of_the_others(shared: Shared) -> None:
    for hours in (-2, 2):
        renewed = shared.renew(clock=lambda: time.time() + hours * 3600)  # noqa: B023 - used at once
        assert renewed.access_token is not None
        shared.token = renewed.access_token

    shared.good()


def test_nobody_can_renew_a_login_while_it_is_revoked(shared: Shared) -> None:
    """The lease of a logout begins anew until its question to the provider is answered."""
    client, lock, left = shared.redis.client(), shared.lock, []

    def answered(*_: Any, **__: Any) -> None:
        client.pexpire(lock, 5_000)
        wait_for(lambda: client.pttl(lock) > 5_000, 30, "the lease begins anew")
        left.append(client.pttl(lock))

    shared.first._context.http().hooks["response"].append(answered)

    assert shared.first.logout() == "logged out"

    assert len(left) == 1


def test_a_killed_worker_holds_the_others_up_for_at_most_fifteen_seconds(shared: Shared) -> None:
    """What the lease lasts, and what its end is waited for."""
    client = shared.redis.client()
    with shared.world.idp.hold() as responses:
        renewing = Background(shared.renew)
        responses.wait_for(1)
        left = client.pttl(shared.lock)
    renewing.result()

    assert left / 1000 + shared.first._refresh_context().settle <= 15


def test_who_has_a_newer_token_writes_it_again_when_redis_goes_back(shared: Shared) -> None:
    client = shared.redis.client()
    before = client.hgetall("gatepass:records")
    running = shared.world.session(use_stored_token=True)
    newest = login_of(running).access_token(refused=shared.token)
    for goes_back in (True, False):
        client.delete("gatepass:records")
        if goes_back:
            client.hset("gatepass:records", mapping=before)
        shared.world.dead.add(shared.token.reveal())
        login_of(running)._cached = None
        assert login_of(running).access_token().reveal() == newest.reveal()
        assert shared.world.session(use_stored_token=True).refresh_token == running.refresh_token

    shared.good()


def test_a_login_that_redis_has_thrown_away_is_told_as_that(restartable: Shared) -> None:
    client = restartable.redis.client()
    client.config_set("maxmemory-policy", "allkeys-random")
    client.config_set("maxmemory", "1")
    wait_for(lambda: not client.exists("gatepass:records"), 30, "redis throws all away")
    client.config_set("maxmemory", "0")
    restartable.first._memory.newest = None  # another process

    with pytest.raises(LoginRequired, match="has thrown [0-9]+ keys away") as caught:
        restartable.world.session(use_stored_token=True).get("x")
    assert "persist_oidc_token" in caught.value.hint


def test_killed_workers_lose_no_login_within_the_providers_grace(
    make: Callable[..., World], redis: Redis
) -> None:
    """Killed anywhere in a refresh, also while they hold the lease, which then ends by itself."""
    shared = Shared(make(grace=3600.0), redis)
    world = shared.world
    argv = [str(redis.port), shared.first._identity.origin, f"{world.folder}.key"]
    random = Random(11)  # noqa: S311 - chooses when to kill
    for _ in range(3):
        workers = [
            subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", _WORKER, *argv],
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(3)
        ]
        for worker in workers:
            with worker:
                assert worker.stdout is not None
                for _ in range(random.randrange(1, 12)):
                    assert not worker.stdout.readline().startswith("trouble LoginRequired")
                worker.kill()
        assert world.session(use_stored_token=True).get("x").ok

    last = login_of(world.session(use_stored_token=True))
    assert last.access_token(refused=shared.token).reveal()
    assert world.idp.counts.forced_logins == 0
    assert world.idp.counts.rotations > 3
