"""Bodies: where a request ends."""

from contextlib import suppress
from email.message import Message
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.sandbox._body import FramingError, read_body

CHUNKED = ("Transfer-Encoding", "chunked")


def read(wire: bytes, *headers: tuple[str, str]) -> tuple[bytes, bytes]:
    """Return the body, and what is left for the next request."""
    message = Message()
    for name, value in headers:
        message.add_header(name, value)
    stream = BytesIO(wire)
    return b"".join(read_body(message, stream)), stream.read()


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(content), content)


def test_without_length_and_chunks_there_is_no_body() -> None:
    assert read(b"GET") == (b"", b"GET")


@given(st.binary(), st.binary())
def test_a_length_ends_the_body(content: bytes, after: bytes) -> None:
    assert read(content + after, ("Content-Length", str(len(content)))) == (content, after)


@given(st.lists(st.binary(min_size=1)), st.sampled_from([b"", b"A: b\r\n", b"A: b\nC: d\n"]))
def test_chunks_are_taken_apart(pieces: list[bytes], trailers: bytes) -> None:
    wire = b"".join(map(chunk, pieces)) + b"0\r\n" + trailers + b"\r\nGET"
    assert read(wire, CHUNKED) == (b"".join(pieces), b"GET")


def test_chunk_extensions_are_passed_over() -> None:
    assert read(b'3 ;a="b"\r\nabc\r\n0;x\r\n\r\n', CHUNKED) == (b"abc", b"")


@pytest.mark.parametrize("length", ["", "-1", "0x1", "1 1"])
def test_a_length_that_is_no_number_is_refused(length: str) -> None:
    with pytest.raises(FramingError):
        read(b"x" * 20, ("Content-Length", length))


@pytest.mark.parametrize(
    "wire",
    [
        b"x\r\n",
        b"-1\r\n",
        b"\r\n",
        b"3\r\nabcd\r\n",
    ],
)
def test_malformed_chunks_are_refused(wire: bytes) -> None:
    with pytest.raises(FramingError):
        read(wire, CHUNKED)


@given(st.integers(min_value=0, max_value=14))
def test_a_body_that_breaks_off_is_no_body(end: int) -> None:
    """... at whatever byte."""
    wire = b"3\r\nabc\r\n0\r\n\r\n"
    if end < len(wire):
        with pytest.raises((EOFError, FramingError)):
            read(wire[:end], CHUNKED)
    with pytest.raises(EOFError):
        read(b"x" * end, ("Content-Length", "15"))


@given(st.binary())
def test_a_foreign_body_raises_nothing_else(wire: bytes) -> None:
    with suppress(EOFError, FramingError):
        read(wire, CHUNKED)
