"""Secret fields of a scheme: what they take, and what the JSON Schema says of them."""

import json
import unicodedata
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from pydantic import TypeAdapter, ValidationError

from gatepass.secrets import (
    Secret,
    SecretField,
    SecretRef,
    TextField,
    may_be_secret,
    ref,
    reference_json_schema,
)
from tests.secrets.test_reference import REFERENCES, SECRET, WRONG

SECRET_FIELD: TypeAdapter[Any] = TypeAdapter(SecretField)
TEXT_FIELD: TypeAdapter[Any] = TypeAdapter(TextField)


@pytest.mark.parametrize("value", WRONG, ids=lambda value: repr(value)[:40])
def test_a_secret_field_takes_no_literal(value: object) -> None:
    with pytest.raises(ValidationError) as caught:
        SECRET_FIELD.validate_python(value)
    errors = caught.value.errors(include_input=False, include_context=False, include_url=False)
    assert SECRET not in str(errors)


def test_a_secret_field_takes_references_and_secrets() -> None:
    secret = Secret(SECRET)
    assert SECRET_FIELD.validate_python("env:A") == ref("env:A")
    assert SECRET_FIELD.validate_python(ref("env:A")) == ref("env:A")
    assert SECRET_FIELD.validate_python(secret) is secret


def test_a_text_field_takes_plain_text_too() -> None:
    secret = Secret(SECRET)
    assert TEXT_FIELD.validate_python("CORP\\bob") == "CORP\\bob"
    assert TEXT_FIELD.validate_python("env:A") == ref("env:A")
    assert TEXT_FIELD.validate_python(["env:A", "prompt:"]) == ref(["env:A", "prompt:"])
    assert TEXT_FIELD.validate_python(secret) is secret


@pytest.mark.parametrize("value", [f"nosuch:{SECRET}", f"a:{SECRET}", {"x": SECRET}, [SECRET], 7])
def test_a_text_field_takes_no_unknown_source(value: object) -> None:
    with pytest.raises(ValidationError) as caught:
        TEXT_FIELD.validate_python(value)
    errors = caught.value.errors(include_input=False, include_context=False, include_url=False)
    assert SECRET not in str(errors)


def _fits_a_profile(reference: SecretRef) -> bool:
    """Profiles refuse control characters, and so do editors."""
    texts = (
        "".join(json.loads(text)) if source == "command" else text
        for source, text in reference.alternatives
    )
    return all(unicodedata.category(character) != "Cc" for text in texts for character in text)


@given(REFERENCES.filter(_fits_a_profile))
def test_the_schema_accepts_every_reference(reference: SecretRef) -> None:
    written = reference.as_written()
    jsonschema.validate(written, reference_json_schema())
    jsonschema.validate(written, TEXT_FIELD.json_schema())


@pytest.mark.parametrize("value", [SECRET, "nosuch:x", "env:", "command:x", [], {"command": []}, 7])
def test_the_schema_refuses_what_the_parser_refuses(value: object) -> None:
    for schema in (reference_json_schema(), SECRET_FIELD.json_schema()):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(value, schema)


def test_the_schema_of_a_text_field_accepts_plain_text() -> None:
    jsonschema.validate("CORP\\bob", TEXT_FIELD.json_schema())


@pytest.mark.parametrize(
    "name", ["Authorization", "X-Api-Key", "passphrase", "sid", "access_token"]
)
def test_a_name_that_speaks_of_a_secret_may_hold_one(name: str) -> None:
    assert may_be_secret(name)


@pytest.mark.parametrize("name", ["Accept", "author", "keyboard", "Content-Type", "compass"])
def test_a_name_that_only_contains_such_a_word_holds_none(name: str) -> None:
    assert not may_be_secret(name)
