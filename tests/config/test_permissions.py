"""Files that others can write, or that belong to others, decide nothing."""

import os
import sys
from pathlib import Path

import pytest

from gatepass._config.load import load_profile
from gatepass._config.locations import Locations
from gatepass._config.profile import Profile
from gatepass.errors import (
    UnsafePermissions,
)
from tests.support.config_files import PROD, Write, posix

pytestmark = pytest.mark.filterwarnings("ignore::gatepass.errors.GatepassWarning")


def _load(locations: Locations, name: str | None = "prod", **environ: str) -> Profile:
    return load_profile(name, environ=environ, locations=locations)


@posix
@pytest.mark.parametrize("mode", [0o666, 0o646, 0o602])
def test_a_file_that_anybody_can_write_is_refused_with_the_line_that_mends_it(
    locations: Locations, write: Write, mode: int
) -> None:
    write(locations.user, PROD).chmod(mode)

    with pytest.raises(UnsafePermissions) as caught:
        _load(locations)

    assert f"chmod go-w {locations.user}" in str(caught.value)
    locations.user.chmod(mode & ~0o022)
    assert _load(locations).url == "https://mine.example.com/"


@posix
def test_an_explicit_file_that_anybody_can_write_is_refused(
    locations: Locations, write: Write, tmp_path: Path
) -> None:
    path = write(tmp_path / "shared.toml", PROD)
    path.chmod(0o666)

    with pytest.raises(UnsafePermissions):
        load_profile("prod", config_file=path, environ={}, locations=locations)


@posix
def test_the_private_group_of_umask_002_does_not_hurt(locations: Locations, write: Write) -> None:
    """Ubuntu and Fedora give each user a group of the same name, and files mode 0664."""
    if sys.platform == "win32":
        pytest.skip("needs POSIX")
    import grp
    import pwd

    user = pwd.getpwuid(os.getuid())
    group = grp.getgrgid(user.pw_gid)
    if group.gr_name != user.pw_name or set(group.gr_mem) - {user.pw_name}:
        pytest.skip("this account has no private group")
    path = write(locations.user, PROD)
    os.chown(path, -1, user.pw_gid)
    path.chmod(0o664)

    assert _load(locations).url == "https://mine.example.com/"


@posix
@pytest.mark.skipif(sys.platform == "win32" or os.getuid() != 0, reason="needs root")
def test_another_group_that_can_write_is_refused(locations: Locations, write: Write) -> None:
    if sys.platform == "win32":
        pytest.skip("needs POSIX")
    path = write(locations.user, PROD)
    os.chown(path, -1, 12345)
    path.chmod(0o664)

    with pytest.raises(UnsafePermissions, match="its group"):
        _load(locations)


@posix
@pytest.mark.skipif(sys.platform == "win32" or os.getuid() != 0, reason="needs root")
def test_a_user_file_of_another_owner_is_refused_and_an_explicit_one_is_not(
    locations: Locations, write: Write
) -> None:
    if sys.platform == "win32":
        pytest.skip("needs POSIX")
    path = write(locations.user, PROD)
    os.chown(path, 12345, -1)

    with pytest.raises(UnsafePermissions, match="belongs to another user"):
        _load(locations)
    elsewhere = Locations((), locations.user.with_name("none"), locations.state, None, None)
    assert load_profile("prod", config_file=path, environ={}, locations=elsewhere).name == "prod"
