"""Which files are read instead of those that are searched; test_trust has the others."""

import os
from pathlib import Path

import pytest
import tomli_w

from gatepass.errors import ProfileError
from tests.support.config_files import ConfigFiles, Write, profile_table


def test_an_explicit_file_replaces_the_search(
    config: ConfigFiles, write: Write, tmp_path: Path
) -> None:
    config.user({"profiles": {"p": profile_table(retries=1)}})
    path = write(
        tmp_path / "other.toml", tomli_w.dumps({"profiles": {"p": profile_table(retries=2)}})
    )

    assert config.load("p", config_file=path).retries == 2
    assert config.load("p", environ={"GATEPASS_CONFIG_FILE": str(path)}).retries == 2


def test_several_explicit_files_merge_in_order(
    config: ConfigFiles, write: Write, tmp_path: Path
) -> None:
    first = write(tmp_path / "1.toml", tomli_w.dumps({"profiles": {"p": profile_table(retries=1)}}))
    second = write(tmp_path / "2.toml", tomli_w.dumps({"profiles": {"p": {"retries": 2}}}))

    assert config.load("p", config_file=[first, second]).retries == 2
    both = os.pathsep.join([str(second), str(first)])
    assert config.load("p", environ={"GATEPASS_CONFIG_FILE": both}).retries == 1


def test_a_missing_explicit_file_is_an_error(config: ConfigFiles, tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="no such file"):
        config.load("p", config_file=tmp_path / "none.toml")
