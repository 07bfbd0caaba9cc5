"""The machine setting ``vault`` where it is a redis: its keys, its URL, and its secrets."""

import re
from dataclasses import dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING, Final

from gatepass._system.fork import renew_in_children
from gatepass.auth import RedisPlace
from gatepass.errors import SecretUnavailable, VaultError
from gatepass.secrets import Secret, SecretContext, SecretField, SecretRef, TextField

if TYPE_CHECKING:
    from ssl import SSLContext

_REDIS_URL: Final = re.compile(
    r"(rediss?)://(\[[0-9a-f:.]+\]|[\w.-]+)(?::([0-9]{1,5}))?(?:/([0-9]{0,5}))?", re.IGNORECASE
)
_MOST_PORT: Final = 65_535


@dataclass(frozen=True)
class RedisVault:
    """A redis in which many hosts keep their tokens; the extra ``redis`` is needed.

    Attributes:
        url: ``rediss://HOST:PORT/DB``, or ``redis://`` without TLS; no user and no password.
        user_name: plain or a reference; without it the password is that of redis' default user.
        password: a reference.
        ca_file: certificates of the authorities to trust, PEM; instead of the system's.
        client_cert: the client's certificate, PEM; may hold the key too.
        client_key: its private key, PEM.
        client_key_password: a reference to the key's passphrase.
        allow_plain: permits redis:// to another machine: whoever is on the way can read the
            password, and delete or bring back records.
    """

    url: str
    user_name: TextField | None = None
    password: SecretField | None = None
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    client_key_password: SecretField | None = None
    allow_plain: bool = False


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """What a URL of a redis says.

    Attributes:
        tls: whether the connection is encrypted.
        host: a name, or an address without brackets.
        port: 6379 where none is written.
        db: the number of the database; 0 where none is written.
    """

    tls: bool
    host: str
    port: int
    db: int

    @classmethod
    def of(cls, url: str) -> "RedisAddress | None":
        """Take a URL apart; None when it is none, or holds more than that."""
        found = _REDIS_URL.fullmatch(url)
        port = int(found[3] or 6379) if found else 0
        if found is None or not 0 < port <= _MOST_PORT:
            return None
        return cls(found[1].lower() == "rediss", found[2].strip("[]"), port, int(found[4] or 0))


class _Secrets:
    """The secrets of one redis, each of them resolved once. Threads share it, and so do forks."""

    def __init__(self, context: SecretContext) -> None:
        self._context = context
        self._found: dict[str, Secret] = {}
        self._renew()
        renew_in_children(self, _Secrets._renew)

    def _renew(self) -> None:
        """Make the lock anew: another thread may have held it during a fork."""
        self._turn = Lock()

    def get(self, name: str, value: str | SecretRef | Secret | None) -> Secret | None:
        """Return the secret of a field of ``vault``; None where it is not set."""
        if value is None:
            return None
        with self._turn:
            if name not in self._found:
                field = f"vault.{name}"
                self._found[name] = _resolved(value, replace(self._context, field=field))
            return self._found[name]


def redis_place(vault: RedisVault, context: SecretContext) -> RedisPlace:
    """Describe a redis. Its secrets are resolved once, at the first connection."""
    address = RedisAddress.of(vault.url)
    if address is None:  # built in Python, past the gate
        raise VaultError("vault.url should be rediss://HOST:PORT/DB, without user and password")
    secrets = _Secrets(context)

    def credentials() -> tuple[str | None, Secret | None]:
        user = secrets.get("user_name", vault.user_name)
        return (user.reveal() if user else None), secrets.get("password", vault.password)

    def tls() -> "SSLContext":
        from gatepass._net.tls import ClientCertificate, Contexts, trusted

        certificate = vault.client_cert and ClientCertificate(
            vault.client_cert,
            vault.client_key,
            secrets.get("client_key_password", vault.client_key_password),
        )
        return Contexts(trusted(vault.ca_file, context.environ)).get(True, certificate or None)

    make = tls if address.tls else None
    fields = {
        "user_name": vault.user_name,
        "password": vault.password,
        "client_key_password": vault.client_key_password,
    }
    references = {
        f"vault.{name}": value for name, value in fields.items() if isinstance(value, SecretRef)
    }
    return RedisPlace(address.host, address.port, address.db, make, credentials, references)


def _resolved(value: str | SecretRef | Secret, context: SecretContext) -> Secret:
    if isinstance(value, SecretRef):
        try:
            return value.resolve(context)
        except SecretUnavailable as error:
            message, hint = error.message, error.hint
        # Raised out here, so that no context leads to frames that hold a secret.
        raise VaultError(f"{context.field}: {message}", hint=hint)
    return value if isinstance(value, Secret) else Secret(value)
