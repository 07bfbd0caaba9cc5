"""Two network namespaces that stand for two hosts, and this process for a third.

Each has its own interfaces, its own loopback, its own ``/etc/hosts`` and its own name. Between them
lies a bridge, whose address in this namespace is the third host's.
"""

import asyncio
import ctypes
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import pytest

from tests.support.peers.environ import is_root
from tests.support.peers.need import need_program

_NEW_NETWORK = 0x40000000  # CLONE_NEWNET
_SET_NAME = (
    "import os, socket, sys; socket.sethostname(sys.argv[1]); os.execvp(sys.argv[2], sys.argv[2:])"
)


@dataclass(frozen=True)
class Host:
    """One namespace.

    Attributes:
        name: its host name.
        namespace: its name for `ip netns`.
        address: its address on the bridge.
    """

    name: str
    namespace: str
    address: str

    def command(self, argv: Sequence[str]) -> list[str]:
        """Return the command that runs a program on this host."""
        inside = ["unshare", "--uts", sys.executable, "-c", _SET_NAME, self.name, *argv]
        return ["ip", "netns", "exec", self.namespace, *inside]

    def listen(self, port: int) -> socket.socket:
        """Return a socket that listens on this host's loopback, at that port."""
        found: list[socket.socket] = []
        # The namespace is a thread's own: a thread enters it, leaves a socket there, and ends.
        thread = Thread(target=lambda: found.append(self._listen(port)))
        thread.start()
        thread.join()
        return found[0]

    def _listen(self, port: int) -> socket.socket:
        libc = ctypes.CDLL(None, use_errno=True)
        with Path("/run/netns", self.namespace).open("rb") as namespace:
            if libc.setns(namespace.fileno(), _NEW_NETWORK):
                raise OSError(ctypes.get_errno(), "cannot enter the namespace")
        return socket.create_server(("127.0.0.1", port))


@dataclass(frozen=True)
class Hosts:
    """Both hosts.

    Attributes:
        both: the hosts.
        address: this process' address, as they see it.
    """

    both: tuple[Host, Host]
    address: str


def need_namespaces() -> None:
    """Skip where no namespace can be made: that takes root, and a kernel that lets it."""
    need_program("ip", "iproute2")
    need_program("unshare", "util-linux")
    if sys.platform != "linux" or not is_root():
        pytest.skip("two hosts need root on Linux: they are network namespaces")
    tried = subprocess.run(["unshare", "--net", "--uts", "true"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip("this kernel or container lets nobody make a network namespace")


@contextmanager
def two_hosts(*, names: Sequence[str] = ()) -> Iterator[Hosts]:
    """Make two hosts and a bridge; all is gone at the end.

    Args:
        names: further names under which they know this process.
    """
    need_namespaces()
    mark = secrets.token_hex(3)
    net = f"10.{77 + secrets.randbelow(100)}.{secrets.randbelow(250)}"
    bridge, address = f"gpb{mark}", f"{net}.1"
    hosts = tuple(Host(f"host{n}", f"gp{mark}h{n}", f"{net}.{10 + n}") for n in (1, 2))
    known = ["127.0.0.1 localhost", *(f"{host.address} {host.name}" for host in hosts)]
    known += [f"{address} {name}" for name in names]
    with ExitStack() as stack:
        _ip("link", "add", bridge, "type", "bridge")
        stack.callback(_ip, "link", "del", bridge)
        _ip("addr", "add", f"{address}/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        for number, host in enumerate(hosts):
            _ip("netns", "add", host.namespace)
            stack.callback(_ip, "netns", "del", host.namespace)
            own = Path("/etc/netns", host.namespace)
            own.mkdir(parents=True)
            stack.callback(shutil.rmtree, own)
            (own / "hosts").write_text("\n".join(known) + "\n")
            port = f"gpv{mark}{number}"
            _ip(
                "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", host.namespace
            )
            _ip("link", "set", port, "master", bridge, "up")
            _ip("-n", host.namespace, "addr", "add", f"{host.address}/24", "dev", "eth0")
            for device in ("eth0", "lo"):
                _ip("-n", host.namespace, "link", "set", device, "up")
        yield Hosts((hosts[0], hosts[1]), address)


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr}")


@contextmanager
def lent(host: Host, ports: Sequence[int]) -> Iterator[None]:
    """Let a host find servers of this process' loopback at the same ports of its own loopback."""
    listeners = [host.listen(port) for port in ports]
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever)
    thread.start()
    try:
        for port, listener in zip(ports, listeners, strict=True):
            asyncio.run_coroutine_threadsafe(_serve(listener, port), loop).result(10)
        yield
    finally:
        asyncio.run_coroutine_threadsafe(_cancel_all(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        for listener in listeners:
            listener.close()


async def _serve(listener: socket.socket, port: int) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_pump(reader, forth), _pump(back, writer))

    await asyncio.start_server(serve, sock=listener)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def _cancel_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
