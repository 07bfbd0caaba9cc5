"""``gatepass init`` learns the scheme from the answer to one request without credentials."""

import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass._net.challenge import parse
from gatepass.cli._detect_scheme import PAGES, judged
from gatepass.sandbox.provider import IdentityProvider
from gatepass.sandbox.server import Server
from tests.support.echo import Answer, Echo, echo, refused
from tests.support.home import Home, ended, screen
from tests.support.peers.apache import Apache
from tests.support.peers.ca import CertificateAuthority
from tests.support.peers.need import need_gssapi

USERS = {"alice": "sesame"}
WITH_A_NAME = ("--user-name", "alice", "--password-from", "env:MI_PASSWORD")


@contextmanager
def sandbox(mode: str) -> Iterator[Server]:
    with IdentityProvider(users=USERS, auto_login="alice") as idp:
        provider = idp if mode == "oidc" else None
        with Server(
            mode=mode, users=USERS if provider is None else {}, provider=provider
        ) as server:
            yield server


def all_keys(home: Home, name: str = "dev") -> dict[str, Any]:
    profiles: dict[str, Any] = tomllib.loads(home.user_file.read_text())["profiles"]
    return dict(profiles[name])


def written(home: Home, name: str = "dev") -> dict[str, Any]:
    return dict(all_keys(home, name)["auth"])


# ---------------------------------------------------------------- what an answer tells


@pytest.mark.parametrize(
    ("challenges", "schemes"),
    [
        ("Negotiate, NTLM", ["autologon", "credentials"]),
        ("Negotiate", ["autologon"]),
        ("Negotiate, NTLM, Basic realm=x", ["autologon", "credentials"]),
        ("NTLM", ["credentials"]),
        ("Basic realm=x", ["credentials"]),
        ('Bearer authority="https://login.test/", clientid="x"', ["oidc", "bearer"]),
        ('Bearer resource_metadata="https://x.test/meta"', ["oidc", "bearer"]),
        ("Bearer realm=x", ["bearer"]),
        ("Digest realm=x", []),
    ],
)
def test_each_challenge_has_its_schemes(challenges: str, schemes: list[str]) -> None:
    learnt = judged(401, parse(challenges), "", url="", tickets=True)

    assert list(learnt.schemes) == schemes
    assert "it answers 401 and offers" in learnt.saw


def test_where_no_ticket_can_be_used_a_password_comes_first() -> None:
    assert judged(401, parse("Negotiate, NTLM"), "", url="", tickets=False).schemes == (
        "credentials",
        "autologon",
    )


@pytest.mark.parametrize(
    ("status", "schemes", "said"),
    [
        (200, ("anonymous",), "asks for no login"),
        (302, (), "redirects to login.test"),
        (401, (), "tells no scheme"),
        (404, (), "is the URL right?"),
        (503, (), "is the URL right?"),
    ],
)
def test_each_status_without_a_challenge_says_what_it_tells(
    status: int, schemes: Sequence[str], said: str
) -> None:
    learnt = judged(status, (), "https://login.test/x", url="", tickets=True)

    assert learnt.schemes == schemes
    assert said in learnt.saw


@given(st.text(), st.integers(100, 599))
def test_no_challenge_breaks_it(header: str, status: int) -> None:
    assert judged(status, parse(header), header, url="", tickets=True).saw


# ---------------------------------------------------------------- real servers


@pytest.mark.parametrize(
    ("mode", "given_too", "scheme"),
    [
        ("standalone", WITH_A_NAME, "credentials"),
        ("windows", WITH_A_NAME, "credentials"),
        ("mixed", WITH_A_NAME, "credentials"),
        ("oidc", (), "oidc"),
        ("open", (), "anonymous"),
    ],
)
def test_where_nobody_is_the_scheme_is_learnt(
    home: Home, mode: str, given_too: tuple[str, ...], scheme: str
) -> None:
    with sandbox(mode) as server:
        done = home.run("init", "dev", "--url", server.url, *given_too)
        asked = server.requests

    assert done.returncode == 0, done.stderr
    assert written(home)["scheme"] == scheme
    assert f"so the scheme is {scheme}" in done.stderr
    assert len(asked) == (1 if mode != "open" else 1 + len(PAGES))


def test_a_windows_server_and_nothing_given_is_autologon(home: Home) -> None:
    need_gssapi()
    with sandbox("windows") as server:
        done = home.run("init", "dev", "--url", server.url)

    assert done.returncode == 0, done.stderr
    assert written(home) == {"scheme": "autologon"}
    assert "Negotiate, NTLM (Windows mode)" in done.stderr


@pytest.mark.parametrize(
    ("room", "said"),
    [
        ("windows", "(Windows mode)"),
        ("mixed", "(mixed mode)"),
        ("standalone", "Basic (standalone mode)"),
    ],
)
def test_the_mode_of_a_real_web_server_is_seen(
    home: Home, windows_apache: Apache, ca: CertificateAuthority, room: str, said: str
) -> None:
    url = windows_apache.room(room).https
    home = home.having(REQUESTS_CA_BUNDLE=str(ca.ca_file))

    done = home.run("init", "dev", "--url", f"{url}/mi_servicelayer", *WITH_A_NAME)

    assert done.returncode == 0, done.stderr
    assert said in done.stderr
    assert written(home)["scheme"] == "credentials"


def test_a_server_that_nobody_vouches_for_is_not_believed(home: Home, apache: Apache) -> None:
    done = home.run("init", "dev", "--url", apache.standalone.https, *WITH_A_NAME)

    assert done.returncode == 2
    assert "it could not be asked:" in done.stderr
    assert "unknown authority" in done.stderr
    assert "missing: --scheme" in done.stderr


def _answering(status: int, *headers: tuple[str, str]) -> Answer:
    return Answer(status, headers, b"")


def test_a_redirect_is_not_followed(home: Home) -> None:
    with (
        echo(lambda _: Answer()) as elsewhere,
        echo(lambda _: _answering(302, ("Location", elsewhere.url))) as server,
    ):
        done = home.run("init", "dev", "--url", server.url)

    assert done.returncode == 2
    assert "redirects to" in done.stderr
    assert server.authorizations == [None]
    assert elsewhere.seen == []


@pytest.mark.parametrize("words", [("--offline",), ("--scheme", "anonymous")])
def test_nobody_is_asked_who_need_not_be(home: Home, words: tuple[str, ...]) -> None:
    with echo(lambda _: Answer()) as server:
        done = home.apart.run("init", "dev", "--url", server.url, *words)

    assert server.seen == []
    assert "asking" not in done.stderr
    assert done.returncode == (2 if "--offline" in words else 0)


def test_a_server_that_is_busy_is_asked_once(home: Home) -> None:
    with echo(lambda _: _answering(503)) as server:
        done = home.run("init", "dev", "--url", server.url)

    assert done.returncode == 2
    assert server.authorizations == [None]


def test_where_no_server_is_the_usage_is_clear(home: Home) -> None:
    done = home.run("init", "dev", "--url", "http://localhost:1/")

    assert done.returncode == 2
    assert "it could not be asked:" in done.stderr
    assert "missing: --scheme" in done.stderr
    assert not home.user_file.exists()


# ---------------------------------------------------------------- a person


def _sit(home: Home, server: Echo, answers: Sequence[tuple[str, str]]) -> str:
    with home.sit("init", "dev") as child:
        child.expect("URL of the server")
        child.sendline(f"{server.root}/mi_servicelayer")
        child.expect(r"one request without")
        for question, answer in (*answers, (r"now.* \[Y/n\]", "n")):
            child.expect(question)
            child.sendline(answer)
        assert ended(child) == 0
        return screen(child)


def test_a_person_only_confirms_what_the_server_said(home: Home) -> None:
    with echo(lambda _: refused("NTLM", 'Basic realm="mi"')) as server:
        shown = _sit(
            home,
            server,
            [
                (r"\[credentials\]", ""),
                ("user name", "alice"),
                ("Windows domain", ""),
                ("a keyring cannot be offered[^$]*where the password comes from", ""),
            ],
        )

    assert "offers NTLM, Basic (mixed mode)" in shown
    assert written(home) == {
        "scheme": "credentials",
        "user_name": "alice",
        "password": "prompt:",
    }


def test_a_person_may_choose_another_scheme(home: Home) -> None:
    with echo(lambda _: refused("Bearer authority=https://login.test/")) as server:
        _sit(home, server, [(r"\[oidc\]", "anonymous")])

    assert written(home) == {"scheme": "anonymous"}


def test_a_server_that_tells_nothing_leaves_the_question(home: Home) -> None:
    with echo(lambda _: _answering(404)) as server:
        shown = _sit(home, server, [(r"\[credentials\]", "anonymous")])

    assert "is the URL right?" in shown


@pytest.mark.parametrize("page", ["Health/v2.svc", "proxy/v1.svc/mi"])
def test_where_the_url_asks_nobody_a_page_that_asks_becomes_check_path(
    home: Home, page: str
) -> None:
    asks = refused("Basic realm=x")
    with echo(lambda seen: asks if seen.path == f"/mi/{page}" else Answer()) as server:
        home.run("init", "dev", "--url", server.url, *WITH_A_NAME)
        done = home.having(MI_PASSWORD="x").run("check", "dev")

    assert all_keys(home)["check_path"] == page
    assert written(home)["scheme"] == "credentials"
    assert done.returncode == 4  # the page was asked, and refused the login


def test_where_nothing_asks_no_page_is_written(home: Home) -> None:
    with echo() as server:
        done = home.run("init", "dev", "--url", server.url)

    assert "check_path" not in all_keys(home)
    assert written(home)["scheme"] == "anonymous"
    assert server.paths == ["/mi/", "/mi/Health/v2.svc", "/mi/proxy/v1.svc/mi"]
    assert "it asks nobody there, so once more for Health/v2.svc and proxy/v1.svc/mi" in done.stderr


def test_where_the_url_asks_no_page_is_asked(home: Home) -> None:
    with echo(lambda _: refused("Basic realm=x")) as server:
        home.run("init", "dev", "--url", server.url, *WITH_A_NAME)

    assert server.paths == ["/mi/"]
    assert "check_path" not in all_keys(home)


@pytest.mark.parametrize("room", ["expired", "wrong_host"])
def test_only_an_unknown_authority_leads_to_ca_file(
    home: Home, apache: Apache, ca: CertificateAuthority, room: str
) -> None:
    url = apache.room(room).https

    done = home.run("init", "dev", "--url", url, "--ca-file", str(ca.ca_file))

    assert "no secure connection" in done.stderr
    assert "--ca-file" not in done.stderr
