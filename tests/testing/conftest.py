"""What the tests of the contracts share, and a project whose tests use gatepass."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.contracts import Checker
from tests.support.pytests import Project

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


@pytest.fixture
def checker(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> Checker:
    """Run single checks."""
    return Checker(tmp_path, caplog, monkeypatch)


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
