"""The session that logs in for a command, and the login that needs none."""

import socket
from threading import Event

import pytest

from gatepass.sandbox.provider import SERVICE_ID, SERVICE_SECRET
from tests.support.echo import Answer, Seen, echo
from tests.support.faulty_provider import FaultyProvider
from tests.support.home import Home
from tests.support.logins import USERS, Office, log_in, profile


def test_a_token_that_has_ended_is_renewed_first(office: Office) -> None:
    with FaultyProvider(users=USERS, auto_login="alice", access_token_seconds=0) as idp:
        log_in(office, profile(idp.issuer))
        before = idp.counts.refreshes

        tokens = {office.empty_office.run("token", "nightly").stdout for _ in range(2)}

        assert len(tokens) == 2
        assert idp.counts.refreshes == before + 2


def test_a_client_with_a_secret_gets_a_token_without_a_login(
    office: Office, idp: FaultyProvider
) -> None:
    more = 'flow = "client_credentials"\nclient_secret = "env:CLIENT_SECRET"\n'
    text = profile(idp.issuer, more).replace('"gatepass"', f'"{SERVICE_ID}"')
    office.home.user(text)

    done = office.empty_office.having(CLIENT_SECRET=SERVICE_SECRET).run("token", "nightly")

    assert done.returncode == 0, done.stderr
    assert done.stdout.count(".") == 2


NOT_NEEDED = (
    "rich", "keyring", "tree_sitter", "oauthlib", "joserfc", "http.server", "webbrowser",
    "requests", "urllib3", "pydantic", "pydantic_settings", "ssl", "dataclasses", "tomllib",
    "difflib", "filelock",
)  # fmt: skip


def test_a_stored_token_is_printed_without_what_it_does_not_need(
    office: Office, idp: FaultyProvider
) -> None:
    log_in(office, profile(idp.issuer))

    program = (
        "import sys; from gatepass.cli import run; assert run(['token', 'nightly']) == 0; "
        f"print(sorted(set({NOT_NEEDED!r}) & set(sys.modules)))"
    )
    office.empty_office.python(program)  # it checks the profile, and keeps it for the next
    done = office.empty_office.python(program)

    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("verb", ["status", "login", "logout"])
def test_what_needs_no_network_does_not_import_it(home: Home, verb: str) -> None:
    home.user('[profiles.dev]\nurl = "https://x.y/"\nauth = { scheme = "anonymous" }\n')

    done = home.python(
        f"import sys; from gatepass.cli import run; run([{verb!r}, 'dev']); "
        "print(sorted({'requests', 'keyring', 'cryptography'} & set(sys.modules)))"
    )

    assert done.stdout.splitlines()[-1] == "[]"


def test_a_server_that_does_not_answer_is_unreachable_and_no_bug(office: Office) -> None:
    """It is asked for the provider where the profile does not name one."""
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        office.home.user(
            f'[profiles.dev]\nurl = "{url}"\nretries = 0\nauth = {{ scheme = "oidc" }}\n'
        )

        done = office.home.run("login", "dev")

    assert done.returncode == 5
    assert "error: " in done.stderr


def test_the_body_of_an_answer_without_a_challenge_is_not_even_read(office: Office) -> None:
    """A hostile server may damage it, or never end it; only its challenge counts."""
    with echo(lambda _: Answer(headers=[("Content-Encoding", "gzip")], body=b"not gzip")) as api:
        office.home.user(f'[profiles.dev]\nurl = "{api.url}"\nauth = {{ scheme = "oidc" }}\n')

        done = office.home.run("login", "dev")

    assert done.returncode == 4
    assert "error: " in done.stderr
    assert "ContentDecodingError" not in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["token", "nightly"], "asking the identity provider"),
        (["check", "nightly"], "waiting for http://localhost:.* or http://localhost:"),
        (["request", "x", "-p", "nightly"], "waiting for http://localhost:.* or http://localhost:"),
    ],
)
def test_who_waits_for_the_provider_is_told_that_it_is_the_provider(
    home: Home, words: list[str], told: str
) -> None:
    done = Event()

    def holds(_: Seen) -> Answer:
        done.wait()
        return Answer(404)

    with echo(holds) as idp:
        home.user(
            f'[profiles.nightly]\nurl = "{idp.root}"\n[profiles.nightly.auth]\nscheme = "oidc"\n'
            f'issuer = "{idp.root}/idp"\nclient_id = "c"\nclient_secret = "env:SECRET"\n'
            'flow = "client_credentials"\n'
        )
        with home.having(SECRET="x").sit(*words, columns=200) as child:
            child.expect(told)
            done.set()
