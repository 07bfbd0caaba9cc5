"""Open listening sockets on loopback, so that no other program can receive what is meant for us."""

import errno
import socket
import sys
from typing import Final

from gatepass.errors import GatepassError

_BACKLOG: Final = 128
_TRIES: Final = 50  # ports to try until one is free in both families
_FAMILIES: Final = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
_NO_SUCH_ADDRESS: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
_NO_DESCRIPTORS: Final = frozenset({errno.EMFILE, errno.ENFILE})


def listen(port: int) -> list[socket.socket]:
    """Return listening sockets on one port of every loopback address that this machine has.

    A port that is free on 127.0.0.1 may belong to another program on ::1, and ``localhost`` may
    mean either: then the code would go there.

    Args:
        port: 0 for any free one.

    Raises:
        GatepassError: the port is taken, or there is none.
    """
    for _ in range(_TRIES):
        try:
            sockets = _listen_on(port)
        except OSError as error:
            if port == 0 and error.errno not in _NO_DESCRIPTORS:
                continue  # what was free in one family is taken in the other
            raise GatepassError(
                f"cannot listen on port {port} of this machine: {error.strerror}",
                hint="another program, or a login that still waits, may have it: end that one, "
                "or register another redirect_uri",
            ) from None
        if sockets:
            return sockets
        break
    raise GatepassError("this machine has no free loopback port", hint="use the device flow")


def _listen_on(port: int) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    try:
        for family, address in _FAMILIES:
            taken = sockets[0].getsockname()[1] if sockets else port
            opened = _open(family, address, taken)
            if opened is not None:
                sockets.append(opened)
    except BaseException:
        for each in sockets:
            each.close()
        raise
    return sockets


def _open(family: int, address: str, port: int) -> socket.socket | None:
    """Return a listening socket that no other program can share.

    On Windows SO_REUSEADDR would allow just that, and SO_EXCLUSIVEADDRUSE forbids it. Elsewhere
    SO_REUSEADDR never lets two listen on one address; it only takes a port back at once on which a
    login ended a minute ago.

    Returns:
        None where this machine has no such address.
    """
    try:
        opened = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        if error.errno in _NO_SUCH_ADDRESS:
            return None
        raise
    try:
        if sys.platform == "win32":
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((address, port))
        opened.listen(_BACKLOG)
        opened.setblocking(False)
    except BaseException as error:
        opened.close()
        if isinstance(error, OSError) and error.errno in _NO_SUCH_ADDRESS:
            return None
        raise
    return opened
