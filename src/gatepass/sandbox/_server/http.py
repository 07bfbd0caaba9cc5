"""The practice server's requests over HTTP: login, record, page."""

import ssl
from http import HTTPStatus

from gatepass.sandbox._listener import Connection, Listener
from gatepass.sandbox._server.answers import Answers
from gatepass.sandbox._server.body import Body, FramingError, read_body
from gatepass.sandbox._server.login import Login, LoginResult
from gatepass.sandbox._server.pages import (
    PageRequest,
    PageResponse,
    Pages,
    is_below_prefix,
    not_found,
    refused,
)
from gatepass.sandbox._server.record import Log, Request, scheme_name


class _Connection(Connection):
    """One connection to the practice server."""

    server: "ServerListener"

    def begin(self) -> None:
        """Number the connection and begin its login."""
        self._connection_number = self.server.log.new_connection()
        self._request_number = 0
        self._login = self.server.login.new_connection_login()

    def _serve(self) -> None:
        """Read the whole request, check its login, record it, response it."""
        self._request_number += 1
        try:
            body = read_body(self.headers, self.rfile)
        except FramingError:
            self.send_error(HTTPStatus.BAD_REQUEST, "malformed body")  # closes the connection
            return
        except EOFError:
            self.close_connection = True
            return
        result, response = self._decide(body)
        self.server.log.add(self._record(body, result, response))
        self._send(response, result)

    # http.server finds the method's function by these names.
    do_GET = do_HEAD = do_POST = do_PUT = _serve  # noqa: N815
    do_PATCH = do_DELETE = do_OPTIONS = _serve  # noqa: N815

    def _decide(self, body: Body) -> tuple[LoginResult, PageResponse]:
        if not is_below_prefix(self.path):
            return LoginResult(admitted=True), not_found()
        result = self._login.authenticate(self.headers.get("Authorization"))
        if not result.admitted:
            return result, refused(result)
        request = PageRequest(self.command, self.path, result.user, body)
        return result, self.server.pages.respond(request)

    def _record(self, body: Body, result: LoginResult, response: PageResponse) -> Request:
        authorization = self.headers.get("Authorization")
        return Request(
            connection=self._connection_number,
            number=self._request_number,
            method=self.command,
            path=self.path,
            user=result.user,
            status=int(response.status),
            has_authorization=authorization is not None,
            scheme=scheme_name(authorization),
            header_names=frozenset(name.lower() for name in self.headers),
            body_length=body.length,
            body_sha256=body.sha256,
        )

    def _send(self, response: PageResponse, result: LoginResult) -> None:
        content = response.body()
        self.send_response(response.status)
        for challenge in result.challenges:
            self.send_header("WWW-Authenticate", challenge)
        for name, value in response.headers:
            self.send_header(name, value)
        if content:
            self.send_header("Content-Type", response.kind)
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


class ServerListener(Listener):
    """Accepts connections for the practice server.

    Args:
        port: 0 takes a free one.
        login: the way to log on.
        tls: the server's side of TLS; None is plain http.
        answers: answers of the user's own.

    Raises:
        OSError: the port is taken.
    """

    connection_class = _Connection

    def __init__(
        self, port: int, login: Login, tls: ssl.SSLContext | None, answers: Answers = None
    ) -> None:
        self.login = login
        self.pages = Pages(answers)
        self.log = Log()
        super().__init__(port, tls)
