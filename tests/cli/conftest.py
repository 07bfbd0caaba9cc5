"""Fixtures of the command line."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gatepass.sandbox.server import Server
from tests.support.home import Home
from tests.support.peers.environ import clean_environ


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
