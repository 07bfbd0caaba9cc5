"""Which files are read instead of those that are searched; test_trust has the others."""

import os
from pathlib import Path

import pytest

from tests.support.config_files import OPEN, ConfigFiles, one


@pytest.mark.parametrize("files", [["1"], ["2"], ["1", "2"], ["2", "1"]])
def test_explicit_files_replace_the_search_and_merge_in_order(
    config: ConfigFiles, tmp_path: Path, files: list[str]
) -> None:
    config.user(one(OPEN, "retries = 9"))
    for each in "12":
        config.write(tmp_path / each, one(OPEN, f"retries = {each}", f'headers.X-{each} = ""'))
    paths = [tmp_path / each for each in files]
    by_variable = {"GATEPASS_CONFIG_FILE": os.pathsep.join(map(str, paths))}

    for found in (config.load("p", config_file=paths), config.load("p", environ=by_variable)):
        assert found.retries == int(files[-1])
        assert set(found.headers) == {f"X-{each}" for each in files}


def test_a_missing_explicit_file_is_an_error(config: ConfigFiles, tmp_path: Path) -> None:
    assert "no such file" in config.refusal(config_file=tmp_path / "none.toml")
