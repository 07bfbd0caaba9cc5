"""``gatepass check`` names the server's configuration, and each trouble with an exit code."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path

import pytest

from gatepass.sandbox.provider import IdentityProvider
from tests.support.echo import Answer, Seen, echo, refused
from tests.support.home import Home
from tests.support.logins import SERVER, USERS, Office, profile
from tests.support.peers.apache import Apache
from tests.support.peers.ca import CertificateAuthority
from tests.support.peers.redis_server import Redis
from tests.support.peers.squid import Squid

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
    home.user(_profile(windows_apache.room(room).https + "/mi_servicelayer/", ca=ca.ca_file))

    done = home.having(MI_PASSWORD="pw-alice").run("check", "prod", "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["server_configuration"] == mode


@pytest.mark.parametrize(
    ("challenge", "scheme", "expected"),
    [
        ("Negotiate, NTLM", "basic", "offers Negotiate, NTLM;"),
        ("NTLM, Basic realm=x", "anonymous", "offers NTLM, Basic;"),
        ("Basic realm=x", "anonymous", "offers Basic;"),
        ("Bearer authority=https://login.test/", "credentials", "offers Bearer;"),
    ],
)
def test_a_scheme_that_the_server_cannot_take_ends_with_4(
    home: Home, challenge: str, scheme: str, expected: str
) -> None:
    with echo(lambda _: refused(challenge)) as server:
        home.user(_profile(server.url, scheme))
        done = home.having(MI_PASSWORD="x").run("check", "prod")

    assert done.returncode == 4
    assert expected in done.stderr
    assert f"the profile uses {scheme}" in done.stderr


@pytest.mark.parametrize("scheme", ["basic", "credentials"])
def test_a_wrong_password_ends_with_4_and_is_not_shown(
    home: Home, apache: Apache, scheme: str
) -> None:
    home.user(_profile(apache.standalone.http, scheme))

    done = home.having(MI_PASSWORD="canary-wrong").run("check", "prod")

    assert done.returncode == 4
    assert "refused the login" in done.stderr
    assert "session" not in done.stderr, "each command is a new one"
    assert "canary" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("room", "knows_ca", "expected"),
    [
        ("open", False, "unknown authority"),
        ("wrong_host", True, "for another host name"),
        ("expired", True, "has expired"),
    ],
)
def test_each_trouble_with_a_certificate_ends_with_5(
    home: Home, apache: Apache, ca: CertificateAuthority, room: str, knows_ca: bool, expected: str
) -> None:
    trusted = ca.ca_file if knows_ca else None
    home.user(_profile(apache.room(room).https, "anonymous", ca=trusted))

    done = home.run("check", "prod")

    assert done.returncode == 5
    assert expected in done.stderr


def test_an_unknown_name_and_a_closed_port_end_with_5(home: Home) -> None:
    for url, expected in (
        ("https://nowhere.invalid/", "the name nowhere.invalid is not known"),
        ("http://localhost:1/", "connection refused"),
    ):
        home.user(_profile(url, "anonymous"))
        done = home.run("check", "prod")
        assert done.returncode == 5
        assert expected in done.stderr


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


@pytest.fixture
def oidc_home(home: Home, tmp_path: Path) -> Iterator[Office]:
    """A home with a login at an identity provider."""
    with (
        IdentityProvider(users=USERS, auto_login="alice") as idp,
        echo(lambda seen: Answer() if seen.authorization else refused("Bearer")) as api,
    ):
        office = Office.furnished(home, tmp_path)
        office.home.user(profile(idp.issuer).replace(SERVER, api.url))
        assert office.home.run("login", "nightly").returncode == 0
        yield office


def test_check_looks_at_the_vault_of_a_scheme_that_keeps_tokens(oidc_home: Office) -> None:
    done = oidc_home.home.run("check", "nightly")
    found = json.loads(oidc_home.home.run("check", "nightly", "--json").stdout)["findings"]

    assert done.returncode == 0, done.stderr
    assert "ok: vault: locks hold between processes" in " ".join(done.stderr.split())
    assert found[0]["verdict"] == "ok"
    assert not [path for path in oidc_home.vault.iterdir() if "check" in path.name]


def test_check_warns_of_a_redis_that_may_lose_a_login(oidc_home: Office, own_redis: Redis) -> None:
    own_redis.client().config_set("appendfsync", "no")
    home = oidc_home.home.having(GATEPASS_VAULT=own_redis.url)
    assert home.run("login", "nightly").returncode == 0

    done = home.run("check", "nightly")

    assert done.returncode == 0, done.stderr
    assert "problem: vault: redis at 127.0.0.1" in done.stderr
    assert "    appendonly yes\n    appendfsync always\n" in done.stderr


def test_check_says_nothing_of_a_vault_that_nothing_is_kept_in(home: Home) -> None:
    with echo(lambda _: Answer()) as server:
        home.user(_profile(server.url, "anonymous"))
        done = home.run("check", "prod")

    assert "vault" not in done.stdout + done.stderr


# ---------------------------------------------------------------- the server's clock


def _dated(ahead: float, answer: Answer) -> Answer:
    """An answer of a server whose clock is so many seconds ahead of ours."""
    date = formatdate(time.time() + ahead, usegmt=True)
    return replace(answer, headers=[*answer.headers, ("Date", date)])


@pytest.mark.parametrize(
    ("ahead", "expected"), [(430, "7 min behind the server's"), (-7300, "2 h 1 min ahead of")]
)
def test_check_warns_of_a_clock_that_differs(home: Home, ahead: float, expected: str) -> None:
    with echo(lambda _: _dated(ahead, Answer())) as server:
        home.user(_profile(server.url, "anonymous"))
        done = home.run("check", "prod")
        found = json.loads(home.run("check", "prod", "--json").stdout)

    assert done.returncode == 0
    assert done.stderr.startswith("warning: clock: this computer's clock is ")
    assert expected in done.stderr
    assert "timedatectl set-ntp true" in done.stderr
    assert found["clock_skew"] == pytest.approx(-ahead, abs=30)
    assert [each["subject"] for each in found["findings"]] == ["clock"]


def test_check_says_nothing_of_a_clock_that_is_right_enough(home: Home) -> None:
    with echo(lambda _: _dated(-30, Answer())) as server:
        home.user(_profile(server.url, "anonymous"))
        done = home.run("check", "prod")

    assert done.stderr == ""


def test_a_refused_login_tells_of_the_clock_too(home: Home) -> None:
    with echo(lambda _: _dated(3600, refused("Basic realm=x"))) as server:
        home.user(_profile(server.url, "basic"))
        done = home.having(MI_PASSWORD="x").run("check", "prod")

    assert done.returncode == 4
    assert "clock is " in done.stderr
    assert "error: " in done.stderr


# ---------------------------------------------------------------- what was proven


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [((), 1, 'check_path = "..."'), (("--allow-unproven",), 0, "")],
)
def test_a_page_that_asks_nobody_is_unproven(
    home: Home, options: tuple[str, ...], code: int, told: str
) -> None:
    with echo() as server:
        home.user(_profile(server.url))
        home = home.having(MI_PASSWORD="canary")
        done = home.run("check", "prod", *options)
        found = json.loads(home.run("check", "prod", "--json", *options).stdout)
        apart = home.run("check", "prod", "--unattended", *options)

    assert (done.returncode, apart.returncode) == (code, code)
    assert done.stdout.startswith(f"unproven: {server.url}cgi/whoami answers 200 without asking")
    assert told in done.stderr
    assert {key: found[key] for key in ("ok", "proven", "user", "status", "exit_code")} == {
        "ok": not code,
        "proven": False,
        "user": None,
        "status": 200,
        "exit_code": code,
    }
    assert "nothing was proven" in apart.stdout


def test_a_proven_login_without_the_page_ends_with_1(home: Home) -> None:
    def answers(seen: Seen) -> Answer:
        return Answer(404) if seen.authorization else refused("Basic")

    with echo(answers) as server:
        home.user(_profile(server.url))
        home = home.having(MI_PASSWORD="x")
        done, as_json = (home.run("check", "prod", *more) for more in ((), ("--json",)))
        apart = home.run("check", "prod", "--unattended", "--allow-unproven")

    found = json.loads(as_json.stdout)
    assert (done.returncode, as_json.returncode, apart.returncode) == (1, 1, 1)
    assert "failed: logged on as CORP\\alice, but the page answers 404" in done.stdout
    assert (found["ok"], found["proven"], found["user"]) == (False, True, "CORP\\alice")
    assert "logged on as CORP\\alice, but the page answers 404" in apart.stdout


@pytest.mark.parametrize(("challenge", "code"), [("Basic", 4), (None, 5)])
def test_json_tells_what_came_in_place_of_an_answer(
    home: Home, challenge: str | None, code: int
) -> None:
    with echo(lambda _: refused("Basic")) as server:
        home.user(_profile(server.url if challenge else "http://localhost:1/", "basic"))
        done = home.having(MI_PASSWORD="x").run("check", "prod", "--json")

    found = json.loads(done.stdout)
    assert done.returncode == found["exit_code"] == code
    assert (found["ok"], found["proven"], found["user"]) == (False, False, None)
    assert found["sentence"] in " ".join(done.stderr.split())
