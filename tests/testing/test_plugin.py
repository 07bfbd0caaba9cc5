"""The pytest plug-in, in runs of pytest as a user starts them."""

import importlib.util
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from keyring.errors import KeyringError

from gatepass.testing._keyring import PrivateKeyring
from tests.support.peers.terminal import without_terminal
from tests.support.pytests import SOURCES, SUPPORT, Project, outcomes

SHARED = """\
default_profile = "dev"

[profiles.base]
url = "https://mi.example.com/mi_servicelayer"
headers = { X-Tenant = "steel" }
tls = { ca_file = "/etc/corp.pem" }

[profiles.prod]
extends = "base"
timeout = [5, 9]

[profiles.prod.auth]
scheme = "credentials"
user_name = "env:MI_USERNAME"
password = ["env:MI_PASSWORD", "keyring:", "prompt:"]
"""
DEPLOYED = """\
[profiles.job]
url = "https://mi.example.com"
description = "at night"
auth = { scheme = "anonymous" }
"""
OWN = """\
allow_commands = true

[profiles.mine]
url = "https://mine.example.com"
auth = { scheme = "anonymous" }
"""
UNREPLACED = """\
from gatepass import Session

def test_of_mine(gatepass_server, gatepass_profiles):
    gatepass_profiles.replace("prod", gatepass_server)
    Session.from_profile("dev")
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project that shares profiles, and a person who has one too."""
    made = Project.new(tmp_path)
    own = Path(made.environ["XDG_CONFIG_HOME"], "gatepass")
    for folder in (own, made.folder / "deploy"):
        folder.mkdir()
    made.write("gatepass.toml", SHARED)
    made.write("deploy/profiles.toml", DEPLOYED)
    (own / "profiles.toml").write_text(OWN)
    system = tmp_path / "etc" / "gatepass" / "profiles.toml"
    system.parent.mkdir(parents=True)
    system.write_text("allow_insecure_keyring = true\n")
    for file in (own / "profiles.toml", system):
        file.chmod(0o600)
    return replace(made, environ={**made.environ, "XDG_CONFIG_DIRS": str(tmp_path / "etc")})


def _suite(project: Project) -> None:
    suite = (SUPPORT / "suite_of_a_user.py").read_text(encoding="utf-8")
    project.write("test_suite.py", suite)


MINE = {"GATEPASS_PROFILE": "mine", "GATEPASS_ALLOW_COMMANDS": "1", "GATEPASS_VAULT": "/nowhere"}


def test_the_suite_of_a_user_passes(project: Project) -> None:
    _suite(project)

    done = project.pytest("-rA", "--strict-markers", variables=MINE)

    ran = outcomes(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(ran.values()) == {"PASSED"}
    assert len(ran) > 25


def test_it_passes_in_several_processes_too(project: Project) -> None:
    if importlib.util.find_spec("xdist") is None:
        pytest.skip("pytest-xdist is not installed")
    _suite(project)

    done = project.pytest("-n", "2", variables=MINE)

    assert done.returncode == 0, done.stdout + done.stderr


def test_loading_the_plugin_imports_nothing_but_itself(project: Project) -> None:
    """Measured by what is there when a test runs that uses none of it."""
    project.write(
        "test_bare.py",
        "import sys\n\ndef test_bare():\n"
        "    print([name for name in sys.modules if name.startswith('gatepass')])\n"
        "    print({'requests', 'pydantic', 'keyring', 'http.server'} & set(sys.modules))\n",
    )

    done = project.pytest("-s", "-q")

    assert "['gatepass', 'gatepass.testing', 'gatepass.testing._plugin']" in done.stdout
    assert "set()" in done.stdout


def test_the_plugin_can_be_switched_off(project: Project) -> None:
    project.write("test_off.py", "def test_off(gatepass_server):\n    pass\n")

    done = project.pytest("-p", "no:gatepass")

    assert "fixture 'gatepass_server' not found" in done.stdout


def test_a_profile_that_was_not_replaced_is_an_error_that_names_the_test(project: Project) -> None:
    project.write("test_unreplaced.py", UNREPLACED)

    done = project.pytest()

    assert 'there is no profile "dev"' in done.stdout
    assert "test_unreplaced.py::test_of_mine sees only the profiles" in done.stdout
    assert "gatepass_profiles.replace(NAME, gatepass_server)" in done.stdout


def test_the_fixtures_and_marks_explain_themselves(project: Project) -> None:
    fixtures, marks = project.pytest("--fixtures").stdout, project.pytest("--markers").stdout

    for name in ("gatepass_server", "gatepass_idp"):
        assert f"\n{name} -- " in fixtures
        assert f"@pytest.mark.{name}(**arguments): how" in marks
    assert "\ngatepass_profiles -- " in fixtures


def test_a_malformed_project_file_is_told_with_its_place(project: Project) -> None:
    project.write("gatepass.toml", "[profiles.dev]\nurl = \n")
    project.write("test_unreplaced.py", UNREPLACED)

    done = project.pytest()

    assert "gatepass.toml:2:" in done.stdout


def test_a_keyring_that_belongs_to_no_test_keeps_nothing() -> None:
    keyring = PrivateKeyring()  # type: ignore[no-untyped-call] # keyring has no types there

    with pytest.raises(KeyringError, match="belongs to a test"):
        keyring.set_password("s", "a", "x")
    with pytest.raises(KeyringError, match="belongs to a test"):
        keyring.get_password("s", "a")


def test_only_what_is_for_tests_imports_pytest() -> None:
    """Everything else works where pytest is not installed; so does naming the package."""
    script = (
        "import sys; sys.modules['pytest'] = None\n"
        "import gatepass.testing, gatepass.sandbox.demo, gatepass._session.session, gatepass.cli\n"
        "print(gatepass.testing.__all__)"
    )
    environ = {"PYTHONPATH": str(SOURCES), "PATH": os.environ["PATH"]}

    done = without_terminal((sys.executable, "-c", script), environ)

    assert done.stdout == "['ContractServer', 'Profiles', 'SchemeContract', 'SourceContract']\n", (
        done.stderr
    )
