"""Reads the body of a request to its end (RFC 9112, section 6 and 7)."""

from collections.abc import Iterator
from email.message import Message
from http import HTTPStatus
from typing import Final, Protocol

_PIECE: Final = 65536  # bytes read at once
_LONGEST_LINE: Final = 4096  # bytes of a chunk's head or a trailer


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
        FramingError: its length is malformed.
        EOFError: the client went away before the end.
    """
    if "Transfer-Encoding" not in headers:
        yield from _pieces(stream, _number(headers.get("Content-Length", "0"), 10))
        return
    while size := _number(_line(stream).partition(b";")[0].decode("latin-1"), 16):
        yield from _pieces(stream, size)
        if _line(stream).strip():
            raise FramingError
    while _line(stream).strip():
        pass  # a trailer


def _number(text: str, base: int) -> int:
    try:
        number = int(text, base)
    except ValueError:
        raise FramingError from None
    if number < 0:
        raise FramingError
    return number


def _pieces(stream: ByteStream, count: int) -> Iterator[bytes]:
    while count:
        piece = stream.read(min(count, _PIECE))
        if not piece:
            raise EOFError
        yield piece
        count -= len(piece)


def _line(stream: ByteStream) -> bytes:
    line = stream.readline(_LONGEST_LINE)
    if not line.endswith(b"\n"):  # or longer than anybody writes
        raise EOFError
    return line
