"""Every file that was looked for is listed, and why one of them was skipped."""

from dataclasses import replace
from typing import Any

import pytest

from gatepass._config.explain import explain
from gatepass._config.load import load_profile
from gatepass._config.locations import Locations
from gatepass._config.profile import Profile
from tests.support.config_files import BEARER, Write


def _load(locations: Locations, **more: Any) -> Profile:
    more.setdefault("environ", {})
    return load_profile("p", locations=locations, **more)


def test_a_project_file_that_is_named_is_not_told_as_skipped(
    locations: Locations, write: Write
) -> None:
    assert locations.working is not None
    project = write(locations.working / "gatepass.toml", BEARER)

    explained = explain(_load(locations, config_file=project))

    assert [file.state for file in explained.files if file.path == project] == ["read"]


def test_an_untrusted_file_and_a_barred_one_are_listed(locations: Locations, write: Write) -> None:
    write(locations.user, BEARER)
    assert locations.working is not None
    path = write(locations.working / "gatepass.toml", "[profiles.other]\n")
    with pytest.warns(match="not trusted"):
        untrusted = explain(_load(locations))
    barred = explain(_load(replace(locations, home=locations.working)))

    assert [(file.path, file.state, file.why) for file in untrusted.files][-2] == (
        path,
        "skipped",
        "not trusted",
    )
    assert (barred.files[-1].path, barred.files[-1].state) == (path, "skipped")
    assert "home folder" in barred.files[-1].why
