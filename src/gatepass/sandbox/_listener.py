"""Accepts connections on 127.0.0.1 and reads HTTP/1.1, for the server and the identity provider."""

import socket
import ssl
import sys
from collections.abc import Iterator
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from socketserver import TCPServer
from threading import Lock, Thread, current_thread
from typing import Any, Final, cast

from gatepass.sandbox._body import FramingError, read_body
from gatepass.sandbox._response import Response

_HOST: Final = "127.0.0.1"
_POLL: Final = 0.02  # seconds until the accepting thread sees that it must end
_JOIN: Final = 10.0  # seconds that a connection's thread gets to end
_BODILESS: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})  # RFC 9110


class Listener(ThreadingHTTPServer):
    """Accepts connections on 127.0.0.1, one thread for each.

    Args:
        port: 0 takes a free one.
        tls: the server's side of TLS; None is plain http.

    Attributes:
        connection_class: serves one connection.
        failures: mistakes of the server itself, raised when it ends.
        records: the requests so far, in the order in which they were answered.
        is_running: whether it accepts connections.
        origin: scheme, host and port.

    Raises:
        OSError: the port is taken.
    """

    connection_class: "type[Connection]"

    daemon_threads = True
    request_queue_size = 128
    # On Windows that option would let another program take the port as well.
    allow_reuse_address = sys.platform != "win32"

    def __init__(self, port: int, tls: ssl.SSLContext | None) -> None:
        self.failures: list[BaseException] = []
        self.records: list[Any] = []
        self.is_running = False
        self._tls = tls
        self._lock = Lock()
        self._open: dict[Thread, socket.socket] = {}
        super().__init__((_HOST, port), self.connection_class)
        self.origin = f"{'http' if tls is None else 'https'}://{_HOST}:{self.server_port}"
        self._accepting = Thread(
            target=self.serve_forever, args=(_POLL,), name="gatepass-sandbox", daemon=True
        )

    def start(self) -> None:
        """Begin to accept connections, in a thread."""
        self._accepting.start()
        self.is_running = True

    def stop(self) -> None:
        """Close the listener and every connection, and wait until their threads have ended."""
        self.is_running = False
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
        """Ignore errors of clients that went away; keep our own for the end. Prints nothing."""
        error = sys.exception()
        if error is not None and not isinstance(error, OSError):
            self.failures.append(error)


class _WholeLines:
    """A stream that raises at its end: http.client would take that for the end of the head."""

    def __init__(self, stream: BufferedIOBase) -> None:
        self._stream = stream

    def readline(self, size: int) -> bytes:
        line = self._stream.readline(size)
        if not line:
            raise ConnectionAbortedError
        return line


class Connection(BaseHTTPRequestHandler):
    """HTTP/1.1 on one connection; a subclass says what is answered."""

    protocol_version = "HTTP/1.1"
    server_version = "gatepass-sandbox"
    sys_version = ""
    disable_nagle_algorithm = True  # head and body are two writes; the second must not wait

    def setup(self) -> None:
        """Make the TLS handshake, then open the streams."""
        if isinstance(self.request, ssl.SSLSocket):
            self.request.do_handshake()
        self.begin()
        super().setup()  # last: where setup fails, the streams that this one opens would stay open

    def begin(self) -> None:
        """Prepare for the requests of this connection; called once, after the handshake."""

    def respond(self, body: Iterator[bytes]) -> Response:
        """Read the body of a request to its end, record the request, and return the response."""
        raise NotImplementedError

    def _serve(self) -> None:
        try:
            response = self.respond(read_body(self.headers, self.rfile))
        except FramingError as error:
            self.send_error(error.status, "malformed body")  # closes the connection
        except EOFError:
            self.close_connection = True
        else:
            self.send(response)

    # http.server finds the method's function by these names.
    do_GET = do_HEAD = do_POST = do_PUT = _serve  # noqa: N815
    do_PATCH = do_DELETE = do_OPTIONS = _serve  # noqa: N815

    def send(self, response: Response) -> None:
        """Send a response; the records hold its request already."""
        has_body = response.status not in _BODILESS
        self.send_response(response.status)
        for name, value in response.headers:
            self.send_header(name, value)
        if has_body:
            self.send_header("Content-Type", response.content_type)
            self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        if has_body and self.command != "HEAD":
            self.wfile.write(response.body)

    def parse_request(self) -> bool:
        """Read the head of a request, which must end with an empty line."""
        stream = self.rfile
        self.rfile = cast("BufferedIOBase", _WholeLines(stream))
        try:
            return super().parse_request()
        finally:
            self.rfile = stream

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in http.server
        """Print nothing."""
