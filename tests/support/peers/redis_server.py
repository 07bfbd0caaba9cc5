"""A redis of our own: durable, on loopback or wherever it is told, stopped and started at will."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.peers.ca import Certificate, CertificateAuthority
from tests.support.peers.daemon import running
from tests.support.peers.environ import clean_environ
from tests.support.peers.need import need_file
from tests.support.peers.waiting import accepts, free_port

PASSWORD = "redis-pw-ß-canary"

_CONF = """\
bind {bind}
dir {folder}
daemonize no
save ""
appendonly yes
appendfsync always
databases 4
{ports}
{more}
"""


@dataclass(frozen=True)
class Redis:
    """A running redis.

    Attributes:
        folder: its files.
        port: of plain TCP, or of TLS where it has a certificate.
        tls: whether it speaks TLS.
    """

    folder: Path
    port: int
    tls: bool
    _run: Callable[[ExitStack], None]
    _stack: ExitStack = field(default_factory=ExitStack)

    @property
    def url(self) -> str:
        """Its address for the setting `vault`."""
        return f"redis{'s' * self.tls}://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it (again), with what its disk holds."""
        self._run(self._stack)

    def stop(self) -> None:
        """Stop it; the port refuses from here on."""
        self._stack.close()

    def client(self, **keys: Any) -> Any:
        """Return a client that looks past gatepass."""
        redis = pytest.importorskip("redis")
        return redis.Redis("127.0.0.1", self.port, **keys)

    def everything(self, **keys: Any) -> bytes:
        """Return all that it holds and all that it has written, names and values."""
        client = self.client(**keys)
        shown = b"".join(b"%s\0%s\0" % (key, client.dump(key)) for key in client.scan_iter())
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        return shown + b"".join(path.read_bytes() for path in files if path.suffix != ".conf")


def _ready(log: Path, done: bytes) -> int:
    """Count how often a redis has said that it is ready."""
    return log.read_bytes().count(done) if log.exists() else 0


@contextmanager
def redis_server(
    folder: Path,
    *,
    certificate: Certificate | None = None,
    ca: CertificateAuthority | None = None,
    host: str = "127.0.0.1",
    settings: Sequence[str] = (),
    sentinel: bool = False,
) -> Iterator[Redis]:
    """Run a redis with files of its own.

    Args:
        folder: for its files; made here.
        certificate: speak TLS with this one, and only TLS.
        ca: ask clients for a certificate of this authority.
        host: where it listens beside 127.0.0.1.
        settings: further lines of redis.conf.
        sentinel: run a Sentinel, which has no data of its own.
    """
    pytest.importorskip("redis", reason="the package redis is not installed (extra: redis)")
    # Debian's package of the server starts a service; that of the tools has the same program,
    # under the name of a tool. It looks at its name to know what to be.
    program = need_file("/usr/bin/redis-check-rdb", "redis-tools")
    folder.mkdir(parents=True)
    name = folder / ("redis-sentinel" if sentinel else "redis-server")
    name.symlink_to(program)
    port = free_port()
    ports = [f"port {port}"]
    if certificate is not None:
        ports = ["port 0", f"tls-port {port}"]
        ports += [f"tls-cert-file {certificate.chain}", f"tls-key-file {certificate.key}"]
        ports += [f"tls-ca-cert-file {ca.ca_file}"] if ca else ["tls-auth-clients no"]
    conf = folder / "redis.conf"
    bind = " ".join(dict.fromkeys(("127.0.0.1", host)))
    conf.write_text(
        _CONF.format(bind=bind, folder=folder, ports="\n".join(ports), more="\n".join(settings)),
        encoding="utf-8",
    )

    if sentinel:
        conf.write_text("\n".join((f"bind {bind}", f"dir {folder}", *ports, *settings)))
    done = b"Sentinel ID" if sentinel else b"Ready to accept connections"

    def run(stack: ExitStack) -> None:
        environ = clean_environ(folder)
        log = folder / "output.log"
        runs = _ready(log, done)
        # It listens before it has read its data, and then refuses what it is asked.
        stack.enter_context(
            running(
                [str(name), str(conf)],
                environ=environ,
                log=log,
                ready=lambda: _ready(log, done) > runs and accepts(port),
            )
        )

    server = Redis(folder, port, certificate is not None, run)
    try:
        server.start()
        yield server
    finally:
        server.stop()
