"""JSON of an identity provider, read strictly."""

import json
from contextlib import suppress

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from gatepass._session.adapter import Network
from gatepass.auth._oidc.http import (
    InvalidResponse,
    get_json,
)
from gatepass.auth._oidc.strict_json import json_object
from tests.support.echo import Answer, echo


def ours() -> requests.Session:
    """A session whose errors are those of gatepass."""
    return Network({}, retries=0).plain_session()


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"", "is empty"),
        (b"<html>", "is not JSON"),
        (b"{'a': 1}", "is not JSON"),
        (b'{"a": 1} x', "is not JSON"),
        (b"[1]", "not an object"),
        (b"null", "not an object"),
        (b'"x"', "not an object"),
        (b'{"a": 1, "a": 1}', "a name twice"),
        (b'{"b": {"a": 1, "\\u0061": 2}}', "a name twice"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "NaN or Infinity"),
        ('{"a": 1}'.encode("utf-16"), "is not UTF-8"),
        (b'{"a": "\xff"}', "is not UTF-8"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "is not JSON"),
    ],
)
def test_json_is_read_strictly(body: bytes, fault: str) -> None:
    with pytest.raises(ValueError, match=fault) as caught:
        json_object(body)

    assert caught.value.__context__ is None
    with echo(lambda _: Answer(body=body)) as server, pytest.raises(InvalidResponse, match=fault):
        get_json(ours(), server.url)


def test_a_byte_order_mark_of_utf_8_is_passed_over() -> None:
    assert json_object(b'\xef\xbb\xbf{"a": "\xc3\xbc"}') == {"a": "ü"}


@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_are_an_object_or_not(body: bytes) -> None:
    with suppress(ValueError):
        assert json_object(body) == json.loads(body)
