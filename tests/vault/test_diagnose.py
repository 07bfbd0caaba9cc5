"""What an examination of the vault finds: locks that hold, and writes that are kept."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass._system.findings import Finding
from gatepass._vault.diagnose import diagnose, file_system
from gatepass._vault.file_store import FileStore
from gatepass._vault.redis_client import Server
from gatepass._vault.redis_store import RedisStore
from gatepass.secrets import Secret
from tests.support.peers.redis_server import Redis, redis_server
from tests.support.peers.waiting import free_port

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def found(findings: list[Finding], verdict: str) -> str:
    """Return what the findings of one weight say."""
    return "\n".join(f"{each.message}\n{each.hint}" for each in findings if each.verdict == verdict)


def at(redis: Redis, **server: object) -> RedisStore:
    return RedisStore(Server("127.0.0.1", redis.port, 0, **server))  # type: ignore[arg-type]


# ------------------------------------------------------------- redis


def test_a_durable_redis_is_fine(redis: Redis) -> None:
    findings = diagnose(at(redis))

    assert {each.verdict for each in findings} == {"ok"}
    assert len(findings) == 2


@pytest.mark.parametrize(
    ("setting", "value", "line"),
    [
        ("appendonly", "no", "    appendonly yes"),
        ("appendfsync", "everysec", "    appendfsync always"),
        ("maxmemory-policy", "allkeys-lru", "    maxmemory-policy noeviction"),
        ("maxmemory-policy", "volatile-ttl", "    maxmemory-policy noeviction"),
    ],
)
def test_a_redis_that_may_lose_a_login_earns_the_lines_to_set(
    own_redis: Redis, setting: str, value: str, line: str
) -> None:
    own_redis.client().config_set("maxmemory", "100mb")
    own_redis.client().config_set(setting, value)

    assert line in found(diagnose(at(own_redis)), "problem")


def test_a_replica_is_told(own_redis: Redis) -> None:
    own_redis.client().replicaof("127.0.0.1", free_port())

    assert "is a replica" in found(diagnose(at(own_redis)), "problem")


def test_a_redis_that_is_away_is_told_with_the_next_step(own_redis: Redis) -> None:
    own_redis.stop()

    assert "cannot be reached: Connection refused\nnothing was lost" in found(
        diagnose(at(own_redis)), "problem"
    )


@pytest.mark.parametrize(
    ("rights", "unknown"),
    [
        ("+hlen +info", ["writes each change"]),
        ("+hlen", ["writes each change", "throws records away"]),
    ],
)
def test_what_a_user_may_not_ask_is_not_known(
    tmp_path: Path, rights: str, unknown: list[str]
) -> None:
    settings = [f"user svc on >pw ~gatepass:* {rights}"]
    with redis_server(tmp_path / "redis", settings=settings) as redis:
        findings = diagnose(at(redis, credentials=lambda: ("svc", Secret("pw"))))

    text = found(findings, "warning")
    assert [words in text for words in unknown] == [True] * len(unknown)
    assert text.count("cannot be told") == len(unknown)
    assert found(findings, "problem") == ""


# ------------------------------------------------------------- files


def test_a_local_folder_is_proven_by_a_second_process_and_left_as_it_was(tmp_path: Path) -> None:
    findings = diagnose(FileStore(tmp_path))

    assert [each.verdict for each in findings] in (["ok"], ["ok", "warning"])
    assert "locks hold between processes" in findings[0].message
    assert list(tmp_path.iterdir()) == [tmp_path / "home"]


def test_a_folder_that_is_not_made_yet_is_judged_by_the_one_above(tmp_path: Path) -> None:
    diagnose(FileStore(tmp_path / "state" / "vault"))

    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("kind", "verdicts", "expected"),
    [
        ("ext4", ["ok"], "(ext4)"),
        ("nfs4", ["ok", "warning"], "nfs4 is shared by other hosts"),
        ("fuse.tomorrow", ["ok", "warning"], "fuse.tomorrow may be shared by other hosts"),
        (None, ["ok", "warning"], "the file system may be shared by other hosts"),
    ],
)
def test_what_holds_between_hosts_is_not_claimed_for_a_shared_file_system(
    tmp_path: Path, kind: str | None, verdicts: list[str], expected: str
) -> None:
    findings = diagnose(FileStore(tmp_path), kind_of=lambda _: kind)

    assert [each.verdict for each in findings] == verdicts
    assert expected in findings[-1].message
    assert ("rediss://HOST:PORT/DB" in findings[-1].hint) is (kind != "ext4")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
def test_a_folder_that_cannot_be_written_to_is_told(peers_folder: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("needs POSIX")
    folder = Path("/proc/self") if os.geteuid() == 0 else peers_folder
    if folder == peers_folder:
        folder.chmod(0o500)
    try:
        assert "no file can be locked in" in found(diagnose(FileStore(folder)), "problem")
    finally:
        peers_folder.chmod(0o755)


@linux_only
def test_the_kind_of_file_system_is_that_of_the_nearest_mount() -> None:
    assert file_system(Path("/proc/self")) == "proc"
    assert file_system(Path("/sys")) == "sysfs"
    assert file_system(Path("/"), Path("/nowhere")) is None


@linux_only
def test_odd_mount_points_are_understood(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    odd = tmp_path / "a b"
    odd.mkdir()
    point = str(odd).replace(" ", "\\040")
    table.write_text(
        "1 0 0:1 / / rw - ext4 /dev/a rw\n"
        f"2 1 0:2 / {point} rw shared:1 - nfs4 server:/x rw\n"
        "cut off\n"
    )

    assert file_system(odd / "vault", table) == "nfs4"
    assert file_system(tmp_path, table) == "ext4"


@given(st.binary())
def test_no_mount_table_makes_the_reader_raise(data: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        table = Path(name, "mountinfo")
        table.write_bytes(data)
        file_system(Path(name), table)
