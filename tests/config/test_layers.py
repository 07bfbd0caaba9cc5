"""Which files are read, and what is wrong with one."""

import re
from pathlib import Path

import pytest
import tomli_w

from gatepass._config import layer
from gatepass.errors import ProfileError
from tests.support.config_files import ConfigFiles, Load, Write, problem_of, profile_table

pytestmark = pytest.mark.filterwarnings("error")


@pytest.mark.parametrize("key", layer.MACHINE_KEYS)
def test_machine_settings_stand_in_own_files_only(config: ConfigFiles, key: str) -> None:
    config.user({"profiles": {"p": profile_table()}})
    config.in_project({key: True})

    with pytest.raises(ProfileError, match=f"gatepass.toml:1:1: {key}: a machine setting"):
        config.load("p")


def test_machine_settings_are_read_even_when_the_search_is_replaced(
    config: ConfigFiles, write: Write, tmp_path: Path
) -> None:
    config.system({"allow_insecure_keyring": True, "vault": "/a"})
    config.user({"allow_commands": True, "vault": "/b", "vault_key": "file:key"})
    path = write(tmp_path / "x.toml", tomli_w.dumps({"profiles": {"p": profile_table()}}))

    loaded = config.load("p", config_file=path, environ={"GATEPASS_VAULT": "/c"}).machine

    assert loaded.allow_commands
    assert loaded.allow_insecure_keyring
    assert loaded.vault == str(Path("/c").absolute())
    assert str(loaded.vault_key) == "file:key"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"[profiles.p\nurl = 'hunter2'", r"profiles\.toml:1:12: "),
        (
            b"[profiles.p]\nauth.token = hunter2\n",
            r"profiles\.toml:2:14: Invalid value[^$]*write a string in straight quotes",
        ),
        (
            b"[profiles.p]\n[profiles.p]\n",
            r"profiles\.toml:2:\d+: Cannot declare[\s\S]*merge the two",
        ),
        (b"[profiles.p]\nurl = 'hunter2\n", r"profiles\.toml:\d:\d+: [\s\S]*its last quote"),
        (b'[profiles.p]\nurl = "hunter2\n', r"profiles\.toml:2:\d+: [\s\S]*its last quote"),
        (
            b"[profiles.p]\nscheme : hunter2",
            r"profiles\.toml:2:\d+: [\s\S]*a line is   key = value",
        ),
        ("[profiles.p]\nurl = \u201chunter2\u201d".encode(), "straight quotes"),
        (b"[profiles.p]\nauth = {\n token = 'hunter2'\n}", r":2:9: [\s\S]*in one line, or write"),
        (b"[profiles.p]\nauth = { a = 1,\n token = 'hunter2' }", r":2:16: [\s\S]*in one line, or"),
        (b"[profiles.p]\nauth = { a = 'hunter2'\n}", r":2:23: [\s\S]*in one line, or write"),
        (b"url = 'hunter2'", r":1:1: url: unknown key[\s\S]*write   \[profiles\.NAME\]   above"),
        (b"[prod]\nurl = 'hunter2'", r"prod: unknown key [\s\S]*is written \[profiles\.prod\]"),
        (b"[profiles.p]\nurl = '\xff hunter2'", r"profiles\.toml:2:8: not UTF-8"),
        ("[profiles.p]\nurl = 'x'".encode("utf-16"), "UTF-16, as PowerShell"),
        (b"profiles = 3", r"profiles\.toml:1:1: profiles: holds a table"),
        (b"profiles.p = 3", r"profiles\.toml:1:1: profiles: holds a table"),
        (b"default_profile = 3", r"default_profile: should be the name"),
        (b"root = 3", r"root: should be a boolean"),
        (b"[profile.p]\n", r'profiles\.toml:1:2: profile: unknown key; did you mean "profiles"'),
        (b"a = " + b"[" * 5000 + b"]" * 5000, "nested too deeply"),
        (b"profiles.p" + b".a" * 5000 + b" = 'hunter2'", "nested too deeply\ntake out the keys"),
    ],
)
def test_a_malformed_file_is_never_skipped(try_load: Load, content: bytes, expected: str) -> None:
    assert re.search(expected, problem_of(try_load, content))
