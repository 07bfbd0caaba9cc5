"""Findings about a vault: do its locks hold and its writes last, as far as one host can tell?"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from gatepass._system.findings import Finding
from gatepass._vault.file_store import FileStore
from gatepass._vault.redis_store import RedisStore
from gatepass._vault.store import Store
from gatepass.errors import VaultError

_VAULT: Final = "vault"
_SECONDS: Final = 30.0
_LOCAL: Final = frozenset(
    "apfs bcachefs btrfs erofs exfat ext2 ext3 ext4 f2fs hfs jfs msdos nilfs2 ntfs ntfs3 overlay "
    "ramfs reiserfs tmpfs ufs vfat xfs zfs".split()
)
_NETWORK: Final = frozenset(
    "9p afs beegfs ceph cifs coda fuse.glusterfs fuse.sshfs gfs2 glusterfs gpfs lustre ncpfs nfs "
    "nfs4 ocfs2 orangefs panfs pvfs2 smb2 smb3 smbfs vboxsf virtiofs".split()
)
_ELSEWHERE: Final = (
    "let one host alone use this folder, or keep the vault of many hosts in a redis:\n"
    '    vault = "rediss://HOST:PORT/DB"'
)


def diagnose(store: Store, *, kind_of: Callable[[Path], str | None] | None = None) -> list[Finding]:
    """Examine a store. Touches its disk or network, leaves nothing behind and reads no token.

    Args:
        store: the store.
        kind_of: returns the kind of file system of a folder; asks the system when not given.
    """
    if isinstance(store, RedisStore):
        return list(_diagnose_redis(store))
    if isinstance(store, FileStore):
        return list(_diagnose_files(store.folder, kind_of or file_system))
    return []


# ---------------------------------------------------------------- redis


def _diagnose_redis(store: RedisStore) -> Iterator[Finding]:
    try:
        store.count()
        persistence, replication, memory = (
            _ask(store, lambda redis, part=part: redis.info(part))
            for part in ("persistence", "replication", "memory")
        )
    except VaultError as error:
        yield Finding("problem", _VAULT, error.message, error.hint)
        return
    yield from _check_persistence(store, persistence)
    if (replication or {}).get("role") == "slave":
        yield Finding(
            "problem",
            _VAULT,
            f"{store.shown} is a replica: it takes no writes, and may lag behind",
            "name the primary in the setting vault",
        )
    yield _check_eviction(store, memory)


def _ask(store: RedisStore, command: Any) -> Any:
    """Return an answer; None where this user may not send that command."""
    try:
        return store.execute(command)
    except VaultError:
        store.count()  # raises when redis does not answer at all
        return None


def _check_persistence(store: RedisStore, persistence: dict[str, Any] | None) -> Iterator[Finding]:
    """Say whether redis answers a write only when it is on the disk."""
    if persistence is not None and persistence.get("aof_last_write_status", "ok") != "ok":
        yield Finding(
            "problem", _VAULT, f"{store.shown} cannot write to its disk", "look at redis' own log"
        )
    settings = _ask(store, lambda redis: redis.config_get("append*"))
    if not settings and (persistence is None or persistence.get("aof_enabled") == 1):
        yield Finding(
            "warning",
            _VAULT,
            f"whether {store.shown} writes each change to its disk cannot be told: it does not "
            "let this user look at its settings",
            "ask the person who runs it. A login is lost with the last writes where redis.conf "
            "has no:\n    appendonly yes\n    appendfsync always",
        )
        return
    settings = settings or {"appendonly": "no"}
    if (settings.get("appendonly"), settings.get("appendfsync")) == ("yes", "always"):
        yield Finding("ok", _VAULT, f"{store.shown} writes each change to its disk at once")
        return
    yield Finding(
        "problem",
        _VAULT,
        f"{store.shown} may lose its last writes when it stops, and a lost token is a lost login",
        "set in redis.conf:\n    appendonly yes\n    appendfsync always",
    )


def _check_eviction(store: RedisStore, memory: dict[str, Any] | None) -> Finding:
    """Say whether redis removes keys when it is full; locks, which expire, go first."""
    if memory is None or "maxmemory_policy" not in memory:
        return Finding(
            "warning",
            _VAULT,
            f"whether {store.shown} throws records away when it is full cannot be told",
            "set in redis.conf:\n    maxmemory-policy noeviction",
        )
    if memory["maxmemory_policy"] == "noeviction" or not memory.get("maxmemory"):
        return Finding("ok", _VAULT, f"{store.shown} throws nothing away when it is full")
    return Finding(
        "problem",
        _VAULT,
        f"{store.shown} throws locks and records away when it is full",
        "set in redis.conf:\n    maxmemory-policy noeviction",
    )


# ---------------------------------------------------------------- files


def _diagnose_files(folder: Path, kind_of: Callable[[Path], str | None]) -> Iterator[Finding]:
    place = next((each for each in (folder, *folder.parents) if each.is_dir()), folder)
    try:
        holds = _locks_exclude(place)
    except (OSError, subprocess.SubprocessError, VaultError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        yield Finding(
            "problem",
            _VAULT,
            f"no file can be locked in {place}: {why}",
            "the folder of the vault must be writable, and on a file system with locks",
        )
        return
    kind = kind_of(place)
    if not holds:
        yield Finding(
            "problem",
            _VAULT,
            f"locks do not hold in {place} ({kind or 'unknown file system'}): two processes had "
            "the same one",
            _ELSEWHERE,
        )
        return
    if kind in _LOCAL:
        yield Finding("ok", _VAULT, f"locks hold between processes in {place} ({kind})")
        return
    yield Finding("ok", _VAULT, f"locks hold between processes of this host in {place}")
    what = f"{kind} may be shared by" if kind else "the file system may be shared by"
    what = f"{kind} is shared by" if kind in _NETWORK else what
    yield Finding(
        "warning",
        _VAULT,
        f"{what} other hosts; whether locks hold between hosts cannot be told from here",
        _ELSEWHERE,
    )


_SECOND: Final = """
import sys
from filelock import FileLock, Timeout
for _ in range(2):
    try:
        with FileLock(sys.argv[1], fallback_to_soft=False, preserve_lock_file=True).acquire(0):
            print("free", flush=True)
    except Timeout:
        print("held", flush=True)
    sys.stdin.readline()
"""


def _locks_exclude(folder: Path) -> bool:
    """Say whether a lock in a folder excludes a second process, and lets it in afterwards."""
    import tempfile

    from filelock import FileLock

    descriptor, name = tempfile.mkstemp(dir=folder, prefix=".gatepass-check-", suffix=".lock")
    path = Path(name)
    try:
        with open(descriptor, closefd=True):  # noqa: PTH123 - only to close it
            pass
        lock = FileLock(path, fallback_to_soft=False, preserve_lock_file=True)
        # -P: nothing is imported from the working directory.
        argv = [sys.executable, "-P", "-c", _SECOND, name]
        with subprocess.Popen(  # noqa: S603 - our own program
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as second:
            try:
                with lock.acquire(timeout=_SECONDS):
                    first = second.stdout.readline() if second.stdout else ""
                then, _ = second.communicate("\n\n", timeout=_SECONDS)
            finally:
                second.kill()
        return (first.strip(), then.strip()) == ("held", "free")
    finally:
        path.unlink(missing_ok=True)


def file_system(folder: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str | None:
    """Return the kind of file system that a folder lies on; None where that cannot be told.

    Args:
        folder: the folder.
        mounts: Linux' list of what is mounted (proc_pid_mountinfo(5)).
    """
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        real = folder.resolve()
    except OSError:
        return None
    found: tuple[int, str] | None = None
    for line in lines:
        before, _, after = line.partition(" - ")
        fields, kinds = before.split(" "), after.split(" ")
        if len(fields) < 5 or not kinds[0]:  # noqa: PLR2004 - the mount point is the fifth
            continue
        point = Path(_unescaped(fields[4]))
        if real.is_relative_to(point) and (found is None or len(point.parts) >= found[0]):
            found = len(point.parts), kinds[0]  # of several mounts at one place the last is visible
    return found[1] if found else None


def _unescaped(text: str) -> str:
    """Undo the kernel's octal escapes of space, tab, line end and backslash."""
    import re

    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
