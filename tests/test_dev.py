"""``dev.py`` and the workflows: what they install."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_each_tool_of_the_tests_is_held_or_belongs_to_what_is_tested() -> None:
    """A tool that is not held may fail a commit that changed nothing."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    named = {re.split(r"[>\[;]", line)[0] for extra in ("test", "docs") for line in extras[extra]}
    lines = (ROOT / "tests" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    held = {line.partition("==")[0] for line in lines if not line.startswith("#")}
    assert all("==" in line for line in lines if not line.startswith("#"))
    peers = "PySocks decorator distributed httpx ipykernel joblib pexpect redis socksio".split()
    assert named - held == {*peers}
    assert held <= named


def test_each_action_is_named_by_digest_and_keeps_no_login_in_the_checkout() -> None:
    """A tag can be moved to other code; a digest cannot."""
    workflows = [path.read_text("utf-8") for path in (ROOT / ".github/workflows").glob("*.yml")]
    used = [line for text in workflows for line in re.findall(r"uses: (.*)", text)]
    assert used
    assert [
        line for line in used if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40}  # v[\d.]+", line)
    ] == []
    checkouts = [text.count("actions/checkout@") for text in workflows]
    assert checkouts == [text.count("persist-credentials: false") for text in workflows]


@pytest.mark.skipif(shutil.which("apt-get") is None, reason="needs apt-get")
def test_a_package_that_apt_does_not_have_keeps_no_other_from_being_installed() -> None:
    """Ubuntu has no chromium to install, and apt-get would install none of the others."""
    code = "import dev; print(*dev.installable(['bash', 'gatepass-no-such', 'coreutils']))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["bash", "coreutils"]
