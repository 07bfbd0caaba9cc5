"""Which files trust covers; what happens then is in `tests/cli/test_trust.py`."""

from pathlib import Path

import pytest

from gatepass._config.tls_files import digest, digests, is_below
from gatepass.errors import ProfileError

_LONG = "a" * 100_000


@pytest.mark.parametrize(
    ("path", "below"),
    [
        ("ca.pem", True),
        ("certs/ca.pem", True),
        ("..pem", True),
        ("../ca.pem", False),
        ("certs/../../ca.pem", False),
        ("/etc/ca.pem", False),
        ("~/ca.pem", False),
        ("~bob/ca.pem", False),
    ],
)
def test_what_is_written_below_the_folder_is_covered_and_nothing_else(
    tmp_path: Path, path: str, below: bool
) -> None:
    tables = {"profiles": {"dev": {"auth": {"tls": {"ca_file": ["system", path]}}}}}

    assert is_below(path) is below
    assert digests(tables, tmp_path) == ({path: ""} if below else {})


@pytest.mark.parametrize("name", ["huge", "crowd", _LONG])
def test_nothing_in_a_repository_is_read_without_bounds(tmp_path: Path, name: str) -> None:
    (tmp_path / "crowd").mkdir()
    for number in range(300):
        (tmp_path / "crowd" / str(number)).touch()
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 40)

    with pytest.raises(ProfileError, match=r"larger than|holds more than|cannot be read"):
        digest(tmp_path, name)
