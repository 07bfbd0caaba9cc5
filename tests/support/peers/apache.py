"""One private Apache with all server modes, and a log that tests can count in.

Every room answers the same programs, at its `http` and its `https` address:

- `/cgi/whoami`: JSON of what the server saw (`tests/support/peers/cgi/whoami.py` lists the keys);
- `/cgi/redirect?to=URL&code=307`;
- `/cgi/status?code=503&retry_after=120`, or `/cgi/status/404`;
- `/mi_servicelayer`, and all below it: the first of these, where a Granta would be.
"""

import base64
import hashlib
import http.client
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.support.peers.access_log import AccessLog
from tests.support.peers.apache_conf import (
    GSSAPI_MODULE,
    OIDC_MODULE,
    OIDC_ROOMS,
    Place,
    configuration,
    room_names,
)
from tests.support.peers.ca import CertificateAuthority
from tests.support.peers.daemon import running
from tests.support.peers.environ import clean_environ
from tests.support.peers.kdc import RealmFiles
from tests.support.peers.need import absent, need_file, need_program
from tests.support.peers.oidc_provider import OidcAddress
from tests.support.peers.waiting import accepts, free_ports, wait_for

# For Basic, in `standalone` and `mixed`.
USERS = {"alice": "pw-alice", "CORP\\alice": "pw-alice", "zoë": "päss-€:x"}
# For NTLM. gss-ntlmssp knows no user names beyond ASCII, and no colon in a password.
NTLM_USERS = {"CORP\\alice": "pw-alice", "CORP\\carl": "päss-€", "gus@corp.test": "pw-gus"}

_PROGRAMS = Path(__file__).with_name("cgi")
_ESCAPED = re.compile(rb"\\(?:x([0-9a-f]{2})|(.))")
_NAMED_ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"v": b"\v", b"f": b"\f"}


@dataclass(frozen=True)
class Room:
    """One server mode, without a slash at the end of its addresses."""

    http: str
    https: str


@dataclass(frozen=True)
class Access:
    """One line of the access log; what is missing is ""."""

    room: str
    port: int
    remote_port: int
    keepalive: int  # how many requests came before it on this connection
    user: str
    authorization: str  # the scheme of the credentials that the client sent
    request: str
    status: int
    challenge: str  # the first WWW-Authenticate of the answer

    @property
    def connection(self) -> tuple[int, int]:
        """What tells this connection from others that are open at the same time."""
        return self.port, self.remote_port


@dataclass(frozen=True)
class Apache(AccessLog[Access]):
    """A running Apache."""

    ports: dict[str, tuple[int, int]]
    status_port: int

    def room(self, name: str) -> Room:
        """Return a room by its name."""
        if name not in self.ports:
            module = OIDC_MODULE if name in OIDC_ROOMS else GSSAPI_MODULE
            package = "libapache2-" + module.stem.replace("_", "-")
            absent(f"{module} is missing (Debian package: {package})")
        plain, tls = self.ports[name]
        return Room(http=f"http://localhost:{plain}", https=f"https://localhost:{tls}")

    @property
    def open(self) -> Room:
        """Asks nobody who they are."""
        return self.room("open")

    @property
    def standalone(self) -> Room:
        """Basic for `USERS`."""
        return self.room("standalone")

    @property
    def mutual_tls(self) -> Room:
        """Its https needs a client certificate; its http is open."""
        return self.room("mutual_tls")

    @property
    def wrong_host(self) -> Room:
        """Its https has a certificate for another host."""
        return self.room("wrong_host")

    @property
    def expired(self) -> Room:
        """Its https has a certificate that ran out."""
        return self.room("expired")

    @property
    def windows(self) -> Room:
        """Offers Negotiate (Kerberos or NTLM) and NTLM, once per connection."""
        return self.room("windows")

    @property
    def mixed(self) -> Room:
        """Offers Negotiate, NTLM and Basic."""
        return self.room("mixed")

    @property
    def ntlm(self) -> Room:
        """Offers Negotiate and NTLM, and takes only NTLM in both."""
        return self.room("ntlm")

    @property
    def krb_unbound(self) -> Room:
        """Takes Kerberos, for each request anew."""
        return self.room("krb_unbound")

    @property
    def ntlm_no_keepalive(self) -> Room:
        """Offers NTLM and closes each connection, so that no login can ever succeed."""
        return self.room("ntlm_no_keepalive")

    @property
    def oidc(self) -> Room:
        """Takes access tokens of `peers.oidc_provider`; asks for one as Granta does."""
        return self.room("oidc")

    @cached_property
    def _rooms_by_port(self) -> dict[int, str]:
        return {port: name for name, pair in self.ports.items() for port in pair}

    def _settle(self) -> None:
        wait_for(lambda: self._busy_workers() <= 1, 15, "Apache has written its log")

    def _busy_workers(self) -> int:
        """Return how many requests are being answered or logged, this question included."""
        connection = http.client.HTTPConnection("127.0.0.1", self.status_port, timeout=10)
        with closing(connection):
            connection.request("GET", "/?auto", headers={"Connection": "close"})
            text = connection.getresponse().read().decode()
        board = text.partition("Scoreboard: ")[2].split()[0]
        return sum(map(board.count, "WL"))

    def _parsed(self, line: bytes) -> Access:
        fields = [_unescaped(field) for field in line.split(b"\t")]
        port, remote_port, keepalive, user, authorization, request, status, challenge = fields
        return Access(
            room=self._rooms_by_port[int(port)],
            port=int(port),
            remote_port=int(remote_port),
            keepalive=int(keepalive),
            user=user,
            authorization=authorization,
            request=request,
            status=int(status),
            challenge=challenge,
        )


@contextmanager
def apache(
    folder: Path, authority: CertificateAuthority, realm: RealmFiles, oidc: OidcAddress
) -> Iterator[Apache]:
    """Run Apache with its files in `folder`, the keytab of a realm, and a provider's keys.

    Both are read per login, so the realm and the provider may start later, or never.
    """
    server = need_program("apache2", "apache2-bin")
    names = room_names()
    numbers = iter(free_ports(2 * len(names) + 1))
    ports = {name: (next(numbers), next(numbers)) for name in names}
    status_port = next(numbers)
    _furnish(folder)
    place = Place(folder, authority, ports, status_port, oidc)
    conf = folder / "httpd.conf"
    conf.write_text(configuration(place), encoding="utf-8")
    environ = clean_environ(
        folder / "home",
        LC_ALL="C.UTF-8",
        KRB5_CONFIG=str(realm.krb5_conf),
        # By the environment: with GssapiCredStore, NTLM would find no credential of its own.
        KRB5_KTNAME=f"FILE:{realm.service_keytab}",
        KRB5RCACHENAME="none:",
        NTLM_USER_FILE=str(folder / "ntlm-users"),
    )
    argv = [server, "-f", str(conf), "-D", "FOREGROUND"]
    log = folder / "output.log"
    with running(argv, environ=environ, log=log, ready=lambda: accepts(status_port)):
        yield Apache(folder / "logs" / "access.log", ports, status_port)


def need_gssapi_module() -> None:
    """Skip or fail where the rooms with Kerberos and NTLM cannot work."""
    need_file(str(GSSAPI_MODULE), "libapache2-mod-auth-gssapi")
    need_file("/usr/lib/*/gssntlmssp/gssntlmssp.so", "gss-ntlmssp")


def _furnish(folder: Path) -> None:
    """Write the folders, the users and the programs."""
    for name in ("run", "logs", "cgi", "www"):
        (folder / name).mkdir(parents=True)
    users = "".join(f"{user}:{_hash(password)}\n" for user, password in USERS.items())
    (folder / "htpasswd").write_text(users, encoding="utf-8")
    (folder / "ntlm-users").write_text(
        "".join(map(_ntlm_line, NTLM_USERS.items())), encoding="utf-8"
    )
    # Not the interpreter of the tests: as root, Apache's children may not even see its folder.
    python = need_file("/usr/bin/python3", "python3")
    for source in _PROGRAMS.glob("[!_]*.py"):
        program = folder / "cgi" / source.stem
        program.write_text(
            f"#!{python} -IS\n" + source.read_text(encoding="utf-8"), encoding="utf-8"
        )
        program.chmod(0o755)


def _hash(password: str) -> str:
    # The cheapest form that Apache reads: it is computed for each request.
    digest = hashlib.sha1(password.encode(), usedforsecurity=False).digest()
    return "{SHA}" + base64.b64encode(digest).decode()


def _ntlm_line(entry: tuple[str, str]) -> str:
    name, password = entry
    domain, _, user = name.rpartition("\\")
    return f"{domain}:{user}:{password}\n"


def _unescaped(field: bytes) -> str:
    r"""Undo Apache's log escapes: `\xc3`, `\"`, `\\`; a lone "-" stands for nothing."""
    if field == b"-":
        return ""
    return _ESCAPED.sub(_character, field).decode("utf-8", "replace")


def _character(found: re.Match[bytes]) -> bytes:
    if found[1]:
        return bytes.fromhex(found[1].decode())
    return _NAMED_ESCAPES.get(found[2], found[2])
