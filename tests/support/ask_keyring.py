"""Asks the keyring in a process of its own.

The keyring package chooses its back end once per process, by variables of that process.
"""

import importlib
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

from keyring import core
from keyring.backend import get_all_keyring

from gatepass._vault.key import keyring_key
from gatepass.errors import SecretUnavailable
from gatepass.secrets import Secret, SecretContext
from gatepass.secrets.keyring import describe_backend, keyring, lock_state, read, remove, store
from tests.support.forks import in_child
from tests.support.peers.environ import clean_environ
from tests.support.secret_context import PYTHONPATH, context

SECRET = "hunter2 päss-€"
BACKENDS = "tests.support.keyring_backends."


def with_backend(folder: Path, name: str) -> dict[str, str]:
    """Return variables of a process whose keyring package is told which back end to use."""
    full_name = name if "." in name else BACKENDS + name
    return clean_environ(folder, PYTHON_KEYRING_BACKEND=full_name, BACKEND_SECRET=SECRET)


def with_chain(folder: Path, *names: str) -> dict[str, str]:
    """Return variables of a process whose keyring package uses a chain of back ends."""
    return with_backend(folder, "Chain") | {"BACKEND_CHAIN": " ".join(names)}


@dataclass(frozen=True)
class Outcome:
    """What a call returned, or what its error said.

    Attributes:
        answer: what the last call returned.
        message: the error's message.
        hint: the error's hint.
        traceback: the whole traceback, to look for secrets in it.
        frames: the same with the local variables of each function.
    """

    answer: Any = None
    message: str = ""
    hint: str = ""
    traceback: str = ""
    frames: str = ""


def ask(environ: Mapping[str, str], *calls: list[str], **changes: Any) -> Outcome:
    """Make calls in a new process, such as `["read", service, account]`, until one fails.

    Args:
        environ: the variables of that process.
        calls: the name of a function and its arguments.
        changes: what differs from the plain context; `seconds` is the deadline, 60 by default;
            the import of the module `slow_module` takes 1.5 s.
    """
    if hasattr(os, "fork") and "slow_module" not in changes:
        return Outcome(**in_child(lambda: _as_a_process(environ, [*calls], changes)))
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.ask_keyring", json.dumps([calls, changes])],
        env={**environ, "PYTHONPATH": _python_path(environ)},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Outcome(**json.loads(done.stdout))


def _as_a_process(
    environ: Mapping[str, str], calls: list[list[str]], changes: dict[str, Any]
) -> dict[str, Any]:
    """Do, in a forked process, what one does that begins with these variables."""
    os.environ.clear()
    os.environ.update(environ)
    sys.path[:0] = filter(None, environ.get("PYTHONPATH", "").split(os.pathsep))
    importlib.invalidate_caches()
    core._keyring_backend = None
    vars(get_all_keyring).pop("saved_result", None)
    return _outcome(calls, changes)


def _python_path(environ: Mapping[str, str]) -> str:
    own = environ.get("PYTHONPATH")
    return f"{own}{os.pathsep}{PYTHONPATH}" if own else PYTHONPATH


class _SlowDisk(MetaPathFinder):
    """Finds nothing, and is slow about one module."""

    def __init__(self, slow_module: str) -> None:
        self._slow_module = slow_module

    def find_spec(self, fullname: str, *_: object) -> None:
        if fullname == self._slow_module:
            time.sleep(1.5)


def _call(name: str, arguments: list[str], here: SecretContext, seconds: float | None) -> Any:
    if name == "keyring":
        return keyring(arguments[0], here)
    if name == "describe":
        backend = describe_backend(here, seconds=seconds)
        return [backend.name, backend.refusal and backend.refusal.message]
    if name == "lock_state":
        return lock_state(here, seconds=seconds)
    if name == "vault_key":
        key = keyring_key(here)
        return (key.read() or (key.make() if key.make else Secret(""))).reveal()
    functions: dict[str, Any] = {"read": read, "store": store, "remove": remove}
    return functions[name](*arguments, here, seconds=seconds)


def _outcome(calls: list[list[str]], changes: dict[str, Any]) -> dict[str, Any]:
    seconds = changes.pop("seconds", 60)
    sys.meta_path.insert(0, _SlowDisk(changes.pop("slow_module", "")))
    answer = None
    try:
        for name, *arguments in calls:
            answer = _call(name, arguments, context(**changes), seconds)
    except SecretUnavailable as error:
        frames = traceback.TracebackException.from_exception(error, capture_locals=True)
        return {
            "message": error.message,
            "hint": error.hint,
            "traceback": "".join(traceback.format_exception(error)),
            "frames": "".join(frames.format()),
        }
    return {"answer": answer}


if __name__ == "__main__":
    json.dump(_outcome(*json.loads(sys.argv[1])), sys.stdout)
