"""A running server and plain clients for it."""

from base64 import b64encode
from collections.abc import Iterator

import pytest
import requests

from gatepass.sandbox import Server

USERS = {"alice": "sesame", r"CORP\alice": "pässwörd: ☃", "empty": ""}


def basic(user: str, password: str) -> dict[str, str]:
    """Return the header of HTTP Basic."""
    return {"Authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}


@pytest.fixture
def server() -> Iterator[Server]:
    """A server in standalone mode with three users."""
    with Server(users=USERS) as running:
        yield running


@pytest.fixture
def open_server() -> Iterator[Server]:
    """A server that asks nobody."""
    with Server(mode="open") as running:
        yield running


@pytest.fixture
def client() -> Iterator[requests.Session]:
    """A requests session that looks at no variable, no netrc and no proxy."""
    with requests.Session() as session:
        session.trust_env = False
        yield session
