"""Vaults, records and processes for the tests of the vault."""

import json
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from gatepass._config.redis_vault import RedisAddress
from gatepass._vault.file_store import FileStore
from gatepass._vault.key import VaultKey, referenced_key
from gatepass._vault.records import Identity, Provider, Record
from gatepass._vault.redis_client import Server
from gatepass._vault.redis_store import RedisStore
from gatepass._vault.vault import Vault
from gatepass.secrets import Secret
from tests.support.peers.environ import clean_environ
from tests.support.peers.redis_server import Redis
from tests.support.secret_context import PYTHONPATH

KEY = "Q0FOQVJZLWtleS1vZi10aGUtdmF1bHQtMzItYnl0ZXM"
OTHER_KEY = "b3RoZXItLWtleS1vZi10aGUtdmF1bHQtMzItYnl0ZXM"
NOW = 1_800_000_000.0
FIRST = 1_800_000_000_001  # the generation of a login at that time

IDENTITY = Identity(
    origin="https://canary-server.example.com",
    account="canary-account",
    issuer="https://canary-issuer.example.com",
    client_id="canary-client",
    audience="canary-audience",
    scopes=("canary-scope", "openid"),
)
OTHER = replace(IDENTITY, account="other")
PROVIDER = Provider(
    issuer="https://canary-issuer.example.com",
    token_endpoint="https://canary-issuer.example.com/token",
    id_token_algorithms=("RS256",),
)
PASSWORD = "canary-password-ß"
SPENT = Secret("spent")
REFRESH, ACCESS = "canary-refresh-token", "canary-access-token"
RECORD = Record(
    generation=0,
    provider=PROVIDER,
    client_id="canary-client",
    scopes=("openid", "canary-scope"),
    audience="canary-audience",
    refresh_token=Secret(REFRESH),
    access_token=Secret(ACCESS),
    expires_at=NOW + 3600,
    subject="canary-subject",
    user="canary-user",
)


Use = Callable[[Vault], object]
"""Something that a test does with a vault."""

Place = Path | str
"""Where a vault is: a folder, or the URL of a redis on loopback."""


def given(text: str = KEY) -> VaultKey:
    """Return a key that a person made."""
    return referenced_key("env:VAULT_KEY", lambda: Secret(text))


def store_at(place: Place) -> FileStore | RedisStore:
    """Return the store at a place."""
    address = RedisAddress.of(str(place))
    if address is None:
        return FileStore(Path(place))
    return RedisStore(Server(address.host, address.port, address.db))


def vault(place: Place, text: str = KEY, *, lock_timeout: float = 30.0) -> Vault:
    """Return a vault with a given key and a clock that stands still."""
    return Vault(store_at(place), given(text), clock=lambda: NOW, lock_timeout=lock_timeout)


def plain(value: Any) -> Any:
    """Return a value with its secrets laid open, so that two can be compared."""
    if isinstance(value, Secret):
        return ("secret", value.reveal())
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        return tuple(map(plain, value))
    return value


def token(record: Record | None) -> str:
    """Return the refresh token of a record that must have one."""
    assert record is not None
    assert record.refresh_token is not None
    return record.refresh_token.reveal()


def with_token(text: str) -> Record:
    """Return the record with another refresh token."""
    return replace(RECORD, refresh_token=Secret(text))


def below(error: BaseException) -> str:
    """Return the error and its traceback below the test, with the variables of each function.

    So do error reporters show it.
    """
    inner = error.__traceback__.tb_next if error.__traceback__ else None
    frames = traceback.TracebackException(type(error), error, inner, capture_locals=True)
    return "".join(frames.format())


def only(folder: Path, pattern: str = "*.token") -> Path:
    """Return the one file of that pattern."""
    (path,) = folder.glob(pattern)
    return path


def start(home: Path, what: str, *arguments: object, **environ: str) -> "subprocess.Popen[str]":
    """Start `tests.support.use_vault` to do something, with a home of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.use_vault", what, *map(str, arguments)],
        env=clean_environ(home, PYTHONPATH=PYTHONPATH, **environ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def answer(home: Path, what: str, *arguments: object, **environ: str) -> Any:
    """Let `tests.support.use_vault` do something, and return what it says."""
    with start(home, what, *arguments, **environ) as process:
        return finish(process)


def finish(process: "subprocess.Popen[str]") -> Any:
    """Tell a process to go on, and return its last line as JSON."""
    out, _ = process.communicate("go\n", timeout=120)
    assert process.returncode == 0, out
    return json.loads(out.splitlines()[-1])


def together(
    count: int, home: Path, what: str, *arguments: object, environ: Mapping[str, str]
) -> Any:
    """Let many processes do the same at the same moment; return what each says."""
    processes = [start(home, what, *arguments, number, **environ) for number in range(count)]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        return [finish(process) for process in processes]
    finally:
        for process in processes:
            with process:
                process.kill()


def line(process: "subprocess.Popen[str]") -> str:
    """Return the next line that a process prints."""
    assert process.stdout is not None
    return process.stdout.readline()


def at(redis: Redis, *, lease: float = 10.0, lock_timeout: float = 30.0, **server: Any) -> Vault:
    """Return a vault in a redis."""
    store = RedisStore(Server("127.0.0.1", redis.port, 0, **server), lease)
    return Vault(store, given(), clock=lambda: NOW, lock_timeout=lock_timeout)


def fresh(generation: int = 1) -> Record:
    """Return what a refresh brought, made from a record of that generation."""
    return replace(with_token("fresh"), generation=generation)
