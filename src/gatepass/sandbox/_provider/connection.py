"""HTTP on the identity provider's connections."""

from collections.abc import Iterator
from typing import Final

from gatepass.sandbox._body import TooLongError
from gatepass.sandbox._listener import Connection, Listener
from gatepass.sandbox._provider.endpoints import Endpoints
from gatepass.sandbox._provider.http import HttpRequest
from gatepass.sandbox._response import Response

_LONGEST_FORM: Final = 65536  # bytes


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
        request = HttpRequest(
            method=self.command,
            path=path,
            query=query,
            content_type=self.headers.get_content_type(),
            body=bytes(form),
            authorization=self.headers.get("Authorization"),
        )
        response, record = self.server.endpoints.respond(request)
        self.server.records.append(record)
        return response


class ProviderListener(Listener):
    """Accepts connections for an identity provider.

    Attributes:
        endpoints: what answers; set before it starts, since the issuer's name holds the port.
    """

    connection_class = ProviderConnection
    endpoints: Endpoints
