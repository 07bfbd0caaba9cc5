"""The listener, its threads, and HTTP/1.1 on each connection."""

import socket
import ssl
import sys
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from socketserver import TCPServer
from threading import Lock, Thread, current_thread
from typing import Any, Final, cast

from gatepass.sandbox._server.body import Body, FramingError, read_body
from gatepass.sandbox._server.login import Login, Verdict
from gatepass.sandbox._server.pages import Answer, Asked, Pages, is_below_prefix, not_found, refused
from gatepass.sandbox._server.record import Log, Request, scheme_name

_HOST: Final = "127.0.0.1"
_POLL: Final = 0.02  # seconds until the accepting thread sees that it must end
_JOIN: Final = 10.0  # seconds that a connection's thread gets to end


class Listener(ThreadingHTTPServer):
    """Accepts connections on 127.0.0.1, one thread for each.

    Args:
        port: 0 takes a free one.
        login: the way to log on.
        tls: the server's side of TLS; None is plain http.

    Raises:
        OSError: the port is taken.
    """

    daemon_threads = True
    request_queue_size = 128
    # On Windows that option would let another program take the port as well.
    allow_reuse_address = sys.platform != "win32"

    def __init__(self, port: int, login: Login, tls: ssl.SSLContext | None) -> None:
        self.login = login
        self.pages = Pages()
        self.log = Log()
        self.failures: list[BaseException] = []
        self._tls = tls
        self._lock = Lock()
        self._open: dict[Thread, socket.socket] = {}
        super().__init__((_HOST, port), _Connection)
        self._accepting = Thread(
            target=self.serve_forever, args=(_POLL,), name="gatepass-sandbox", daemon=True
        )

    def start(self) -> None:
        """Begin to accept connections, in a thread."""
        self._accepting.start()

    def stop(self) -> None:
        """Close the listener and every connection, and wait until their threads have ended."""
        self.shutdown()
        self._accepting.join()
        self.server_close()
        with self._lock:
            still_open = dict(self._open)
        for connection in still_open.values():
            with suppress(OSError):  # its thread has just closed it
                # Not SSLSocket.shutdown: that takes the TLS away from a thread that still reads.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
        for thread in still_open:
            thread.join(_JOIN)

    def server_bind(self) -> None:
        """Bind, without the look-up of this machine's name that http.server does."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = _HOST, self.server_address[1]

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection. The handshake waits for the connection's own thread."""
        connection, address = super().get_request()
        if self._tls is None:
            return connection, address
        try:
            secured = self._tls.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        except OSError:  # the client has gone already
            connection.close()
            raise
        return secured, address

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start the connection's thread, and remember both until it ends."""
        thread = Thread(
            target=self.process_request_thread,
            args=(request, client_address),
            name="gatepass-sandbox-connection",
            daemon=True,
        )
        with self._lock:
            self._open[thread] = request
        thread.start()

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection to its end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._open.pop(current_thread(), None)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the contract
        """Forget what a broken client causes; keep our own mistakes for the end. Prints nothing."""
        error = sys.exception()
        if error is not None and not isinstance(error, OSError):
            self.failures.append(error)


class _WholeLines:
    """A stream whose end is a lost connection: http.client takes it for the end of the head."""

    def __init__(self, stream: BufferedIOBase) -> None:
        self._stream = stream

    def readline(self, size: int) -> bytes:
        line = self._stream.readline(size)
        if not line:
            raise ConnectionAbortedError
        return line


class _Connection(BaseHTTPRequestHandler):
    """HTTP/1.1 on one connection."""

    server: Listener
    protocol_version = "HTTP/1.1"
    server_version = "gatepass-sandbox"
    sys_version = ""
    disable_nagle_algorithm = True  # head and body are two writes; the second must not wait

    def setup(self) -> None:
        if isinstance(self.request, ssl.SSLSocket):
            self.request.do_handshake()
        self._connection_number = self.server.log.new_connection()
        self._request_number = 0
        self._conversation = self.server.login.conversation()
        super().setup()  # last: where setup fails, nobody closes the streams that this one opens

    def parse_request(self) -> bool:
        """Read the head of a request. One that breaks off is none, whatever http.server thinks."""
        stream = self.rfile
        self.rfile = cast("BufferedIOBase", _WholeLines(stream))
        try:
            return super().parse_request()
        finally:
            self.rfile = stream

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in http.server
        """Print nothing."""

    def _serve(self) -> None:
        """Read the whole request, judge it, record it, answer it."""
        self._request_number += 1
        try:
            body = read_body(self.headers, self.rfile)
        except FramingError:
            self.send_error(HTTPStatus.BAD_REQUEST, "malformed body")  # closes the connection
            return
        except EOFError:
            self.close_connection = True
            return
        verdict, answer = self._decide(body)
        self.server.log.add(self._record(body, verdict, answer))
        self._send(answer, verdict)

    # http.server finds the method's function by these names.
    do_GET = do_HEAD = do_POST = do_PUT = _serve  # noqa: N815
    do_PATCH = do_DELETE = do_OPTIONS = _serve  # noqa: N815

    def _decide(self, body: Body) -> tuple[Verdict, Answer]:
        if not is_below_prefix(self.path):
            return Verdict(admitted=True), not_found()
        verdict = self._conversation.judge(self.headers.get("Authorization"))
        if not verdict.admitted:
            return verdict, refused(verdict)
        asked = Asked(self.command, self.path, verdict.user, body)
        return verdict, self.server.pages.answer(asked)

    def _record(self, body: Body, verdict: Verdict, answer: Answer) -> Request:
        authorization = self.headers.get("Authorization")
        return Request(
            connection=self._connection_number,
            number=self._request_number,
            method=self.command,
            path=self.path,
            user=verdict.user,
            status=int(answer.status),
            has_authorization=authorization is not None,
            scheme=scheme_name(authorization),
            header_names=frozenset(name.lower() for name in self.headers),
            body_length=body.length,
            body_sha256=body.sha256,
        )

    def _send(self, answer: Answer, verdict: Verdict) -> None:
        content = answer.body()
        self.send_response(answer.status)
        for challenge in verdict.challenges:
            self.send_header("WWW-Authenticate", challenge)
        for name, value in answer.headers:
            self.send_header(name, value)
        if content:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
