"""A running server and plain clients for it."""

import sys
import tempfile
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import trustme

from gatepass.sandbox import Server
from gatepass.sandbox.provider import IdentityProvider
from tests.support import provider_requests
from tests.support.demos import NULL, SOURCE
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
    with IdentityProvider(users=provider_requests.USERS) as running:
        yield running


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


# Keeps entries in the process and does to its caller what is asked for.
BACKEND = """
import os, signal, threading
from keyring.backend import KeyringBackend

entries, asked = {}, threading.Event()

class Keeps(KeyringBackend):
    priority = 1
    def get_password(self, service, account):
        asked.set()
        return entries.get((service, account))
    def set_password(self, service, account, secret):
        entries[service, account] = secret
    def delete_password(self, service, account):
        del entries[service, account]

class Interrupts(Keeps):
    def set_password(self, service, account, secret):
        asked.clear()
        os.kill(os.getpid(), signal.SIGINT)
        asked.wait(1)  # without waiting for this write the demo looks for the entry now
        super().set_password(service, account, secret)

class Changes(Keeps):
    def set_password(self, service, account, secret):
        super().set_password(service, account, secret + "!")

class PlainText(Keeps):  # a name by which the keyring source knows that kind
    pass

class Holds(Keeps):
    def delete_password(self, service, account):
        raise ValueError(entries[service, account])
"""


@pytest.fixture
def own_keyring(environ: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """A machine with a keyring whose behaviour the test chooses by PYTHON_KEYRING_BACKEND."""
    (tmp_path / "backend.py").write_text(BACKEND, encoding="utf-8")
    path = f"{SOURCE}{':' if sys.platform != 'win32' else ';'}{tmp_path}"
    return environ | {"PYTHONPATH": path}
