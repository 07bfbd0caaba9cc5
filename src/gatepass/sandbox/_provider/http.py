"""HTTP of the identity provider: its connections, requests and responses."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from gatepass.sandbox._body import TooLongError
from gatepass.sandbox._listener import Connection, Listener
from gatepass.sandbox._provider.grants import Refusal
from gatepass.sandbox._response import Response, in_json

if TYPE_CHECKING:
    from gatepass.sandbox._provider.endpoints import Endpoints

NO_STORE: Final = (("Cache-Control", "no-store"),)
_LONGEST_FORM: Final = 65536  # bytes


def json_response(content: object, status: int = HTTPStatus.OK) -> Response:
    """Return JSON that no cache may keep."""
    return in_json(content, status, NO_STORE)


def page(text: str, status: int = HTTPStatus.OK) -> Response:
    """Return a page."""
    return Response(status, text.encode(), "text/html; charset=utf-8", NO_STORE)


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request.

    Attributes:
        method: such as ``POST``.
        path: without the query.
        query: as sent.
        content_type: of the body, without parameters, in lower case.
        body: as sent.
        authorization: the header; None when there is none.
    """

    method: str
    path: str
    query: str = field(repr=False)
    content_type: str
    body: bytes = field(repr=False)
    authorization: str | None = field(repr=False)

    def parameters(self) -> dict[str, str]:
        """Return the query's parameters, see ``form``."""
        return _fields(self.query)

    def form(self) -> dict[str, str]:
        """Return the fields of the body.

        Raises:
            Refusal: it is no form, or a field comes twice (RFC 6749, section 3.2).
        """
        if self.content_type != "application/x-www-form-urlencoded":
            raise Refusal("invalid_request", "the body must be application/x-www-form-urlencoded")
        return _fields(self.body.decode("utf-8", "replace"))


def _fields(text: str) -> dict[str, str]:
    pairs = parse_qsl(text, keep_blank_values=True)
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Refusal("invalid_request", "a parameter comes twice")
    return fields


@dataclass(frozen=True, slots=True)
class ProviderRequest:
    """One request to the provider, as it was answered. Holds no value that could be a secret.

    Attributes:
        method: such as ``POST``.
        path: without the query.
        status: of the answer.
        grant_type: of a token request; None for others.
        client_id: as sent in the query, the form or by HTTP Basic; None for none.
        parameters: names of all parameters, of query and form.
        client_secret_by: ``basic``, ``post``, or None where the client sent no secret.
    """

    method: str
    path: str
    status: int
    grant_type: str | None
    client_id: str | None
    parameters: frozenset[str]
    client_secret_by: str | None


class ProviderConnection(Connection):
    """One connection to the identity provider."""

    server: "ProviderListener"

    def respond(self, body: Iterator[bytes]) -> Response:
        """Read the whole request, answer it, record it."""
        form = bytearray()
        for piece in body:
            form += piece
            if len(form) > _LONGEST_FORM:
                raise TooLongError
        path, _, query = self.path.partition("?")
        kind, authorization = self.headers.get_content_type(), self.headers.get("Authorization")
        request = HttpRequest(self.command, path, query, kind, bytes(form), authorization)
        response, record = self.server.endpoints.respond(request)
        self.server.records.append(record)
        return response


class ProviderListener(Listener):
    """Accepts connections for an identity provider.

    Attributes:
        endpoints: what answers; set before it starts, since the issuer's name holds the port.
    """

    connection_class = ProviderConnection
    endpoints: "Endpoints"
