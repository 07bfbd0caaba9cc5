"""What the server and the identity provider answer."""

import json
from dataclasses import dataclass, field
from http import HTTPStatus


@dataclass(frozen=True, slots=True)
class Response:
    """One response.

    Attributes:
        status: HTTP status.
        body: what follows the head.
        content_type: of the body.
        headers: further headers.
    """

    status: int
    body: bytes = field(default=b"", repr=False)
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


def in_json(
    content: object, status: int = HTTPStatus.OK, headers: tuple[tuple[str, str], ...] = ()
) -> Response:
    """Return a response in JSON."""
    return Response(status, json.dumps(content).encode() + b"\n", headers=headers)
