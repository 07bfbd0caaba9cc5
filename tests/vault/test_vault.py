"""The vault: what goes in comes out, generations, and what a stranger sees of it."""

import base64
import json
import os
import pickle
import stat
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as examples
from hypothesis import strategies as st

from gatepass._vault.records import Identity, InFlight, Provider, Record
from gatepass._vault.serialization import from_json, to_canonical_json, to_json
from gatepass._vault.vault import Vault
from gatepass.errors import TokenNotPersisted, VaultError
from gatepass.secrets import Secret
from tests.support.vaults import (
    ACCESS,
    FIRST,
    IDENTITY,
    KEY,
    NOW,
    OTHER,
    RECORD,
    REFRESH,
    Place,
    Use,
    answer,
    only,
    plain,
    store_at,
    token,
    vault,
    with_token,
)

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")

TEXTS = st.text(max_size=20)
TUPLES = st.lists(TEXTS, max_size=3).map(tuple)
TIMES = st.floats(allow_nan=False)
SECRETS = st.none() | st.builds(Secret, TEXTS)
IDENTITIES = st.builds(
    Identity, TEXTS, TEXTS, st.none() | TEXTS, st.none() | TEXTS, st.none() | TEXTS, TUPLES
)
PROVIDERS = st.builds(
    Provider,
    issuer=TEXTS,
    token_endpoint=TEXTS,
    authorization_endpoint=st.none() | TEXTS,
    device_authorization_endpoint=st.none() | TEXTS,
    revocation_endpoint=st.none() | TEXTS,
    jwks_uri=st.none() | TEXTS,
    auth_methods=TUPLES,
    id_token_algorithms=TUPLES,
    answers_carry_iss=st.booleans(),
)
RECORDS = st.builds(
    Record,
    generation=st.integers(0, 2**70),
    provider=PROVIDERS,
    client_id=TEXTS,
    scopes=TUPLES,
    audience=st.none() | TEXTS,
    refresh_token=SECRETS,
    access_token=SECRETS,
    expires_at=st.none() | TIMES,
    subject=st.none() | TEXTS,
    user=st.none() | TEXTS,
    suspect=st.none() | TEXTS,
    saved_at=TIMES,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a vault will be; not made yet."""
    return tmp_path / "state" / "vault"


@pytest.fixture(params=["files", "redis"])
def place(request: pytest.FixtureRequest, folder: Path) -> Place:
    """Where a vault of either kind will be."""
    return folder if request.param == "files" else request.getfixturevalue("redis").url


def test_what_is_written_is_read_by_another_process_later(place: Place) -> None:
    """Every field comes back; only generation and time are the vault's own."""
    kept = vault(place).write(IDENTITY, RECORD)

    found = vault(place).read(IDENTITY)

    assert plain(found) == plain(kept)
    assert plain(kept) == plain(replace(RECORD, generation=FIRST, saved_at=NOW))


@examples(IDENTITIES, RECORDS)
def test_every_identity_and_record_survives_as_json(identity: Identity, record: Record) -> None:
    assert plain(from_json(to_json(identity, record))) == plain((identity, record))


@examples(IDENTITIES, IDENTITIES)
def test_two_identities_share_a_name_only_when_they_are_the_same(
    one: Identity, two: Identity
) -> None:
    """The order of scopes does not count; every field does."""
    same = replace(one, scopes=()) == replace(two, scopes=()) and set(one.scopes) == set(two.scopes)

    assert (to_canonical_json(one) == to_canonical_json(two)) == same
    assert to_canonical_json(one) == to_canonical_json(replace(one, scopes=one.scopes[::-1]))


@pytest.mark.parametrize("name", [field.name for field in fields(Identity)])
def test_a_record_belongs_to_one_identity_alone(place: Place, name: str) -> None:
    vault(place).write(IDENTITY, RECORD)
    change: Any = ("else",) if name == "scopes" else "else"

    assert vault(place).read(replace(IDENTITY, **{name: change})) is None


def test_a_time_may_be_a_whole_number() -> None:
    found = from_json(to_json(IDENTITY, replace(RECORD, expires_at=5)))

    assert found is not None
    assert found[1].expires_at == 5.0


def test_an_older_record_without_a_later_field_is_read() -> None:
    """A field with a default may be missing; one without may not."""
    parts = json.loads(to_json(IDENTITY, RECORD))
    del parts["record"]["suspect"]
    assert plain(from_json(json.dumps(parts).encode())) == plain((IDENTITY, RECORD))

    del parts["record"]["client_id"]
    assert from_json(json.dumps(parts).encode()) is None


@pytest.mark.parametrize(
    ("where", "name", "value"),
    [
        ("record", "field_of_tomorrow", 1),
        ("identity", "field_of_tomorrow", 1),
        ("record", "generation", True),
        ("record", "generation", "1"),
        ("record", "refresh_token", 5),
        ("record", "scopes", "openid"),
        ("record", "scopes", [1]),
        ("record", "expires_at", "soon"),
        ("record", "expires_at", 10**400),
        ("record", "provider", None),
        ("identity", "origin", None),
    ],
)
def test_a_field_of_another_type_or_version_is_not_taken(
    where: str, name: str, value: object
) -> None:
    parts = json.loads(to_json(IDENTITY, RECORD))
    parts[where][name] = value

    assert from_json(json.dumps(parts).encode()) is None


@examples(st.binary() | st.sampled_from([b"[" * 100_000, b"9" * 5000, b"null", b"{}"]))
def test_no_text_makes_the_reader_of_contents_raise(text: bytes) -> None:
    assert from_json(text) is None


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


def test_a_refused_refresh_token_is_removed_and_the_rest_kept(place: Place) -> None:
    its = vault(place)
    its.write(IDENTITY, RECORD)

    assert its.remove_refresh_token(IDENTITY, Secret(REFRESH))

    assert plain(its.read(IDENTITY)) == plain(
        replace(RECORD, generation=FIRST + 1, saved_at=NOW, refresh_token=None)
    )
    assert not its.remove_refresh_token(IDENTITY, Secret(REFRESH))


def test_a_fresh_refresh_token_outlives_the_refusal_of_an_old_one(place: Place) -> None:
    its = vault(place)
    its.write(IDENTITY, with_token("fresh"))

    assert not its.remove_refresh_token(IDENTITY, Secret("dead"))
    assert not its.remove_refresh_token(OTHER, Secret("fresh"))

    assert token(its.read(IDENTITY)) == "fresh"


def test_a_token_that_is_no_text_to_utf_8_is_kept_and_compared(place: Place) -> None:
    """JSON may bring half a character; the provider that sent it takes it back."""
    its = vault(place)
    its.write(IDENTITY, with_token("\ud800"))

    assert token(its.read(IDENTITY)) == "\ud800"
    assert not its.remove_refresh_token(IDENTITY, Secret("\ud801"))
    assert its.remove_refresh_token(IDENTITY, Secret("\ud800"))


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
    assert not its.remove_refresh_token(IDENTITY, Secret("dead"))
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


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        b'{"pid": "1", "host": "h", "since": 1}',
        b'{"pid": 1, "host": 2, "since": 1}',
        b'{"pid": 1, "host": "h", "since": 1e300}',
        b'{"pid": 1, "host": "h", "since": NaN}',
    ],
)
def test_a_damaged_journal_counts_as_none(folder: Path, text: bytes) -> None:
    its = vault(folder)
    its.write(IDENTITY, RECORD)
    its.begin_refresh(IDENTITY)
    only(folder, "*.inflight").write_bytes(text)

    assert its.read_in_flight(IDENTITY) is None


def test_a_journal_that_cannot_be_read_counts_as_none(folder: Path) -> None:
    its = vault(folder)
    its.write(IDENTITY, RECORD)
    (folder / only(folder).with_suffix(".inflight")).mkdir()

    assert its.read_in_flight(IDENTITY) is None


def test_a_forged_journal_cannot_steer_the_terminal(folder: Path) -> None:
    its = vault(folder)
    its.write(IDENTITY, RECORD)
    its.begin_refresh(IDENTITY)
    forged = {"pid": 1, "host": "\x1b[31m" + "h" * 9999, "since": 1}
    only(folder, "*.inflight").write_text(json.dumps(forged))

    journal = its.read_in_flight(IDENTITY)

    assert journal is not None
    assert "\x1b" not in journal.host
    assert len(journal.host) <= 200


def test_no_file_tells_a_token_an_identity_or_the_key(folder: Path) -> None:
    its = vault(folder)
    with its.lock(IDENTITY, seconds=5):
        its.write(IDENTITY, RECORD)
        its.begin_refresh(IDENTITY)
    raw = base64.urlsafe_b64decode(KEY + "=")
    secrets = [b"canary", REFRESH.encode(), ACCESS.encode(), KEY.encode(), raw]
    secrets += [base64.b64encode(b"canary-")[:8], raw.hex().encode(), b"CANARY"]

    files = [path for path in folder.rglob("*") if path.is_file()]

    assert sorted(path.suffix for path in files) == [".inflight", ".lock", ".token"]
    for path in files:
        shown = path.read_bytes() + os.fsencode(path.name)
        assert [secret for secret in secrets if secret in shown] == []


def test_two_writes_of_the_same_record_share_no_sealed_byte_run(folder: Path) -> None:
    """The nonce is new each time: the same content never looks the same."""
    its = vault(folder)
    its.write(IDENTITY, RECORD)
    first = only(folder).read_bytes()
    its.remove(IDENTITY)
    its.write(IDENTITY, RECORD)
    second = only(folder).read_bytes()

    head = len(b"gatepass vault 1\n") + 8
    assert first[:head] == second[:head]
    assert first[head : head + 12] != second[head : head + 12]
    assert first[head + 12 :] != second[head + 12 :]


@posix_only
@pytest.mark.parametrize("mask", [0o000, 0o022, 0o777])
def test_files_and_folders_are_for_their_owner_alone_under_any_umask(
    folder: Path, mask: int
) -> None:
    before = os.umask(mask)
    try:
        its = vault(folder)
        with its.lock(IDENTITY, seconds=5):
            its.write(IDENTITY, RECORD)
            its.begin_refresh(IDENTITY)
    finally:
        os.umask(before)

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert set(modes.values()) == {0o600}
    assert len(modes) == 3
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700


@posix_only
@pytest.mark.parametrize("mode", [0o770, 0o702])
def test_a_folder_that_others_can_write_to_is_refused(folder: Path, mode: int) -> None:
    vault(folder).write(IDENTITY, RECORD)
    folder.chmod(mode)

    uses: list[Use] = [lambda its: its.read(IDENTITY), lambda its: its.write(IDENTITY, RECORD)]
    for use in uses:
        with pytest.raises(VaultError, match="others can write") as caught:
            use(vault(folder))
        assert f"chmod 700 {folder}" in caught.value.hint


@posix_only
def test_a_full_disk_leaves_the_old_record_and_no_rubbish(folder: Path) -> None:
    import resource

    its = vault(folder)
    its.write(IDENTITY, with_token("old"))
    before = sorted(path.name for path in folder.iterdir())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with pytest.raises(TokenNotPersisted, match="cannot write") as caught:
            its.write(IDENTITY, with_token("new"))
        with pytest.raises(VaultError, match="cannot write"):
            its.begin_refresh(IDENTITY)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert "unharmed" in caught.value.hint
    assert sorted(path.name for path in folder.iterdir()) == before
    assert token(its.read(IDENTITY)) == "old"
    assert its.read_in_flight(IDENTITY) is None


@posix_only
def test_a_read_only_folder_is_read_and_each_change_says_what_is_wrong(
    tmp_path: Path, peers_folder: Path
) -> None:
    import tempfile

    with tempfile.TemporaryDirectory(dir=peers_folder) as name:
        Path(name).chmod(0o755)  # for the user to whom root steps down
        said, kept = answer(tmp_path, "read_only", Path(name, "vault"))

    assert kept == "old"
    assert [one["error"] for one in said] == ["TokenNotPersisted", *["VaultError"] * 3]
    assert [one["message"].split()[1] for one in said] == ["write", "write", "remove", "lock"]
    assert all("Permission denied" in one["message"] for one in said)


def test_a_folder_that_cannot_be_made_is_an_error_of_the_vault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(VaultError, match="cannot make the folder"):
        vault(tmp_path / "file" / "vault").write(IDENTITY, RECORD)


def test_a_vault_with_its_key_in_memory_does_not_print_or_travel(place: Place) -> None:
    its = vault(place)
    its.write(IDENTITY, RECORD)

    assert repr(its._require_key()) == "EncryptionKey(...)"
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
        pickle.dumps(its)
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(its._require_key())
