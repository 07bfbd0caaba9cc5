"""The peers as pytest fixtures: servers once per run, keyrings once per test."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.peers import apache as apache_peer
from tests.support.peers import browser as browser_peer
from tests.support.peers import ca as ca_peer
from tests.support.peers import epa as epa_peer
from tests.support.peers import kdc as kdc_peer
from tests.support.peers import oidc_provider as oidc_peer
from tests.support.peers import redis_server as redis_peer
from tests.support.peers import secret_service
from tests.support.peers import squid as squid_peer
from tests.support.peers.apache import Apache
from tests.support.peers.browser import Browser
from tests.support.peers.ca import CertificateAuthority
from tests.support.peers.epa import EpaServer
from tests.support.peers.kdc import Kdc, RealmFiles
from tests.support.peers.oidc_provider import OidcAddress, OidcProvider
from tests.support.peers.redis_server import Redis
from tests.support.peers.squid import Squid


@pytest.fixture(scope="session")
def peers_folder() -> Iterator[Path]:
    """The one folder of all peers: readable for the users to which servers step down."""
    with tempfile.TemporaryDirectory(prefix="gatepass-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture(scope="session")
def ca(peers_folder: Path) -> CertificateAuthority:
    """A private certificate authority; no system store knows it."""
    return ca_peer.make(peers_folder / "ca")


@pytest.fixture(scope="session")
def other_ca(peers_folder: Path) -> CertificateAuthority:
    """Another one, which signed nothing of the peers."""
    return ca_peer.make(peers_folder / "other-ca")


@pytest.fixture(scope="session")
def realm_files(peers_folder: Path) -> RealmFiles:
    """Where the Kerberos realm's files will lie."""
    return RealmFiles(peers_folder / "kdc")


@pytest.fixture(scope="session")
def oidc_address() -> OidcAddress:
    """Where the OpenID provider will be."""
    return OidcAddress.free()


@pytest.fixture(scope="session")
def apache(
    peers_folder: Path,
    ca: CertificateAuthority,
    realm_files: RealmFiles,
    oidc_address: OidcAddress,
) -> Iterator[Apache]:
    """Apache, for the rooms without Kerberos, NTLM and OpenID."""
    with apache_peer.apache(peers_folder / "apache", ca, realm_files, oidc_address) as running:
        yield running


@pytest.fixture(scope="session")
def oidc_provider(
    peers_folder: Path, ca: CertificateAuthority, oidc_address: OidcAddress
) -> Iterator[OidcProvider]:
    """The OpenID provider: rotation, access tokens for a minute."""
    with oidc_peer.oidc_provider(peers_folder / "oidc", ca, oidc_address) as running:
        yield running


@pytest.fixture(scope="session")
def oidc_apache(apache: Apache, oidc_provider: OidcProvider) -> Apache:  # noqa: ARG001 (it must run)
    """The same Apache, for the room that takes access tokens."""
    return apache


@pytest.fixture
def browser(peers_folder: Path) -> Iterator[Browser]:
    """A browser whose person is alice; its command is for the variable BROWSER."""
    folder = Path(tempfile.mkdtemp(prefix="browser-", dir=peers_folder))
    with browser_peer.browser(folder) as ready:
        yield ready


@pytest.fixture(scope="session")
def kdc(realm_files: RealmFiles) -> Iterator[Kdc]:
    """The Kerberos realm CORP.TEST."""
    with kdc_peer.kdc(realm_files.folder) as running:
        yield running


@pytest.fixture(scope="session")
def windows_apache(apache: Apache, kdc: Kdc) -> Apache:  # noqa: ARG001 (it must run)
    """The same Apache, for the rooms with Kerberos and NTLM."""
    apache_peer.need_gssapi_module()
    return apache


@pytest.fixture(scope="session")
def running_epa_server(
    peers_folder: Path, ca: CertificateAuthority, kdc: Kdc
) -> Iterator[EpaServer]:
    """A server that demands channel binding."""
    with epa_peer.epa(
        peers_folder / "epa",
        chain=ca.server.chain,
        key=ca.server.key,
        krb5_conf=kdc.files.krb5_conf,
        service_keytab=kdc.files.service_keytab,
    ) as running:
        yield running


@pytest.fixture
def epa_server(running_epa_server: EpaServer) -> EpaServer:
    """The server that demands channel binding, with counters of this test alone."""
    return running_epa_server.from_now_on()


@pytest.fixture(scope="session")
def squid(peers_folder: Path) -> Iterator[Squid]:
    """A proxy that asks for a password."""
    with squid_peer.squid(peers_folder / "squid") as running:
        yield running


@pytest.fixture(scope="session")
def running_redis(peers_folder: Path) -> Iterator[Redis]:
    """A redis on loopback without a password."""
    with redis_peer.redis_server(peers_folder / "redis") as running:
        yield running


@pytest.fixture
def redis(running_redis: Redis) -> Redis:
    """The redis on loopback, empty."""
    running_redis.client().flushall()
    return running_redis


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Redis]:
    """A redis of this test alone, to be stopped and started."""
    with redis_peer.redis_server(tmp_path / "redis") as running:
        yield running


@pytest.fixture
def keyring_folder(peers_folder: Path) -> Path:
    """A new home folder; its path is short enough for the names of sockets."""
    return Path(tempfile.mkdtemp(prefix="home-", dir=peers_folder))


@pytest.fixture
def unlocked_keyring(keyring_folder: Path) -> Iterator[dict[str, str]]:
    """The environment of a desktop after the login."""
    with secret_service.unlocked(keyring_folder) as environ:
        yield environ


@pytest.fixture
def locked_keyring(keyring_folder: Path) -> Iterator[dict[str, str]]:
    """The environment of a desktop whose keyring is locked, with nobody to ask."""
    with secret_service.locked(keyring_folder) as environ:
        yield environ


@pytest.fixture
def no_dbus(keyring_folder: Path) -> dict[str, str]:
    """The environment of a server without a session bus."""
    return secret_service.no_dbus(keyring_folder)
