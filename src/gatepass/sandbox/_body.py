"""Reads the body of a request to its end (RFC 9112, section 6 and 7)."""

import re
from collections.abc import Iterator
from email.message import Message
from http import HTTPStatus
from typing import Final, Protocol

_PIECE: Final = 65536  # bytes read at once
_LONGEST_LINE: Final = 4096  # bytes of a chunk's head or a trailer
_MOST_TRAILERS: Final = 100
_LENGTH: Final = re.compile(r"[0-9]{1,18}")
_CHUNK_HEAD: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(;[^\n]*)?\r?\n")


class FramingError(ValueError):
    """The framing of the body is malformed, so the start of the next request is unknown."""

    status = HTTPStatus.BAD_REQUEST


class TooLongError(FramingError):
    """The body is longer than it may be, and the rest of it was not read."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class ByteStream(Protocol):
    """The part of a binary stream that is needed here."""

    def read(self, size: int, /) -> bytes:
        """Read so many bytes, fewer only at the end."""

    def readline(self, size: int, /) -> bytes:
        """Read to the end of the line, but not more than so many bytes."""


def read_body(headers: Message, stream: ByteStream) -> Iterator[bytes]:
    """Yield the pieces of the body, to its end. Waits for the client.

    Raises:
        FramingError: the length is not a number, is said twice, or the chunks are malformed. A body
            that says both length and chunks is refused: that is how requests are smuggled.
        EOFError: the client went away before the end.
    """
    codings = headers.get_all("Transfer-Encoding", [])
    lengths = headers.get_all("Content-Length", [])
    if codings:
        if lengths or [coding.strip().lower() for coding in codings] != ["chunked"]:
            raise FramingError
        while size := _chunk_size(stream):
            yield from _pieces(stream, size)
            if _line(stream) not in {b"\r\n", b"\n"}:
                raise FramingError
        _skip_trailers(stream)
    elif lengths:
        if len(lengths) > 1 or not _LENGTH.fullmatch(lengths[0].strip()):
            raise FramingError
        yield from _pieces(stream, int(lengths[0]))


def _pieces(stream: ByteStream, count: int) -> Iterator[bytes]:
    while count:
        piece = stream.read(min(count, _PIECE))
        if not piece:
            raise EOFError
        yield piece
        count -= len(piece)


def _line(stream: ByteStream) -> bytes:
    line = stream.readline(_LONGEST_LINE)
    if not line:
        raise EOFError
    return line


def _chunk_size(stream: ByteStream) -> int:
    head = _CHUNK_HEAD.fullmatch(_line(stream))
    if head is None:
        raise FramingError
    return int(head[1], 16)


def _skip_trailers(stream: ByteStream) -> None:
    for _ in range(_MOST_TRAILERS):
        if _line(stream) in {b"\r\n", b"\n"}:
            return
    raise FramingError
