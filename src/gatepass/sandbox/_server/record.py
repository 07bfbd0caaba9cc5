"""What the server remembers of the requests: enough to count and compare, no secret."""

import re
from dataclasses import dataclass
from typing import Final

# Only these words are repeated. The first word of an odd header may be the password itself.
_SCHEMES: Final = frozenset({"basic", "bearer", "digest", "negotiate", "ntlm"})
_FIRST_WORD: Final = re.compile(r"\s*([A-Za-z]+)(?:\s|$)")


@dataclass(frozen=True, slots=True)
class Request:
    """One request, as it arrived and as it was answered.

    Attributes:
        connection: number of the connection, from 1, in the order of their arrival.
        number: number of the request on that connection, from 1.
        method: such as ``GET``.
        path: path and query, as sent.
        user: who was logged on; None for no user.
        status: of the answer.
        has_authorization: whether an ``Authorization`` header came.
        scheme: its first word in lower case when that is a known scheme, ``other`` when not;
            None without the header.
        header_names: names of all headers, in lower case.
        body_length: bytes of the body, after the chunks are taken apart.
        body_sha256: SHA-256 of these bytes, in hexadecimal.
    """

    connection: int
    number: int
    method: str
    path: str
    user: str | None
    status: int
    has_authorization: bool
    scheme: str | None
    header_names: frozenset[str]
    body_length: int
    body_sha256: str


def scheme_name(authorization: str | None) -> str | None:
    """Return the scheme of an ``Authorization`` header, or ``other`` where it is not a known one.

    Args:
        authorization: the header's value; None when there is none.
    """
    if authorization is None:
        return None
    word = _FIRST_WORD.match(authorization)
    name = word[1].lower() if word else ""
    return name if name in _SCHEMES else "other"
