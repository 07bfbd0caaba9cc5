"""The vault as the machine settings name it: its store, its key, and the secrets of a redis."""

from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from gatepass._config.profile import MachineSettings
from gatepass._config.redis_vault import SHOULD_BE, RedisAddress, RedisVault
from gatepass._session.resolve import secret_context
from gatepass._system.context import RunContext
from gatepass._system.fork import PerProcess
from gatepass._value import replace
from gatepass.errors import SecretUnavailable, VaultError
from gatepass.secrets import Secret, SecretContext, SecretRef

if TYPE_CHECKING:
    from ssl import SSLContext

    from gatepass._vault.redis_client import Server
    from gatepass._vault.store import Store
    from gatepass._vault.vault import Vault


class _Secrets:
    """The secrets of one redis, each resolved once, for all threads and forked children."""

    def __init__(self, context: SecretContext) -> None:
        self._context = context
        self._found: dict[str, Secret] = {}
        self._locks = PerProcess(Lock)

    def get(self, name: str, value: str | SecretRef | Secret | None) -> Secret | None:
        """Return the secret of a field of ``vault``; None where it is not set."""
        if value is None:
            return None
        with self._locks.get():
            if name not in self._found:
                field = f"vault.{name}"
                self._found[name] = _resolved(value, replace(self._context, field=field))
            return self._found[name]


def redis_server(vault: RedisVault, context: SecretContext) -> "Server":
    """Describe a redis. Its secrets are resolved once, at the first connection."""
    from gatepass._vault.redis_client import Server

    address = RedisAddress.of(vault.url)
    if address is None:  # a value that was built in Python, and not validated
        raise VaultError(f"vault.url {SHOULD_BE}, without user and password")
    secrets = _Secrets(context)

    def credentials() -> tuple[str | None, Secret | None]:
        user = secrets.get("user_name", vault.user_name)
        return (user.reveal() if user else None), secrets.get("password", vault.password)

    def tls() -> "SSLContext":
        from gatepass._net.tls import ClientCertificate, TlsContexts, trust_of

        certificate = vault.client_cert and ClientCertificate(
            vault.client_cert,
            vault.client_key,
            secrets.get("client_key_password", vault.client_key_password),
        )
        trust = trust_of(vault.ca_file, context.environ, "vault.ca_file")
        return TlsContexts(trust, "vault").get(True, certificate or None)

    make = tls if address.tls else None
    fields = {
        "user_name": vault.user_name,
        "password": vault.password,
        "client_key_password": vault.client_key_password,
    }
    references = {
        f"vault.{name}": value for name, value in fields.items() if isinstance(value, SecretRef)
    }
    return Server(
        address.host,
        address.port,
        address.db,
        make,
        credentials,
        references=references,
        path=address.path,
    )


def _resolved(value: str | SecretRef | Secret, context: SecretContext) -> Secret:
    if isinstance(value, SecretRef):
        try:
            return value.resolve(context)
        except SecretUnavailable as error:
            message, hint = error.message, error.hint
        # Raised out here, so that no context leads to frames that hold a secret.
        raise VaultError(f"{context.field}: {message}", hint=hint)
    return value if isinstance(value, Secret) else Secret(value)


def vault_of(machine: MachineSettings, run: RunContext) -> "Vault":
    """Return the vault that the machine settings name. Touches nothing."""
    from gatepass._vault import key
    from gatepass._vault.vault import Vault

    context = secret_context(run, machine, "vault_key")
    store: Store
    if isinstance(machine.vault, RedisVault):
        from gatepass._vault.redis_store import RedisStore

        store = RedisStore(redis_server(machine.vault, context))
    else:
        from gatepass._vault.file_store import FileStore

        store = FileStore(_folder(machine.vault))
    written = machine.vault_key
    if written is None:
        found = key.keyring_key(context)
    elif isinstance(written, SecretRef):
        found = key.referenced_key(
            str(written),
            lambda: written.resolve(context),
            file=_key_file(written, context),
            reference=written,
        )
    else:
        found = key.referenced_key(str(written), lambda: written)
    return Vault(store, found, clock=run.clock)


def _folder(written: str | None) -> Path:
    if written:
        return Path(written)
    from gatepass._config.locations import Locations

    return Locations.of_this_process().state / "vault"


def _key_file(key: SecretRef, context: SecretContext) -> Path | None:
    """The path of the key, where the reference is a file alone."""
    if len(key.alternatives) != 1:
        return None
    ((source, text),) = key.alternatives
    if source != "file":
        return None
    from gatepass.secrets.file import path_of

    base_dir = Path(key.base_dir) if key.base_dir else None
    return path_of(text, replace(context, base_dir=base_dir))
