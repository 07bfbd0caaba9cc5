"""Names of entry points: what is found, who wins, and what is told of a failure."""

import sys
import traceback
from pathlib import Path
from typing import Final

import pytest

from gatepass._system import plugins
from gatepass.errors import GatepassError, PluginError

CANARY: Final = "hunter2"


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def _install(packages: Path, name: str, entry_points: str) -> Path:
    info = packages / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)
    return info


def test_the_entry_points_of_gatepass_itself_are_no_claims(packages: Path) -> None:
    """As an installed gatepass has them, and a second one beside it."""
    for package in ("gatepass", "gatepass-of-yesterday"):
        groups = (
            "\n".join([f"[{group}]", *(f"{name} = {value}" for name, value in names.items())])
            for group, names in plugins.BUILT_IN.items()
        )
        _install(packages, package, "\n".join(groups))

    assert [each for each in plugins.conflicts() if "gatepass-of-yesterday" in each] == []


def test_a_package_that_comes_while_the_process_runs_is_seen(packages: Path) -> None:
    """As in a notebook, after an installation; the packages are not scanned for each question."""
    assert not plugins.is_known(plugins.AUTH, "late")
    _install(packages, "late", "[gatepass.auth]\nlate = late:X\n")

    assert plugins.is_known(plugins.AUTH, "late")


def test_looking_for_conflicts_reads_entry_points_alone(packages: Path) -> None:
    """Of hundreds of packages the metadata would cost seconds; a second look costs nothing."""
    info = _install(packages, "other", "[console_scripts]\nother = other:main\n")
    claims = _install(packages, "thief", "[gatepass.auth]\nbasic = thief:X\n")
    opened: list[str] = []
    watching = True

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if watching and event == "open":
            opened.append(str(arguments[0]))

    sys.addaudithook(watch)
    first = plugins.conflicts()
    once = [each for each in opened if each.startswith(str(packages))]
    opened.clear()
    second = plugins.conflicts()
    watching = False

    assert any("the package thief claims the built-in name 'basic'" in each for each in first)
    assert second == first
    assert str(info / "entry_points.txt") in once
    assert str(info / "METADATA") not in once
    assert str(claims / "METADATA") in once
    assert [each for each in opened if each.endswith("entry_points.txt")] == []


def _fails() -> None:
    message = CANARY
    raise ValueError(message)


def test_the_error_of_a_plug_in_leads_to_no_text_of_the_first_one() -> None:
    with pytest.raises(PluginError) as caught:
        plugins.call(plugins.AUTH, "theirs", "fails", _fails)

    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    for frame, _ in traceback.walk_tb(caught.value.__traceback__):
        if frame.f_code.co_filename == plugins.__file__:
            assert not any(isinstance(each, ValueError) for each in frame.f_locals.values())


def test_our_own_failures_and_ctrl_c_pass_as_they_are() -> None:
    def stops() -> None:
        raise KeyboardInterrupt

    with pytest.raises(ValueError, match=CANARY):
        plugins.call(plugins.AUTH, "basic", "fails", _fails)
    with pytest.raises(KeyboardInterrupt):
        plugins.call(plugins.AUTH, "theirs", "fails", stops)


def test_an_error_for_people_passes_unless_it_holds_a_secret() -> None:
    def refuses() -> None:
        raise GatepassError("no key", hint=f"not even {CANARY}")

    for tells, kind in ((None, GatepassError), (lambda text: CANARY in text, PluginError)):
        with pytest.raises(GatepassError) as caught:
            plugins.call(plugins.AUTH, "theirs", "fails", refuses, holds_secret=tells)
        assert type(caught.value) is kind
