"""A browser, and worse, over plain sockets."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

SECONDS = 20  # until a test gives up on an answer that does not come


@dataclass(frozen=True)
class Answered:
    """One answer, as it came."""

    status: int
    headers: dict[str, str]
    body: bytes


def connect(port: int, host: str = "127.0.0.1") -> socket.socket:
    """Open a connection to a loopback address."""
    return socket.create_connection((host, port), timeout=SECONDS)


def get(target: str, host: str, *more: str, method: str = "GET") -> bytes:
    """Return a request."""
    return "\r\n".join([f"{method} {target} HTTP/1.1", f"Host: {host}", *more, "", ""]).encode(
        "latin-1"
    )


def everything(connection: socket.socket) -> bytes:
    """Return what comes until the end of the connection; a reset is an end."""
    parts = []
    try:
        while data := connection.recv(65536):
            parts.append(data)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def answer(connection: socket.socket) -> Answered:
    """Read one answer to its end."""
    raw = everything(connection)
    head, end, body = raw.partition(b"\r\n\r\n")
    assert end, raw
    first, *lines = head.decode("ascii").split("\r\n")
    version, status, _ = first.split(" ", 2)
    assert version == "HTTP/1.1"
    return Answered(int(status), dict(line.split(": ", 1) for line in lines), body)


@contextmanager
def asked(port: int, request: bytes, host: str = "127.0.0.1") -> Iterator[socket.socket]:
    """Send some bytes on a new connection."""
    with connect(port, host) as connection:
        connection.sendall(request)
        yield connection


def ask(port: int, request: bytes, host: str = "127.0.0.1") -> Answered:
    """Send some bytes on a new connection and read the answer."""
    with asked(port, request, host) as connection:
        return answer(connection)


def open_address(url: str, connect_to: str | None = None) -> Answered:
    """Do what a browser does with an address on loopback."""
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return ask(parts.port or 80, get(target, parts.netloc), connect_to or "127.0.0.1")


def has_ipv6() -> bool:
    """Whether this machine has the address ::1."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
