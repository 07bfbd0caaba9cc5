"""A small HTTP server on loopback that no idle, slow or broken connection can hold up.

One thread serves all connections with a selector, and closes every socket when it ends; a thread
for each connection would have to be bounded, stopped and waited for. The redirect of a login uses
it.
"""

import contextlib
import re
import selectors
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from threading import Thread
from typing import Final, Literal, Protocol, cast

_MAX_HEAD: Final = 65536  # bytes; browsers send the cookies of every program on this machine
_MAX_CONNECTIONS: Final = 128
_HELD_SECONDS: Final = 150.0  # that a request may wait for the final response
_DRAIN_SECONDS: Final = 10.0  # for the rest of a request that was answered before its end
_LINGER_SECONDS: Final = 2.0  # for the last responses, when the server is stopped
_TICK: Final = 0.25  # seconds between two looks at the deadlines

REQUEST_LINE: Final = re.compile(rb"([A-Z]{1,20}) ([\x21-\x7e]+) HTTP/1\.[01]")


class Handler(Protocol):
    """Decides what is answered. The server's thread calls it; it must not block."""

    def respond(self, head: bytes) -> bytes | None:
        """Return the response to a request's head; None to hold it until the final response."""

    def refuse(self, status: HTTPStatus) -> bytes:
        """Return the response to what is no HTTP request, or too long."""

    def expire(self) -> bytes:
        """Return the response to a request that was held for too long."""

    def fail(self, error: BaseException) -> None:
        """Take an error that ended the server."""


_Phase = Literal["reading", "held", "writing", "draining"]


@dataclass(eq=False)
class _Connection:
    """One connection. ``held`` waits for the final response; ``draining`` reads and ignores.

    Closing a socket with unread input makes the system reset the connection, and the browser
    may then never show the page that was sent before.
    """

    socket: socket.socket
    deadline: float
    phase: _Phase = "reading"
    data: bytes = b""  # what came, and later what is still to be sent
    drain: bool = False


class LoopbackServer:
    """Serves on sockets until it is stopped.

    Args:
        listening: sockets that listen; the server closes them.
        handler: decides what is answered.
        read_seconds: from accepting a connection to the end of its request's head.
        name: of the thread.
    """

    def __init__(
        self, listening: list[socket.socket], handler: Handler, *, read_seconds: float, name: str
    ) -> None:
        self._listening = listening
        self._handler = handler
        self._read_seconds = read_seconds
        self._connections: dict[socket.socket, _Connection] = {}
        self._final: bytes | None = None
        self._stop_at: float | None = None  # set to stop: the last moment for the last responses
        self._selector = selectors.DefaultSelector()
        self._wakes, self._woken = socket.socketpair()
        self._wakes.setblocking(False)
        self._woken.setblocking(False)
        self._thread = Thread(target=self._run, name=name, daemon=True)

    # --- for other threads

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def release(self, response: bytes) -> None:
        """Send the final response to every request that is held, and to those that come."""
        self._final = response
        self._wake()

    def stop(self, response: bytes) -> None:
        """Stop the thread and wait for it. It ends by itself even if this is interrupted.

        Args:
            response: the final response, where none was released.
        """
        self._final = self._final or response
        self._stop_at = time.monotonic() + _LINGER_SECONDS
        self._wake()
        if self._thread.ident is None:  # it never began
            self._close_all()
        else:
            self._thread.join()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # it has ended, or there is a wake-up on its way
            self._wakes.send(b"x")

    # --- in the thread

    def _run(self) -> None:
        try:
            self._selector.register(self._woken, selectors.EVENT_READ, self._on_wake)
            for each in self._listening:
                self._selector.register(each, selectors.EVENT_READ, self._on_accept)
            while not self._is_over():
                for key, _ in self._selector.select(_TICK if self._connections else None):
                    ready = cast("socket.socket", key.fileobj)
                    if ready.fileno() != -1:  # not closed by an earlier one of this round
                        key.data(ready)
                self._end_overdue()
        except BaseException as error:  # noqa: BLE001 - the user must hear of it, not this thread
            self._handler.fail(error)
        finally:
            self._close_all()

    def _close_all(self) -> None:
        self._selector.close()
        for each in (*self._listening, *self._connections, self._wakes, self._woken):
            each.close()
        self._connections.clear()

    def _is_over(self) -> bool:
        if self._stop_at is None:
            return False
        return not self._connections or time.monotonic() > self._stop_at

    def _on_wake(self, woken: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            woken.recv(4096)
        if self._stop_at is not None:
            for each in self._listening:
                with contextlib.suppress(KeyError):  # woken twice
                    self._selector.unregister(each)
                each.close()
        for connection in list(self._connections.values()):
            if connection.phase == "held" and self._final is not None:
                self._send(connection, self._final)
            elif self._stop_at is not None and connection.phase != "writing":
                self._close(connection)

    def _on_accept(self, listening: socket.socket) -> None:
        try:
            accepted, _ = listening.accept()
        except OSError:  # gone before we looked, or out of descriptors
            self._close_oldest()
            return
        accepted.setblocking(False)
        if len(self._connections) >= _MAX_CONNECTIONS:
            self._close_oldest()
        deadline = time.monotonic() + self._read_seconds
        self._connections[accepted] = _Connection(accepted, deadline)
        self._selector.register(accepted, selectors.EVENT_READ, self._on_input)

    def _close_oldest(self) -> None:
        """Close the oldest connection that has no response to get."""
        for connection in self._connections.values():
            if connection.phase in {"reading", "draining"}:
                self._close(connection)
                return

    def _on_input(self, readable: socket.socket) -> None:
        connection = self._connections[readable]
        try:
            data = readable.recv(65536)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if data and connection.phase == "reading":
            connection.data += data
            self._answer_if_decided(connection)
        elif not data and connection.phase == "held":
            self._selector.unregister(readable)  # it has sent all; it may still read
        elif not data:
            self._close(connection)

    def _answer_if_decided(self, connection: _Connection) -> None:
        """Answer as soon as what has come decides, without waiting for the rest."""
        if not 65 <= connection.data[0] <= 90:  # noqa: PLR2004 - A to Z: all else is not HTTP
            self._close(connection)
            return
        head, end, rest = connection.data.partition(b"\r\n\r\n")
        first, line_end, _ = connection.data.partition(b"\r\n")
        if end and len(head) <= _MAX_HEAD:
            self._answer(connection, head, more=bool(rest))
        elif len(connection.data) > _MAX_HEAD:
            self._refuse(connection, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif line_end and not REQUEST_LINE.fullmatch(first):
            self._refuse(connection, HTTPStatus.BAD_REQUEST)

    def _answer(self, connection: _Connection, head: bytes, *, more: bool) -> None:
        response = self._handler.respond(head)
        connection.drain = more
        if response is not None:
            connection.drain = True  # a form may have a body that is still on its way
            self._send(connection, response)
        elif self._final is not None:
            self._send(connection, self._final)
        else:
            connection.phase = "held"
            connection.deadline = time.monotonic() + _HELD_SECONDS

    def _refuse(self, connection: _Connection, status: HTTPStatus) -> None:
        connection.drain = True
        self._send(connection, self._handler.refuse(status))

    def _send(self, connection: _Connection, response: bytes) -> None:
        connection.data = response
        connection.phase = "writing"
        connection.deadline = time.monotonic() + self._read_seconds
        self._watch(connection.socket, selectors.EVENT_WRITE, self._on_writable)
        self._on_writable(connection.socket)

    def _on_writable(self, writable: socket.socket) -> None:
        connection = self._connections[writable]
        try:
            sent = writable.send(connection.data)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._close(connection)
            return
        connection.data = connection.data[sent:]
        if connection.data:
            return
        if not connection.drain or self._stop_at is not None:
            self._close(connection)
            return
        connection.phase = "draining"
        connection.deadline = time.monotonic() + _DRAIN_SECONDS
        with contextlib.suppress(OSError):
            writable.shutdown(socket.SHUT_WR)
        self._watch(writable, selectors.EVENT_READ, self._on_input)

    def _watch(
        self, watched: socket.socket, events: int, handle: Callable[[socket.socket], None]
    ) -> None:
        try:
            self._selector.modify(watched, events, handle)
        except KeyError:  # it had sent all, and was unregistered
            self._selector.register(watched, events, handle)

    def _close(self, connection: _Connection) -> None:
        del self._connections[connection.socket]
        with contextlib.suppress(KeyError):
            self._selector.unregister(connection.socket)
        connection.socket.close()

    def _end_overdue(self) -> None:
        now = time.monotonic()
        for connection in list(self._connections.values()):
            if now < connection.deadline:
                continue
            if connection.phase == "held":
                self._send(connection, self._handler.expire())
            else:
                self._close(connection)
