"""Where a profile's logins are stored, as the machine settings say it."""

from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING

from gatepass._system.fork import renew_in_children
from gatepass.auth import RedisPlace
from gatepass.errors import SecretUnavailable, VaultError
from gatepass.secrets import Secret, SecretContext, SecretRef

if TYPE_CHECKING:
    from ssl import SSLContext
from collections.abc import Callable, Mapping
from pathlib import Path

from gatepass._config.profile import MachineSettings
from gatepass._config.redis_vault import RedisAddress, RedisVault
from gatepass._system.terminal import Terminal
from gatepass.auth import VaultPlace


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


def vault_place(
    machine: MachineSettings,
    environ: Mapping[str, str],
    terminal: Terminal,
    clock: Callable[[], float],
) -> VaultPlace:
    """Describe where the machine settings say that tokens are kept. Touches nothing."""
    context = SecretContext(
        origin="",
        field="vault_key",
        user_name=None,
        base_dir=None,
        layer="argument",
        environ=environ,
        terminal=terminal,
        allow_commands=machine.allow_commands,
        allow_insecure_keyring=machine.allow_insecure_keyring,
    )
    key = machine.vault_key

    def resolve() -> Secret:
        return key.resolve(context) if isinstance(key, SecretRef) else key or Secret("")

    redis = machine.vault if isinstance(machine.vault, RedisVault) else None
    return VaultPlace(
        folder=lambda: _folder(machine.vault),
        key=key,
        key_file=_key_file(key, context),
        resolve_key=resolve,
        terminal=terminal,
        allow_insecure_keyring=machine.allow_insecure_keyring,
        clock=clock,
        redis=None if redis is None else redis_place(redis, context),
    )


def _folder(written: str | RedisVault | None) -> Path:
    if isinstance(written, str) and written:
        return Path(written)
    from gatepass._config.locations import Locations

    return Locations.of_this_process().state / "vault"


def _key_file(key: SecretRef | Secret | None, context: SecretContext) -> Path | None:
    if not isinstance(key, SecretRef) or len(key.alternatives) != 1:
        return None
    ((source, text),) = key.alternatives
    if source != "file":
        return None
    from gatepass.secrets.file import path_of

    base_dir = Path(key.base_dir) if key.base_dir else None
    return path_of(text, replace(context, base_dir=base_dir))
