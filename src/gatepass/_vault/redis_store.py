"""The store of many computers: a redis that all of them reach.

::

    gatepass:records        a hash: <name> → the sealed record
    gatepass:lock:<name>    the lock: a lease, which ends by itself; holds who took it, sealed
    gatepass:note:<name>    a refresh has begun and not ended: process, host and time, sealed
    gatepass:gone:<name>    for a day: the record was removed on purpose, not lost

The name is a keyed hash of the identity. Redis sees no server, account, host or token; whoever
controls it can still delete, hold back, or bring back what was there before.

A lease may end before its holder does, where that is stopped or cut off. So each write compares
what it replaces, in one step within redis, and sealed records are never the same twice.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from weakref import finalize

from gatepass._vault import file_lock
from gatepass._vault.store import HeldLock, HolderCodec, StoredRecord
from gatepass.errors import GatepassError, TokenNotPersisted, VaultError
from gatepass.secrets import Secret, SecretRef

if TYPE_CHECKING:
    from ssl import SSLContext

    from redis import Redis

SECONDS: Final = 5.0  # for a connection, and for each answer
MARGIN: Final = 10.0  # seconds that a lease outlasts what it was taken for: the write behind it
MOST_BYTES: Final = 16_777_216  # of one answer; thousands of records are less
_RECORDS: Final = "gatepass:records"
_DAY: Final = 86_400_000  # milliseconds
_PAUSE: Final = 0.07  # seconds between two looks at a lock, and up to twice that
_INSTALL: Final = 'install it:   pip install "gatepass[redis]"'
_RIGHTS: Final = (
    "it needs:   ~gatepass:* +hget +hset +hdel +hlen +hgetall +get +set +del +pexpire +exists "
    "+eval +select +ping"
)

# What is there is compared and replaced in one step. An answer that was lost on its way is no
# harm: what is there already counts as written.
_PUT: Final = """
local there = redis.call('HGET', KEYS[1], ARGV[1])
if there == ARGV[3] then return 1 end
if (there or '') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('DEL', KEYS[2])
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


@dataclass(frozen=True, slots=True)
class Server:
    """Which redis, and how to get in. Prints no password.

    Attributes:
        host: its name or address.
        port: its port.
        db: the number of the database.
        tls: makes the TLS context; None is plain TCP.
        credentials: returns the user's name and the password, each None where there is none;
            raises ``VaultError``. Asked at each new connection.
        seconds: for a connection, and for each answer.
        references: what the credentials are resolved from, such as ``vault.password``.
    """

    host: str
    port: int
    db: int
    tls: "Callable[[], SSLContext] | None" = None
    credentials: Callable[[], tuple[str | None, Secret | None]] = lambda: (None, None)
    seconds: float = SECONDS
    references: Mapping[str, SecretRef] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """What messages call it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"redis at {host}:{self.port}/{self.db}"


class _Lease:
    """A lock that this process holds until its time is over."""

    def __init__(self, store: "RedisStore", name: bytes, value: bytes) -> None:
        self._store = store
        self._name = name
        self._value = value
        self._process = os.getpid()

    def extend(self, seconds: float) -> None:
        """Move the lease's end so far away, and the margin for the write behind it."""
        if not self._store.extend_lease(self._name, self._value, seconds):
            raise VaultError(
                f"the lock of the token in {self._store.shown} ended before its holder was done",
                hint="nothing was sent or lost: try again",
            )

    def release(self) -> None:
        """Give it back, without an answer at the next write. A fork does not."""
        if os.getpid() == self._process:
            try:
                self._store.release_lease(self._name, self._value)
            except VaultError:
                self._store.unreleased[self._name] = self._value


@dataclass(slots=True, weakref_slot=True)
class RedisStore:
    """The records in one database of a redis. Connects at the first question.

    Threads share it, and so do forks: each has connections of its own.

    Attributes:
        server: which redis.
        margin: seconds by which a lease outlasts what it was taken for.
        unreleased: leases that could not be given back while redis was away.
    """

    server: Server
    margin: float = MARGIN
    unreleased: dict[bytes, bytes] = field(default_factory=dict, init=False, repr=False)
    _client: "Redis | None" = field(default=None, init=False, repr=False)

    @property
    def shared(self) -> bool:
        """Yes: others may look in, and a lock may end before its holder does."""
        return True

    @property
    def shown(self) -> str:
        """Which redis."""
        return self.server.shown

    def where(self, name: bytes) -> str:
        """Return the key and the field of a record, and which redis."""
        return f"{name.hex()} of {_RECORDS} in {self.shown}"

    def read(self, name: bytes) -> bytes | None:
        """Return a record's bytes; None when there is none. Touches the network."""
        data: bytes | None = self.ask(lambda redis: _text(redis.hget(_RECORDS, name.hex())))
        with suppress(VaultError):
            self._retry_release(name)
        return data

    def put(self, name: bytes, data: bytes, *, old: bytes | None) -> bool:
        """Keep a record in the place of another. Touches the network.

        Whether it would survive a power cut is for redis' settings to say; ``diagnose`` looks.
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
        """Whether a missing record was removed on purpose, within a day."""
        return bool(self.ask(lambda redis: _number(redis.exists(_key("gone", name)))))

    def read_note(self, name: bytes) -> bytes | None:
        """Return a note; None when there is none."""
        data: bytes | None = self.ask(lambda redis: _text(redis.get(_key("note", name))))
        return data

    def write_note(self, name: bytes, data: bytes | None, *, old: bytes | None = None) -> None:
        """Write a note, or with None remove it; with ``old`` only in the place of that one."""
        self._run_script(_NOTE, (_key("note", name),), old or b"", data or b"")

    def count(self) -> int:
        """Return how many records there are."""
        count: int = self.ask(lambda redis: _number(redis.hlen(_RECORDS)))
        return count

    def list_records(self) -> list[StoredRecord]:
        """Return every record, readable or not."""
        everything: dict[bytes, bytes] = self.ask(lambda redis: _texts(redis.hgetall(_RECORDS)))
        found = []
        for key, data in sorted(everything.items()):
            try:
                name = bytes.fromhex(key.decode())
            except ValueError:
                name = b""
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
        """Hold a lease for the time of a block; at first it lasts for the margin."""
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
            value = codec.encode()  # sealed anew: no two are the same, so it also says whose
            self._retry_release(name)
            try:
                took = self._try_acquire(key, value)
            except VaultError:
                self.unreleased[name] = value  # it may have been taken, and the answer lost
                raise
            if took:
                return _Lease(self, name, value)
            if time.monotonic() >= deadline or (cancel_check is not None and cancel_check()):
                held = self.ask(lambda redis: _text(redis.get(key)))
                raise file_lock.lock_timeout(codec.decode(held) if held else None, seconds, what)
            time.sleep(_PAUSE * (1 + value[-1] / 256))  # not all at the same moment

    def _try_acquire(self, key: str, value: bytes) -> bool:
        return bool(self.ask(lambda redis: redis.set(key, value, nx=True, px=self._ms(0))))

    def _retry_release(self, name: bytes) -> None:
        """Give back what could not be given back before: otherwise all wait for its end."""
        lease = self.unreleased.get(name)
        if lease is not None:
            self.release_lease(name, lease)
            if self.unreleased.get(name) == lease:
                self.unreleased.pop(name, None)

    def extend_lease(self, name: bytes, value: bytes, seconds: float) -> bool:
        """Move the end of a lease; false when it is another's by now."""
        return bool(self._run_script(_EXTEND, (_key("lock", name),), value, self._ms(seconds)))

    def release_lease(self, name: bytes, value: bytes) -> bool:
        """Give a lease back; false when it is another's by now."""
        return bool(self._run_script(_RELEASE, (_key("lock", name),), value))

    def _ms(self, seconds: float) -> int:
        return int((seconds + self.margin) * 1000)

    def _run_script(
        self,
        script: str,
        keys: tuple[str, ...],
        *values: Any,
        kind: type[VaultError] = VaultError,
    ) -> Any:
        return self.ask(
            lambda redis: _number(redis.eval(script, len(keys), *keys, *values)), kind=kind
        )

    def ask(
        self, question: "Callable[[Redis], Any]", *, kind: type[VaultError] = VaultError
    ) -> Any:
        """Ask redis something. Touches the network, for at most some seconds.

        Args:
            question: what; gets the client.
            kind: the error to raise.

        Raises:
            VaultError: no answer came, or it refused; names the server and the next step.
        """
        client = self._connected()
        from redis.exceptions import RedisError

        try:
            return question(client)
        except VaultError as error:  # of the credentials
            message, hint = error.message, error.hint
        except (RedisError, OSError) as error:
            message, hint = explain_error(error, self.server)
        except GatepassError:
            raise
        except Exception as error:  # noqa: BLE001 - redis-py lets all kinds out at rubbish
            message, hint = explain_error(error, self.server)
        except BaseException:
            # An interrupt may come between a question and its answer, and the next one to ask on
            # that connection would get it.
            client.connection_pool.disconnect(inuse_connections=False)
            raise
        # Raised out here, so that no context leads to frames that hold the password.
        raise kind(message, hint=hint)

    def _connected(self) -> "Redis":
        if self._client is None:
            self._client = _client(self.server)
            # Connections end with the store; at the exit a late write may still need them.
            finalize(self, self._client.connection_pool.disconnect).atexit = False
        return self._client


def _key(kind: str, name: bytes) -> str:
    return f"gatepass:{kind}:{name.hex()}"


# What is no answer to the question is an error where it is asked: behind it, it could cost a token.


def _text(answer: object) -> bytes | None:
    if answer is None or isinstance(answer, bytes):
        return answer
    raise TypeError


def _number(answer: object) -> int:
    if isinstance(answer, int):
        return answer
    raise TypeError


def _texts(answer: object) -> dict[bytes, bytes]:
    if isinstance(answer, dict) and all(
        isinstance(each, bytes) for pair in answer.items() for each in pair
    ):
        return answer
    raise TypeError


class _Bounded:
    """A socket of which one answer takes neither more time nor more memory than it may.

    A timeout of a socket starts anew with each byte.
    """

    def __init__(self, plain: Any, seconds: float) -> None:
        self._plain = plain
        self._seconds = seconds
        self._begin()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plain, name)

    def sendall(self, data: bytes) -> None:
        """Send a question; its answer counts from here."""
        self._begin()
        self._plain.sendall(data)

    def recv(self, size: int) -> bytes:
        """Return the next bytes of an answer."""
        self._look()
        data: bytes = self._plain.recv(size)
        self._left -= len(data)
        return data

    def recv_into(self, buffer: Any) -> int:
        """Do the same for hiredis, which redis-py uses where it is installed."""
        self._look()
        count: int = self._plain.recv_into(buffer)
        self._left -= count
        return count

    def _begin(self) -> None:
        self._ends = time.monotonic() + self._seconds
        self._left = MOST_BYTES

    def _look(self) -> None:
        if self._left <= 0:
            raise _TooMuchError
        # Without a timeout it is only looked at whether something lies there.
        if self._plain.gettimeout() != 0 and time.monotonic() > self._ends:
            raise TimeoutError


class _TooMuchError(Exception):
    """An answer without end."""


def _client(server: Server) -> "Redis":
    """Make a client; it connects at the first question, and never asks twice by itself."""
    try:
        import redis
    except ModuleNotFoundError:
        raise VaultError(
            f"the vault is in {server.shown}, and the package redis is not installed",
            hint=_INSTALL,
        ) from None
    from redis.backoff import NoBackoff
    from redis.credentials import CredentialProvider
    from redis.retry import Retry

    context = None if server.tls is None else server.tls()

    class Connection(redis.Connection):
        """Over our own TLS context: redis-py would look for authorities elsewhere."""

        def _connect(self) -> Any:
            plain = super()._connect()  # type: ignore[no-untyped-call]  # of redis-py
            if context is None:
                return _Bounded(plain, server.seconds)
            try:
                secured = context.wrap_socket(plain, server_hostname=server.host)
            except BaseException:
                plain.close()
                raise
            return _Bounded(secured, server.seconds)

    class Credentials(CredentialProvider):
        """Looks the password up when it is needed, and keeps none."""

        def get_credentials(self) -> tuple[str] | tuple[str, str]:
            user, password = server.credentials()
            secret = "" if password is None else password.reveal()
            return (secret,) if user is None else (user, secret)

    pool = redis.ConnectionPool(
        connection_class=Connection,
        host=server.host,
        port=server.port,
        db=server.db,
        credential_provider=Credentials() if any(server.credentials()) else None,
        socket_connect_timeout=server.seconds,
        socket_timeout=server.seconds,
        retry=Retry(NoBackoff(), 0),
        protocol=2,  # the older one, which every redis speaks
    )
    return redis.Redis(connection_pool=pool)


_LOOK: Final = "look at redis' own log"
_LOGIN: Final = (
    "look at user_name and password of the setting vault, or set GATEPASS_VAULT__PASSWORD to a "
    "reference, such as env:REDIS_PASSWORD"
)
_IS_IT_THERE: Final = (
    "nothing was lost, and it is tried again at the next need. Does it run, and is the setting "
    "vault (or GATEPASS_VAULT) right?"
)
_IS_IT_REDIS: Final = (
    "is the setting vault (or GATEPASS_VAULT) right? A redis with TLS needs rediss://"
)
# The kind of redis-py's error, or the first word of redis' answer → what to say; the first that
# fits.
_PROTECTED: Final = "set in redis.conf requirepass, or beside a user of its own: user default off"
_ALONE: Final = "the vault needs a redis that stands alone; name one in the setting vault"
_REFUSALS: Final = (
    ("AuthenticationError", "refuses the login", _LOGIN),
    ("AuthenticationWrongNumberOfArgsError", "refuses the login", _LOGIN),
    ("BusyLoadingError", "is starting and reads its data", "try again in a moment"),
    ("MaxClientsError", "takes no more connections", "raise maxclients in redis.conf"),
    ("TimeoutError", "did not answer within {seconds:g} s", _IS_IT_THERE),
    ("ConnectionError", "cannot be reached: {why}", _IS_IT_THERE),
    ("OSError", "cannot be reached: {why}", _IS_IT_THERE),
    ("InvalidResponse", "answers as no redis does", _IS_IT_REDIS),
    ("NoPermissionError", "does not let this user do what the vault needs", _RIGHTS),
    ("ReadOnlyError", "is a replica, which takes no writes", "name the primary in vault"),
    ("OutOfMemoryError", "is full", "give it more memory (maxmemory), or take other things away"),
    ("MasterDownError", "is a replica that has lost its primary", "name the primary in vault"),
    ("MovedError", "belongs to a cluster", _ALONE),
    ("AskError", "belongs to a cluster", _ALONE),
    ("ClusterError", "belongs to a cluster", _ALONE),
    ("ClusterDownError", "belongs to a cluster", _ALONE),
    ("ClusterCrossSlotError", "belongs to a cluster", _ALONE),
    ("unknown command", "does not know a command that the vault needs", _RIGHTS),
    ("DENIED", "has no password, and so takes nobody from another computer", _PROTECTED),
    ("DB", "has no database of that number", "look at the end of the URL in the setting vault"),
    ("MISCONF", "cannot write to its disk, and so takes no writes", _LOOK),
    ("RedisError", "refuses: {what}", _LOOK),
    ("", "answers as no redis does ({what})", _IS_IT_REDIS),
)


def explain_error(error: Exception, server: Server) -> tuple[str, str]:
    """Say what went wrong. Never repeats what a server says: it may repeat the password."""
    text = str(error)
    word = text.split(" ", 1)[0]
    word = word if word.isalpha() and word.isupper() else type(error).__name__
    names = {"", word, *(kind.__name__ for kind in type(error).__mro__)}
    # redis-py calls it a broken connection, or has a name for it, by its version.
    names |= {"MaxClientsError"} if text.startswith("max number of clients") else set()
    names |= {"unknown command"} if text.startswith("unknown command") else set()
    told, hint = next((told, hint) for name, told, hint in _REFUSALS if name in names)
    said = told.format(why=_why(error), what=word, seconds=server.seconds)
    return f"the vault's {server.shown} {said}", hint


def _why(error: BaseException) -> str:
    """The reason below an error of a connection, in the words of the system."""
    from ssl import SSLCertVerificationError, SSLError

    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, SSLCertVerificationError):
            return f"its certificate is not trusted: {seen.verify_message}"
        if isinstance(seen, SSLError):
            return "the TLS handshake failed" + (f": {seen.reason}" if seen.reason else "")
        if isinstance(seen, OSError) and seen.strerror:
            return seen.strerror
        seen = seen.__cause__ or seen.__context__
    return "the connection broke off"
