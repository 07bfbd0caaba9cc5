"""A dask cluster on two hosts: 16 threads of 4 processes live on one login in a redis.

The provider takes each refresh token once, and ends the login of whoever sends one again.
"""

import dataclasses
import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from gatepass._config.redis_vault import RedisVault
from gatepass.auth._oidc.status import create_vault_key
from gatepass.secrets import Secret, ref
from tests.auth.test_oidc import CLIENT, World
from tests.support.echo import echo
from tests.support.faulty_provider import FaultyProvider
from tests.support.peers.ca import Certificate
from tests.support.peers.environ import clean_environ
from tests.support.peers.netns import Host, Hosts, lent, need_namespaces, two_hosts
from tests.support.peers.redis_server import PASSWORD, Redis, redis_server
from tests.support.peers.waiting import wait_for
from tests.support.secret_context import PYTHONPATH

PROCESSES, THREADS = 2, 4  # of each host
NAME = "redis.corp.test"


class Cluster:
    """The workers, and the world in which they work."""

    def __init__(self, world: World, redis: Redis, driver: "subprocess.Popen[str]") -> None:
        self.world = world
        self.redis = redis
        self.folder = world.folder.parent
        self._driver = driver

    def ask(self, *command: Any) -> Any:
        """Let the driver do something."""
        assert self._driver.stdin is not None
        assert self._driver.stdout is not None
        self._driver.stdin.write(json.dumps(command) + "\n")
        self._driver.stdin.flush()
        answer = self._driver.stdout.readline()
        assert answer, "the driver has ended"
        return json.loads(answer)

    def log_in(self) -> Path:
        """Log in anew on this host; return the pickled session for the others."""
        with self.redis.client(
            password=PASSWORD, ssl=True, ssl_ca_certs=str(self.folder / "ca.pem")
        ) as client:
            client.flushall()
        keys = RedisVault(
            f"rediss://127.0.0.1:{self.redis.port}/0",
            password=Secret(PASSWORD),
            ca_file=str(self.folder / "ca.pem"),
        )
        self.world.vault = keys
        session = self.world.logged_in()
        self.world.vault = dataclasses.replace(
            keys,
            url=f"rediss://{NAME}:{self.redis.port}/0",
            password=ref("env:REDIS_PASSWORD"),  # which only the workers know
        )
        path = self.folder / "session.pickle"
        path.write_bytes(pickle.dumps(self.world.session(use_stored_token=True)))
        self.world.vault = keys
        assert session.get("x").ok
        return path

    def tokens_end(self) -> None:
        """From here on the API takes no access token that it has seen."""
        self.world.dead |= {
            (seen.authorization or "").removeprefix("Bearer ") for seen in self.world.api.seen
        }


def _certificate(folder: Path) -> Certificate:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    issued = authority.issue_cert(NAME, "127.0.0.1")
    issued.private_key_pem.write_to_path(folder / "redis.key")
    (folder / "redis.pem").write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    return Certificate(folder / "redis.pem", folder / "redis.key")


def _environ(home: Path) -> dict[str, str]:
    return clean_environ(home, PYTHONPATH=PYTHONPATH, REDIS_PASSWORD=PASSWORD)


@contextmanager
def _program(argv: list[str], folder: Path, name: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a program until the end of its input; its log lies in the folder."""
    with (
        Path(folder, f"{name}.log").open("wb") as log,
        subprocess.Popen(
            argv,
            env=_environ(folder / name),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        try:
            yield process
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(60)
            finally:
                process.kill()


def _workers(stack: ExitStack, host: Host, scheduler: str, folder: Path) -> None:
    python = [sys.executable, "-W", "ignore", "-m", "tests.support.hosts.host"]
    argv = host.command([*python, scheduler, host.address, str(PROCESSES), str(THREADS)])
    stack.enter_context(_program(argv, folder, host.name))


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    """Two hosts."""
    pytest.importorskip("distributed", reason="the package distributed is not installed")
    need_namespaces()
    with two_hosts(names=[NAME]) as made:
        yield made


@pytest.fixture(scope="module")
def cluster(hosts: Hosts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster, its provider, its API and its redis."""
    folder = tmp_path_factory.mktemp("cluster")
    with ExitStack() as stack:
        idp = stack.enter_context(
            FaultyProvider(users={"alice": "pw"}, clients={CLIENT: None}, grace=0.0)
        )
        api = stack.enter_context(echo())
        redis = stack.enter_context(
            redis_server(
                folder / "redis",
                certificate=_certificate(folder),
                host=hosts.address,
                settings=[f"requirepass {PASSWORD}"],
            )
        )
        create_vault_key(folder / "vault.key")
        world = World(api, idp, folder / "vault")
        ports = [int(url.split(":")[2].split("/")[0]) for url in (idp.issuer, api.url)]
        driver = stack.enter_context(
            _program(
                [
                    sys.executable,
                    "-W",
                    "ignore",
                    "-m",
                    "tests.support.hosts.cluster",
                    hosts.address,
                ],
                folder,
                "driver",
            )
        )
        made = Cluster(world, redis, driver)
        scheduler = made.ask("where")
        for host in hosts.both:
            stack.enter_context(lent(host, ports))
            _workers(stack, host, scheduler, folder)
        assert made.ask("wait", 2 * PROCESSES) == 2 * PROCESSES
        yield made


def test_sixteen_workers_on_two_hosts_share_each_renewal(cluster: Cluster) -> None:
    """Whenever the access token ends, one of 16 asks the provider, and all go on."""
    session, rounds = cluster.log_in(), 2
    before = cluster.world.idp.counts
    who: set[str] = set()
    for _ in range(rounds):
        cluster.tokens_end()
        assert cluster.ask("submit", "fetch", str(session), 2, THREADS) == 16
        came = cluster.ask("gather")
        assert {status for _, statuses in came for status in statuses} == {200}
        who |= {name for name, _ in came}

    after = cluster.world.idp.counts
    assert {name.split("/")[0] for name in who} == {"host1", "host2"}
    assert len(who) == 16
    assert after.forced_logins == after.reuses == 0
    assert after.refreshes - before.refreshes == after.rotations - before.rotations == rounds


def test_sixteen_workers_that_renew_all_the_time_lose_no_login(cluster: Cluster) -> None:
    session = cluster.log_in()
    before = cluster.world.idp.counts
    cluster.ask("submit", "renew", str(session), 6, THREADS)
    came = cluster.ask("gather")

    after = cluster.world.idp.counts
    assert len({name for name, _ in came}) == 16
    assert after.forced_logins == after.reuses == 0
    assert after.refreshes - before.refreshes == after.rotations - before.rotations > 0


def test_a_redis_that_stops_under_sixteen_workers_costs_no_login(cluster: Cluster) -> None:
    """They are told which server is away; when it is back, all go on without a login."""
    session = cluster.log_in()
    before = cluster.world.idp.counts.rotations
    cluster.ask("submit", "renew", str(session), 8, THREADS)
    wait_for(lambda: cluster.world.idp.counts.rotations > before, 60, "they are at work")
    cluster.redis.stop()
    cluster.redis.start()
    came = cluster.ask("gather")
    messages = {line for _, lines in came for line in lines}
    cluster.redis.stop()
    cluster.ask("submit", "look", str(session), 1, 1)
    away = cluster.ask("gather")
    cluster.redis.start()

    shown = f"the vault's redis at {NAME}:{cluster.redis.port}/0 cannot be reached"
    assert all(lines[0].startswith(shown) for _, lines in away)
    assert {line for line in messages if not line.startswith("the vault's redis at")} == set()
    assert PASSWORD not in str(away)
    counts = cluster.world.idp.counts
    assert counts.forced_logins == counts.reuses == 0
    assert cluster.world.session(use_stored_token=True).get("x").ok
