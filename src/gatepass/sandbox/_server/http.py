"""The practice server's requests over HTTP: login, record, page."""

import ssl
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from itertools import count

from gatepass.sandbox._accounts import Accounts
from gatepass.sandbox._listener import Connection, Listener
from gatepass.sandbox._response import Response, in_json
from gatepass.sandbox._server.answers import Answers
from gatepass.sandbox._server.login import Login, LoginResult
from gatepass.sandbox._server.pages import Pages, is_below_prefix, not_found
from gatepass.sandbox._server.record import Request, scheme_name


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
        result = LoginResult(admitted=True)
        if is_below_prefix(self.path):
            result = self._login.authenticate(authorization)
        request = replace(request, user=result.user)
        response = self._answer(request, result)
        self.server.records.append(replace(request, status=int(response.status)))
        challenges = [("WWW-Authenticate", each) for each in result.challenges]
        return replace(response, headers=(*challenges, *response.headers))

    def _answer(self, request: Request, result: LoginResult) -> Response:
        if not is_below_prefix(request.path):
            return not_found()
        if not result.admitted:
            return in_json({"error": result.reason}, 401)
        return self.server.pages.respond(request)


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
