"""What every store promises, whether it keeps its records in files or in redis."""

from pathlib import Path

import pytest

from gatepass._vault.file_lock import plain_codec
from gatepass._vault.store import Store, StoredRecord
from gatepass.errors import TokenLockTimeout
from tests.support.vaults import NOW, Place, store_at

NAME, OTHER_NAME = b"\x01" * 32, b"\x02" * 32
CODEC = plain_codec(lambda: NOW)


@pytest.fixture
def store(place: Place) -> Store:
    """A store of either kind, without records."""
    return store_at(place)


def test_what_is_put_is_read_listed_and_removed(store: Store) -> None:
    for name in (NAME, OTHER_NAME):
        with store.lock(name, seconds=5, codec=CODEC):
            assert store.put(name, b"old", old=None)
            assert store.put(name, b"new" + name, old=b"old")

    assert store.read(NAME) == b"new" + NAME
    assert store.list_records() == [
        StoredRecord(name, store.where(name), b"new" + name) for name in (NAME, OTHER_NAME)
    ]
    assert store.count() == 2

    assert store.remove(NAME)
    assert not store.remove(NAME)
    assert store.was_removed(NAME)
    assert store.read(NAME) is None
    assert store.count() == 1


def test_a_note_is_replaced_and_goes_with_its_record(store: Store) -> None:
    with store.lock(NAME, seconds=5, codec=CODEC):
        store.put(NAME, b"record", old=None)
        store.write_note(NAME, b"first")
        store.write_note(NAME, b"second", old=b"first")
    assert store.read_note(NAME) == b"second"

    store.write_note(NAME, None, old=b"second")
    assert store.read_note(NAME) is None

    store.write_note(NAME, b"third")
    store.remove(NAME)
    assert store.read_note(NAME) is None


def test_one_holds_a_lock_and_the_next_one_is_told_who(store: Store, place: Place) -> None:
    with store.lock(NAME, seconds=5, codec=CODEC) as held:
        held.keep()
        with (
            pytest.raises(TokenLockTimeout, match="what it guards is in use by process"),
            store_at(place).lock(NAME, seconds=0, codec=CODEC, what="what it guards"),
        ):
            raise AssertionError("two hold the lock")
        with store_at(place).lock(OTHER_NAME, seconds=0, codec=CODEC):
            pass

    with store_at(place).lock(NAME, seconds=0, codec=CODEC):
        pass


def test_a_wait_for_a_lock_can_be_cancelled(store: Store, place: Place) -> None:
    asked: list[Path | str] = []

    def cancel_check() -> bool:
        asked.append(place)
        return len(asked) > 1

    with (
        store.lock(NAME, seconds=5, codec=CODEC),
        pytest.raises(TokenLockTimeout),
        store_at(place).lock(NAME, seconds=600, codec=CODEC, cancel_check=cancel_check),
    ):
        raise AssertionError("two hold the lock")

    assert asked == [place, place]
