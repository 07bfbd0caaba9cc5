"""What is released: the two distributions, built from this checkout as a release would be."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import gatepass
from tests.support.peers.node_packages import MODULES, need_npm_package

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    return folder


def _files(distributions: Path) -> list[str]:
    return [str(path) for path in distributions.iterdir()]


def test_the_package_index_would_take_both_distributions(distributions: Path) -> None:
    check = [sys.executable, "-m", "twine", "check", "--strict", *_files(distributions)]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("PASSED") == 2


def test_the_wheel_holds_the_package_its_types_and_its_licence_and_nothing_else(
    distributions: Path,
) -> None:
    (wheel,) = distributions.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    source = {path.relative_to(ROOT / "src") for path in (ROOT / "src" / "gatepass").rglob("*.py")}
    assert source <= {Path(name) for name in names}
    assert "gatepass/py.typed" in names
    info = f"gatepass-{gatepass.__version__}.dist-info"
    assert f"{info}/licenses/LICENSE" in names
    assert {name.split("/")[0] for name in names} == {"gatepass", info}


def test_the_source_distribution_can_run_its_own_tests(distributions: Path) -> None:
    if shutil.which("git") is None:
        pytest.skip("git is not installed, which knows what belongs to the project")
    (archive,) = distributions.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    wanted = [name for name in tracked if not name.startswith(".")]
    assert [name for name in wanted if name not in names] == []
    assert "dev.py" in names


def test_the_version_is_written_in_one_place() -> None:
    """The distributions, the command and the pages take it from ``_version.py``."""
    written = re.compile(rf"(?<![\d.]){re.escape(gatepass.__version__)}(?![\d.])")
    files = [*(ROOT / "src").rglob("*.py"), *ROOT.glob("*.toml"), *(ROOT / "docs").glob("*.py")]
    where = [path.name for path in files if written.search(path.read_text(encoding="utf-8"))]
    assert where == ["_version.py"]
    shown = subprocess.run(
        [sys.executable, "-m", "gatepass", "--version"], capture_output=True, text=True, check=True
    )
    assert shown.stdout == f"gatepass {gatepass.__version__}\n"


def test_each_dependency_has_a_lower_bound_and_a_reason() -> None:
    """``dev.py oldest`` tests with exactly these bounds."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for requirement in PROJECT["dependencies"]:
        assert re.fullmatch(r"[a-z0-9-]+>=[0-9.]+(; sys_platform == '\w+')?", requirement)
        assert re.search(rf'"{re.escape(requirement)}",\s+# \w', text), requirement


TYPED = """\
from gatepass import Sesion
from gatepass import Session

Session("https://mi.example.com", autologon=True, timeout=30.0, headers={"X-Tenant": "a"})
Session("https://mi.example.com", autologon=True, timout=30.0)
Session("https://mi.example.com", autologon=True, timeout="long")
Session.from_profile("prod").get("Health/v2.svc").json()
Session.from_profil("prod")
"""


def mypy() -> list[str]:
    return [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--config-file="]


def pyright() -> list[str]:
    node = need_npm_package("pyright")
    return [node, str(MODULES / "pyright" / "index.js"), "--pythonpath", sys.executable]


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_a_misspelt_name_or_keyword_fails_in_a_type_checker(
    checker: Callable[[], list[str]], tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(TYPED, encoding="utf-8")
    done = subprocess.run(
        [*checker(), str(script)], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    wrong = re.findall(r"script\.py:(\d+)(?::\d+)?(?: -|:) error: (.*)$", done.stdout, re.MULTILINE)
    assert [line for line, _ in wrong] == ["1", "5", "6", "8"], done.stdout + done.stderr
    words = ("Sesion", "timout", "timeout", "from_profil")
    assert all(word in message for word, (_, message) in zip(words, wrong, strict=True))


def test_each_public_name_has_a_type_that_checkers_need_not_guess(tmp_path: Path) -> None:
    command = [*pyright(), "--ignoreexternal", "--verifytypes", "gatepass"]
    # It asks the `python` of PATH where packages are, whatever --pythonpath says.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environ = {**os.environ, "PATH": path}
    done = subprocess.run(
        command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
    )

    assert "Type completeness score: 100%" in done.stdout, done.stdout + done.stderr
