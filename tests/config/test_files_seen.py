"""Every file that was looked for is listed, and why one of them was skipped."""

from dataclasses import replace

import pytest

from tests.support.config_files import BEARER, ConfigFiles


def test_a_project_file_that_is_named_is_not_told_as_skipped(config: ConfigFiles) -> None:
    project = config.in_project(BEARER, trusted=False)

    explained = config.explain(config_file=project).all

    assert [file.state for file in explained.files if file.path == project] == ["read"]


def test_an_untrusted_file_and_a_barred_one_are_listed(config: ConfigFiles) -> None:
    config.user(BEARER)
    path = config.in_project("[profiles.other]\n", trusted=False)
    with pytest.warns(match="not trusted"):
        untrusted = config.explain().all.files[-2]
    home = replace(config.locations, home=config.locations.working)
    barred = config.explain(locations=home).all.files[-1]

    assert (untrusted.path, untrusted.state, untrusted.why) == (path, "skipped", "not trusted")
    assert (barred.path, barred.state) == (path, "skipped")
    assert "home folder" in barred.why
