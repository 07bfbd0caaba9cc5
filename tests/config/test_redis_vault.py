"""The machine setting ``vault``: a folder, or a redis as a URL, a table or variables."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import example, given
from hypothesis import strategies as st

from gatepass._config import validate
from gatepass._config.layers import read_layers
from gatepass._config.locations import Locations
from gatepass._config.redis_vault import RedisAddress, RedisVault
from gatepass.errors import ProfileError

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


@pytest.mark.parametrize("name", ["vault", "redis"])
def test_a_folder_stays_a_folder(machine: Machine, tmp_path: Path, name: str) -> None:
    assert machine.vault(str(tmp_path / name)) == str(tmp_path / name)


def test_a_relative_folder_starts_at_its_file_and_of_a_variable_at_the_working_directory(
    machine: Machine, locations: Locations
) -> None:
    """Or each working directory would get tokens of its own."""
    assert machine.vault("tokens") == str(locations.user.parent / "tokens")
    by_variable = machine.vault("tokens", {"GATEPASS_VAULT": "redis"})
    assert by_variable == str(Path("redis").absolute())
    assert machine.vault("~/tokens") == str(Path("~/tokens").expanduser())


def test_a_folder_in_the_home_of_another_is_refused_with_its_place(
    machine: Machine, locations: Locations
) -> None:
    """Whether it means anything depends on the computer, and a folder named so would be odd."""
    message = machine.refusal("~bob/tokens")
    assert message.startswith(f"{locations.user}:1:1: vault: the home folder of another")
    assert "the whole path" in message
    message = machine.refusal("x", {"GATEPASS_VAULT": "~bob/tokens"})
    assert message.startswith("GATEPASS_VAULT: vault: the home folder of another")


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("rediss://redis.corp.test:6380/3", RedisAddress(True, "redis.corp.test", 6380, 3)),
        ("REDISS://redis.corp.test", RedisAddress(True, "redis.corp.test", 6379, 0)),
        ("redis://127.0.0.1/", RedisAddress(False, "127.0.0.1", 6379, 0)),
        ("redis://[::1]:1", RedisAddress(False, "::1", 1, 0)),
        ("redis://localhost", RedisAddress(False, "localhost", 6379, 0)),
        ("unix:///run/redis.sock", RedisAddress(False, "", 0, 0, "/run/redis.sock")),
        ("unix:///run/a b.sock?db=2", RedisAddress(False, "", 0, 2, "/run/a b.sock")),
    ],
)
def test_a_url_of_a_redis_stands_for_a_table(
    machine: Machine, url: str, address: RedisAddress
) -> None:
    assert machine.vault(url) == machine.vault({"url": url}) == RedisVault(url)
    assert RedisAddress.of(url) == address


def test_the_table_holds_references_and_paths_beside_its_file(
    machine: Machine, locations: Locations
) -> None:
    keys = {"url": "rediss://r", "user_name": "svc", "password": "env:P", "ca_file": "ca.pem"}

    vault = machine.vault(keys)

    assert vault.user_name == "svc"
    assert str(vault.password) == "env:P"
    assert vault.ca_file == str(locations.user.parent / "ca.pem")


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:{CANARY}@localhost",
        f"rediss://svc:{CANARY}@redis.corp.test:6379/0",
        f"rediss://{CANARY}@h",
        f"unix://svc:{CANARY}@/run/redis.sock",
    ],
)
def test_a_password_in_the_url_is_refused_and_not_repeated(machine: Machine, url: str) -> None:
    for message in (machine.refusal(url), machine.refusal({"url": url})):
        assert "holds a user name or password" in message
        assert 'password = "env:REDIS_PASSWORD"' in message
    message = machine.refusal(environ={"GATEPASS_VAULT": url})
    assert message.startswith("GATEPASS_VAULT")


@pytest.mark.parametrize(
    "url",
    [
        "rediss://",
        "rediss:///0",
        "rediss://h:0",
        "rediss://h:65536",
        "rediss://h/db",
        "rediss://h?x=1",
        "rediss://h/0#f",
        "redis:h",
        f"valkey://x:{CANARY}@h",
        f"unix://{CANARY}/redis.sock",
        f"unix:///{CANARY}?db=x",
        f"unix:///{CANARY}?password=x",
        "unix:/run/redis.sock",
        "unix:///",
        "redis+sentinel://h:26379/mymaster/0",
        "sentinel://h:26379",
    ],
)
def test_what_is_no_address_of_a_redis_is_refused(machine: Machine, url: str) -> None:
    message = machine.refusal(url)
    assert "rediss://HOST:PORT/DB or unix:///PATH?db=DB" in message
    assert "where Sentinels watch it, the primary" in message


@given(st.text() | st.from_regex(r"rediss?://.*"))
@example("redis://h\n")
def test_no_text_makes_the_reader_of_urls_raise(url: str) -> None:
    address = RedisAddress.of(url)

    assert address is None or address.path or (address.host and 0 < address.port < 65536)


def test_redis_without_tls_to_another_machine_must_be_allowed(machine: Machine) -> None:
    url = "redis://redis.corp.test"

    assert "unprotected" in machine.refusal(url)
    assert "allow_plain = true" in machine.refusal({"url": url, "password": "env:P"})
    assert machine.vault({"url": url, "allow_plain": True}).allow_plain


def test_a_literal_password_is_refused_and_not_repeated(machine: Machine) -> None:
    assert "vault.password" in machine.refusal({"url": "rediss://h", "password": CANARY})
    message = machine.refusal("rediss://h", {"GATEPASS_VAULT__PASSWORD": CANARY})
    assert message.startswith("GATEPASS_VAULT__PASSWORD: vault.password")


def test_a_key_that_is_unknown_or_lonely_is_named(machine: Machine) -> None:
    assert 'did you mean "password"' in machine.refusal({"url": "rediss://h", "pasword": "env:P"})
    assert "needs password" in machine.refusal({"url": "rediss://h", "user_name": "svc"})
    assert "needs client_cert" in machine.refusal({"url": "rediss://h", "client_key": "k"})
    message = machine.refusal("rediss://h", {"GATEPASS_VAULT__PASWORD": "env:P"})
    assert message.startswith("GATEPASS_VAULT__PASWORD: vault.pasword: unknown key")


def test_variables_bring_the_url_and_its_references(machine: Machine) -> None:
    environ = {
        "GATEPASS_VAULT": "redis://redis.corp.test",
        "GATEPASS_VAULT__USER_NAME": "svc",
        "GATEPASS_VAULT__PASSWORD": "env:P",
        "GATEPASS_VAULT__ALLOW_PLAIN": "true",
    }

    vault = machine.vault(environ=environ)

    assert vault == RedisVault("redis://redis.corp.test", "svc", vault.password, allow_plain=True)
    assert str(vault.password) == "env:P"


def test_a_variable_adds_a_key_to_the_table_of_the_file(machine: Machine) -> None:
    vault = machine.vault(
        {"url": "rediss://h", "ca_file": str(Path("/ca.pem").absolute())},
        {"GATEPASS_VAULT__PASSWORD": "env:P"},
    )

    assert (vault.url, vault.ca_file, str(vault.password)) == (
        "rediss://h",
        str(Path("/ca.pem").absolute()),
        "env:P",
    )


def test_the_password_of_one_server_does_not_go_to_another(machine: Machine) -> None:
    """A variable with a URL replaces the whole table of the file."""
    vault = machine.vault(
        {"url": "rediss://h", "password": "env:P"}, {"GATEPASS_VAULT": "rediss://elsewhere"}
    )

    assert vault == RedisVault("rediss://elsewhere")
