"""A server that costs little: each request with a login gets the same short answer.

Prints its port, and ends when its standard input does. One thread for each connection.
"""

import socket
import sys
from threading import Thread

_BODY = b'{"status": "Healthy"}\n'
_HEAD = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s"
_GOOD = _HEAD % (b"200 OK", b"", len(_BODY), _BODY)
_REFUSED = _HEAD % (b"401 Unauthorized", b'WWW-Authenticate: Basic realm="x"\r\n', 0, b"")


def _serve(connection):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connection:
        head = b""
        while data := connection.recv(65536):
            head += data
            while b"\r\n\r\n" in head:
                one, _, head = head.partition(b"\r\n\r\n")
                connection.sendall(_GOOD if b"\r\nAuthorization: " in one else _REFUSED)


def _accept(listener):
    while True:
        connection, _ = listener.accept()
        Thread(target=_serve, args=(connection,), daemon=True).start()


with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
    Thread(target=_accept, args=(listener,), daemon=True).start()
    print(listener.getsockname()[1], flush=True)
    sys.stdin.read()
