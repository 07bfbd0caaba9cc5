"""The page about the log shows what a start, a login and a renewal really log."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from gatepass.sandbox import IdentityProvider, Server
from tests.support.home import Home
from tests.support.logins import Office
from tests.support.peers.environ import clean_environ

PAGE: Final = Path(__file__).parents[2] / "docs" / "how-to" / "see-what-it-does.md"
PASSWORD: Final = "hunter2-of-alice"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "work" / ".git").mkdir(parents=True)
    return Home(clean_environ(tmp_path / "home"), tmp_path / "work")


@pytest.fixture
def office(home: Home, tmp_path: Path) -> Office:
    return Office.furnished(home, tmp_path)


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    """A provider where alice is logged on already."""
    with IdentityProvider(
        users={"alice": PASSWORD}, auto_login="alice", access_token_seconds=3600
    ) as running:
        yield running


def shown(heading: str) -> list[str]:
    """Return the lines of the log below a heading of the page."""
    section = PAGE.read_text(encoding="utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    block = section.partition("```text\n")[2].partition("```")[0]
    return block.replace("\n  ", " ").splitlines()  # long ones are folded


def logged(stderr: str, names: dict[str, str]) -> list[str]:
    """Return the lines of the log, with the names of the page in place of this run's."""
    for value, name in names.items():
        stderr = stderr.replace(value, name)
    return [line for line in stderr.splitlines() if line.startswith("gatepass: ")]


def plain(lines: list[str]) -> list[str]:
    """Return lines with a star for each time."""
    times = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|\d+\.\d+ s"
    return [re.sub(times, "*", line) for line in lines]


def test_the_page_shows_what_a_start_logs(home: Home) -> None:
    with Server(mode="mixed", users={"alice": PASSWORD}) as server:
        home.user(
            f'[profiles.prod]\nurl = "{server.url}"\nproxy = "none"\n[profiles.prod.auth]\n'
            'scheme = "credentials"\nuser_name = "alice"\n'
            'password = ["env:NOT_SET", "env:MI_PASSWORD"]\n'
        )
        done = home.having(MI_PASSWORD=PASSWORD).run("-v", "check", "prod")

    assert done.returncode == 0, done.stderr
    assert PASSWORD not in done.stderr
    lines = logged(done.stderr, _places(home, server.url))
    assert plain(lines) == plain(shown("A start"))


def test_the_page_shows_what_a_login_and_a_renewal_log(
    office: Office, provider: IdentityProvider
) -> None:
    with Server(mode="oidc", provider=provider) as server:
        office.home.user(
            f'[profiles.me]\nurl = "{server.url}"\nproxy = "none"\nauth = {{ scheme = "oidc" }}\n'
        )
        places = {
            provider.issuer: "https://idp.example.com",
            provider.issuer.partition("//")[2]: "idp.example.com:443",
            f"{office.key}": "/home/alice/vault.key",
            f"{office.vault}": "/home/alice/vault",
            **_places(office.home, server.url),
        }
        login = office.home.run("-v", "login", "me")
        provider.set_access_token_seconds(0)
        assert office.home.run("login", "me").returncode == 0
        provider.set_access_token_seconds(3600)
        nightly = (
            'from gatepass import Session; Session.from_profile("me").get("").raise_for_status()'
        )
        renewal = office.empty_office.having(GATEPASS_LOG="debug").python(nightly)

    assert (login.returncode, renewal.returncode) == (0, 0), login.stderr + renewal.stderr
    found = logged(login.stderr, places)
    assert plain(found) == plain(shown("A login"))
    found = logged(renewal.stderr, places)
    assert plain(found) == plain(shown("A renewal"))


def _places(home: Home, url: str) -> dict[str, str]:
    origin = url.partition("/mi_servicelayer")[0]
    return {
        origin: "https://mi.example.com",
        origin.partition("//")[2]: "mi.example.com:443",
        str(home.user_file): "/home/alice/.config/gatepass/profiles.toml",
    }
