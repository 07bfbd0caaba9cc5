"""``gatepass check`` names the server's configuration, and each trouble with an exit code."""

import json
from pathlib import Path

import pytest

from tests._echo import echo, refused
from tests.cli.home import Home
from tests.peers.apache import Apache
from tests.peers.ca import CertificateAuthority
from tests.peers.squid import Squid

_LOGIN = 'user_name = "alice"\npassword = "env:MI_PASSWORD"\n'


def _profile(url: str, scheme: str = "credentials", more: str = "", ca: Path | None = None) -> str:
    login = {"credentials": _LOGIN + 'domain = "CORP"\n', "basic": _LOGIN}.get(scheme, "")
    tls = f'tls = {{ ca_file = "{ca}" }}\n' if ca else ""
    proxy = "" if "proxy" in more else 'proxy = "none"\n'
    return (
        f'[profiles.prod]\nurl = "{url}"\ncheck_path = "cgi/whoami"\nretries = 0\n'
        f"{proxy}{tls}{more}"
        f'[profiles.prod.auth]\nscheme = "{scheme}"\n{login}'
    )


@pytest.mark.parametrize(
    ("room", "mode"), [("windows", "Windows"), ("mixed", "mixed"), ("standalone", "standalone")]
)
def test_check_names_the_configuration_of_the_server(
    home: Home, windows_apache: Apache, ca: CertificateAuthority, room: str, mode: str
) -> None:
    home.user(_profile(windows_apache.room(room).https, ca=ca.ca_file))

    done = home.having(MI_PASSWORD="pw-alice").run("check", "prod", "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["server_configuration"] == mode


@pytest.mark.parametrize(
    ("challenge", "scheme", "told"),
    [
        ("Negotiate, NTLM", "basic", "Windows mode"),
        ("NTLM, Basic realm=x", "anonymous", "mixed mode"),
        ("Basic realm=x", "anonymous", "standalone mode"),
        ("Bearer authority=https://login.test/", "credentials", "OIDC mode"),
    ],
)
def test_a_scheme_that_the_server_cannot_take_ends_with_4(
    home: Home, challenge: str, scheme: str, told: str
) -> None:
    with echo(lambda _: refused(challenge)) as server:
        home.user(_profile(server.url, scheme))
        done = home.having(MI_PASSWORD="x").run("check", "prod")

    assert done.returncode == 4
    assert told in done.stderr
    assert f"the profile uses {scheme}" in done.stderr


@pytest.mark.parametrize("scheme", ["basic", "credentials"])
def test_a_wrong_password_ends_with_4_and_is_not_shown(
    home: Home, apache: Apache, scheme: str
) -> None:
    home.user(_profile(apache.standalone.http, scheme))

    done = home.having(MI_PASSWORD="canary-wrong").run("check", "prod")

    assert done.returncode == 4
    assert "refused the login" in done.stderr
    assert "canary" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("room", "knows_ca", "told"),
    [
        ("open", False, "unknown authority"),
        ("wrong_host", True, "for another host name"),
        ("expired", True, "has expired"),
    ],
)
def test_each_trouble_with_a_certificate_ends_with_5(
    home: Home, apache: Apache, ca: CertificateAuthority, room: str, knows_ca: bool, told: str
) -> None:
    trusted = ca.ca_file if knows_ca else None
    home.user(_profile(apache.room(room).https, "anonymous", ca=trusted))

    done = home.run("check", "prod")

    assert done.returncode == 5
    assert told in done.stderr


def test_an_unknown_name_and_a_closed_port_end_with_5(home: Home) -> None:
    for url, told in (
        ("https://nowhere.invalid/", "the name nowhere.invalid is not known"),
        ("http://localhost:1/", "connection refused"),
    ):
        home.user(_profile(url, "anonymous"))
        done = home.run("check", "prod")
        assert done.returncode == 5
        assert told in done.stderr


def test_a_server_that_does_not_answer_in_time_ends_with_5(home: Home) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://localhost:{silent.getsockname()[1]}/"
        home.user(_profile(url, "anonymous", "timeout = [5, 0.2]\n"))
        done = home.run("check", "prod")

    assert done.returncode == 5
    assert "did not answer in time" in done.stderr


def test_a_proxy_that_asks_for_a_login_ends_with_5(
    home: Home, squid: Squid, apache: Apache
) -> None:
    home.user(_profile(apache.open.http, "anonymous", f'proxy = "{squid.url}"\n'))

    done = home.run("check", "prod")

    assert done.returncode == 5
    assert "asks for a login (407)" in done.stderr
