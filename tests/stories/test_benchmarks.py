"""The benchmarks run, and their page shows their numbers. Nothing here depends on speed."""

import json
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

import gatepass
from benchmarks import page
from tests.support.peers.environ import clean_environ

ROOT = Path(__file__).resolve().parents[2]
RESULTS = json.loads((ROOT / "benchmarks" / "results.json").read_text("utf-8"))
PAGE = (ROOT / "docs" / "explanation" / "benchmarks.md").read_text("utf-8")
TABLES = {
    "cold": ["cold-ready", "cold-request", "cold-oidc", "cold-command"],
    "start": ["start"],
    "wire": ["wire"],
    "expiry": ["expiry"],
    "steady": ["steady"],
    "growth": ["growth"],
}


@pytest.mark.skipif(sys.platform == "win32", reason="the benchmarks use posix_spawn and wait4")
@pytest.mark.parametrize("part", TABLES)
def test_each_part_runs_to_its_end_and_prints_its_tables(part: str, tmp_path: Path) -> None:
    """With bare and gatepass in this Python: nothing is installed, and nothing is written."""
    before = (ROOT / "benchmarks" / "results.json").read_bytes()
    command = [sys.executable, str(ROOT / "benchmarks" / "run.py"), "--here", "--quick", part]
    source = str(Path(gatepass.__file__).parent.parent)

    done = subprocess.run(
        command,
        env=clean_environ(tmp_path, PYTHONPATH=source),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert _headers(done.stdout) == [_header(name) for name in TABLES[part]]
    assert "gatepass" in done.stdout
    assert (ROOT / "benchmarks" / "results.json").read_bytes() == before


def test_the_page_shows_what_the_results_say() -> None:
    assert page.written(PAGE, RESULTS) == PAGE


def test_every_table_has_its_place_on_the_page() -> None:
    assert sorted(page.tables(RESULTS)) == sorted(re.findall(r"<!-- benchmark: ([\w-]+) -->", PAGE))


def test_the_results_name_neither_this_machine_nor_a_path() -> None:
    text = json.dumps(RESULTS)

    assert platform.node() not in text
    assert re.search(r"(?:[\s\"(])/\w", text) is None


def _header(name: str) -> str:
    """The first line of a table of the page."""
    return _headers(PAGE.partition(f"<!-- benchmark: {name} -->")[2])[0]


def _headers(text: str) -> list[str]:
    """The lines above the line of dashes."""
    return re.findall(r"^(\|.*\|)\n\| ---", text, re.MULTILINE)
