"""A SOCKS 5 proxy (RFC 1928, RFC 1929) that leads each name to 127.0.0.1."""

import io
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from threading import Lock, Thread
from typing import Any

from tests.support.echo import pass_on
from tests.support.raw import has_ipv6


@dataclass
class SocksProxy:
    """A running proxy.

    Attributes:
        port: on 127.0.0.1 and, where there is one, ::1.
        login: who may use it; None is anybody.
        asked: the hosts that were asked for.
        wrong: how often another login came.
    """

    port: int
    login: tuple[str, str] | None
    asked: list[str] = field(default_factory=list)
    wrong: int = 0
    lock: Any = field(default_factory=Lock)


@contextmanager
def socks_proxy(login: tuple[str, str] | None = None) -> Iterator[SocksProxy]:
    """Run a proxy on a free port of this computer's loopback addresses."""
    with ExitStack() as listening:
        listener = listening.enter_context(socket.create_server(("127.0.0.1", 0)))
        proxy = SocksProxy(listener.getsockname()[1], login)
        listeners = [listener]
        if has_ipv6():
            also = socket.create_server(("::1", proxy.port), family=socket.AF_INET6)
            listeners.append(listening.enter_context(also))
        for each in listeners:
            Thread(target=_serve, args=(each, proxy), daemon=True).start()
        yield proxy


def _serve(listener: socket.socket, proxy: SocksProxy) -> None:
    with suppress(OSError):  # closed
        while True:
            connection, _ = listener.accept()
            Thread(target=_answer, args=(connection, proxy), daemon=True).start()


def _answer(connection: socket.socket, proxy: SocksProxy) -> None:
    with connection, connection.makefile("rb", buffering=0) as incoming, suppress(OSError):
        if not _greet(connection, incoming, proxy):
            return
        _, _, _, kind = incoming.read(4)
        address = incoming.read(incoming.read(1)[0] if kind == 3 else 4)
        host = address.decode() if kind == 3 else socket.inet_ntoa(address)
        port = int.from_bytes(incoming.read(2), "big")
        proxy.asked.append(host)
        with socket.create_connection(("127.0.0.1", port)) as far:
            connection.sendall(b"\5\0\0\1" + bytes(6))
            back = Thread(target=pass_on, args=(far, connection), daemon=True)
            back.start()
            pass_on(connection, far)
            back.join()


def _greet(connection: socket.socket, incoming: io.RawIOBase, proxy: SocksProxy) -> bool:
    offered = incoming.read(incoming.read(2)[1])
    if proxy.login is None:
        connection.sendall(b"\5\0")
        return True
    if 2 not in offered:
        connection.sendall(b"\5\xff")
        return False
    connection.sendall(b"\5\2")
    name = incoming.read(incoming.read(2)[1]).decode()
    password = incoming.read(incoming.read(1)[0]).decode()
    fits = (name, password) == proxy.login
    with proxy.lock:
        proxy.wrong += not fits
    connection.sendall(b"\1\0" if fits else b"\1\1")
    return fits
