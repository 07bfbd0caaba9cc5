"""The vault that the machine settings name."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from gatepass._config import validate
from gatepass._config.layers import read_layers
from gatepass._config.locations import Locations
from gatepass._config.profile import MachineSettings
from gatepass._config.redis_vault import RedisVault
from gatepass._session.vault_config import vault_of
from gatepass._system.context import RunContext
from gatepass._system.terminal import Terminal
from gatepass._vault.redis_store import RedisStore
from gatepass.errors import ProfileError, VaultError
from gatepass.secrets import ref

Write = Callable[[Path, str | bytes], Path]


CANARY = "canary-password"


class Machine:
    """Reads the machine settings of a user's file and of variables."""

    def __init__(self, locations: Locations, write: Write) -> None:
        self._locations = locations
        self._write = write

    def vault(self, vault: Any = None, environ: Mapping[str, str] | None = None) -> Any:
        """Return the setting as checked."""
        if vault is not None:
            self._write(self._locations.user, tomli_w.dumps({"vault": vault}))
        layers = read_layers(environ=environ or {}, locations=self._locations)
        assert layers.notices == ()
        return validate.validate_machine_settings(layers).vault

    def refusal(self, vault: Any = None, environ: Mapping[str, str] | None = None) -> str:
        """Return why the setting is refused."""
        with pytest.raises(ProfileError) as caught:
            self.vault(vault, environ)
        assert CANARY not in str(caught.value)
        return str(caught.value)


@pytest.fixture
def machine(locations: Locations, write: Write) -> Machine:
    """The settings of a machine that has none yet."""
    return Machine(locations, write)


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
