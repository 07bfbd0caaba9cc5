"""Identities and records as JSON, and back."""

import json
from dataclasses import replace

import pytest
from hypothesis import given as examples
from hypothesis import strategies as st

from gatepass._vault.records import Identity, Provider, Record
from gatepass._vault.serialization import from_json, to_canonical_json, to_json
from gatepass.secrets import Secret
from tests.support.vaults import IDENTITY, RECORD, plain

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
