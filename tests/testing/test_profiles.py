"""The profiles of one test: nothing of the person's own is seen."""

import os
import stat
import sys
from pathlib import Path

import pytest
from keyring import core

from gatepass.sandbox import Server
from gatepass.testing._profiles import isolated
from tests.support.pytests import Project

UNREPLACED = """\
from gatepass import Session

def test_of_mine(gatepass_server, gatepass_profiles):
    gatepass_profiles.replace("prod", gatepass_server)
    Session.from_profile("dev")
"""


def test_a_profile_that_was_not_replaced_is_an_error_that_names_the_test(project: Project) -> None:
    project.write("test_unreplaced.py", UNREPLACED)

    done = project.pytest()

    assert 'there is no profile "dev"' in done.stdout
    assert "test_unreplaced.py::test_of_mine sees only the profiles" in done.stdout
    assert "gatepass_profiles.replace(NAME, gatepass_server)" in done.stdout


def test_a_malformed_project_file_is_told_with_its_place(project: Project) -> None:
    project.write("gatepass.toml", "[profiles.dev]\nurl = \n")
    project.write("test_unreplaced.py", UNREPLACED)

    done = project.pytest()

    assert "gatepass.toml:2:" in done.stdout


def test_nothing_of_the_person_is_seen_meanwhile_and_all_of_it_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "of-the-test"
    folder.mkdir()
    monkeypatch.setenv("GATEPASS_PROFILE", "mine")
    monkeypatch.setattr(core, "_keyring_backend", None)
    before = dict(os.environ)

    with isolated(folder, tmp_path) as profiles:
        assert "GATEPASS_PROFILE" not in os.environ
        assert Path.home() == folder / "home"
        assert core.get_keyring() is profiles.keyring
        assert os.environ["GATEPASS_CONFIG_FILE"] == str(profiles.file)

    assert dict(os.environ) == before
    assert core._keyring_backend is None


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")
def test_what_a_test_writes_is_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "of-the-test"
    folder.mkdir()
    with Server(users={"alice": "sesame"}) as server, isolated(folder, tmp_path) as profiles:
        profiles.replace("prod", server)

        (password,) = folder.glob("password-*")
        assert password.read_text() == "sesame"
        assert "sesame" not in profiles.file.read_text()
        for file in (password, profiles.file):
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
