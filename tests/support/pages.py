"""What stands behind the names of a page: servers of the sandbox, and real ones where they count.

A page gets what it names, and nothing else runs.
"""

import shlex
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from gatepass.sandbox import Server
from tests.support.faulty_provider import FaultyProvider
from tests.support.peers.kdc import REALM
from tests.support.peers.need import need_gssapi
from tests.support.peers.redis_server import redis_server
from tests.support.service_layer import offer_granta
from tests.support.third_party.server import acme_server

MODES: Final = {
    "https://mi.example.com": "standalone",
    "https://mi-dev.example.com": "open",
    "https://mi-windows.example.com": "windows",
    "https://mi-mixed.example.com": "mixed",
    "https://mi-oidc.example.com": "oidc",
}
CORP: Final = "https://mi-corp.example.com"  # in a domain: a real Apache, and a real KDC
ACME: Final = "https://acme.example.com"  # takes the scheme of docs/examples
PROVIDER: Final = "https://idp.example.com"
REDIS: Final = "rediss://redis.example.com:6379"
USERS: Final = {"alice": "sesame", "CORP\\alice": "sesame"}
CLIENTS: Final = {"gatepass": None, "farm": "open-sesame"}

_BELOW: Final = "/mi_servicelayer/"
_REALM: Final = "/realms/corp"
_REDIS_PASSWORD: Final = "open-redis"
_BROWSER: Final = """\
import sys, urllib.request
with urllib.request.urlopen(sys.argv[1]) as page:
    page.read()
"""


@dataclass
class Peers:
    """What a page names, and what that is in this run.

    Attributes:
        names: name on the page → what stands in its place.
        variables: what leads programs there.
        servers: of the sandbox, by their names.
        provider: of those in mode oidc.
    """

    names: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    servers: dict[str, Server] = field(default_factory=dict)
    provider: FaultyProvider | None = None

    def environ(self, folder: Path) -> dict[str, str]:
        """Return the variables, a browser among them where somebody can log in."""
        if self.provider is None:
            return self.variables
        browser = folder / "browser.py"
        browser.write_text(_BROWSER, encoding="utf-8")
        command = f"{shlex.quote(sys.executable)} {shlex.quote(str(browser))} %s"
        return {**self.variables, "BROWSER": command}


def peers_of(text: str, stack: ExitStack, peer: Callable[[str], Any]) -> Peers:
    """Start what a page names.

    Args:
        text: of the page.
        stack: ends what was started.
        peer: name of a fixture → its value.
    """
    peers = Peers()
    if any(name in text for name, mode in MODES.items() if mode == "oidc"):
        peers.provider = stack.enter_context(
            FaultyProvider(users=USERS, clients=CLIENTS, auto_login="alice", path=_REALM)
        )
        peers.names[PROVIDER] = peers.provider.issuer.removesuffix(_REALM)
    for name, mode in MODES.items():
        if name in text:
            _sandbox(peers, name, mode, stack)
    if ACME in text:
        peers.names[ACME] = stack.enter_context(acme_server("team-7", "s3cret-of-acme")).root
    if CORP in text:
        _domain(peers, peer)
    if REDIS in text and "docs: redis" in text:
        _redis(peers, stack, peer)
    return peers


def _sandbox(peers: Peers, name: str, mode: str, stack: ExitStack) -> None:
    of_mode: dict[str, Any] = {"provider": peers.provider} if mode == "oidc" else {"users": USERS}
    server = stack.enter_context(Server(mode=mode, **(of_mode if mode != "open" else {})))
    offer_granta(server)
    peers.servers[name] = server
    peers.names[name] = server.url.removesuffix(_BELOW)


def _domain(peers: Peers, peer: Callable[[str], Any]) -> None:
    need_gssapi()
    kdc = peer("kdc")
    peers.names |= {
        CORP: peer("windows_apache").windows.https,
        "/etc/farm/svc-mi.keytab": str(kdc.files.service_account_keytab),
        "CORP.EXAMPLE.COM": REALM,
    }
    peers.variables |= kdc.environ()
    peers.variables["REQUESTS_CA_BUNDLE"] = str(peer("ca").ca_file)


def _redis(peers: Peers, stack: ExitStack, peer: Callable[[str], Any]) -> None:
    ca, folder = peer("ca"), peer("tmp_path") / "redis"
    running = stack.enter_context(
        redis_server(folder, certificate=ca.server, settings=[f"requirepass {_REDIS_PASSWORD}"])
    )
    peers.names[REDIS] = running.url.removesuffix("/0")
    peers.variables["REQUESTS_CA_BUNDLE"] = str(ca.ca_file)
