"""A vault in a redis that many computers share.

::

    gatepass:records        a hash: <name> → the encrypted record
    gatepass:lock:<name>    the lock: a lease, which expires; holds who took it, encrypted
    gatepass:note:<name>    a refresh has begun and not ended: process, host and time, encrypted
    gatepass:gone:<name>    for a day: the record was removed on purpose, not lost

The name is a keyed hash of the identity. Redis sees no server, account, host or token. Somebody who
controls it can still delete records, or put older ones back.

A lease may expire while its holder is suspended or cut off from redis. So each write compares what
it replaces, in one step within redis. That works because no two encrypted records are equal.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Final
from weakref import finalize

from gatepass._system.deadline import Deadline
from gatepass._vault import file_lock
from gatepass._vault.redis_client import Server, explain_error, make_client
from gatepass._vault.store import HeldLock, HolderCodec, StoredRecord
from gatepass.errors import GatepassError, TokenNotPersisted, VaultError

if TYPE_CHECKING:
    from redis import Redis

LEASE: Final = 10.0  # seconds; so long the others wait for a host that was killed
_BEAT: Final = 0.3  # the part of a lease after which it is renewed
_RECORDS: Final = "gatepass:records"
_DAY: Final = 86_400_000  # milliseconds
_PAUSE: Final = 0.07  # seconds between two looks at a lock, and up to twice that
# Compares and replaces in one step. When the answer was lost and the command is sent again, the new
# bytes are stored already, which counts as written. DEL comes first: a redis that is full refuses
# only the first write of a script, and a new token must not be lost for that.
_PUT: Final = """
local there = redis.call('HGET', KEYS[1], ARGV[1])
if there == ARGV[3] then return 1 end
if (there or '') ~= ARGV[2] then return 0 end
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
"""
_REMOVE: Final = """
redis.call('SET', KEYS[2], '1', 'PX', ARGV[2])
redis.call('DEL', KEYS[3])
return redis.call('HDEL', KEYS[1], ARGV[1])
"""
_NOTE: Final = """
if ARGV[1] ~= '' and redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then return redis.call('DEL', KEYS[1]) end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""
_EXTEND: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
_RELEASE: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""


class _Lease:
    """A lock of this process, which redis ends by itself unless it is kept."""

    def __init__(self, store: "RedisStore", name: bytes, value: bytes, until: Deadline) -> None:
        self._store = store
        self._name = name
        self._value = value
        self._until = until
        self._process = os.getpid()
        self._released = Event()
        self._is_kept = False

    @property
    def passed(self) -> bool:
        """Whether the lease may have ended."""
        return self._until.passed

    def keep(self) -> None:
        """Begin the lease anew, now and again and again until it is released."""
        # Take the time first: if this process is suspended in between, the lease ends earlier.
        until = Deadline.after(self._store.lease)
        if not self._store.extend_lease(self._name, self._value):
            raise VaultError(
                f"the lock of the token in {self._store.shown} ended before its holder was done",
                hint="nothing was sent or lost: try again",
            )
        self._until = until
        if not self._is_kept:
            self._is_kept = True
            Thread(target=self._keep_on, name="gatepass-lease", daemon=True).start()

    def _keep_on(self) -> None:
        while not self._released.wait(self._store.lease * _BEAT):
            try:
                self.keep()
            except VaultError:  # ended, or redis is away; the next write compares
                if self.passed:
                    return

    def release(self) -> None:
        """Release the lease; where redis does not answer, that is done at the next use.

        A forked child does not: the lease is its parent's.
        """
        self._released.set()
        if os.getpid() == self._process:
            try:
                self._store.release_lease(self._name, self._value)
            except VaultError:
                self._store.unreleased[self._name] = self._value


@dataclass(slots=True, weakref_slot=True)
class RedisStore:
    """The records in one database of a redis. Connects at the first command.

    Threads and forked children may share it: redis-py's pool gives each its own connections.

    Attributes:
        server: which redis.
        lease: seconds after which a lock ends that nobody keeps.
        unreleased: leases that could not be released because redis did not answer, by name.
    """

    server: Server
    lease: float = LEASE
    unreleased: dict[bytes, bytes] = field(default_factory=dict, init=False, repr=False)
    _client: "Redis | None" = field(default=None, init=False, repr=False)

    @property
    def shared(self) -> bool:
        """True: others may read what is stored, and a lock may end before its holder does."""
        return True

    @property
    def shown(self) -> str:
        """Host, port and database."""
        return self.server.shown

    def where(self, name: bytes) -> str:
        """Return the field, the key and the redis of a record."""
        return f"{name.hex()} of {_RECORDS} in {self.shown}"

    def read(self, name: bytes) -> bytes | None:
        """Return a record's bytes; None when there is none. Touches the network."""
        data: bytes | None = self.execute(
            lambda redis: _bytes_or_none(redis.hget(_RECORDS, name.hex()))
        )
        with suppress(VaultError):
            self._retry_release(name)
        return data

    def put(self, name: bytes, data: bytes, *, old: bytes | None) -> bool:
        """Write a record in the place of another. Touches the network.

        Whether it survives a power cut depends on redis' settings, which ``diagnose`` examines.
        """
        keys = (_RECORDS, _key("gone", name))
        done = self._run_script(_PUT, keys, name.hex(), old or b"", data, kind=TokenNotPersisted)
        with suppress(VaultError):
            self._retry_release(name)
        return bool(done)

    def remove(self, name: bytes) -> bool:
        """Remove a record and its note, and remember that. Returns whether there was a record."""
        keys = (_RECORDS, _key("gone", name), _key("note", name))
        return bool(self._run_script(_REMOVE, keys, name.hex(), _DAY))

    def was_removed(self, name: bytes) -> bool:
        """Whether a missing record was removed on purpose during the last day."""
        return bool(self.execute(lambda redis: _integer(redis.exists(_key("gone", name)))))

    def why_missing(self) -> str:
        """Say that redis has thrown keys away, if it has and lets us see that."""
        with suppress(VaultError, KeyError):
            number = _integer(self.execute(lambda redis: redis.info("stats"))["evicted_keys"])
            if number:
                return (
                    f"; {self.shown} was full and has thrown {number} keys away, perhaps the login "
                    "too (set in redis.conf: maxmemory-policy noeviction)"
                )
        return ""

    def read_note(self, name: bytes) -> bytes | None:
        """Return a note; None when there is none."""
        data: bytes | None = self.execute(
            lambda redis: _bytes_or_none(redis.get(_key("note", name)))
        )
        return data

    def write_note(self, name: bytes, data: bytes | None, *, old: bytes | None = None) -> None:
        """Write a note, or with None remove it; with ``old`` only in the place of that one."""
        self._run_script(_NOTE, (_key("note", name),), old or b"", data or b"")

    def count(self) -> int:
        """Return how many records there are."""
        count: int = self.execute(lambda redis: _integer(redis.hlen(_RECORDS)))
        return count

    def list_records(self, *, but: bytes | None = None) -> list[StoredRecord]:
        """Return every record, readable or not."""
        everything: dict[bytes, bytes] = self.execute(
            lambda redis: _byte_pairs(redis.hgetall(_RECORDS))
        )
        found = []
        for key, data in sorted(everything.items()):
            try:
                name = bytes.fromhex(key.decode())
            except ValueError:
                name = b""
            if but and name.startswith(but):
                continue
            shown = key.decode(errors="backslashreplace")
            found.append(StoredRecord(name, f"{shown} of {_RECORDS} in {self.shown}", data))
        return found

    @contextmanager
    def lock(
        self,
        name: bytes,
        *,
        seconds: float,
        codec: HolderCodec,
        what: str = "the token",
        cancel_check: Callable[[], bool] | None = None,
    ) -> Iterator[HeldLock]:
        """Hold a lease during a block; it ends by itself unless it is kept."""
        lease = self._acquire(name, seconds, codec, what, cancel_check)
        try:
            yield lease
        finally:
            lease.release()

    def _acquire(
        self,
        name: bytes,
        seconds: float,
        codec: HolderCodec,
        what: str,
        cancel_check: Callable[[], bool] | None,
    ) -> _Lease:
        key, deadline = _key("lock", name), time.monotonic() + seconds
        while True:
            value = codec.encode()  # encrypted anew, so it differs from that of any other holder
            self._retry_release(name)
            until = Deadline.after(self.lease)
            try:
                took = self._try_acquire(key, value)
            except VaultError:
                self.unreleased[name] = value  # the lease may be ours, and only the answer lost
                raise
            if took:
                return _Lease(self, name, value, until)
            if time.monotonic() >= deadline or (cancel_check is not None and cancel_check()):
                held = self.execute(lambda redis: _bytes_or_none(redis.get(key)))
                raise file_lock.lock_timeout(codec.decode(held) if held else None, seconds, what)
            # A random pause, so that waiting hosts do not ask at the same moment.
            time.sleep(_PAUSE * (1 + value[-1] / 256))

    def _try_acquire(self, key: str, value: bytes) -> bool:
        return bool(self.execute(lambda redis: redis.set(key, value, nx=True, px=self._ms)))

    def _retry_release(self, name: bytes) -> None:
        """Release a lease that could not be released before; otherwise all wait until it ends."""
        lease = self.unreleased.get(name)
        if lease is not None:
            self.release_lease(name, lease)
            if self.unreleased.get(name) == lease:
                self.unreleased.pop(name, None)

    def extend_lease(self, name: bytes, value: bytes) -> bool:
        """Move the end of a lease; return false when it has expired or is another's by now."""
        return bool(self._run_script(_EXTEND, (_key("lock", name),), value, self._ms))

    def release_lease(self, name: bytes, value: bytes) -> bool:
        """Release a lease; return false when it has expired or is another's by now."""
        return bool(self._run_script(_RELEASE, (_key("lock", name),), value))

    @property
    def _ms(self) -> int:
        return int(self.lease * 1000)

    def _run_script(
        self,
        script: str,
        keys: tuple[str, ...],
        *values: Any,
        kind: type[VaultError] = VaultError,
    ) -> Any:
        return self.execute(
            lambda redis: _integer(redis.eval(script, len(keys), *keys, *values)), kind=kind
        )

    def execute(
        self, command: "Callable[[Redis], Any]", *, kind: type[VaultError] = VaultError
    ) -> Any:
        """Send a command and return the answer. Touches the network, for a few seconds at most.

        Args:
            command: gets the client, and sends the command.
            kind: the class of the error to raise.

        Raises:
            VaultError: no answer came, or redis refuses; names the server and the next step.
        """
        client = self._connected()
        from redis.exceptions import RedisError

        try:
            return command(client)
        except VaultError as error:  # of the credentials
            message, hint = error.message, error.hint
        except (RedisError, OSError) as error:
            message, hint = explain_error(error, self.server)
        except GatepassError:
            raise
        except Exception as error:  # noqa: BLE001 - redis-py raises anything at garbage
            message, hint = explain_error(error, self.server)
        except BaseException:
            # Ctrl-C may come between a command and its answer; the next command on the same
            # connection would then read that answer.
            client.connection_pool.disconnect(inuse_connections=False)
            raise
        # Raised outside of the handlers, so that __context__ leads to no frame with the password.
        raise kind(message, hint=hint)

    def _connected(self) -> "Redis":
        if self._client is None:
            self._client = make_client(self.server)
            # Close the connections with the store; at the exit a late write may still need them.
            finalize(self, self._client.connection_pool.disconnect).atexit = False
        return self._client


def _key(kind: str, name: bytes) -> str:
    return f"gatepass:{kind}:{name.hex()}"


# An answer of another type is an error at once; believed, it could cost a token.


def _bytes_or_none(answer: object) -> bytes | None:
    if answer is None or isinstance(answer, bytes):
        return answer
    raise TypeError


def _integer(answer: object) -> int:
    if isinstance(answer, int):
        return answer
    raise TypeError


def _byte_pairs(answer: object) -> dict[bytes, bytes]:
    if isinstance(answer, dict) and all(
        isinstance(each, bytes) for pair in answer.items() for each in pair
    ):
        return answer
    raise TypeError
