"""Files that others can write, or that belong to others, decide nothing."""

import os
import sys
from dataclasses import replace

import pytest

from gatepass.errors import UnsafePermissions
from tests.support.config_files import PROD, ConfigFiles, posix

pytestmark = [posix, pytest.mark.filterwarnings("ignore::gatepass.errors.GatepassWarning")]
by_root = pytest.mark.skipif(sys.platform == "win32" or os.getuid() != 0, reason="needs root")


@pytest.mark.parametrize("mode", [0o666, 0o602])
@pytest.mark.parametrize("named", [False, True])
def test_a_file_that_anybody_can_write_is_refused_with_the_line_that_mends_it(
    config: ConfigFiles, mode: int, named: bool
) -> None:
    path = config.user(PROD)
    path.chmod(mode)
    more = {"config_file": path} if named else {}

    with pytest.raises(UnsafePermissions) as caught:
        config.load("prod", **more)

    assert f"chmod go-w {path}" in str(caught.value)
    path.chmod(mode & ~0o022)
    assert config.load("prod", **more).url == "https://mine.example.com/"


def test_the_private_group_of_umask_002_does_not_hurt(config: ConfigFiles) -> None:
    """Ubuntu and Fedora give each user a group of the same name, and files mode 0664."""
    if sys.platform == "win32":
        pytest.skip("needs POSIX")
    import grp
    import pwd

    user = pwd.getpwuid(os.getuid())
    group = grp.getgrgid(user.pw_gid)
    if group.gr_name != user.pw_name or set(group.gr_mem) - {user.pw_name}:
        pytest.skip("this account has no private group")
    path = config.user(PROD)
    os.chown(path, -1, user.pw_gid)
    path.chmod(0o664)

    assert config.load("prod").url == "https://mine.example.com/"


@by_root
def test_another_group_that_can_write_is_refused(config: ConfigFiles) -> None:
    path = config.user(PROD)
    os.chown(path, -1, 12345)
    path.chmod(0o664)

    with pytest.raises(UnsafePermissions, match="its group"):
        config.load("prod")


@by_root
def test_a_user_file_of_another_owner_is_refused_and_an_explicit_one_is_not(
    config: ConfigFiles,
) -> None:
    path = config.user(PROD)
    os.chown(path, 12345, -1)

    with pytest.raises(UnsafePermissions, match="belongs to another user"):
        config.load("prod")
    elsewhere = replace(config.locations, user=path.with_name("none"), working=None)
    assert config.load("prod", config_file=path, locations=elsewhere).name == "prod"
