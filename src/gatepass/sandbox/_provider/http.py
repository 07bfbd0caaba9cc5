"""HTTP on the identity provider's connections."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from ssl import SSLContext
from threading import Lock
from typing import Final
from urllib.parse import parse_qsl

from gatepass.sandbox._listener import Connection, Listener
from gatepass.sandbox._provider.grants import Refusal

_LONGEST_FORM: Final = 65536  # bytes

JSON: Final = "application/json"
HTML: Final = "text/html; charset=utf-8"


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """One response.

    Attributes:
        status: HTTP status.
        body: what follows the head.
        content_type: of the body.
        headers: further headers.
    """

    status: int
    body: bytes = field(default=b"", repr=False)
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


def json_response(content: object, status: int = HTTPStatus.OK) -> HttpResponse:
    """Return JSON that no cache may keep."""
    return HttpResponse(status, json.dumps(content).encode(), headers=(_NO_STORE,))


def page(text: str, status: int = HTTPStatus.OK) -> HttpResponse:
    """Return a page."""
    return HttpResponse(status, text.encode(), HTML, headers=(_NO_STORE,))


_NO_STORE: Final = ("Cache-Control", "no-store")


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

    def _serve(self) -> None:
        """Read the whole request, answer it, record it."""
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isascii() or not length.isdigit():
            self.send_error(HTTPStatus.LENGTH_REQUIRED)
            return
        if int(length) > _LONGEST_FORM:
            self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            self.close_connection = True
            return
        response, record = self.server.respond(self._read_request(body))
        with self.server.records_lock:
            self.server.records.append(record)
        self.send(response)

    do_GET = do_HEAD = do_POST = do_PUT = _serve  # noqa: N815 - the names in http.server
    do_PATCH = do_DELETE = do_OPTIONS = _serve  # noqa: N815

    def send(self, response: HttpResponse) -> None:
        """Send a response; records hold it already."""
        self.send_head(response, len(response.body))
        if self.command != "HEAD":
            self.wfile.write(response.body)

    def send_head(self, response: HttpResponse, length: int) -> None:
        """Send status and headers of a response whose body has that length."""
        self.send_response(response.status)
        for name, value in response.headers:
            self.send_header(name, value)
        self.send_header("Content-Type", response.content_type)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def _read_request(self, body: bytes) -> HttpRequest:
        path, _, query = self.path.partition("?")
        return HttpRequest(
            method=self.command,
            path=path,
            query=query,
            content_type=self.headers.get_content_type(),
            body=body,
            authorization=self.headers.get("Authorization"),
        )


class ProviderListener(Listener):
    """Accepts connections for an identity provider.

    Attributes:
        respond: answers a request, and says what to record of it.
        records: the requests so far; ``records_lock`` protects them.
    """

    connection_class = ProviderConnection
    respond: Callable[[HttpRequest], tuple[HttpResponse, ProviderRequest]]

    def __init__(self, port: int, tls: SSLContext | None) -> None:
        self.records: list[ProviderRequest] = []
        self.records_lock = Lock()
        super().__init__(port, tls)
