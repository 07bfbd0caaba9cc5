"""Read, prepare and remove stored logins without asking a server; the command line uses it."""

from collections.abc import Callable
from pathlib import Path

from gatepass._system.findings import Finding
from gatepass._value import Value
from gatepass._vault.key import write_key_file
from gatepass._vault.records import InFlight, Record
from gatepass._vault.vault import Vault
from gatepass.auth._oidc.keys import OidcKeys
from gatepass.errors import (
    VaultError,
)


class Status(Value):
    """What is known of a login without asking anybody. Holds no token.

    Attributes:
        stored: whether there is a record.
        user: a name for people.
        issuer: the identity provider.
        client_id: our name there.
        access_until: when the access token ends, in seconds since 1970.
        renewable: whether a refresh token is stored.
        renewable_until: when that ends, unless it is used before; None when not known.
        saved_at: when the record was written, in seconds since 1970.
        in_flight: a refresh that has begun and not ended.
        suspect: why the tokens are not used.
        refused: why the provider does not renew the login.
    """

    stored: bool
    user: str | None = None
    issuer: str | None = None
    client_id: str | None = None
    access_until: float | None = None
    renewable: bool = False
    saved_at: float | None = None
    in_flight: InFlight | None = None
    suspect: str | None = None
    renewable_until: float | None = None
    refused: str | None = None


def read_status(scheme: OidcKeys, origin: str, vault: Vault) -> Status:
    """Look up a login in the vault. Reads the vault and its key; no network, no person.

    Raises:
        VaultError: the record or the key cannot be read.
    """
    return status_reader(vault)(scheme, origin)


def status_reader(vault: Vault) -> Callable[[OidcKeys, str], Status]:
    """Return a function that looks up logins of one vault, as :func:`read_status` does.

    If the vault cannot be opened, it is not tried again for the next login: a keyring that hangs
    costs seconds each time.
    """
    failures: list[VaultError] = []

    def read(scheme: OidcKeys, origin: str) -> Status:
        identity = scheme.identity(origin)
        if failures:
            raise failures[0]
        try:
            in_flight = vault.read_in_flight(identity)
        except VaultError as error:  # the key or the place; what is wrong with a record comes later
            failures.append(error)
            raise
        return _status_of(vault.read(identity), in_flight)

    return read


def _status_of(record: Record | None, in_flight: InFlight | None) -> Status:
    if record is None:
        return Status(stored=False, in_flight=in_flight)
    return Status(
        stored=True,
        user=record.user or record.subject,
        issuer=record.provider.issuer,
        client_id=record.client_id,
        access_until=record.expires_at,
        renewable=record.refresh_token is not None and not record.refused,
        saved_at=record.saved_at,
        in_flight=in_flight,
        suspect=record.suspect,
        renewable_until=record.refresh_until,
        refused=record.refused,
    )


def diagnose_vault(vault: Vault) -> list[Finding]:
    """Say whether a vault keeps what it is given, as far as can be told from here.

    Touches its disk or its network, starts a process to see whether locks hold, and leaves
    nothing behind. Reads no token and no key; raises nothing.
    """
    from gatepass._vault.diagnose import diagnose

    return diagnose(vault.store)


def forget_login(scheme: OidcKeys, origin: str, vault: Vault) -> bool:
    """Remove a stored login, also one that cannot be read, without telling the provider.

    Returns:
        Whether there was one.

    Raises:
        VaultError: it cannot be removed.
    """
    return vault.remove(scheme.identity(origin))


def create_vault_key(path: Path) -> None:
    """Make a key file for the vault, readable by its owner alone. Writes to disk.

    Raises:
        VaultError: a file of that name exists, or it cannot be written.
    """
    write_key_file(path)


def count_logins(vault: Vault) -> tuple[int, tuple[VaultError, ...]]:
    """Open every login in a vault. Reads it and its key.

    A key in the keyring is read only where there is a login: the first one makes it.

    Returns:
        How many open, and for each of the others what is wrong.

    Raises:
        VaultError: the key or the folder cannot be used.
    """
    vault.check_key()
    entries = vault.list_records()
    return len(entries.readable), entries.unreadable
