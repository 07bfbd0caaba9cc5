"""What a start imports: what it uses, and no more. Each set is written out."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# What costs the time of a start: packages of others, and of Python what is large.
COSTLY = frozenset(
    """
    asyncio click concurrent.futures cryptography ctypes dataclasses difflib filelock http.server
    importlib.metadata inspect joserfc keyring multiprocessing oauthlib pickle platform platformdirs
    pydantic pydantic_core pydantic_settings requests requests_ntlm rich signal spnego sqlite3
    subprocess tomli_w tomllib tree_sitter truststore uuid
    """.split()
)
_CALLS = {
    "from_profile": "from gatepass import Session; Session.from_profile('dev')",
    "keywords": "from gatepass import Session; Session('https://x', user_name='a', password='b')",
}
_PROGRAM = """
import json, os, sys
import {base}
before = set(sys.modules)
{call}
new = set(sys.modules) - before
own = [each for each in new if each.startswith("gatepass")]
with open({answer!r}, "w") as file:
    json.dump([list(new & {costly!r}), own], file)
"""
_PROFILE = """
[profiles.dev]
url = "https://mi.example.com/mi_servicelayer"
[profiles.dev.auth]
scheme = "basic"
user_name = "alice"
password = "env:MI_PASSWORD"
"""

# Of every session; a profile adds how it is found, keywords how they are checked.
SESSION = """
_config _config.fields _config.files _config.layer _config.locations _config.redis_vault
_config.profile _config.toml _config.toml_bounds _net _net.challenge _net.proxy _net.tls _net.urls
_session _session.adapter _session.connections _session.exceptions _session.guard _session.headers
_session.login_state _session.network _session.pools _session.refused _session.request_state
_session.resolve _session.retries _session.session _session.shared_login _session.translate
_session.vault_config _system _system.console _system.context _system.files _system.fork _system.log
_system.plugins _system.text _system.terminal _value auth auth._handshake auth._password errors
secrets secrets._fields secrets._reference _config.compiled _config.load _config.search
_config.permissions _config.tls_files _config.trust _version
"""
PROFILE = SESSION + "auth.basic secrets.env"


def _start(folder: Path, base: str, call: str, **environ: str) -> tuple[set[str], set[str]]:
    """Return what a start imports beyond a base: what is costly, and modules of gatepass."""
    file, answer = folder / "profiles.toml", folder / "answer"
    file.write_text(_PROFILE)
    file.chmod(0o600)
    world = {"HOME": str(folder), "GATEPASS_CONFIG_FILE": str(file), "MI_PASSWORD": "x"}
    program = _PROGRAM.format(base=base, call=call, costly=set(COSTLY), answer=str(answer))
    for _ in range(2):  # the second start finds what the first has kept
        subprocess.run(
            [sys.executable, "-W", "error", "-c", program],
            cwd=folder,
            env={"PATH": os.environ["PATH"], **world, **environ},
            check=True,
            capture_output=True,
        )
    costly, own = json.loads(answer.read_text())
    return set(costly), {each.partition(".")[2] for each in own} - {""}


def test_a_warm_start_imports_what_it_uses(tmp_path: Path) -> None:
    costly, own = _start(tmp_path, "requests", _CALLS["from_profile"])

    assert costly == {"platformdirs"}
    assert own == set(PROFILE.split())


def test_keywords_import_how_they_are_checked(tmp_path: Path) -> None:
    costly, own = _start(tmp_path, "requests", _CALLS["keywords"])

    assert costly == set()
    assert own - set(SESSION.split()) == set(
        """
        _config.judge _config.merge _config.suggest _config.type_errors _config.unnamed
        _config.validate _config.variables _session.keywords auth.credentials auth.ntlm
        """.split()
    )


COMMANDS = """
_system _system.console _system.context _system.findings _system.log _system.terminal _system.text
_value _version cli cli._context cli._options cli._output cli._wrap errors
"""
LISTING = (
    COMMANDS
    + """
    _config _config.fields _config.files _config.files_seen _config.judge _config.layer
    _config.layers _config.locations _config.merge _config.permissions _config.profile
    _config.redis_vault _config.search _config.selection _config.suggest _config.tls_files
    _config.toml _config.toml_bounds _config.trust _config.type_errors _config.validate
    _config.variables _net _net.proxy _net.tls _net.urls _system.files _system.plugins auth
    cli._problems cli.profiles secrets secrets._fields secrets._reference
    """
)


SHOWN = (
    LISTING
    + "_config.compiled _config.load _config.shown _config.settings auth._password auth.basic"
)


@pytest.mark.parametrize(
    ("words", "environ", "costly", "own"),
    [
        (["--version"], {}, "", COMMANDS),
        (["profiles"], {}, "platformdirs tomllib", LISTING + "_config.explain _config.shown"),
        (["gatepass"], {"COMP_WORDS": "gatepass show d"}, "platformdirs tomllib", LISTING),
        (
            ["show", "dev"],
            {},
            "platformdirs tomli_w tomllib",
            SHOWN,
        ),
    ],
    ids=["version", "profiles", "completion", "show"],
)
def test_a_command_imports_what_it_uses(
    tmp_path: Path, words: list[str], environ: dict[str, str], costly: str, own: str
) -> None:
    completion = {"COMP_CWORD": "2", "_GATEPASS_COMPLETE": "bash_complete"} if environ else {}

    base = "click, pydantic_settings" if "show" in words else "click"  # it merges anew
    call = f"from gatepass.cli import run; run({words})"
    found, modules = _start(tmp_path, base, call, **completion, **environ)

    assert found ^ set(costly.split()) == set()
    assert modules ^ set(own.split()) == set()
