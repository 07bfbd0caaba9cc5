"""The vault: what goes in comes out, generations, and what others see of it."""

import os
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from gatepass._vault.records import Identity, InFlight
from gatepass._vault.vault import Vault
from gatepass.errors import VaultError
from gatepass.secrets import Secret
from tests.support.vaults import (
    FIRST,
    IDENTITY,
    KEY,
    NOW,
    OTHER,
    RECORD,
    REFRESH,
    Place,
    only,
    plain,
    store_at,
    together,
    token,
    vault,
    with_token,
)


def test_what_is_written_is_read_by_another_process_later(place: Place) -> None:
    """Every field comes back; only generation and time are the vault's own."""
    kept = vault(place).write(IDENTITY, RECORD)

    found = vault(place).read(IDENTITY)

    assert plain(found) == plain(kept)
    assert plain(kept) == plain(replace(RECORD, generation=FIRST, saved_at=NOW))


@pytest.mark.parametrize("name", [field.name for field in fields(Identity)])
def test_a_record_belongs_to_one_identity_alone(place: Place, name: str) -> None:
    vault(place).write(IDENTITY, RECORD)
    change: Any = ("else",) if name == "scopes" else "else"

    assert vault(place).read(replace(IDENTITY, **{name: change})) is None


def test_each_write_is_one_generation_on_whatever_the_record_says(place: Place) -> None:
    its = vault(place)

    generations = [its.write(IDENTITY, replace(RECORD, generation=n)).generation for n in (9, 0, 2)]

    assert generations == [FIRST, FIRST + 1, FIRST + 2]
    assert its.write(OTHER, RECORD).generation == FIRST


def test_forgetting_removes_record_and_journal_of_one_identity(place: Place) -> None:
    its = vault(place)
    for identity in (IDENTITY, OTHER):
        its.write(identity, RECORD)
        its.begin_refresh(identity)

    assert its.remove(IDENTITY)

    assert its.read(IDENTITY) is None
    assert its.read_in_flight(IDENTITY) is None
    assert not its.remove(IDENTITY)
    assert its.read(OTHER) is not None
    assert its.read_in_flight(OTHER) is not None


def test_a_refused_refresh_token_makes_way_and_a_fresh_one_outlives_the_refusal(
    place: Place,
) -> None:
    its = vault(place)
    its.write(IDENTITY, with_token("fresh"))
    without = replace(RECORD, refresh_token=None, refused="invalid_grant")

    assert token(its.write_refreshed(IDENTITY, without, spent=Secret("dead"))) == "fresh"
    assert plain(its.write_refreshed(IDENTITY, without, spent=Secret("fresh"))) == plain(
        replace(without, generation=FIRST + 1, saved_at=NOW)
    )


def test_a_login_without_a_refresh_token_outlives_the_end_of_an_earlier_one(place: Place) -> None:
    its = vault(place)
    its.write(IDENTITY, replace(RECORD, refresh_token=None, user="later"))

    kept = its.write_refreshed(IDENTITY, RECORD, spent=Secret(REFRESH))

    assert kept is not None
    assert (kept.user, kept.refresh_token) == ("later", None)


def test_a_token_that_is_no_text_to_utf_8_is_kept_and_compared(place: Place) -> None:
    """JSON may bring half a character; the provider that sent it takes it back."""
    its = vault(place)
    its.write(IDENTITY, with_token("\ud800"))

    assert token(its.read(IDENTITY)) == "\ud800"
    for spent, kept in (("\ud801", "\ud800"), ("\ud800", "fresh")):
        found = its.write_refreshed(IDENTITY, with_token("fresh"), spent=Secret(spent))
        assert token(found) == kept


def test_nothing_is_made_or_asked_where_there_is_nothing_to_read(
    place: Place, folder: Path
) -> None:
    """An empty vault needs no key: `status` works where the keyring does not."""

    def ask() -> Secret:
        raise AssertionError("the key was asked for")

    its = Vault(store_at(place), replace(vault(place)._key, read=ask))

    assert its.read(IDENTITY) is None
    assert its.read_in_flight(IDENTITY) is None
    assert not its.remove(IDENTITY)
    its.end_refresh(IDENTITY)
    assert its.list_records().readable == ()
    assert not folder.exists()


def test_the_key_is_asked_for_once(place: Place) -> None:
    """A keyring that locks in the middle of a run must not cost the new token."""
    asked = []

    def ask() -> Secret:
        asked.append(1)
        return Secret(KEY)

    its = Vault(store_at(place), replace(vault(place)._key, read=ask))
    for _ in range(3):
        its.write(IDENTITY, RECORD)
        its.read(IDENTITY)

    assert asked == [1]


def test_entries_lists_records_with_their_identities_and_what_does_not_open(folder: Path) -> None:
    its = vault(folder)
    its.write(IDENTITY, RECORD)
    its.write(OTHER, RECORD)
    damaged = folder / f"{'0' * 64}.token"
    damaged.write_bytes(
        only(folder, f"{its._require_key().name_of(OTHER).hex()}.token").read_bytes()
    )
    (folder / "notes.token").write_bytes(b"not ours")

    listing = its.list_records()

    assert {identity.account for identity, _ in listing.readable} == {"canary-account", "other"}
    assert all(token(record) == REFRESH for _, record in listing.readable)
    assert sorted(error.message.split(".token")[0] for error in listing.unreadable) == sorted(
        [str(folder / ("0" * 64)), str(folder / "notes")]
    )


def test_the_journal_tells_who_refreshes_since_when(place: Place) -> None:
    its = vault(place)
    its.write(IDENTITY, RECORD)
    assert its.read_in_flight(IDENTITY) is None

    its.begin_refresh(IDENTITY)

    journal = vault(place).read_in_flight(IDENTITY)
    assert isinstance(journal, InFlight)
    assert (journal.pid, journal.since) == (os.getpid(), NOW)
    assert its.read_in_flight(OTHER) is None

    vault(place).end_refresh(IDENTITY)

    assert its.read_in_flight(IDENTITY) is None
    its.end_refresh(IDENTITY)


def test_logging_out_removes_what_cannot_be_read(tmp_path: Path) -> None:
    """After a damage there is a way on: gatepass logout, gatepass login."""
    its = vault(tmp_path / "vault")
    its.write(IDENTITY, RECORD)
    only(tmp_path / "vault").write_bytes(b"gatepass vault 1\n")

    assert its.remove(IDENTITY)

    assert its.write(IDENTITY, RECORD).generation == FIRST


@pytest.mark.slow
def test_no_write_of_many_processes_is_lost(place: Place, tmp_path: Path) -> None:
    together(4, tmp_path, "write", place, 25, environ={})

    record = vault(place).read(IDENTITY)
    assert record is not None
    assert record.generation == FIRST + 99


def test_a_vault_that_is_tried_out_is_ready_and_as_it_was(place: Place) -> None:
    with pytest.raises(VaultError, match="not base64url of 32 bytes"):
        vault(place, "no key").check_writable(IDENTITY)
    its = vault(place)
    its.check_writable(IDENTITY)
    assert not its.store.count()
    its.begin_refresh(IDENTITY)
    note = its.read_in_flight(IDENTITY)

    its.check_writable(IDENTITY)

    assert its.read_in_flight(IDENTITY) == note
