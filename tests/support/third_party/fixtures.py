"""Installed packages of others as pytest fixtures, once per run."""

import shutil
from pathlib import Path

import pytest

from tests.support.third_party import hostile as hostile_packages
from tests.support.third_party.install import install

ACME = Path(__file__).resolve().parents[3] / "docs" / "examples" / "acme_gatepass"


@pytest.fixture(scope="session")
def acme(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder that holds the package of the documentation, installed."""
    # A copy: a build may leave files beside its sources.
    project = shutil.copytree(ACME, tmp_path_factory.mktemp("acme") / "project")
    return str(install(project, tmp_path_factory.mktemp("acme-installed")))


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder that holds two packages that mean no good, installed."""
    target = tmp_path_factory.mktemp("hostile-installed")
    for project in hostile_packages.write(tmp_path_factory.mktemp("hostile")):
        install(project, target)
    return str(target)
