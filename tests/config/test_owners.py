"""A project file that belongs to another user is not read, and blocks nothing."""

import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gatepass._config import trust
from gatepass._config.files import UnreadFile
from gatepass._config.trust import TrustStore
from gatepass.errors import GatepassWarning, ProfileNotFound, UnsafePermissions, UntrustedFile
from tests.support.config_files import OPEN, ConfigFiles, Write, one

pytestmark = pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() != 0, reason="needs root, to give files away"
)

STRANGER = 4711
OTHER = 4712
EVIL = 'default_profile = "prod"\n' + one(OPEN.replace("a.test", "evil.test"), name="prod")
MINE, THEIRS = "https://a.test/", "https://evil.test/"


@pytest.fixture
def project(config: ConfigFiles) -> Path:
    """A project file of another user that defines a profile of the user's, and the default."""
    config.user(one(OPEN, name="prod"))
    return _given(config.in_project(EVIL, trusted=False))


def _given(path: Path, owner: int = STRANGER) -> Path:
    if sys.platform == "win32":
        pytest.skip("needs POSIX")
    os.chown(path, owner, owner, follow_symlinks=False)
    return path


def _load(config: ConfigFiles, name: str | None = None, **more: Any) -> tuple[str, str]:
    """Load a profile; return its url, and the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", GatepassWarning)
        profile = config.load(name, **more)
    return profile.url, "\n".join(str(each.message) for each in caught)


def test_a_file_of_another_user_hinders_no_profile_and_no_default(
    config: ConfigFiles, project: Path
) -> None:
    told = (
        f"{project} belongs to another user, number {STRANGER}, so it was skipped; "
        f"if you know it: gatepass trust {project}"
    )

    for name in ("prod", None):
        assert _load(config, name) == (MINE, told)


def test_the_owner_is_called_by_name_where_he_has_one(config: ConfigFiles, project: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("needs POSIX")
    import pwd

    _given(project, pwd.getpwnam("nobody").pw_uid)

    assert "belongs to another user, nobody," in _load(config)[1]


def test_an_unknown_profile_and_a_missing_default_name_the_file_again(
    config: ConfigFiles, project: Path
) -> None:
    with pytest.raises(ProfileNotFound) as unknown:
        _load(config, "other")
    config.locations.user.unlink()
    with pytest.raises(ProfileNotFound) as no_default:
        _load(config)

    for caught in (unknown, no_default):
        assert f"{project} belongs to another user" in caught.value.hint
        assert f"gatepass trust {project}" in caught.value.hint


_KINDS: dict[str, Callable[[Path, Path], object]] = {
    "malformed": lambda path, _: path.write_text("["),
    "fifo": lambda path, _: os.mkfifo(path),
    "folder": lambda path, _: path.mkdir(),
    "zero": lambda path, _: path.symlink_to("/dev/zero"),
    "a link of his to a file of the user": lambda path, user: path.symlink_to(user),
}


@pytest.mark.parametrize("make", _KINDS.values(), ids=_KINDS)
def test_whatever_another_user_puts_there_hinders_nobody(
    make: Callable[[Path, Path], object], config: ConfigFiles, project: Path
) -> None:
    project.unlink()
    make(project, config.locations.user)
    _given(project)

    url, warned = _load(config)

    assert url == MINE
    assert warned.startswith(f"{project} belongs to another user")


def test_a_link_of_ones_own_to_a_file_of_another_is_judged_by_what_is_read(
    config: ConfigFiles, project: Path
) -> None:
    project.rename(elsewhere := project.with_name("theirs.toml"))
    project.symlink_to(elsewhere)

    assert f"{project} belongs to another user" in _load(config)[1]


@pytest.mark.parametrize("name", ["gatepass.local.toml", "sub/gatepass.toml"])
def test_a_file_of_another_user_beside_or_below_leaves_the_project_as_it_is(
    config: ConfigFiles, project: Path, name: str
) -> None:
    """The search goes on above it."""
    config.trust(_given(project, 0))
    path = _given(config.write(project.parent / name, EVIL.replace("evil", "worse")))

    url, warned = _load(config, locations=replace(config.locations, working=path.parent))

    assert url == THEIRS
    assert warned.startswith(f"{path} belongs to another user")


def test_trust_admits_the_owner_also_after_a_change(config: ConfigFiles, project: Path) -> None:
    """Then the file is one's project: its change stops the run as any other does."""
    config.trust(project)
    assert _load(config) == (THEIRS, "")

    config.write(project, EVIL.replace("evil", "worse"))

    with pytest.raises(UntrustedFile):
        _load(config)


@pytest.mark.parametrize("linked", [False, True])
def test_another_owner_than_the_one_admitted_is_not_read(
    config: ConfigFiles, project: Path, linked: bool
) -> None:
    """Of the file, and of a link to it."""
    if linked:
        project.rename(elsewhere := project.with_name("theirs.toml"))
        project.symlink_to(elsewhere)
        _given(project, OTHER)
    config.trust(project)
    assert _load(config)[0] == THEIRS

    _given(project, OTHER + 1)

    url, warned = _load(config)
    assert url == MINE
    assert f"number {OTHER + 1}" in warned


@pytest.mark.usefixtures("project")
def test_root_reads_the_files_of_whoever_became_root_by_sudo(config: ConfigFiles) -> None:
    with pytest.raises(UntrustedFile):
        _load(config, environ={"SUDO_UID": str(STRANGER)})

    for number in (str(OTHER), "", "x", "-1", "٤٧١١", "9" * 5_000):
        assert _load(config, environ={"SUDO_UID": number})[0] == MINE


_AS_OTHER = f"""
import os, sys
from pathlib import Path
from gatepass._config.files import UnreadFile
from gatepass._config import trust
folder = Path(sys.argv[1])
store = trust.TrustStore(folder / "state")
trust.read_project_file(folder / "foreign", store)  # imports what only root may read
os.setgroups([])
os.setgid({OTHER})
os.setuid({OTHER})
for name in ("own", "root", "foreign", "closed", "link"):
    found = trust.read_project_file(folder / name, store, sudo_uid="{STRANGER}")
    print(name, "unread" if isinstance(found, UnreadFile) else "read")
"""


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder such as /tmp: everybody may write to it."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))  # that of pytest is closed to others
    folder.chmod(0o1777)
    yield folder
    shutil.rmtree(folder)


def test_who_is_not_root_reads_his_own_files_and_those_of_root(shared: Path, write: Write) -> None:
    """Nor does SUDO_UID count for him: anybody can set it."""
    _given(write(shared / "own", EVIL), OTHER)
    write(shared / "root", EVIL)
    _given(write(shared / "foreign", EVIL))
    _given(write(shared / "closed", EVIL)).chmod(0o600)
    (shared / "link").symlink_to(shared / "own")
    _given(shared / "link")

    done = subprocess.run(
        [sys.executable, "-c", _AS_OTHER, str(shared)], capture_output=True, text=True, check=True
    )

    read, unread = ("own", "root"), ("foreign", "closed", "link")
    said = [f"{name} read" for name in read] + [f"{name} unread" for name in unread]
    assert done.stdout.splitlines() == said


def test_the_file_is_seen_as_skipped_with_the_reason(config: ConfigFiles, project: Path) -> None:
    layers = config.layers()

    (seen,) = (file for file in layers.files if file.path == project)
    assert (seen.state, seen.why) == ("skipped", f"belongs to another user, number {STRANGER}")
    assert [each.owner for each in layers.unread] == [f"number {STRANGER}"]


def test_no_byte_of_it_is_read(config: ConfigFiles, project: Path) -> None:
    """The time of the last access stays, also where each reading would move it."""
    os.utime(project, (1, 1))
    found = trust.read_project_file(project, TrustStore(config.locations.state))

    assert isinstance(found, UnreadFile)
    assert project.stat().st_atime == 1


def test_a_folder_of_trust_that_belongs_to_another_user_is_not_believed(
    config: ConfigFiles,
) -> None:
    config.in_project(EVIL)
    _given(config.locations.state / "trust")

    with pytest.raises(UnsafePermissions, match="trust: belongs to another user"):
        _load(config)
