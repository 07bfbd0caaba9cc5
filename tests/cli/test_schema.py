"""``gatepass schema``: what editors know about a profile file."""

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from gatepass._config import fields, json_schema
from gatepass._config.locations import Locations
from gatepass._config.profile import ProfileKeys
from gatepass._system import plugins
from gatepass._system.terminal import Terminal
from gatepass.cli import run
from gatepass.cli._context import Context
from tests.support.home import Home

EXAMPLE = 'default_profile = "dev"\n[profiles.dev]\nextends = "prod"\n'
DEV = 'url = "https://x.y/"\nauth = { scheme = "anonymous" }\n'


def test_every_installed_scheme_and_key_is_known_and_most_are_described() -> None:
    document = json_schema.document()
    definitions = document["$defs"]

    for name in plugins.names(plugins.AUTH):
        assert definitions[f"auth.{name}"]["properties"]["scheme"] == {"const": name}
    keys = definitions["profile"]["properties"]
    assert set(keys) == set(fields.types_of(ProfileKeys))
    assert all(key["description"] for key in keys.values())
    assert keys["retries"]["default"] == 3
    assert definitions["auth.basic"]["properties"]["password"]["description"] == "a reference."


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
        "    def authenticator(self, context): ...\n"
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
def context(locations: Locations) -> Context:
    return Context({}, Terminal({}, interactive=False), locations)


@pytest.fixture
def user(context: Context) -> Callable[[bytes], Path]:
    def write(content: bytes) -> Path:
        path = context.locations.user
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
    context: Context, user: Callable[[bytes], Path], old: bytes, new: bytes | None
) -> None:
    path = user(old)

    assert run(["schema"], context) == 0
    assert run(["schema"], context) == 0  # a second time changes nothing

    assert path.read_bytes() == (new or old)
    assert json.loads((path.parent / "gatepass.schema.json").read_text()) == json_schema.document()


def test_print_writes_no_file(context: Context, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema", "--print"], context) == 0

    assert json.loads(capsys.readouterr().out) == json_schema.document()
    assert not context.locations.user.parent.exists()


def test_a_trusted_file_stays_trusted(context: Context) -> None:
    assert context.locations.working is not None
    file = context.locations.working / "gatepass.toml"
    file.write_text(f"[profiles.dev]\n{DEV}")
    assert run(["trust", "--yes"], context) == 0

    assert run(["schema", str(file)], context) == 0

    assert file.read_bytes().startswith(LINE)
    assert run(["show", "dev"], context) == 0


def test_a_file_that_nobody_trusted_does_not_become_trusted(context: Context) -> None:
    assert context.locations.working is not None
    file = context.locations.working / "gatepass.toml"
    file.write_text(f"[profiles.dev]\n{DEV}")

    assert run(["schema", str(file)], context) == 0

    assert run(["show", "dev"], context) == 2


def test_a_missing_or_malformed_file_is_an_error_and_nothing_is_written(
    context: Context, user: Callable[[bytes], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["schema"], context) == 2
    assert "gatepass init" in capsys.readouterr().err
    path = user(b"[profiles\n")
    assert run(["schema"], context) == 2
    assert [each.name for each in path.parent.iterdir()] == [path.name]
