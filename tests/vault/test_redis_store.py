"""The vault in a redis: what it shows, who holds the lock, which write wins, what goes wrong."""

import base64
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from gatepass._vault.diagnose import diagnose
from gatepass._vault.key import VaultKey
from gatepass._vault.records import InFlight, Record
from gatepass._vault.redis_client import Server
from gatepass._vault.redis_store import RedisStore
from gatepass._vault.vault import Vault
from gatepass.errors import TokenLockTimeout, TokenNotPersisted, VaultError
from gatepass.secrets import Secret
from tests.support.peers.ca import Certificate, CertificateAuthority
from tests.support.peers.environ import clean_environ
from tests.support.peers.redis_server import Redis, redis_server
from tests.support.peers.waiting import free_port, wait_for
from tests.support.secret_context import PYTHONPATH
from tests.support.vaults import (
    ACCESS,
    FIRST,
    IDENTITY,
    KEY,
    NOW,
    OTHER,
    OTHER_KEY,
    RECORD,
    REFRESH,
    Use,
    below,
    given,
    plain,
    start,
    token,
    vault,
    with_token,
)

RECORDS = "gatepass:records"
SPENT = Secret("spent")
PASSWORD = "canary-password-ß"


def at(redis: Redis, *, margin: float = 10.0, lock_timeout: float = 30.0, **server: Any) -> Vault:
    """Return a vault in a redis."""
    store = RedisStore(Server("127.0.0.1", redis.port, 0, **server), margin)
    return Vault(store, given(), clock=lambda: NOW, lock_timeout=lock_timeout)


def secrets_of(its: Vault) -> list[bytes]:
    """Return what no stranger may find: tokens, identities, keys and who we are."""
    raw = base64.urlsafe_b64decode(KEY + "=")
    texts = ["canary", REFRESH, ACCESS, KEY, '"host"', '"pid"', '"since"']
    derived = [its._require_key()._cipher_key, its._require_key()._name_key]
    return [*map(str.encode, texts), raw, raw.hex().encode(), b"CANARY", *derived]


# ------------------------------------------------------------- what it shows


def test_redis_learns_no_token_identity_host_or_key(own_redis: Redis) -> None:
    """Neither from what it holds while a refresh is under way, nor from its files afterwards."""
    its = at(own_redis)
    its.write(IDENTITY, RECORD)
    with its.lock(IDENTITY, seconds=5):
        its.begin_refresh(IDENTITY)
        its.write(IDENTITY, RECORD)
        shown = own_redis.everything()
        kinds = {key.decode().split(":")[1] for key in own_redis.client().scan_iter()}
        its.end_refresh(IDENTITY)
    its.remove(IDENTITY)
    own_redis.stop()
    shown += b"".join(path.read_bytes() for path in own_redis.folder.rglob("*.aof"))

    assert kinds == {"records", "lock", "note"}
    assert len(shown) > 2000
    assert [secret for secret in secrets_of(its) if secret in shown] == []


def test_every_name_in_redis_begins_with_ours(redis: Redis) -> None:
    """So that others can use the same redis, and a rule can limit us to our names."""
    its = at(redis)
    with its.lock(IDENTITY, seconds=5):
        its.begin_refresh(IDENTITY)
        its.write(IDENTITY, RECORD)
        names = list(redis.client().scan_iter())
    its.remove(IDENTITY)
    names += list(redis.client().scan_iter())

    assert len(names) == 4
    assert all(name.startswith(b"gatepass:") for name in names)


def test_a_lock_or_a_note_of_one_kind_is_not_taken_for_another(redis: Redis) -> None:
    """Whoever controls redis can move sealed bytes, and gains no false message by that."""
    its = at(redis)
    name = its._require_key().name_of(IDENTITY).hex()
    its.write(IDENTITY, RECORD)
    its.begin_refresh(IDENTITY)
    client = redis.client()
    client.set(f"gatepass:lock:{name}", client.get(f"gatepass:note:{name}"))
    with pytest.raises(TokenLockTimeout, match="in use by another process"):
        at(redis, lock_timeout=0).write(IDENTITY, RECORD)
    client.delete(f"gatepass:lock:{name}")
    client.set(f"gatepass:note:{name}", client.hget(RECORDS, name))

    assert its.read_in_flight(IDENTITY) is None


# ------------------------------------------------------------- locks are leases


def test_the_lease_of_a_killed_holder_ends_by_itself(redis: Redis, tmp_path: Path) -> None:
    with start(tmp_path, "hold", redis.url) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        holder.kill()
        holder.wait()
    (name,) = redis.client().scan_iter("gatepass:lock:*")
    assert 0 < redis.client().pttl(name) <= 10_000
    redis.client().pexpire(name, 300)

    with at(redis).lock(IDENTITY, seconds=60):
        pass


def test_a_lease_is_made_to_outlast_the_request(redis: Redis) -> None:
    its = at(redis, margin=5.0)
    with its.lock(IDENTITY, seconds=5):
        (name,) = redis.client().scan_iter("gatepass:lock:*")
        assert redis.client().pttl(name) <= 5_000

        its.extend_lock(IDENTITY, 25)

        assert 25_000 < redis.client().pttl(name) <= 30_000
    assert not list(redis.client().scan_iter("gatepass:lock:*"))


@pytest.mark.parametrize("anothers", [True, False])
def test_a_lease_that_has_ended_is_not_prolonged_and_not_given_back(
    redis: Redis, anothers: bool
) -> None:
    its, client = at(redis), redis.client()
    with its.lock(IDENTITY, seconds=5):
        (name,) = client.scan_iter("gatepass:lock:*")
        client.delete(name)
        if anothers:
            client.set(name, b"another's")
        with pytest.raises(VaultError, match="ended before its holder was done") as caught:
            its.extend_lock(IDENTITY, 25)

    assert "try again" in caught.value.hint
    assert client.get(name) == (b"another's" if anothers else None)


@pytest.mark.parametrize("next_use", ["read", "lock"])
def test_a_lease_that_could_not_be_given_back_is_given_back_at_the_next_use(
    own_redis: Redis, next_use: str
) -> None:
    """Otherwise all hosts wait for its end, and so does who holds it."""
    its = at(own_redis, margin=3600.0)
    with its.lock(IDENTITY, seconds=5):
        own_redis.stop()
    own_redis.start()
    assert len(list(own_redis.client().scan_iter("gatepass:lock:*"))) == 1

    if next_use == "read":
        assert its.read(IDENTITY) is None
    else:
        with its.lock(IDENTITY, seconds=0):
            pass

    assert not list(own_redis.client().scan_iter("gatepass:lock:*"))


def test_forks_and_threads_have_connections_of_their_own(redis: Redis) -> None:
    its = at(redis)
    its.write(IDENTITY, RECORD)
    child = os.fork()
    for _ in range(50):
        its.write(IDENTITY if child else OTHER, RECORD)
    if not child:
        its_own = its.read(OTHER)
        os._exit(its_own.generation - FIRST if its_own else 0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    record = its.read(IDENTITY)

    assert record is not None
    assert (status, record.generation) == (49, FIRST + 50)


# ------------------------------------------------------------- which write wins


def fresh(generation: int = 1) -> Record:
    """Return what a refresh brought, made from a record of that generation."""
    return replace(with_token("fresh"), generation=generation)


def test_what_a_refresh_brought_is_kept_whoever_holds_the_lock(redis: Redis) -> None:
    """The lease may have ended; the token that still works must not be lost with it."""
    its = at(redis, lock_timeout=0)
    its.write(IDENTITY, with_token("spent"))
    with at(redis).lock(IDENTITY, seconds=5):
        kept = its.write_refreshed(IDENTITY, fresh(), spent=SPENT)

    assert token(kept) == "fresh"
    assert token(its.read(IDENTITY)) == "fresh"


def test_a_login_in_between_stays(redis: Redis) -> None:
    its = at(redis)
    its.write(IDENTITY, with_token("spent"))
    its.write(IDENTITY, with_token("of the login"))

    assert token(its.write_refreshed(IDENTITY, fresh(), spent=SPENT)) == "of the login"
    assert token(its.read(IDENTITY)) == "of the login"


def test_a_logout_in_between_stays_a_logout(redis: Redis) -> None:
    its = at(redis)
    its.write(IDENTITY, with_token("spent"))
    its.remove(IDENTITY)

    assert its.write_refreshed(IDENTITY, fresh(), spent=SPENT) is None
    assert its.read(IDENTITY) is None
    its.write(IDENTITY, with_token("of the login"))
    redis.client().delete(RECORDS)
    assert (
        token(its.write_refreshed(IDENTITY, fresh(), spent=SPENT)) == "fresh"
    )  # that logout is over


def test_a_spent_token_that_the_provider_refused_to_another_makes_way(redis: Redis) -> None:
    """It had sent what we had used up. Ours works still, if the provider is mild."""
    its = at(redis)
    its.write(IDENTITY, with_token("spent"))
    its.remove_refresh_token(IDENTITY, SPENT)

    assert token(its.write_refreshed(IDENTITY, fresh(), spent=SPENT)) == "fresh"


@pytest.mark.parametrize("left", ["nothing", "an older record"])
def test_what_redis_has_lost_is_put_back(redis: Redis, left: str) -> None:
    """Restarted without its last writes, or put back by somebody: what is spent is of no use."""
    its, client = at(redis), redis.client()
    its.write(IDENTITY, with_token("older"))
    (old,) = client.hgetall(RECORDS).items()
    for _ in range(5):
        its.write(IDENTITY, with_token("spent"))
    client.delete(RECORDS)
    if left != "nothing":
        client.hset(RECORDS, *old)

    kept = its.write_refreshed(IDENTITY, fresh(generation=FIRST + 5), spent=SPENT)

    assert token(its.read(IDENTITY)) == "fresh"
    assert kept is not None
    assert kept.generation == FIRST + 6  # no generation comes twice


@pytest.mark.parametrize("how", ["emptied", "logged out"])
def test_a_login_after_the_store_was_emptied_stays(redis: Redis, how: str) -> None:
    """A refresh that began before it is late, however often that login had been renewed."""
    its = at(redis)
    its.write(IDENTITY, with_token("spent"))
    for _ in range(5):
        its.write_refreshed(IDENTITY, with_token("spent"), spent=SPENT)
    before = its.read(IDENTITY)
    assert before is not None
    if how == "emptied":
        redis.client().delete(RECORDS)
    else:
        its.remove(IDENTITY)
    its._clock = lambda: NOW + 1
    its.write(IDENTITY, with_token("of the login"))

    kept = its.write_refreshed(IDENTITY, fresh(before.generation), spent=SPENT)

    assert token(kept) == "of the login"
    assert token(its.read(IDENTITY)) == "of the login"


@pytest.mark.parametrize("before", [None, InFlight(4711, "elsewhere", NOW)])
def test_who_is_late_leaves_the_note_of_the_next_one(redis: Redis, before: InFlight | None) -> None:
    """It says that a token may be in somebody's hands."""
    late, following = at(redis), at(redis)
    late.begin_refresh(IDENTITY)
    following.begin_refresh(IDENTITY)
    key = f"gatepass:note:{late._require_key().name_of(IDENTITY).hex()}"
    note = redis.client().get(key)

    late.end_refresh(IDENTITY, restore=before)
    assert redis.client().get(key) == note

    following.end_refresh(IDENTITY, restore=before)
    assert following.read_in_flight(IDENTITY) == before


def test_what_was_changed_since_it_was_read_is_not_replaced(redis: Redis) -> None:
    store = RedisStore(Server("127.0.0.1", redis.port, 0))
    assert store.put(b"n", b"one", old=None)
    assert not store.put(b"n", b"two", old=None)
    assert not store.put(b"n", b"two", old=b"other")
    assert store.read(b"n") == b"one"

    assert store.put(b"n", b"two", old=b"one")
    assert store.put(b"n", b"two", old=b"one")  # the first answer was lost on its way


def test_writers_that_hold_no_lock_lose_nothing(redis: Redis) -> None:
    """As with leases that ended: each compares, and tries again on what the other left."""
    its = at(redis)
    its.write(IDENTITY, with_token("spent"))

    def write() -> None:
        mine = at(redis)
        for _ in range(25):
            mine.write_refreshed(IDENTITY, with_token("spent"), spent=SPENT)

    threads = [Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    record = its.read(IDENTITY)
    assert record is not None
    assert record.generation == FIRST + 100


# ------------------------------------------------------------- damage, and other keys


def test_damaged_records_are_refused_named_and_left_as_they_are(redis: Redis) -> None:
    its, client = at(redis), redis.client()
    its.write(IDENTITY, RECORD)
    ((name, good),) = client.hgetall(RECORDS).items()
    for position in range(0, len(good), 7):
        bad = good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :]
        client.hset(RECORDS, name, bad)
        with pytest.raises(VaultError) as caught:
            its.read(IDENTITY)
        with pytest.raises(VaultError):
            its.write(IDENTITY, RECORD)
        assert client.hget(RECORDS, name) == bad
        assert f"{name.decode()} of gatepass:records in {its._store.shown}" in str(caught.value)
    client.hset(RECORDS, "not ours", b"rubbish")
    assert len(its.list_records().unreadable) == 2

    assert its.remove(IDENTITY)


def test_the_record_of_another_identity_does_not_open(redis: Redis) -> None:
    its, client = at(redis), redis.client()
    its.write(IDENTITY, RECORD)
    its.write(OTHER, RECORD)
    mine = its._require_key().name_of(IDENTITY).hex()
    client.hset(RECORDS, mine, client.hget(RECORDS, its._require_key().name_of(OTHER).hex()))

    with pytest.raises(VaultError, match="the copy of another record"):
        its.read(IDENTITY)
    assert plain(its.read(OTHER)) is not None


def test_a_host_with_another_key_is_told_so_and_loses_nothing(redis: Redis) -> None:
    vault(redis.url).write(IDENTITY, RECORD)

    uses: list[Use] = [lambda its: its.read(IDENTITY), lambda its: its.write(IDENTITY, RECORD)]
    for use in uses:
        with pytest.raises(VaultError, match="another key than the one behind env:VAULT"):
            use(vault(redis.url, OTHER_KEY))
    assert token(vault(redis.url).read(IDENTITY)) == REFRESH


def test_no_host_makes_a_key_of_its_own(redis: Redis) -> None:
    def make() -> Secret:
        raise AssertionError("a key was made")

    its = Vault(
        RedisStore(Server("127.0.0.1", redis.port, 0)),
        VaultKey("keyring:gatepass/vault-key", lambda: None, make),
    )

    with pytest.raises(VaultError, match="key is missing") as caught:
        its.write(IDENTITY, RECORD)
    assert "gatepass secret new-key" in caught.value.hint


# ------------------------------------------------------------- what goes wrong on the way


def test_a_redis_that_is_stopped_is_named_and_used_again_when_it_is_back(
    own_redis: Redis,
) -> None:
    its = at(own_redis)
    its.write(IDENTITY, RECORD)
    own_redis.stop()
    shown = f"redis at 127.0.0.1:{own_redis.port}/0 cannot be reached: Connection refused"
    uses: list[Use] = [
        lambda its: its.read(IDENTITY),
        lambda its: its.begin_refresh(IDENTITY),
        lambda its: its.lock(IDENTITY, seconds=60).__enter__(),
    ]
    for use in uses:
        with pytest.raises(VaultError, match=shown) as caught:
            use(its)
        assert "Does it run" in caught.value.hint
    with pytest.raises(TokenNotPersisted, match=shown):
        its._store.put(b"n", b"data", old=None)
    own_redis.start()

    assert token(its.read(IDENTITY)) == REFRESH


@contextmanager
def answering(*lines: bytes) -> Iterator[int]:
    """Listen on a port; answer each command with these lines, or never without any."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done: list[socket.socket] = []

        def serve() -> None:
            connection, _ = listener.accept()
            done.append(connection)
            with connection:
                while connection.recv(65536):
                    connection.sendall(b"".join(lines))

        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(30)


def test_a_redis_that_never_answers_is_given_up_after_a_deadline() -> None:
    with answering() as port:
        its = RedisStore(Server("127.0.0.1", port, 0, seconds=0.2))
        with pytest.raises(VaultError, match="did not answer within 0.2 s"):
            its.count()


@contextmanager
def babbling(talk: Callable[[socket.socket], object]) -> Iterator[int]:
    """Listen on a port; do something with each connection that has asked something."""
    open_ones: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor() as threads:

        def serve(connection: socket.socket) -> None:
            open_ones.append(connection)
            with connection, suppress(OSError):
                while connection.recv(65536):
                    talk(connection)

        def listen() -> None:
            with suppress(OSError):  # the listener is shut down
                while True:
                    threads.submit(serve, listener.accept()[0])

        threads.submit(listen)
        try:
            yield listener.getsockname()[1]
        finally:
            for each in (listener, *open_ones):
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)


NONSENSE = [
    b":abc\r\n",
    b":-1\r\n",
    b"$abc\r\n",
    b"$99999999999999999999\r\nabc",
    b"*1\r\n" * 5000,
    b"*0\r\n",
    b"*2\r\n*0\r\n*0\r\n",
    b"$5\r\nhello\r\n",
    b"-MOVED rubbish\r\n",
    b"-ASK\r\n",
    b"-\r\n",
    b"\xff\r\n",
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
]


@pytest.mark.parametrize("answer", NONSENSE, ids=lambda answer: repr(answer[:12]))
def test_nonsense_for_an_answer_is_an_error_of_the_vault(answer: bytes) -> None:
    """Anything else would get past what keeps a token that could not be written."""
    with babbling(lambda connection: connection.sendall(answer)) as port:
        store = RedisStore(Server("127.0.0.1", port, 0, seconds=20.0))
        its = Vault(store, given(), clock=lambda: NOW, lock_timeout=0.0)
        for use in (its.read, its.remove, its.read_in_flight, lambda _: its.list_records()):
            with suppress(VaultError):
                use(IDENTITY)
        with pytest.raises(VaultError):
            its.write_refreshed(IDENTITY, fresh(), spent=SPENT)
        with pytest.raises(VaultError):
            its.write(IDENTITY, RECORD)
        findings = diagnose(store)

    assert {each.verdict for each in findings} <= {"problem", "warning"}


def test_an_answer_that_never_ends_takes_neither_memory_nor_time() -> None:
    """One byte now and then meets any timeout of a socket."""
    with babbling(lambda connection: endless(connection, b"$9999999999\r\n", b"x" * 65536)) as port:
        store = RedisStore(Server("127.0.0.1", port, 0, seconds=60.0))
        with pytest.raises(VaultError, match="answers as no redis does"):
            store.count()
    with babbling(lambda connection: endless(connection, b"+", b"x", 0.02)) as port:
        store = RedisStore(Server("127.0.0.1", port, 0, seconds=0.3))
        with pytest.raises(VaultError, match="did not answer within 0.3 s"):
            store.count()


def endless(connection: socket.socket, begin: bytes, part: bytes, seconds: float = 0.0) -> None:
    """Send an answer without end, until the other side has gone."""
    connection.sendall(begin)
    while True:
        connection.sendall(part)
        time.sleep(seconds)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"MOVED 1234 127.0.0.1:6381", "belongs to a cluster"),
        (b"CROSSSLOT Keys in request don't hash to the same slot", "belongs to a cluster"),
        (b"CLUSTERDOWN Hash slot not served", "belongs to a cluster"),
        (b"DENIED Redis is running in protected mode because", "has no password"),
        (b"MASTERDOWN Link with MASTER is down", "a replica that has lost its primary"),
        (b"LOADING Redis is loading the dataset in memory", "is starting"),
        (b"ERR max number of clients reached", "takes no more connections"),
        (b"ERR unknown command 'EVAL', with args beginning with: 'canary'", "not know a command"),
    ],
)
def test_what_redis_refuses_is_told_in_our_words(answer: bytes, said: str) -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(b"-%s\r\n" % answer)

    with babbling(talk) as port:
        store = RedisStore(Server("127.0.0.1", port, 0))
        with pytest.raises(VaultError, match=said) as caught:
            store.count()

    assert "canary" not in str(caught.value)
    assert caught.value.hint


def test_a_server_that_repeats_the_password_is_not_quoted() -> None:
    """As a redis without AUTH does. Neither the error nor its traceback holds it."""
    line = f"-ERR unknown command 'AUTH', with args beginning with: '{PASSWORD}'\r\n".encode()
    with answering(line) as port:
        store = RedisStore(
            Server("127.0.0.1", port, 0, credentials=lambda: (None, Secret(PASSWORD)))
        )
        with pytest.raises(VaultError) as caught:
            store.count()

    assert PASSWORD not in str(caught.value)
    assert PASSWORD not in below(caught.value)
    assert caught.value.__context__ is None
    assert PASSWORD not in repr(store)


@pytest.fixture(scope="module")
def guarded(peers_folder: Path) -> Iterator[Redis]:
    """A redis with a password, and a user who may do what the page says."""
    rights = "~gatepass:* +hget +hset +hdel +hlen +hgetall +get +set +del +pexpire +exists +eval"
    settings = [
        f"requirepass {PASSWORD}",
        f"user svc on >{PASSWORD} {rights} +select +ping",
        f"user nobody on >{PASSWORD} +ping",
    ]
    with redis_server(peers_folder / "guarded", settings=settings) as running:
        yield running


def test_the_rights_that_the_message_names_are_enough(guarded: Redis) -> None:
    its = at(guarded, credentials=lambda: ("svc", Secret(PASSWORD)))
    with its.lock(IDENTITY, seconds=5):
        its.extend_lock(IDENTITY, 5)
        its.begin_refresh(IDENTITY)
        its.write(IDENTITY, with_token("spent"))
        assert isinstance(its.read_in_flight(IDENTITY), InFlight)
        its.write_refreshed(IDENTITY, fresh(), spent=SPENT)
        its.end_refresh(IDENTITY)
    assert len(its.list_records().readable) == 1
    assert its.remove(IDENTITY)
    assert its.write_refreshed(IDENTITY, fresh(), spent=SPENT) is None


@pytest.mark.parametrize(
    ("login", "said", "advised"),
    [
        ((None, None), "refuses the login", "GATEPASS_VAULT__PASSWORD"),
        ((None, Secret("wrong")), "refuses the login", "GATEPASS_VAULT__PASSWORD"),
        (("nobody", Secret(PASSWORD)), "does not let this user", "gatepass:*"),
    ],
)
def test_a_refused_login_says_what_to_look_at(
    guarded: Redis, login: tuple[str | None, Secret | None], said: str, advised: str
) -> None:
    its = at(guarded, credentials=lambda: login)
    with pytest.raises(VaultError, match=said) as caught:
        its.read(IDENTITY)

    assert advised in caught.value.hint
    assert PASSWORD not in below(caught.value)


def test_a_replica_and_a_full_redis_say_so_before_a_token_is_spent(own_redis: Redis) -> None:
    its, client = at(own_redis), own_redis.client()
    its.write(IDENTITY, RECORD)
    client.config_set("maxmemory", "1mb")
    client.config_set("maxmemory-policy", "noeviction")
    with pytest.raises(VaultError, match="is full"):
        its.begin_refresh(IDENTITY)
    client.config_set("maxmemory", "0")
    client.replicaof("127.0.0.1", free_port())

    with pytest.raises(VaultError, match="is a replica"):
        its.begin_refresh(IDENTITY)
    assert token(its.read(IDENTITY)) == REFRESH


def test_without_the_package_the_install_line_is_told(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['redis'] = None\n"
        "from gatepass._vault.redis_client import Server\n"
        "from gatepass._vault.redis_store import RedisStore\n"
        "try: RedisStore(Server('h', 1, 0)).count()\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    environ = clean_environ(tmp_path, PYTHONPATH=PYTHONPATH)
    done = subprocess.run(
        [sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=True
    )

    assert done.stdout.startswith("VaultError the vault is in redis at h:1/0, and the package")
    assert 'pip install "gatepass[redis]"' in done.stdout


# ------------------------------------------------------------- TLS


Make = Callable[[str | None, Certificate | None], Callable[[], ssl.SSLContext]]


@pytest.fixture(scope="module")
def contexts() -> Make:
    """Return a function that makes what makes a context, as the setting does."""
    from gatepass._net.tls import ClientCertificate, Contexts

    def make(ca_file: str | None, client: Certificate | None) -> Callable[[], ssl.SSLContext]:
        certificate = ClientCertificate(str(client.chain), str(client.key)) if client else None
        return lambda: Contexts(ca_file).get(True, certificate)

    return make


def test_tls_with_our_authority_and_a_client_certificate(
    peers_folder: Path, ca: CertificateAuthority, contexts: Make
) -> None:
    with redis_server(peers_folder / "mutual", certificate=ca.server, ca=ca) as redis:
        at(redis, tls=contexts(str(ca.ca_file), ca.client)).write(IDENTITY, RECORD)
        with pytest.raises(VaultError, match="cannot be reached"):
            at(redis, tls=contexts(str(ca.ca_file), None)).read(IDENTITY)
        with pytest.raises(VaultError, match="certificate is not trusted"):
            at(redis, tls=contexts(None, ca.client)).read(IDENTITY)
        with pytest.raises(VaultError, match="cannot be reached"):
            at(redis).read(IDENTITY)


@pytest.mark.parametrize("which", ["wrong_host", "expired"])
def test_a_server_with_a_wrong_certificate_gets_no_password(
    tmp_path: Path, ca: CertificateAuthority, contexts: Make, which: str
) -> None:
    asked: list[int] = []

    def credentials() -> tuple[str | None, Secret | None]:
        asked.append(1)
        return None, Secret(PASSWORD)

    with redis_server(tmp_path / "redis", certificate=getattr(ca, which)) as redis:
        its = at(redis, tls=contexts(str(ca.ca_file), None), credentials=credentials)
        with pytest.raises(VaultError, match="certificate is not trusted"):
            its.read(IDENTITY)

    assert len(asked) == 1  # to see whether there is one; not for a connection


def test_a_peer_that_stops_in_the_handshake_is_given_up(contexts: Make) -> None:
    with answering() as port:
        its = RedisStore(Server("127.0.0.1", port, 0, tls=contexts(None, None), seconds=0.2))
        with pytest.raises(VaultError, match="redis at 127.0.0.1"):
            its.count()


def test_the_peer_can_be_stopped_and_started(own_redis: Redis) -> None:
    own_redis.client().set("a", "b")
    own_redis.stop()
    own_redis.start()

    assert wait_for(lambda: own_redis.client().get("a"), 10, "what was written") == b"b"
