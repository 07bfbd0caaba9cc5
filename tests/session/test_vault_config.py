"""The vault that the machine settings name."""

import pytest

from gatepass._config.profile import MachineSettings
from gatepass._config.redis_vault import RedisVault
from gatepass._session.vault_config import vault_of
from gatepass._system.context import RunContext
from gatepass._system.terminal import Terminal
from gatepass._vault.redis_store import RedisStore
from gatepass.errors import VaultError
from gatepass.secrets import ref


def test_a_missing_password_names_the_key_and_the_next_step() -> None:
    machine = MachineSettings(vault=RedisVault("redis://localhost", password=ref("env:NOT_SET")))
    store = vault_of(machine, RunContext({}, Terminal({}))).store
    assert isinstance(store, RedisStore)

    with pytest.raises(VaultError, match=r"vault.password: .*NOT_SET"):
        store.server.credentials()


def test_a_password_is_resolved_once() -> None:
    environ = {"P": "first"}
    machine = MachineSettings(vault=RedisVault("redis://localhost", password=ref("env:P")))
    store = vault_of(machine, RunContext(environ, Terminal({}))).store
    assert isinstance(store, RedisStore)

    seen = []
    for value in ("first", "second"):
        environ["P"] = value
        _, password = store.server.credentials()
        seen.append(password and password.reveal())

    assert seen == ["first", "first"]
