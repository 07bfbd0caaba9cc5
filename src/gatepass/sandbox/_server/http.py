"""The practice server's requests over HTTP: login, record, page."""

import re
import ssl
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from itertools import count
from typing import Final

from gatepass.sandbox._accounts import Accounts
from gatepass.sandbox._listener import Connection, Listener
from gatepass.sandbox._response import Response, in_json
from gatepass.sandbox._server.login import Login
from gatepass.sandbox._server.pages import Pages, is_below_prefix, not_found
from gatepass.sandbox.server import Answers, Request

# Only these words are repeated. The first word of an odd header may be the password itself.
_SCHEME: Final = re.compile(r"\s*(basic|bearer|digest|negotiate|ntlm)(?:\s|$)", re.IGNORECASE)


def scheme_name(authorization: str | None) -> str | None:
    """Return the scheme of an ``Authorization`` header, or ``other`` where it is not a known one.

    Args:
        authorization: the header's value; None when there is none.
    """
    if authorization is None:
        return None
    word = _SCHEME.match(authorization)
    return word[1].lower() if word else "other"


class _Connection(Connection):
    """One connection to the practice server."""

    server: "ServerListener"

    def begin(self) -> None:
        """Number the connection and begin its login."""
        self._connection_number = next(self.server.connection_numbers)
        self._request_numbers = count(1)
        self._login = self.server.login()

    def respond(self, body: Iterator[bytes]) -> Response:
        """Read the whole request, check its login, record it, and answer it."""
        number, digest, length = next(self._request_numbers), sha256(), 0
        for piece in body:
            digest.update(piece)
            length += len(piece)
        authorization = self.headers.get("Authorization")
        request = Request(
            connection=self._connection_number,
            number=number,
            method=self.command,
            path=self.path,
            user=None,
            status=0,
            has_authorization=authorization is not None,
            scheme=scheme_name(authorization),
            header_names=frozenset(name.lower() for name in self.headers),
            body_length=length,
            body_sha256=digest.hexdigest(),
        )
        if is_below_prefix(self.path):
            result = self._login.authenticate(authorization)
            request = replace(request, user=result.user)
            response = in_json({"error": result.reason}, 401)
            if result.admitted:
                response = self.server.pages.respond(request)
            challenges = [("WWW-Authenticate", each) for each in result.challenges]
            response = replace(response, headers=(*challenges, *response.headers))
        else:
            response = not_found()
        self.server.records.append(replace(request, status=int(response.status)))
        return response


class ServerListener(Listener):
    """Accepts connections for the practice server.

    Args:
        port: 0 takes a free one.
        tls: the server's side of TLS; None is plain http.
        login: the way to log on.
        accounts: whom the login asks.
        answers: answers of the user's own.

    Raises:
        OSError: the port is taken.
    """

    connection_class = _Connection

    def __init__(
        self,
        port: int,
        tls: ssl.SSLContext | None,
        login: Login,
        accounts: Accounts,
        answers: Answers = None,
    ) -> None:
        self.login = login
        self.accounts = accounts
        self.pages = Pages(answers)
        self.connection_numbers = count(1)
        super().__init__(port, tls)
