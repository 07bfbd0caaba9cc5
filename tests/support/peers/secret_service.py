"""gnome-keyring under a private D-Bus, in the states in which scripts meet it.

Each state is an environment for subprocesses; they share one bus and one keyring while the
block lasts. The bus can start nothing by itself: a missing daemon stays missing.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.peers.daemon import running
from tests.support.peers.environ import clean_environ
from tests.support.peers.need import need_program

PASSWORD = b"login password"

_BUS_CONF = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
 <type>session</type>
 <keep_umask/>
 <listen>unix:path={socket}</listen>
 <auth>EXTERNAL</auth>
 <policy context="default">
  <allow send_destination="*" eavesdrop="true"/>
  <allow eavesdrop="true"/>
  <allow own="*"/>
 </policy>
</busconfig>
"""


def no_dbus(folder: Path) -> dict[str, str]:
    """Return the environment of a server or a cron job: no session bus."""
    return clean_environ(folder)


@contextmanager
def absent(folder: Path) -> Iterator[dict[str, str]]:
    """A session bus on which nobody keeps secrets."""
    bus, log = need_program("dbus-daemon", "dbus-daemon"), folder / "bus.log"
    environ = clean_environ(folder)
    socket, conf = Path(environ["XDG_RUNTIME_DIR"], "bus"), folder / "bus.conf"
    conf.write_text(_BUS_CONF.format(socket=socket), encoding="utf-8")
    argv = [bus, "--nofork", "--nopidfile", f"--config-file={conf}"]
    environ["DBUS_SESSION_BUS_ADDRESS"] = f"unix:path={socket}"
    with running(argv, environ=environ, log=log, ready=socket.exists):
        yield environ


@contextmanager
def unlocked(folder: Path) -> Iterator[dict[str, str]]:
    """A desktop after the login: a keyring that answers."""
    with absent(folder) as environ, _keyring(folder, environ, password=PASSWORD):
        yield environ


@contextmanager
def locked(folder: Path) -> Iterator[dict[str, str]]:
    """A keyring that exists and is locked, with no display on which to ask for its password."""
    with absent(folder) as environ:
        with _keyring(folder, environ, password=PASSWORD):
            pass  # its first start makes the login collection
        with _keyring(folder, environ):
            yield environ


@contextmanager
def _keyring(folder: Path, environ: dict[str, str], *, password: bytes = b"") -> Iterator[None]:
    argv = [need_program("gnome-keyring-daemon", "gnome-keyring"), "--foreground"]
    argv += ["--components=secrets"] + ["--unlock"] * bool(password)
    dbus_send = need_program("dbus-send", "dbus-bin")
    log = folder / "keyring.log"
    with running(
        argv,
        environ=environ,
        log=log,
        stdin=password,
        ready=lambda: _is_on_bus(dbus_send, environ),
    ):
        yield


def _is_on_bus(dbus_send: str, environ: dict[str, str]) -> bool:
    """Tell whether the daemon has published its collections."""
    path = "/org/freedesktop/secrets"
    argv = [dbus_send, "--session", "--print-reply", "--dest=org.freedesktop.secrets", path]
    argv += ["org.freedesktop.DBus.Properties.Get"]
    argv += ["string:org.freedesktop.Secret.Service", "string:Collections"]
    reply = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False)
    return "/collection/login" in reply.stdout
