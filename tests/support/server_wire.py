"""Bytes on bare connections to the sandbox's server."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from gatepass.sandbox import Server

DEADLINE = 20.0  # seconds until a test gives up; nothing takes that long


@contextmanager
def raw(server: Server) -> Iterator[socket.socket]:
    """A bare TCP connection to the server."""
    address = ("127.0.0.1", urlsplit(server.url).port)
    with socket.create_connection(address, DEADLINE) as connection:
        yield connection


def talk(server: Server, wire: bytes, *, end: bool = True) -> bytes:
    """Send bytes on a new connection, end our side, and return all until the server ends its."""
    received = b""
    with raw(server) as connection:
        try:
            connection.sendall(wire)
            if end:
                connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65536):
                received += piece
        except TimeoutError:
            raise
        except OSError:
            pass  # the server may close before it has read all of it (reset, or not connected)
    return received


def is_well(server: Server) -> bool:
    return b" 200 OK" in talk(server, b"GET /mi_servicelayer/ HTTP/1.0\r\n\r\n")
