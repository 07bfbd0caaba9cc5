"""The machine setting ``vault`` where it is a redis: its keys, its URL, and its secrets."""

import re
from typing import Final

from gatepass._net.urls import is_loopback
from gatepass._system.text import pattern
from gatepass._value import Value
from gatepass.errors import KeyRefused
from gatepass.secrets import SecretField, TextField

_REDIS_URL: Final = pattern(
    r"(rediss?)://(\[[0-9a-f:.]+\]|[\w.-]+)(?::([0-9]{1,5}))?(?:/([0-9]{0,5}))?", re.IGNORECASE
)
_SOCKET: Final = pattern(r"unix://(/[^?#%\x00]+)(?:\?db=([0-9]{1,5}))?", re.IGNORECASE)
_MOST_PORT: Final = 65_535


class RedisVault(Value):
    """A redis in which many hosts keep their tokens; the extra ``redis`` is needed.

    Attributes:
        url: ``rediss://HOST:PORT/DB``, ``redis://`` without TLS, or ``unix:///PATH?db=DB`` for a
            socket; no user and no password.
        user_name: plain or a reference; without it the password is that of redis' default user.
        password: a reference.
        ca_file: certificates of the authorities to trust, PEM; instead of the system's.
        client_cert: the client's certificate, PEM; may hold the key too.
        client_key: its private key, PEM.
        client_key_password: a reference to the key's passphrase.
        allow_plain: permits redis:// to another machine: anyone on the network path can read
            the password, and delete or bring back records.
    """

    url: str
    user_name: TextField | None = None
    password: SecretField | None = None
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    client_key_password: SecretField | None = None
    allow_plain: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be a redis, or is not safe. Never repeats the URL."""
        address = RedisAddress.of(self.url)
        if address is None and "@" in self.url:
            raise KeyRefused("url", "holds a user name or password", hint=_BESIDE)
        if address is None:
            raise KeyRefused("url", SHOULD_BE, hint=STANDS_ALONE)
        local = address.path or is_loopback(address.host)
        if not address.tls and not local and not self.allow_plain:
            raise KeyRefused(
                "url",
                "redis:// would send the password unprotected to another machine",
                hint="use rediss://, or set allow_plain = true where the network is trusted",
            )
        if self.user_name is not None and self.password is None:
            raise KeyRefused("user_name", "needs password too")
        if self.client_key and not self.client_cert:
            raise KeyRefused("client_key", "needs client_cert too")


SHOULD_BE: Final = "should be rediss://HOST:PORT/DB or unix:///PATH?db=DB"
STANDS_ALONE: Final = (
    "a Sentinel or a cluster cannot be used: name one redis, by host and port or by its socket; "
    "where Sentinels watch it, the primary"
)
_BESIDE: Final = (
    "they belong beside it, as references:   vault = { url = "
    '"rediss://HOST:PORT/DB", user_name = "NAME", password = "env:REDIS_PASSWORD" }'
)


class RedisAddress(Value):
    """What a URL of a redis says.

    Attributes:
        tls: whether the connection is encrypted.
        host: a name, or an address without brackets; empty where there is a path.
        port: 6379 where none is written.
        db: the number of the database; 0 where none is written.
        path: of its socket on this computer; empty for TCP.
    """

    tls: bool
    host: str
    port: int
    db: int
    path: str = ""

    @classmethod
    def of(cls, url: str) -> "RedisAddress | None":
        """Take a URL apart; None when it is none, or holds more than that."""
        if socket := _SOCKET.fullmatch(url):
            return cls(False, "", 0, int(socket[2] or 0), socket[1])
        found = _REDIS_URL.fullmatch(url)
        port = int(found[3] or 6379) if found else 0
        if found is None or not 0 < port <= _MOST_PORT:
            return None
        return cls(found[1].lower() == "rediss", found[2].strip("[]"), port, int(found[4] or 0))
