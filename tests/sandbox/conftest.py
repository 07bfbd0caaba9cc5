"""A running server and plain clients for it."""

import tempfile
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import trustme

from gatepass.sandbox import Server
from gatepass.sandbox._provider.tokens import Keys
from gatepass.sandbox.provider import IdentityProvider
from tests.support import provider_requests
from tests.support.demos import NULL, SOURCE
from tests.support.faulty_provider import shared_keys
from tests.support.peers.environ import clean_environ

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


@pytest.fixture
def idp() -> Iterator[IdentityProvider]:
    """A provider with two users."""
    with _Provider(users=provider_requests.USERS) as running:
        yield running


class _Provider(IdentityProvider):
    """One whose key is made once."""

    def _new_keys(self) -> Keys:
        return shared_keys()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A certificate authority's file, and certificate and key for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    issued.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    return folder / "ca.pem", folder / "cert.pem", folder / "key.pem"


@pytest.fixture
def home() -> Iterator[Path]:
    """A home folder whose path is short enough for the names of sockets."""
    with tempfile.TemporaryDirectory(prefix="home-") as name:
        yield Path(name)


@pytest.fixture
def environ(home: Path) -> dict[str, str]:
    """A machine on which the keyring package is switched off."""
    return clean_environ(home, PYTHONPATH=SOURCE, PYTHON_KEYRING_BACKEND=NULL)
