"""A squid proxy that asks for a name and a password."""

import hashlib
import http.client
import os
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from tests.support.peers.access_log import AccessLog
from tests.support.peers.daemon import running
from tests.support.peers.environ import clean_environ, is_root
from tests.support.peers.need import need_file, need_program
from tests.support.peers.waiting import accepts, free_port

# petra's password needs UTF-8 and holds a colon; paul's is plain.
USERS = {"petra": "p:ä ss-€", "paul": "pw-paul"}

# A host for our own questions to the proxy.
_UNLOGGED = "unlogged.invalid"

_CONF = """\
http_port 127.0.0.1:{port}
pid_filename {folder}/squid.pid
logformat test %>p\t%[un\t%rm\t%ru\t%>Hs
# A connection that never asked for anything, such as the test whether it listens, is no access.
acl asked has request
acl unlogged dstdomain {unlogged}
access_log stdio:{folder}/access.log logformat=test asked !unlogged
cache_log {folder}/cache.log
cache deny all
coredump_dir {folder}
{step_down}
auth_param basic program {checker} {folder}/passwords
auth_param basic children 2 startup=1
auth_param basic utf8 on
auth_param basic realm gatepass-proxy
acl known proxy_auth REQUIRED
http_access allow known
http_access deny all
pinger_enable off
netdb_filename none
shutdown_lifetime 0 seconds
visible_hostname localhost
"""


@dataclass(frozen=True)
class ProxyAccess:
    """One line of the proxy's log."""

    remote_port: int
    user: str
    method: str
    target: str
    status: int


@dataclass(frozen=True)
class Squid(AccessLog[ProxyAccess]):
    """A running proxy."""

    port: int

    @property
    def url(self) -> str:
        """The proxy's address, without a name and a password."""
        return f"http://127.0.0.1:{self.port}"

    def url_for(self, user: str) -> str:
        """Return the proxy's URL with that user's name and password in it."""
        return self.url.replace("//", f"//{user}:{quote(USERS[user], safe='')}@")

    def _settle(self) -> None:
        # One thread does everything in turn: when it answers this, the past is in the log.
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with closing(connection):
            connection.request("GET", f"http://{_UNLOGGED}/", headers={"Connection": "close"})
            connection.getresponse().read()

    def _parsed(self, line: bytes) -> ProxyAccess:
        port, user, method, target, status = line.decode().split("\t")
        return ProxyAccess(int(port), "" if user == "-" else user, method, target, int(status))


@contextmanager
def squid(folder: Path) -> Iterator[Squid]:
    """Run a proxy; its files lie in `folder`."""
    server = need_program("squid", "squid")
    checker = need_file("/usr/lib/squid/basic_ncsa_auth", "squid")
    port = free_port()
    folder.mkdir()
    (folder / "passwords").write_text(
        "".join(f"{user}:{_digest(password)}\n" for user, password in USERS.items()),
        encoding="utf-8",
    )
    step_down = ""
    if is_root():
        step_down = "cache_effective_user proxy"
        shutil.chown(folder, "proxy")
    conf = folder / "squid.conf"
    text = _CONF.format(
        port=port, folder=folder, checker=checker, step_down=step_down, unlogged=_UNLOGGED
    )
    conf.write_text(text, encoding="utf-8")
    # The service name keeps shared memory apart from another squid's on this machine.
    argv = [server, "-N", "-n", f"gatepass{os.getpid()}", "-f", str(conf)]
    environ = clean_environ(folder)
    # It takes two seconds to stop; killed, it would leave shared memory behind.
    with running(argv, environ=environ, log=folder / "output.log", ready=lambda: accepts(port)):
        yield Squid(folder / "access.log", port)


def _digest(password: str) -> str:
    # The oldest form that the checker reads; it needs no further program.
    return hashlib.md5(password.encode(), usedforsecurity=False).hexdigest()
