"""The pytest plug-in, in runs of pytest as a user starts them."""

import importlib.util
import os
import sys

import pytest

from tests.support.peers.terminal import without_terminal
from tests.support.pytests import SOURCES, SUPPORT, Project, outcomes


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

    done = project.pytest("-n", "2", "-k", "person or login", variables=MINE)

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


def test_the_fixtures_and_marks_explain_themselves(project: Project) -> None:
    fixtures, marks = project.pytest("--fixtures").stdout, project.pytest("--markers").stdout

    for name in ("gatepass_server", "gatepass_idp"):
        assert f"\n{name} -- " in fixtures
        assert f"@pytest.mark.{name}(**arguments): how" in marks
    assert "\ngatepass_profiles -- " in fixtures


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
