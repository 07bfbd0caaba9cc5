"""``_system/process_tree``, on each system."""

import contextlib
import socket
import subprocess
import sys

from gatepass._system.process_tree import ProcessTree

CHILD = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as alive:
    alive.sendall(b"ready")
    alive.recv(1)
"""
PARENT = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', *sys.argv[1:]]).wait()"


def test_what_a_program_has_started_ends_with_it() -> None:
    """The child's connection ends when it does."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        process = subprocess.Popen(
            [sys.executable, "-c", PARENT, CHILD, str(server.getsockname()[1])],
            stdin=subprocess.DEVNULL,
            start_new_session=sys.platform != "win32",
        )
        tree = ProcessTree(process)
        alive, _ = server.accept()
        with alive:
            alive.settimeout(60)
            assert alive.recv(5, socket.MSG_WAITALL) == b"ready"
            tree.end()
            # Windows ends the connections of a killed process so.
            with contextlib.suppress(ConnectionResetError):
                assert alive.recv(1) == b""
        tree.close()
    assert process.returncode is not None
