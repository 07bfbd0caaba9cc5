"""``gatepass schema``: what editors know about a profile file."""

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from gatepass._config import json_schema
from gatepass._config.locations import LOCAL_FILE, PROJECT_FILE, Locations
from gatepass.cli import run
from gatepass.cli._context import Context
from tests.support.home import Home
from tests.support.taplo import marked_by_taplo

EXAMPLE = 'default_profile = "dev"\n[profiles.dev]\nextends = "prod"\n'

DEV = 'url = "https://x.y/"\nauth = { scheme = "anonymous" }\n'


def test_schemes_of_other_packages_are_known_and_broken_ones_are_not_in_the_way(
    home: Home, tmp_path: Path
) -> None:
    info = tmp_path / "packages" / "theirs-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[gatepass.auth]\ntheirs = theirs:Theirs\nbroken = nowhere:Broken\n"
        "odd = theirs:Undescribed\n"
    )
    (tmp_path / "packages" / "theirs.py").write_text(
        "from dataclasses import dataclass\n"
        "class Odd: pass\n"
        "@dataclass(frozen=True)\n"
        "class Theirs:\n"
        '    """Their way.\n\n    Attributes:\n        level: how\n            much.\n    """\n'
        "    level: int\n"
        "    def authenticator(self, context): ...\n"
        "@dataclass(frozen=True)\n"
        "class Undescribed:\n"
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
        ({"scheme": "theirs", "level": 1}, True),
        ({"scheme": "theirs"}, False),
        ({"scheme": "theirs", "level": 1, "other": 1}, False),
        ({"scheme": "broken", "anything": 1}, True),
        ({"scheme": "odd", "odd": "any"}, True),
    ):
        profile = {"url": "https://x.y/", "auth": auth}
        assert checker.is_valid({"profiles": {"a": profile}}) is good


# ---------------------------------------------------------------- the command


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


# ---------------------------------------------------------------- as editors see it


_URL = 'url = "https://x.y/"\n'

_OPEN = f'{_URL}auth = {{ scheme = "anonymous" }}\n'


def _marked(file: Path) -> str:
    """What taplo says of a file by the line in it, as in an editor, where nobody names a schema."""
    return marked_by_taplo(file.parent, file.name).get(file.name, "")


@pytest.mark.parametrize("name", [PROJECT_FILE, LOCAL_FILE, "profiles.toml"])
def test_taplo_follows_the_line_that_the_command_writes(
    context: Context, locations: Locations, name: str
) -> None:
    """Without --schema: as in an editor, where nobody names it."""
    folder = locations.user.parent if name == "profiles.toml" else locations.working
    assert folder is not None
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(f"[profiles.a]\n{_OPEN}")
    file.chmod(0o600)
    assert run(["schema", str(file)], context) == 0

    assert _marked(file) == ""
    file.write_text(file.read_text() + "retires = 1\n")
    assert "retires" in _marked(file)
    line, _, _ = file.read_text().partition("\n")
    file.write_text(f"{line}\nallow_commands = true\n")
    assert (_marked(file) != "") == (name != "profiles.toml")


def test_a_local_file_beside_the_projects_has_a_schema_of_its_own(
    context: Context, locations: Locations
) -> None:
    assert locations.working is not None
    project, local = locations.working / PROJECT_FILE, locations.working / LOCAL_FILE
    project.write_text(f"[profiles.a]\n{_OPEN}")
    local.write_text("[profiles.a]\ntimeout = 5\n")
    for file in (project, local):
        assert run(["schema", str(file)], context) == 0

    assert _marked(project) == ""
    assert _marked(local) == ""
    project.write_text("#:schema ./gatepass.schema.json\n[profiles.a]\ntimeout = 5\n")
    assert "url" in _marked(project)


def test_a_line_of_the_other_kind_is_replaced(context: Context, locations: Locations) -> None:
    """As of a file that was renamed, or came to have another one below it."""
    assert locations.working is not None
    local = locations.working / LOCAL_FILE
    local.write_text("# mine\n#:schema ./gatepass.schema.json\n[profiles.a]\ntimeout = 5\n")

    assert run(["schema", str(local)], context) == 0

    lines = local.read_text().splitlines()
    assert lines[:3] == ["# mine", "#:schema ./gatepass.part.schema.json", "[profiles.a]"]
    assert _marked(local) == ""


def test_the_own_file_may_lack_what_the_systems_file_has(
    context: Context, locations: Locations
) -> None:
    locations.user.parent.mkdir()
    locations.user.write_text('[profiles.a]\nauth = { user_name = "bob" }\n')
    locations.user.chmod(0o600)
    assert run(["schema"], context) == 0
    assert _marked(locations.user) != ""
    (system,) = locations.system
    system.parent.mkdir()
    system.write_text(f"[profiles.a]\n{_OPEN}")

    assert run(["schema"], context) == 0

    assert _marked(locations.user) == ""


def test_part_lets_any_file_lack_something(context: Context, locations: Locations) -> None:
    """A project may leave the user's name to each one's gatepass.local.toml."""
    assert locations.working is not None
    project = locations.working / PROJECT_FILE
    project.write_text(f'[profiles.a]\n{_URL}auth = {{ scheme = "basic", password = "env:X" }}\n')
    assert run(["schema", str(project)], context) == 0
    assert _marked(project) != ""

    assert run(["schema", str(project), "--part"], context) == 0

    assert _marked(project) == ""
