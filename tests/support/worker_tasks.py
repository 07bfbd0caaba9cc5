"""What the workers of a pool are asked to do; they import it by its name."""

import os
import pickle
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from gatepass._session.session import Session
from gatepass.errors import GatepassError


def settle(environ: Mapping[str, str], folder: str) -> None:
    """Make this process a worker that has nothing of its parent: other variables, other folder."""
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(folder)


def where() -> str:
    """Name this process as errors do."""
    return f"process {os.getpid()} on {socket.gethostname()}"


def status(mi: Session, path: str = "x") -> tuple[int, str, str]:
    """Make a request; return its status, who made it, and in which folder."""
    return mi.get(path).status_code, where(), str(Path.cwd())


def shout(response: Any, **_: Any) -> None:
    """Mark an answer: a hook that can be found by its name."""
    response.headers["X-Hooked"] = "yes"


def attempt(mi: Session, times: int) -> None:
    """Try so often, each time with a session of its own, as a pool would."""
    content = pickle.dumps(mi)
    for _ in range(times - 1):
        with suppress(GatepassError):
            pickle.loads(content).get("x")  # noqa: S301 - our own
    mi.get("x")
