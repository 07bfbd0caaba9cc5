"""``gatepass sandbox``: each step of a newcomer can be done by everybody."""

import json
import tomllib
from pathlib import Path

import pytest

from tests.support.home import Home, ended, screen


@pytest.mark.parametrize("mode", ["standalone", "mixed", "windows"])
def test_the_profile_that_it_writes_logs_on(home: Home, mode: str) -> None:
    with home.sit("sandbox", "--mode", mode, "--write", "mi", columns=200) as child:
        child.expect("gatepass check mi")
        done = home.having(MI_PASSWORD="sesame").run("check", "mi", "--json")
        child.sendintr()
        assert ended(child) == 0

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["proven"] is True


def test_the_profile_that_it_prints_can_be_pasted(home: Home, tmp_path: Path) -> None:
    (tmp_path / "api").mkdir()
    (tmp_path / "api" / "parts.json").write_text('[{"name": "steel"}]')
    (tmp_path / "api" / "out").symlink_to("/etc/passwd")
    with home.sit("sandbox", "--answers", str(tmp_path), columns=200) as child:
        child.expect("gatepass check practice")
        shown = screen(child)
        printed = shown.partition("serving ")[0].replace("\r", "")
        home.user(printed)
        person = home.having(MI_PASSWORD="sesame")
        parts = person.run("request", "api/parts.json")
        outside, above = person.run("request", "api/out"), person.run("request", "../../etc/passwd")
        child.sendintr()
        assert ended(child) == 0

    assert list(tomllib.loads(printed)["profiles"]) == ["practice"]
    assert json.loads(parts.stdout) == [{"name": "steel"}]
    assert "root:" not in outside.stdout + above.stdout
    assert "user alice, password sesame" in shown


def test_oidc_comes_with_its_provider(home: Home) -> None:
    with home.sit("sandbox", "--mode", "oidc", "--write", "sso", columns=200) as child:
        child.expect("gatepass check sso")
        offered = home.run("check", "sso")
        child.sendintr()
        assert ended(child) == 0

    assert tomllib.loads(home.user_file.read_text())["profiles"]["sso"]["auth"] == {
        "scheme": "oidc"
    }
    assert offered.returncode == 3, "a person must log in"
    assert "gatepass login sso" in offered.stderr


def test_a_port_that_is_taken_is_told(home: Home) -> None:
    with home.sit("sandbox", columns=200) as child:
        child.expect("127.0.0.1:([0-9]+)/")
        port = child.match[1].decode() if isinstance(child.match[1], bytes) else child.match[1]
        done = home.run("sandbox", "--port", port)
        child.sendintr()
        ended(child)

    assert done.returncode == 1
    assert f"the port {port} cannot be used" in done.stderr
