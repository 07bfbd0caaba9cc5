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

import pytest

from gatepass._config import files, trust
from gatepass._config.files import UnreadFile
from gatepass._config.layer import Layers
from gatepass._config.layers import read_layers
from gatepass._config.load import load_profile
from gatepass._config.locations import Locations
from gatepass._config.profile import Profile
from gatepass._config.trust import TrustStore
from gatepass.errors import GatepassWarning, ProfileNotFound, UntrustedFile

Write = Callable[[Path, str | bytes], Path]

pytestmark = pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() != 0, reason="needs root, to give files away"
)

STRANGER = 4711
OTHER = 4712
PROD = """
[profiles.prod]
url = "https://mine.example.com/"
auth = { scheme = "anonymous" }
"""
EVIL = 'default_profile = "prod"\n' + PROD.replace("mine", "evil")


@pytest.fixture
def project(locations: Locations, write: Write) -> Path:
    """A project file of another user that defines a profile of the user's, and the default."""
    assert locations.working is not None
    write(locations.user, PROD)
    return _given(write(locations.working / "gatepass.toml", EVIL))


def _given(path: Path, owner: int = STRANGER) -> Path:
    if sys.platform == "win32":
        pytest.skip("needs POSIX")
    os.chown(path, owner, owner, follow_symlinks=False)
    return path


def _trusted(path: Path, locations: Locations) -> None:
    file = files.read_file(path)
    assert file is not None
    TrustStore(locations.state).add(file)


def _load(locations: Locations, name: str | None = None, **environ: str) -> tuple[Profile, str]:
    """Load a profile; return it with the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", GatepassWarning)
        profile = load_profile(name, environ=environ, locations=locations)
    return profile, "\n".join(str(each.message) for each in caught)


def _layers(locations: Locations) -> Layers:
    return read_layers(config_file=None, overrides=None, environ={}, locations=locations)


def test_a_file_of_another_user_hinders_no_profile_and_no_default(
    locations: Locations, project: Path
) -> None:
    for name in ("prod", None):
        profile, warned = _load(locations, name)
        assert profile.url == "https://mine.example.com/"
        assert warned == (
            f"{project} belongs to another user, number {STRANGER}, so it was skipped; "
            f"if you know it: gatepass trust {project}"
        )


def test_the_owner_is_called_by_name_where_he_has_one(locations: Locations, project: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("needs POSIX")
    import pwd

    user = pwd.getpwnam("nobody")
    _given(project, user.pw_uid)

    assert "belongs to another user, nobody," in _load(locations)[1]


def test_an_unknown_profile_and_a_missing_default_name_the_file_again(
    locations: Locations, project: Path
) -> None:
    with pytest.raises(ProfileNotFound) as unknown:
        _load(locations, "other")
    locations.user.unlink()
    with pytest.raises(ProfileNotFound) as no_default:
        _load(locations)

    for caught in (unknown, no_default):
        assert f"{project} belongs to another user" in caught.value.hint
        assert f"gatepass trust {project}" in caught.value.hint


@pytest.mark.parametrize("kind", ["malformed", "fifo", "folder", "zero", "secret"])
def test_whatever_another_user_puts_there_hinders_nobody(
    kind: str, locations: Locations, project: Path, write: Write
) -> None:
    if sys.platform == "win32":
        pytest.skip("needs POSIX")
    project.unlink()
    if kind == "malformed":
        write(project, "[")
    elif kind == "fifo":
        os.mkfifo(project)
    elif kind == "folder":
        project.mkdir()
    elif kind == "zero":
        project.symlink_to("/dev/zero")
    else:  # a link of his to a file of the user that is not his business
        project.symlink_to(locations.user)
    _given(project)

    profile, warned = _load(locations)

    assert profile.url == "https://mine.example.com/"
    assert warned.startswith(f"{project} belongs to another user")


def test_a_link_of_ones_own_to_a_file_of_another_is_judged_by_what_is_read(
    locations: Locations, project: Path
) -> None:
    project.rename(elsewhere := project.with_name("theirs.toml"))
    project.symlink_to(elsewhere)

    assert f"{project} belongs to another user" in _load(locations)[1]


def test_a_local_file_of_another_user_leaves_the_project_as_it_is(
    locations: Locations, project: Path, write: Write
) -> None:
    if sys.platform == "win32":
        pytest.skip("needs POSIX")
    os.chown(project, 0, 0)
    _trusted(project, locations)
    local = _given(write(project.with_name("gatepass.local.toml"), PROD.replace("mine", "worse")))

    profile, warned = _load(locations)

    assert profile.url == "https://evil.example.com/"
    assert warned.startswith(f"{local} belongs to another user")


def test_the_search_goes_on_above_a_file_of_another_user(
    locations: Locations, project: Path, write: Write
) -> None:
    if sys.platform == "win32":
        pytest.skip("needs POSIX")
    os.chown(project, 0, 0)
    _trusted(project, locations)
    _given(write(project.parent / "sub" / "gatepass.toml", EVIL.replace("evil", "worse")))

    profile, warned = _load(replace(locations, working=project.parent / "sub"))

    assert profile.url == "https://evil.example.com/"
    assert "sub/gatepass.toml belongs to another user" in warned


def test_trust_admits_the_owner_also_after_a_change(
    locations: Locations, project: Path, write: Write
) -> None:
    """Then the file is one's project: its change stops the run as any other does."""
    _trusted(project, locations)
    profile, warned = _load(locations)
    assert (profile.url, warned) == ("https://evil.example.com/", "")

    write(project, EVIL.replace("evil", "worse"))

    with pytest.raises(UntrustedFile):
        _load(locations)


def test_another_owner_than_the_one_admitted_is_not_read(
    locations: Locations, project: Path
) -> None:
    _trusted(project, locations)
    _given(project, OTHER)

    profile, warned = _load(locations)

    assert profile.url == "https://mine.example.com/"
    assert f"number {OTHER}" in warned


def test_a_link_is_trusted_with_its_owner(locations: Locations, project: Path) -> None:
    project.rename(elsewhere := project.with_name("theirs.toml"))
    project.symlink_to(elsewhere)
    _given(project, OTHER)
    _trusted(project, locations)
    assert _load(locations)[0].url == "https://evil.example.com/"

    _given(project, OTHER + 1)

    assert _load(locations)[0].url == "https://mine.example.com/"


@pytest.mark.usefixtures("project")
def test_root_reads_the_files_of_whoever_became_root_by_sudo(
    locations: Locations,
) -> None:
    with pytest.raises(UntrustedFile):
        _load(locations, SUDO_UID=str(STRANGER))

    for number in (str(OTHER), "", "x", "-1", "٤٧١١", "9" * 5_000):
        assert _load(locations, SUDO_UID=number)[0].url == "https://mine.example.com/"


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
    _given(write(shared / "own", PROD), OTHER)
    write(shared / "root", PROD)
    _given(write(shared / "foreign", PROD))
    _given(write(shared / "closed", PROD)).chmod(0o600)
    (shared / "link").symlink_to(shared / "own")
    _given(shared / "link")

    done = subprocess.run(
        [sys.executable, "-c", _AS_OTHER, str(shared)], capture_output=True, text=True, check=True
    )

    assert done.stdout.split("\n") == [
        "own read",
        "root read",
        "foreign unread",
        "closed unread",
        "link unread",
        "",
    ]


def test_the_file_is_seen_as_skipped_with_the_reason(locations: Locations, project: Path) -> None:
    layers = _layers(locations)

    (seen,) = (file for file in layers.files if file.path == project)
    assert (seen.state, seen.why) == ("skipped", f"belongs to another user, number {STRANGER}")
    assert [each.owner for each in layers.unread] == [f"number {STRANGER}"]


def test_no_byte_of_it_is_read(locations: Locations, project: Path) -> None:
    """The time of the last access stays, also where each reading would move it."""
    os.utime(project, (1, 1))
    found = trust.read_project_file(project, TrustStore(locations.state))

    assert isinstance(found, UnreadFile)
    assert project.stat().st_atime == 1
