"""The connection to a redis: TLS, credentials, bounded answers, and what its errors mean."""

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from gatepass._value import Value, field
from gatepass.errors import VaultError
from gatepass.secrets import Secret, SecretRef

if TYPE_CHECKING:
    from ssl import SSLContext

    from redis import Redis

SECONDS: Final = 5.0  # for a connection, and for each answer
MOST_BYTES: Final = 16_777_216  # of one answer; thousands of records are less
_INSTALL: Final = 'install it:   pip install "gatepass[redis]"'
_RIGHTS: Final = (
    "it needs:   ~gatepass:* +hget +hset +hdel +hlen +hgetall +get +set +del +pexpire +exists "
    "+eval +select +ping"
)


class Server(Value):
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
        path: of its socket on this computer, instead of host and port; empty for TCP.
    """

    host: str
    port: int
    db: int
    tls: "Callable[[], SSLContext] | None" = None
    credentials: Callable[[], tuple[str | None, Secret | None]] = lambda: (None, None)
    seconds: float = SECONDS
    references: Mapping[str, SecretRef] = field(default_factory=dict)
    path: str = ""

    @property
    def shown(self) -> str:
        """Where it is, and the database, for messages."""
        if self.path:
            return f"redis at {self.path}?db={self.db}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"redis at {host}:{self.port}/{self.db}"


class _BoundedSocket:
    """A socket that limits the time and the size of each answer.

    The timeout of a plain socket starts again with each byte.
    """

    def __init__(self, plain: Any, seconds: float) -> None:
        self._plain = plain
        self._seconds = seconds
        self._reset()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plain, name)

    def sendall(self, data: bytes) -> None:
        """Send a command; the limits of its answer count from here."""
        self._reset()
        self._plain.sendall(data)

    def recv(self, size: int) -> bytes:
        """Return the next bytes of an answer."""
        self._check_limits()
        data: bytes = self._plain.recv(size)
        self._left -= len(data)
        return data

    def recv_into(self, buffer: Any) -> int:
        """Do the same for hiredis, which redis-py uses where it is installed."""
        self._check_limits()
        count: int = self._plain.recv_into(buffer)
        self._left -= count
        return count

    def _reset(self) -> None:
        self._deadline = time.monotonic() + self._seconds
        self._left = MOST_BYTES

    def _check_limits(self) -> None:
        if self._left <= 0:
            raise _TooMuchError
        # redis-py sets the timeout to 0 to see whether a connection has data; that is no answer.
        if self._plain.gettimeout() != 0 and time.monotonic() > self._deadline:
            raise TimeoutError


class _TooMuchError(Exception):
    """The answer is larger than it may be."""


def make_client(server: Server) -> "Redis":
    """Return a client; it connects at the first command, and never repeats one by itself.

    Raises:
        VaultError: the package redis is not installed, or the credentials cannot be resolved.
    """
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
        """Uses our TLS context: redis-py would trust other authorities."""

        def _connect(self) -> Any:
            plain = super()._connect()  # type: ignore[no-untyped-call]  # of redis-py
            if context is None:
                return _BoundedSocket(plain, server.seconds)
            try:
                secured = context.wrap_socket(plain, server_hostname=server.host)
            except BaseException:
                plain.close()
                raise
            return _BoundedSocket(secured, server.seconds)

    class LocalConnection(redis.UnixDomainSocketConnection):
        """A socket of this computer."""

        def _connect(self) -> Any:
            plain = super()._connect()  # type: ignore[no-untyped-call]  # of redis-py
            return _BoundedSocket(plain, server.seconds)

    class Credentials(CredentialProvider):
        """Resolves the password for each new connection, and keeps none."""

        def get_credentials(self) -> tuple[str] | tuple[str, str]:
            user, password = server.credentials()
            secret = "" if password is None else password.reveal()
            return (secret,) if user is None else (user, secret)

    where: dict[str, Any] = {"host": server.host, "port": server.port}
    pool = redis.ConnectionPool(
        connection_class=LocalConnection if server.path else Connection,
        **({"path": server.path} if server.path else where),
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
_PROTECTED: Final = "set in redis.conf requirepass, or beside a user of its own: user default off"
_SENTINEL: Final = f"where it is a Sentinel, name the primary in the setting vault; else {_RIGHTS}"
_ALONE: Final = "the vault needs a redis that stands alone; name one in the setting vault"
# The class of redis-py's error, or the first word of redis' answer → the message and the next step.
# The first that fits is taken.
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
    ("unknown command", "does not know a command that the vault needs", _SENTINEL),
    ("DENIED", "has no password, and so takes nobody from another computer", _PROTECTED),
    ("DB", "has no database of that number", "look at the end of the URL in the setting vault"),
    ("MISCONF", "cannot write to its disk, and so takes no writes", _LOOK),
    ("RedisError", "refuses: {what}", _LOOK),
    ("", "answers as no redis does ({what})", _IS_IT_REDIS),
)


def explain_error(error: Exception, server: Server) -> tuple[str, str]:
    """Return the message and the hint for an error; never the server's text.

    A redis that does not know AUTH repeats the password in its answer.
    """
    text = str(error)
    word = text.split(" ", 1)[0]
    word = word if word.isalpha() and word.isupper() else type(error).__name__
    names = {"", word, *(kind.__name__ for kind in type(error).__mro__)}
    # Some versions of redis-py have a class for it, others call it a broken connection.
    names |= {"MaxClientsError"} if text.startswith("max number of clients") else set()
    names |= {"unknown command"} if text.startswith("unknown command") else set()
    told, hint = next((told, hint) for name, told, hint in _REFUSALS if name in names)
    said = told.format(why=_why(error), what=word, seconds=server.seconds)
    return f"the vault's {server.shown} {said}", hint


def _why(error: BaseException) -> str:
    """Return why a connection failed, as the operating system or the TLS library says it."""
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
