"""Stored logins are looked at, prepared and removed without asking a server."""

from pathlib import Path

import pytest

from gatepass._vault.file_store import FileStore
from gatepass._vault.key import referenced_key
from gatepass._vault.vault import Vault
from gatepass.auth._oidc import status
from gatepass.auth._oidc.keys import OidcKeys
from gatepass.errors import VaultError
from gatepass.secrets import Secret
from tests.support.vaults import ACCESS, NOW, RECORD, REFRESH, only, vault

ORIGIN = "https://mi.example.com"
ALICE, BOB = OidcKeys(account="alice"), OidcKeys(account="bob")


@pytest.fixture
def of_alice(tmp_path: Path) -> Vault:
    """A vault that holds a login of alice."""
    found = vault(tmp_path / "vault")
    found.write(ALICE.identity(ORIGIN), RECORD)
    return found


def test_a_login_is_told_without_its_tokens(of_alice: Vault) -> None:
    found = status.read_status(ALICE, ORIGIN, of_alice)

    assert found == status.Status(
        stored=True,
        user="canary-user",
        issuer="https://canary-issuer.example.com",
        client_id="canary-client",
        access_until=NOW + 3600,
        renewable=True,
        saved_at=NOW,
    )
    assert not {REFRESH, ACCESS} & set(repr(found).split("'"))


def test_a_refresh_that_has_begun_is_told_also_where_no_login_is_stored(of_alice: Vault) -> None:
    of_alice.begin_refresh(BOB.identity(ORIGIN))

    found = status.read_status(BOB, ORIGIN, of_alice)

    assert not found.stored
    assert found.in_flight is not None
    assert status.read_status(ALICE, ORIGIN, of_alice).in_flight is None


def test_a_vault_that_cannot_be_opened_is_tried_once_for_all_logins(of_alice: Vault) -> None:
    """A keyring that hangs costs seconds each time."""
    asked: list[int] = []

    def hanging() -> Secret:
        asked.append(1)
        return Secret("no key")

    broken = Vault(of_alice.store, referenced_key("env:KEY", hanging))
    read = status.status_reader(broken)

    for scheme in (ALICE, BOB):
        with pytest.raises(VaultError):
            read(scheme, ORIGIN)
    assert len(asked) == 1


def test_a_damaged_login_does_not_hide_another_is_counted_and_can_be_forgotten(
    of_alice: Vault,
) -> None:
    assert isinstance(of_alice.store, FileStore)
    record = only(of_alice.store.folder)
    record.write_bytes(record.read_bytes()[:-1])
    of_alice.write(BOB.identity(ORIGIN), RECORD)
    read = status.status_reader(of_alice)

    with pytest.raises(VaultError):
        read(ALICE, ORIGIN)
    assert read(BOB, ORIGIN).stored
    count, (error,) = status.count_logins(of_alice)
    assert (count, record.name in str(error)) == (1, True)
    assert status.forget_login(ALICE, ORIGIN, of_alice)
    assert not status.forget_login(ALICE, ORIGIN, of_alice)
    assert status.count_logins(of_alice) == (1, ())


def test_a_key_file_is_made_once_and_opens_what_it_has_closed(tmp_path: Path) -> None:
    key = tmp_path / "vault.key"
    status.create_vault_key(key)
    text = key.read_text().strip()

    with pytest.raises(VaultError):
        status.create_vault_key(key)

    assert key.read_text().strip() == text
    vault(tmp_path / "vault", text).check_key()
