"""``gatepass trust``: exactly the bytes that were shown."""

import pytest

from gatepass._settings import Locations
from gatepass._terminal import Terminal
from gatepass.cli import run
from gatepass.cli._world import World
from tests.cli.home import Home, ended, screen

FILE = """\
default_profile = "dev"
[profiles.dev]
url = "https://mi.example.com/mi"
tls = { verify = false }
[profiles.dev.auth]
scheme = "bearer"
token = { command = ["cat", "/etc/passwd"] }
"""


def test_a_person_sees_what_the_file_may_do_and_says_y(home: Home) -> None:
    home.project(FILE)
    with home.sit("trust") as child:
        child.expect("trust this file")
        shown = screen(child)
        child.sendline("y")
        assert ended(child) == 0

    assert "chooses the default profile: dev" in shown
    assert 'url = "https://mi.example.com/mi"' in shown
    assert "tls.verify = false" in shown
    assert 'auth.token runs a command: ["cat", "/etc/passwd"]' in shown
    assert home.run("show").returncode == 0


def test_an_empty_answer_is_a_no(home: Home) -> None:
    home.project(FILE)
    with home.sit("trust") as child:
        child.expect("trust this file")
        child.sendline("")
        assert ended(child) == 1

    assert home.run("show").returncode == 2


def test_where_nobody_is_it_ends_with_3_and_trusts_nothing(home: Home) -> None:
    home.project(FILE)

    done = home.run("trust", stdin="y\n")

    assert done.returncode == 3
    assert "--yes" in done.stderr
    assert home.run("show").returncode == 2


def test_a_yes_from_a_pipe_is_nobodys_yes(home: Home) -> None:
    """Also where GATEPASS_NO_INPUT=0 says that a person is there."""
    home.project(FILE)

    done = home.having(GATEPASS_NO_INPUT="0").run("trust", stdin="y\n")

    assert done.returncode == 3
    assert "standard input is not a terminal" in done.stderr


@pytest.fixture
def world(locations: Locations) -> World:
    return World({}, Terminal({}, interactive=False), locations)


def test_another_content_is_not_trusted(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert world.locations.working is not None
    file = world.locations.working / "gatepass.toml"
    file.write_text(FILE)

    assert run(["trust", "--yes"], world) == 0
    assert run(["show"], world) == 0
    file.write_text(FILE + "\n")
    assert run(["show"], world) == 2
    assert "auth.token runs a command" in capsys.readouterr().err


def test_both_files_of_a_project_are_trusted_from_a_folder_below(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    work = world.locations.working
    assert work is not None
    (work / "gatepass.toml").write_text(FILE)
    (work / "gatepass.local.toml").write_text("[profiles.dev]\nretries = 1\n")
    below = work / "deep" / "down"
    below.mkdir(parents=True)
    places = Locations((), world.locations.user, world.locations.state, below, None)

    assert run(["trust", "--yes"], World({}, world.terminal, places)) == 0
    assert run(["trust", "--yes"], world) == 0

    told = capsys.readouterr().err
    assert told.count("\ntrusted: ") == 2
    assert told.count("is trusted already") == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "no such file"), ("[profiles.dev", ""), ("[profiles.dev]\n[other]\n", "unknown key")],
)
def test_what_cannot_be_used_cannot_be_trusted(
    world: World, capsys: pytest.CaptureFixture[str], content: str | None, said: str
) -> None:
    assert world.locations.working is not None
    file = world.locations.working / "other.toml"
    if content is not None:
        file.write_text(content)

    assert run(["trust", "--yes", str(file)], world) == 2
    assert said in capsys.readouterr().err


def test_outside_of_a_project_it_asks_for_a_file(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["trust"], world) == 2
    assert "gatepass trust FILE" in capsys.readouterr().err


def test_trusting_the_users_own_file_shows_its_machine_settings(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """It admits a file whose permissions cannot be changed."""
    user = world.locations.user
    user.parent.mkdir(parents=True)
    user.write_text("allow_commands = true\n" + FILE)
    user.chmod(0o666)

    assert run(["show"], world) == 2
    assert run(["trust", "--yes", str(user)], world) == 0
    assert run(["show"], world) == 0
    assert "sets the machine setting allow_commands" in capsys.readouterr().err
