<<<<<<< HEAD
"""What the workers of a cluster do, each thread with a session of its own."""
=======
"""What the workers of a pool are asked to do; they import it by its name."""
>>>>>>> 924f00e (Sessions on workers: a pickle opens at its first use, errors come back, forks share nothing)

import os
import pickle
import socket
<<<<<<< HEAD
import threading
import time
=======
from collections.abc import Mapping
from contextlib import suppress
>>>>>>> 924f00e (Sessions on workers: a pickle opens at its first use, errors come back, forks share nothing)
from pathlib import Path
from typing import Any

from gatepass._session import Session
<<<<<<< HEAD
from gatepass.errors import VaultError

_SECONDS = 120.0
_own = threading.local()


def who() -> str:
    """Return which thread of which process on which host this is."""
    return f"{socket.gethostname()}/{os.getpid()}/{threading.get_ident()}"


def _session(data: bytes) -> Session:
    """Unpickle the session, once for each thread."""
    if getattr(_own, "data", None) != data:
        _own.data, _own.session = data, pickle.loads(data)  # noqa: S301 - the test's own
    session: Session = _own.session
    return session


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
    login: Any = _session(data)._authenticator
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
    login: Any = pickle.loads(data)._authenticator  # noqa: S301 - the test's own
    _meet(folder, number, total)
    for _ in range(times - 1):
        login.access_token()
    try:
        login.access_token()
    except VaultError as error:
        return [who(), [str(error)]]
    return [who(), []]
=======
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
>>>>>>> 924f00e (Sessions on workers: a pickle opens at its first use, errors come back, forks share nothing)
