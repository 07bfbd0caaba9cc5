"""``gatepass schema``: what editors know about a profile file."""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatepass import _plugins, _profiles, _schema
from gatepass._settings import Layers, Locations, Source, take
from gatepass._terminal import Terminal
from gatepass.cli import run
from gatepass.cli._world import World
from gatepass.errors import ProfileError
from tests.cli.home import Home

EXAMPLE = """
default_profile = "dev"
allow_commands = false

[profiles.dev]
url = "https://mi-dev.example.com/mi_servicelayer"
auth = { scheme = "anonymous" }

[profiles.prod]
url = "https://mi.example.com/mi_servicelayer"
protected = true
timeout = [10, 60.5]
retries = 5
headers = { Accept-Language = "de" }
tls = { ca_file = "corp.pem", client_cert = "me.pem", client_key_password = "keyring:" }
proxy = { url = "http://proxy:3128", user_name = "env:P", password = "env:Q" }

[profiles.prod.auth]
scheme = "basic"
user_name = "env:MI_USERNAME"
password = ["env:MI_PASSWORD", "keyring:", "prompt:Granta MI password"]
domain = "CORP"

[profiles.child]
extends = "prod"
timeout = 5
proxy = "none"
auth = { domain = "OTHER" }

[profiles.token]
url = "HTTPS://mi.example.com"
auth = { scheme = "bearer", token = { command = ["op", "read", "op://x/y"] } }
"""

DEV = 'url = "https://x.y/"\nauth = { scheme = "anonymous" }\n'


@pytest.fixture(scope="module")
def checker() -> jsonschema.Draft202012Validator:
    document = _schema.document()
    jsonschema.Draft202012Validator.check_schema(document)
    return jsonschema.Draft202012Validator(document)


def test_the_schema_is_valid_in_both_dialects_that_editors_know() -> None:
    document = _schema.document()

    jsonschema.Draft202012Validator.check_schema(document)
    jsonschema.Draft7Validator.check_schema(document)


def test_a_good_file_has_no_complaint(checker: jsonschema.Draft202012Validator) -> None:
    tables = tomllib.loads(EXAMPLE)

    assert [error.message for error in checker.iter_errors(tables)] == []
    assert list(jsonschema.Draft7Validator(checker.schema).iter_errors(tables)) == []


@pytest.mark.parametrize(
    "mistake",
    [
        '[profiles.a]\nurl = "https://x.y/"',
        '[profiles.a]\nauth = { scheme = "anonymous" }',
        f"[profiles.Bad]\n{DEV}",
        f"[profiles.a__b]\n{DEV}",
        f'[profiles.a]\n{DEV}\nprotected = "yes"',
        f"[profiles.a]\n{DEV}\nretires = 1",
        f"[profiles.a]\n{DEV}\nretries = 21",
        f"[profiles.a]\n{DEV}\ntimeout = 0",
        f"[profiles.a]\n{DEV}\ntimeout = [1, 2, 3]",
        f"[profiles.a]\n{DEV}\ntls = {{ ca = 'x' }}",
        f"[profiles.a]\n{DEV}\ntls = {{ client_key_password = 'hunter2' }}",
        f"[profiles.a]\n{DEV}\nproxy = 'proxy:3128'",
        f"[profiles.a]\n{DEV}\nproxy = {{ user_name = 'me' }}",
        '[profiles.a]\nurl = "ftp://x"\nauth = { scheme = "anonymous" }',
        '[profiles.a]\nurl = "https://me:pw@x.y/"\nauth = { scheme = "anonymous" }',
        '[profiles.a]\nurl = "https://x.y/?q"\nauth = { scheme = "anonymous" }',
        '[profiles.a]\nurl = "https://x.y/"\nauth = { scheme = "bsic" }',
        '[profiles.a]\nurl = "https://x.y/"\nauth = { scheme = "basic", user_name = "me" }',
        '[profiles.a]\nurl = "https://x.y/"\nauth = { scheme = "bearer", token = "hunter2" }',
        '[profiles.a]\nurl = "https://x.y/"\nauth = { scheme = "bearer", token = [] }',
        '[profiles.a]\nurl = "https://x.y/"\nauth = { scheme = "bearer", token = "env:" }',
        '[profiles.a]\nextends = "b"\nauth = { scheme = "anonymous", user_name = "me" }',
        '[profiles.a]\nextends = "b"\nauth = { usr_name = "me" }',
        "profile = 1",
    ],
)
def test_a_typical_mistake_is_marked(
    checker: jsonschema.Draft202012Validator, mistake: str
) -> None:
    assert list(checker.iter_errors(tomllib.loads(mistake))) != []


def test_every_installed_scheme_and_key_is_known_and_most_are_described() -> None:
    document = _schema.document()
    definitions = document["$defs"]

    for name in _plugins.names(_plugins.AUTH):
        assert definitions[f"auth.{name}"]["properties"]["scheme"] == {"const": name}
    keys = definitions["profile"]["properties"]
    assert set(keys) == set(_profiles.hints(_profiles.ProfileKeys))
    assert all(key["description"] for key in keys.values())
    assert keys["retries"]["default"] == 3
    assert definitions["auth.basic"]["properties"]["password"]["description"] == "a reference."


def _passes_the_gate(tables: dict[str, Any]) -> bool:
    nothing = Source("variable", "variables", {})
    source = Source("user", "profiles.toml", tables, None, b"#")
    layers = Layers((source,), nothing, Source("argument", "overrides", {}))
    try:
        _profiles.check(take(layers, "a"), _profiles.Machine())
    except ProfileError:
        return False
    return True


_words = st.sampled_from(["env:X", "keyring:", "none", "https://x.y/", "hunter2", "basic", "", "b"])
_any = st.one_of(_words, st.booleans(), st.integers(-1, 25), st.lists(_words, max_size=2))
_auth = st.fixed_dictionaries(
    {"scheme": st.sampled_from(["anonymous", "basic", "bearer", "bsic"])},
    optional=dict.fromkeys(("user_name", "password", "token", "domain", "other"), _any),
)
_profile = st.fixed_dictionaries(
    {"url": st.just("https://x.y/z"), "auth": _auth},
    optional=dict.fromkeys(("protected", "retries", "timeout", "description", "proxy"), _any),
)


@given(profile=_profile)
@settings(max_examples=300, deadline=None)
def test_what_the_gate_lets_through_is_never_marked(profile: dict[str, Any]) -> None:
    """The schema may know less than the gate; an editor that complains wrongly is worse."""
    tables = {"profiles": {"a": profile}}

    if _passes_the_gate(tables):
        checker = jsonschema.Draft202012Validator(_document())
        assert [error.message for error in checker.iter_errors(tables)] == []


def _document() -> dict[str, Any]:
    if not _DOCUMENT:
        _DOCUMENT.append(_schema.document())
    return _DOCUMENT[0]


_DOCUMENT: list[dict[str, Any]] = []


def test_schemes_of_other_packages_are_known_and_broken_ones_are_not_in_the_way(
    home: Home, tmp_path: Path
) -> None:
    info = tmp_path / "packages" / "theirs-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[gatepass.auth]\ntheirs = theirs:Theirs\nbroken = nowhere:Broken\n"
    )
    (tmp_path / "packages" / "theirs.py").write_text(
        "from dataclasses import dataclass\n"
        "class Odd: pass\n"
        "@dataclass(frozen=True)\n"
        "class Theirs:\n"
        '    """Their way.\n\n    Attributes:\n        level: how\n            much.\n    """\n'
        "    level: int\n"
        "    odd: Odd | None = None\n"
    )
    home.path.append(str(tmp_path / "packages"))

    done = home.run("schema", "--print")

    document = json.loads(done.stdout)
    checker = jsonschema.Draft202012Validator(document)
    theirs = document["$defs"]["auth.theirs"]
    assert theirs["description"] == "Their way."
    assert theirs["properties"]["level"] == {"type": "integer", "description": "how much."}
    for auth, good in (
        ({"scheme": "theirs", "level": 1, "odd": "any"}, True),
        ({"scheme": "theirs"}, False),
        ({"scheme": "theirs", "level": 1, "other": 1}, False),
        ({"scheme": "broken", "anything": 1}, True),
    ):
        profile = {"url": "https://x.y/", "auth": auth}
        assert checker.is_valid({"profiles": {"a": profile}}) is good


# ---------------------------------------------------------------- the command


@pytest.fixture
def world(locations: Locations) -> World:
    return World({}, Terminal({}, interactive=False), locations)


@pytest.fixture
def user(world: World) -> Callable[[bytes], Path]:
    def write(content: bytes) -> Path:
        path = world.locations.user
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o600)
        return path

    return write


LINE = b"#:schema ./gatepass.schema.json"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (EXAMPLE.encode(), LINE + b"\n" + EXAMPLE.encode()),
        (b"\xef\xbb\xbfroot = true\r\n", b"\xef\xbb\xbf" + LINE + b"\r\nroot = true\r\n"),
        (b"# mine\nroot = true", LINE + b"\n# mine\nroot = true"),
        (b"# mine\n\n #:schema https://x.y/z.json\n", None),
        (LINE + b"\nroot = true\n", None),
        (b"root = true\n#:schema x\n", LINE + b"\nroot = true\n#:schema x\n"),
    ],
)
def test_the_line_that_editors_read_comes_first_and_nothing_else_changes(
    world: World, user: Callable[[bytes], Path], old: bytes, new: bytes | None
) -> None:
    path = user(old)

    assert run(["schema"], world) == 0
    assert run(["schema"], world) == 0  # a second time changes nothing

    assert path.read_bytes() == (new or old)
    assert json.loads((path.parent / "gatepass.schema.json").read_text()) == _schema.document()


def test_print_writes_no_file(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema", "--print"], world) == 0

    assert json.loads(capsys.readouterr().out) == _schema.document()
    assert not world.locations.user.parent.exists()


def test_a_trusted_file_stays_trusted(world: World) -> None:
    assert world.locations.working is not None
    file = world.locations.working / "gatepass.toml"
    file.write_text(f"[profiles.dev]\n{DEV}")
    assert run(["trust", "--yes"], world) == 0

    assert run(["schema", str(file)], world) == 0

    assert file.read_bytes().startswith(LINE)
    assert run(["show", "dev"], world) == 0


def test_a_file_that_nobody_trusted_does_not_become_trusted(world: World) -> None:
    assert world.locations.working is not None
    file = world.locations.working / "gatepass.toml"
    file.write_text(f"[profiles.dev]\n{DEV}")

    assert run(["schema", str(file)], world) == 0

    assert run(["show", "dev"], world) == 2


def test_a_missing_or_malformed_file_is_an_error_and_nothing_is_written(
    world: World, user: Callable[[bytes], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["schema"], world) == 2
    assert "gatepass init" in capsys.readouterr().err
    path = user(b"[profiles\n")
    assert run(["schema"], world) == 2
    assert [each.name for each in path.parent.iterdir()] == [path.name]
