"""Free ports, and waiting for a condition with a deadline."""

import os
import random
import socket
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PAUSE = 0.01
# Below the range from which Linux, macOS and Windows take the ports of outgoing connections:
# between finding a port and listening on it, no client of another test can sit down there.
# Each worker of pytest-xdist has a share of its own: a port that is found now, and listened on when
# a person logs in, would else be found by another worker too.
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
PORTS = range(20000 + _WORKER, 32000, _WORKERS)


def free_port() -> int:
    """Return a TCP port on which nobody listens, on either loopback address."""
    for port in random.sample(PORTS, 200):
        if not _is_taken(port):
            return port
    raise RuntimeError("no free port found")


def free_ports(count: int) -> list[int]:
    """Return that many different free ports."""
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(free_port())
    return sorted(ports)


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def accepts(port: int, host: str = "127.0.0.1") -> bool:
    """Tell whether somebody accepts connections there."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def wait_for(condition: Callable[[], T], seconds: float, what: str) -> T:
    """Ask until the answer is truthy, and return it; `TimeoutError` names what was awaited."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(PAUSE)
    return answer
