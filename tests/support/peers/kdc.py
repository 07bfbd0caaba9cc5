"""An MIT Kerberos realm: a KDC on loopback, its users, keytabs and ticket caches."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path

from tests.support.peers.daemon import running
from tests.support.peers.environ import clean_environ
from tests.support.peers.need import need_program
from tests.support.peers.waiting import accepts, free_port, wait_for

REALM = "CORP.TEST"
USERS = {"alice": "pw-alice", "bob": "pw-bob"}
SERVICE = "HTTP/localhost"
# Accounts whose keytabs do not log on, and what has become of each since the keytab was made.
UNUSABLE = {
    "svc-old": "cpw -randkey svc-old",
    "svc-gone": "delprinc -force svc-gone",
    "svc-ended": "modprinc -expire 2020-01-01 svc-ended",
    "svc-password": "modprinc -pwexpire 2020-01-01 svc-password",
    "svc-locked": "modprinc -allow_tix svc-locked",
}
# Seconds. By default a ticket that has run out is still taken for five minutes.
CLOCK_SKEW = 1

_KRB5_CONF = """\
[libdefaults]
 default_realm = {realm}
 dns_lookup_kdc = false
 dns_lookup_realm = false
 dns_canonicalize_hostname = false
 rdns = false
 udp_preference_limit = 1
 forwardable = true
 clockskew = {clock_skew}
[realms]
 {realm} = {{
  kdc = 127.0.0.1:{port}
 }}
[domain_realm]
 localhost = {realm}
"""
_KDC_CONF = """\
[kdcdefaults]
 kdc_listen = 127.0.0.1:{port}
 kdc_tcp_listen = 127.0.0.1:{port}
[realms]
 {realm} = {{
  database_name = {folder}/principal
  key_stash_file = {folder}/stash
  max_life = 10h
  max_renewable_life = 7d
  supported_enctypes = aes256-cts-hmac-sha1-96:normal aes128-cts-hmac-sha1-96:normal
 }}
[logging]
 kdc = FILE:{folder}/kdc.log
"""


@dataclass(frozen=True)
class RealmFiles:
    """Where the realm's files lie; the paths are known before the KDC has started."""

    folder: Path

    @property
    def krb5_conf(self) -> Path:
        """The configuration for every program of the realm."""
        return self.folder / "krb5.conf"

    @property
    def service_keytab(self) -> Path:
        """The web server's key."""
        return self.folder / "http.keytab"

    @property
    def client_keytab(self) -> Path:
        """The key of alice, for scheduled tasks."""
        return self.folder / "alice.keytab"

    @property
    def service_account_keytab(self) -> Path:
        """The key of svc-mi, an account of jobs; nobody knows a password of it."""
        return self.folder / "svc-mi.keytab"

    @property
    def outdated_keytab(self) -> Path:
        """A key of svc-old, whose password has changed since."""
        return self.keytab("svc-old")

    def keytab(self, account: str) -> Path:
        """The keytab of one of ``UNUSABLE``."""
        return self.folder / f"{account}.keytab"


@dataclass(frozen=True)
class Kdc:
    """A running realm."""

    files: RealmFiles
    port: int
    _numbers: Iterator[int]

    def environ(self, ccache: Path | None = None) -> dict[str, str]:
        """Return the variables that lead a program to this realm, and to a ticket cache.

        Without a cache they point to one that does not exist: nobody is logged on.
        """
        cache = ccache or self.files.folder / "nobody.ccache"
        return {"KRB5_CONFIG": str(self.files.krb5_conf), "KRB5CCNAME": f"FILE:{cache}"}

    def ccache(self, user: str = "alice", *, lifetime: str = "1h") -> Path:
        """Log a user on with the password; return the new ticket cache."""
        target = self.files.folder / f"{user}-{next(self._numbers)}.ccache"
        self._run(target, "kinit", "-l", lifetime, user, stdin=USERS[user] + "\n")
        return target

    @cached_property
    def expired_ccache(self) -> Path:
        """A cache with a ticket of alice's that has run out, beyond the tolerance of clocks."""
        target, refused = self._expiring
        wait_for(lambda: time.time() > refused, 10, "the ticket runs out")
        return target

    @cached_property
    def _expiring(self) -> tuple[Path, float]:
        """A ticket that is soon refused, and when: made early, it has run out when it is needed."""
        lifetime = 1
        return self.ccache(lifetime=f"{lifetime}s"), time.time() + lifetime + CLOCK_SKEW + 1

    def _run(self, ccache: Path, program: str, *arguments: str, stdin: str = "") -> None:
        argv = [need_program(program, "krb5-user"), *arguments]
        _run(argv, clean_environ(self.files.folder, **self.environ(ccache)), stdin)


@contextmanager
def kdc(folder: Path) -> Iterator[Kdc]:
    """Create the realm in `folder` and serve it."""
    server = need_program("krb5kdc", "krb5-kdc")
    files, port = RealmFiles(folder), free_port()
    values = {"realm": REALM, "port": port, "folder": folder, "clock_skew": CLOCK_SKEW}
    folder.mkdir(exist_ok=True)
    files.krb5_conf.write_text(_KRB5_CONF.format(**values), encoding="utf-8")
    (folder / "kdc.conf").write_text(_KDC_CONF.format(**values), encoding="utf-8")
    environ = clean_environ(
        folder, KRB5_CONFIG=str(files.krb5_conf), KRB5_KDC_PROFILE=str(folder / "kdc.conf")
    )
    _fill(files, environ)
    log = folder / "output.log"
    argv = [server, "-n", "-r", REALM]
    with running(argv, environ=environ, log=log, ready=lambda: accepts(port)):
        realm = Kdc(files, port, count())
        _ = realm._expiring
        yield realm


def _fill(files: RealmFiles, environ: dict[str, str]) -> None:
    """Create the database, the users, the service and the keytabs."""
    create = [need_program("kdb5_util", "krb5-kdc"), "create", "-s", "-r", REALM, "-P", "master"]
    _run(create, environ)
    commands = [
        *(f"addprinc -pw {password} {user}" for user, password in USERS.items()),
        f"addprinc -randkey {SERVICE}",
        f"ktadd -k {files.service_keytab} {SERVICE}",
        f"ktadd -norandkey -k {files.client_keytab} alice",
        "addprinc -randkey svc-mi",
        f"ktadd -k {files.service_account_keytab} svc-mi",
    ]
    for account, change in UNUSABLE.items():
        keytab = f"ktadd -k {files.keytab(account)} {account}"
        commands += [f"addprinc -randkey {account}", keytab, change]
    admin = need_program("kadmin.local", "krb5-admin-server")
    _run([admin, "-r", REALM], environ, "\n".join(commands) + "\n")
    # As root, Apache's children read it as another user; it is a secret of this test only.
    files.service_keytab.chmod(0o644)


def _run(argv: list[str], environ: dict[str, str], stdin: str = "") -> None:
    subprocess.run(
        argv, env=environ, input=stdin, text=True, check=True, capture_output=True, timeout=30
    )
