"""Files that cannot be read, or are large."""

import sys

import pytest

from gatepass._config.load import load_profile
from gatepass._config.locations import Locations
from gatepass.errors import ProfileError
from tests.support.config_files import ANONYMOUS, Load, problem_of


def test_a_folder_in_place_of_a_file_is_an_error(locations: Locations) -> None:
    locations.user.mkdir(parents=True)

    with pytest.raises(ProfileError, match="is a folder"):
        load_profile("p", environ={}, locations=locations)


@pytest.mark.skipif(sys.platform == "win32", reason="no FIFO")
def test_a_pipe_in_place_of_a_file_is_an_error_and_does_not_hang(locations: Locations) -> None:
    if sys.platform == "win32":
        pytest.skip("needs POSIX")
    import os

    locations.user.parent.mkdir(parents=True)
    os.mkfifo(locations.user)

    with pytest.raises(ProfileError, match="a device or a pipe"):
        load_profile("p", environ={}, locations=locations)


def test_a_file_of_five_megabytes_is_read_and_its_last_line_is_placed(try_load: Load) -> None:
    filler = "# 0123456789abcdef0123456789abcdef\n" * 150_000
    text = ANONYMOUS + filler
    assert len(text) > 5_000_000
    assert try_load(text).name == "p"

    assert "profiles.toml:150005:1: profiles.p.x" in problem_of(
        try_load, text + "\nx = 'hunter2'\n"
    )


def test_a_file_without_end_is_refused(try_load: Load) -> None:
    assert "larger than 16 MiB" in problem_of(try_load, b"#" * (17 * 1024 * 1024))
