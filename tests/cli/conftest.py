"""Fixtures of the command line."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gatepass._config.locations import Locations
from gatepass._system.terminal import Terminal
from gatepass.cli._context import Context
from gatepass.sandbox.server import Server
from tests.support.faulty_provider import FaultyProvider
from tests.support.home import Home
from tests.support.logins import USERS, Office
from tests.support.peers.environ import clean_environ
from tests.support.result import Cli


def make_home(environ: dict[str, str], work: Path) -> Home:
    (work / ".git").mkdir(parents=True)
    return Home(environ, work, in_process=True)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A person who has no profile yet, and no keyring."""
    return make_home(clean_environ(tmp_path / "home"), tmp_path / "work")


@pytest.fixture
def desk(unlocked_keyring: dict[str, str], tmp_path: Path) -> Home:
    """A person whose keyring is unlocked."""
    return make_home(unlocked_keyring, tmp_path / "work")


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that lets alice in with the password sesame."""
    with Server(mode="standalone", users={"alice": "sesame"}) as running:
        yield running


@pytest.fixture
def context(locations: Locations) -> Context:
    """The surroundings of a command: no variable, nobody to ask, places of the test's own."""
    return Context({}, Terminal({}, interactive=False), locations)


@pytest.fixture
def cli(context: Context, capsys: pytest.CaptureFixture[str]) -> Cli:
    """The command there."""
    return Cli(context, capsys)


@pytest.fixture
def user(context: Context) -> Callable[[bytes], Path]:
    """Return a function that writes the user's file of profiles."""

    def write(content: bytes) -> Path:
        path = context.locations.user
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o600)
        return path

    return write


@pytest.fixture
def idp() -> Iterator[FaultyProvider]:
    """A provider whose access tokens live for an hour."""
    with FaultyProvider(users=USERS, auto_login="alice", access_token_seconds=3600) as running:
        yield running


@pytest.fixture
def office(home: Home, tmp_path: Path) -> Office:
    """A home with an empty vault and its key."""
    return Office.furnished(home, tmp_path)
