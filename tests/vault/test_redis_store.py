"""The vault in a redis: what it shows, who holds the lock, which write wins, what goes wrong."""

import base64
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gatepass._vault.key import VaultKey
from gatepass._vault.records import InFlight
from gatepass._vault.redis_client import Server
from gatepass._vault.redis_store import RedisStore
from gatepass._vault.vault import Vault
from gatepass.errors import TokenLockTimeout, TokenNotPersisted, VaultError
from gatepass.secrets import Secret
from tests.support.peers.redis_server import Redis
from tests.support.peers.waiting import free_port, wait_for
from tests.support.threads import together
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
    SPENT,
    Use,
    at,
    fresh,
    plain,
    start,
    token,
    vault,
    with_token,
)

RECORDS = "gatepass:records"


def secrets_of(its: Vault) -> list[bytes]:
    """Return what nobody else may find: tokens, identities, keys and who we are."""
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
    """Somebody who controls redis can move encrypted bytes, and causes no false message by it."""
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


def test_a_lease_that_is_kept_lasts_as_long_as_its_block_and_no_longer(redis: Redis) -> None:
    its, client = at(redis, lease=1.0), redis.client()
    with its.lock(IDENTITY, seconds=5):
        (name,) = client.scan_iter("gatepass:lock:*")
        held = its.keep_lock(IDENTITY)
        for _ in range(3):  # each time it is about to end, it begins anew
            client.pexpire(name, 400)
            wait_for(lambda: client.pttl(name) > 400, 30, "the lease begins anew")
        assert not held.passed
    assert not list(client.scan_iter("gatepass:lock:*"))


def test_a_token_is_kept_by_a_redis_that_is_full(own_redis: Redis) -> None:
    """What fits before the token is spent must fit afterwards."""
    its, client = at(own_redis), own_redis.client()
    its.write(IDENTITY, with_token("spent"))
    its.begin_refresh(IDENTITY)
    client.config_set("maxmemory", "1")
    with pytest.raises(VaultError, match="is full"):
        its.begin_refresh(IDENTITY)

    assert token(its.write_refreshed(IDENTITY, with_token("fresh"), spent=SPENT)) == "fresh"


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
            its.keep_lock(IDENTITY)

    assert "try again" in caught.value.hint
    assert client.get(name) == (b"another's" if anothers else None)


@pytest.mark.parametrize("next_use", ["read", "lock"])
def test_a_lease_that_could_not_be_given_back_is_given_back_at_the_next_use(
    own_redis: Redis, next_use: str
) -> None:
    """Otherwise all hosts wait for its end, and so does who holds it."""
    its = at(own_redis, lease=3600.0)
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
    if sys.platform == "win32":
        pytest.skip("needs POSIX")
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
    its.write_refreshed(
        IDENTITY, replace(RECORD, refresh_token=None, refused="invalid_grant"), spent=SPENT
    )

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

    def write(_: int) -> None:
        mine = at(redis)
        for _ in range(25):
            mine.write_refreshed(IDENTITY, with_token("spent"), spent=SPENT)

    together(4, write)

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
