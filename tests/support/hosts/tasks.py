"""What the workers of a cluster do, each thread with a session of its own."""

import os
import pickle
import socket
import threading
import time
from pathlib import Path
from typing import Any

from gatepass._session.session import Session
from gatepass._system.context import RunContext
from gatepass.errors import VaultError

_SECONDS = 120.0
_own = threading.local()


def who() -> str:
    """Return which thread of which process on which host this is."""
    return f"{socket.gethostname()}/{os.getpid()}/{threading.get_ident()}"


def _session(data: bytes) -> Session:
    """Unpickle the session, once for each thread."""
    if getattr(_own, "data", None) != data:
        _own.data, _own.session = data, _fresh(data)
    session: Session = _own.session
    return session


def _fresh(data: bytes) -> Session:
    """Unpickle a session, with a login of its own: usually all of one process share one."""
    profile = pickle.loads(data).profile  # noqa: S301 - the test's own
    return Session._from_checked(profile, RunContext.of(interactive=False))


def _meet(folder: str, number: int, total: int) -> None:
    """Wait until all are here: so many threads do this at the same time."""
    Path(folder, str(number)).touch()
    deadline = time.monotonic() + _SECONDS
    while len(list(Path(folder).iterdir())) < total:
        if time.monotonic() > deadline:
            raise TimeoutError("the others did not come")
        time.sleep(0.01)


def fetch(data: bytes, times: int, folder: str, number: int, total: int) -> Any:
    """Make requests, all workers at the same moment."""
    session = _session(data)
    _meet(folder, number, total)
    return [who(), [session.get("x").status_code for _ in range(times)]]


def renew(data: bytes, times: int, folder: str, number: int, total: int) -> Any:
    """Ask for one access token after the other, each time because the last was refused."""
    login: Any = _session(data)._login.authenticator
    _meet(folder, number, total)
    token, troubles = None, set()
    for _ in range(times):
        deadline = time.monotonic() + _SECONDS
        while True:
            try:
                token = login.access_token(refused=token)
            except VaultError as error:  # while redis is away
                if time.monotonic() > deadline:
                    raise
                troubles.add(error.message)
                time.sleep(0.05)
            else:
                break
    return [who(), sorted(troubles)]


def look(data: bytes, times: int, folder: str, number: int, total: int) -> Any:
    """Look into the vault, and say what came of it."""
    login: Any = _fresh(data)._login.authenticator
    _meet(folder, number, total)
    for _ in range(times - 1):
        login.access_token()
    try:
        login.access_token()
    except VaultError as error:
        return [who(), [str(error)]]
    return [who(), []]
