"""The log: what a line may hold, who sees it, and that it costs nothing where nobody looks."""

import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest

from gatepass._system import log
from gatepass.errors import GatepassWarning


@pytest.fixture(autouse=True)
def nothing_is_shown() -> Iterator[None]:
    yield
    log.hide()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("https://bob:hunter2@mi.example.com/a?token=hunter2#hunter2", "https://mi.example.com/a"),
        ("redis://:hunter2@redis.example.com:6379/0", "redis://redis.example.com:6379/0"),
        ("//bob:hunter2@proxy.example.com:3128", "//proxy.example.com:3128"),
        (" http://bob:hunter2@proxy.example.com", "http://proxy.example.com"),
        ("https://[hunter2", "(a malformed URL)"),
        ("a\x1b[2J\nb", "a\\x1b[2J\\nb"),
        ("a" * 300, "a" * 200 + "..."),
        (7, "7"),
    ],
)
def test_a_value_shows_no_secret_of_a_url_steers_no_terminal_and_has_a_limit(
    value: object, shown: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "gatepass"):
        log.debug("it is %s", value)

    assert caplog.messages == [f"it is {shown}"]


def test_a_record_names_the_place_that_logs(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "gatepass"):
        log.info("here")

    (record,) = caplog.records
    assert record.name == "gatepass"
    assert record.filename == "test_log.py"


def test_shown_is_the_log_of_gatepass_alone(capsys: pytest.CaptureFixture[str]) -> None:
    log.show_on_stderr("info")
    log.info("ours")
    log.debug("too much")
    logging.getLogger("urllib3").warning("theirs")

    assert capsys.readouterr().err == "gatepass: ours\n"


def test_a_line_comes_once_however_often_the_log_is_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log.show_on_stderr("info")
    log.show_on_stderr("debug")
    log.debug("once")
    log.hide()
    log.debug("never")

    assert capsys.readouterr().err == "gatepass: once\n"


def test_an_unknown_level_is_a_warning() -> None:
    with pytest.warns(GatepassWarning, match="debug or info"):
        log.show_on_stderr("loud")


def test_without_anybody_who_listens_logging_is_not_even_imported() -> None:
    script = (
        "import sys; from gatepass._system import log; log.info('x')\n"
        "assert 'logging' not in sys.modules"
    )

    assert subprocess.run((sys.executable, "-c", script), check=False).returncode == 0
