"""Uses a vault in a process of its own, and prints what came of it as JSON.

Run as `python -m tests.support.use_vault WHAT FOLDER ...`.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from gatepass._system.terminal import Terminal
from gatepass._vault.file_store import FileStore
from gatepass._vault.key import keyring_key, write_key_file
from gatepass._vault.records import Identity
from gatepass._vault.vault import Vault
from gatepass.errors import GatepassError, TokenLockTimeout
from gatepass.secrets.keyring import remove
from tests.support.secret_context import context
from tests.support.vaults import IDENTITY, NOW, RECORD, Use, given, vault, with_token

NOBODY = 65534


def _said(error: GatepassError) -> dict[str, Any]:
    return {"error": type(error).__name__, "message": error.message, "hint": error.hint}


def _ready() -> None:
    """Say so, and wait until the other side wants us to go on."""
    print("ready", flush=True)  # noqa: T201 - this process talks to the test
    sys.stdin.readline()


def with_keyring_key(folder: str, number: str = "0") -> Any:
    """Write a record of its own with the key in the keyring."""
    # Before a person: several at a time may take longer than a run without one would wait.
    person = Terminal({}, interactive=True)
    its = Vault(FileStore(Path(folder)), keyring_key(context(terminal=person)))
    _ready()
    try:
        its.write(Identity(f"https://server-{number}.example.com"), RECORD)
    except GatepassError as error:
        return _said(error)
    return its._require_key().id.hex()


def removed_key(folder: str) -> Any:
    """Remove the key from the keyring, and try to read and to write."""
    remove("gatepass", "vault-key", context())
    said = []
    uses: list[Use] = [lambda its: its.read(IDENTITY), lambda its: its.write(IDENTITY, RECORD)]
    for use in uses:
        try:
            use(Vault(FileStore(Path(folder)), keyring_key(context())))
        except GatepassError as error:
            said.append(_said(error))
    return [said, keyring_key(context()).read() is None]


def new_key_file(path: str, _number: str) -> Any:
    """Make a key file, unless another process is faster."""
    _ready()
    try:
        write_key_file(Path(path))
    except GatepassError:
        return False
    return True


def write(folder: str, count: str, _number: str = "") -> Any:
    """Write many times, and say after each write which generation is safe."""
    its = vault(folder)
    _ready()
    for _ in range(int(count)):
        kept = its.write(IDENTITY, RECORD)
        print(kept.generation, flush=True)  # noqa: T201 - this process talks to the test
    return None


def hold(folder: str) -> Any:
    """Hold the lock until told to go on."""
    with vault(folder).lock(IDENTITY, seconds=60):
        _ready()
    return os.getpid()


def wait_in_vain(folder: str) -> Any:
    """Wait for a lock that somebody else holds, until Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    its = vault(folder)
    try:
        print("ready", flush=True)  # noqa: T201 - this process talks to the test
        with its.lock(IDENTITY, seconds=600):
            return "locked"
    except KeyboardInterrupt:
        return "interrupted"


def forked(folder: str) -> Any:
    """Fork while holding the lock: what can the child do, and does the parent still hold it?"""
    if sys.platform == "win32":
        raise NotImplementedError
    its = vault(folder, lock_timeout=0)
    with its.lock(IDENTITY, seconds=60):
        child = os.fork()
        if not child:
            os._exit(_in_the_fork(its))
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        its.write(IDENTITY, RECORD)
    try:
        with vault(folder).lock(IDENTITY, seconds=0):
            free = True
    except TokenLockTimeout:
        free = False
    return {"refusals of the child": status, "free afterwards": free}


def _in_the_fork(its: Vault) -> int:
    refusals = 0
    uses: list[Use] = [_lock, lambda its: its.write(IDENTITY, RECORD)]
    for use in uses:
        try:
            use(its)
        except TokenLockTimeout:
            refusals += 1
    return refusals


def _lock(its: Vault) -> None:
    with its.lock(IDENTITY, seconds=0):
        pass


def forked_inside(folder: str) -> Any:
    """Fork while holding the lock; the child leaves the block first, as a pool's worker may."""
    if sys.platform == "win32":
        raise NotImplementedError
    its = vault(folder)
    with its.lock(IDENTITY, seconds=60):
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            return _is_held_against_others(folder)
    os._exit(0)


def _is_held_against_others(folder: str) -> bool:
    try:
        with vault(folder).lock(IDENTITY, seconds=0):
            return False
    except TokenLockTimeout:
        return True


def killed_at_each_step(folder: str) -> Any:
    """Write in forks that are killed before their first, second, third ... step on the disk.

    Returns the stored generation and token after each fork, until one was not killed.
    """
    if sys.platform == "win32":
        raise NotImplementedError
    its = vault(Path(folder))
    its.write(IDENTITY, with_token("old"))
    found = []
    for steps in range(1000):
        before = its.read(IDENTITY)
        child = os.fork()
        if not child:
            _kill_at_step(steps)
            its.write(IDENTITY, with_token("new"))
            os._exit(0)
        killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
        after = its.read(IDENTITY)
        assert before is not None
        assert after is not None
        assert after.refresh_token is not None
        found.append([after.generation - before.generation, after.refresh_token.reveal()])
        if not killed:
            return found
        its.write(IDENTITY, with_token("old"))
    raise AssertionError("a write takes a thousand steps")


def _kill_at_step(number: int) -> None:
    if sys.platform == "win32":
        raise NotImplementedError
    left = [number]

    def hook(event: str, _arguments: object) -> None:
        if event == "os.kill" or not event.startswith(("open", "os.")):
            return
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1

    sys.addaudithook(hook)


def read_only(folder: str) -> Any:
    """Read and write, without the rights of root, in a folder that cannot be written to."""
    if sys.platform == "win32":
        raise NotImplementedError
    path = Path(folder)
    its = Vault(FileStore(path), given(), clock=lambda: NOW)
    its.write(IDENTITY, with_token("old"))  # also loads every module that is needed
    path.chmod(0o500)
    if os.geteuid() == 0:
        for file in (path, *path.iterdir()):
            os.chown(file, NOBODY, NOBODY)
        os.seteuid(NOBODY)
    said = []
    for use in (
        lambda: its.write(IDENTITY, with_token("new")),
        lambda: its.begin_refresh(IDENTITY),
        lambda: its.remove(IDENTITY),
        lambda: its.write(Identity("https://another.example.com"), RECORD),
    ):
        try:
            use()
        except GatepassError as error:
            said.append(_said(error))
    kept = its.read(IDENTITY)
    assert kept is not None
    assert kept.refresh_token is not None
    return [said, kept.refresh_token.reveal()]


if __name__ == "__main__":
    done = globals()[sys.argv[1]](*sys.argv[2:])
    print(json.dumps(done))  # noqa: T201 - this process talks to the test
