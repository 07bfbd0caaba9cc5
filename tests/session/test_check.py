"""``Session.check`` says what the server confirmed, and raises nothing."""

import pickle
import ssl
from collections.abc import Callable

import pytest

from gatepass._session.check import CheckResult
from gatepass._session.exceptions import LoginRefused, Unreachable
from gatepass._session.session import Session
from gatepass.errors import GatepassWarning, SecretUnavailable
from gatepass.sandbox import Server
from tests.support.echo import Answer, Answers, Seen, basic, echo, redirects, refused, wants
from tests.support.peers.ca import CertificateAuthority
from tests.support.sessions import NOWHERE, PASSWORD, USER, session_for

LOGIN = basic(USER, PASSWORD)
HTML = [("Content-Type", "text/html; charset=utf-8")]
FORM = b'<form method="post"><input name="u"><input type=password name="p"></form>'


def page(body: bytes) -> Answers:
    return lambda _: Answer(200, HTML, body)


def outcome(result: CheckResult) -> tuple[bool, bool, int, str | None]:
    return result.ok, result.proven, result.exit_code, result.user


# ---------------------------------------------------------------- what is proof


@pytest.mark.parametrize("scheme", ["basic", "credentials"])
def test_a_page_that_refuses_who_does_not_log_on_proves_the_login(scheme: str) -> None:
    with echo(wants(LOGIN)) as server:
        result = session_for(server.url, scheme).check()

    assert outcome(result) == (True, True, 0, USER)
    assert sorted(map(str, server.authorizations)) == sorted([LOGIN, "None"])


@pytest.mark.parametrize("scheme", ["basic", "credentials", "ntlm"])
def test_a_page_that_asks_nobody_proves_nothing(scheme: str) -> None:
    auth = {"user_name": USER, "password": PASSWORD}
    with echo() as server:
        result = session_for(server.url, scheme, auth=auth).check()

    assert outcome(result) == (False, False, 1, None)
    assert f"{server.url} answers 200 without asking for a login; nothing was proven" in (
        result.sentence
    )
    assert "check_path" in result.hint
    assert server.authorizations.count(LOGIN) <= 1
    assert len(server.seen) == 1 + (scheme == "basic")


def test_anonymous_is_never_unproven() -> None:
    with echo() as server:
        result = session_for(server.url, "anonymous").check()

    assert outcome(result) == (True, False, 0, None)
    assert len(server.seen) == 1


def test_a_connection_that_is_logged_on_is_no_proof_and_the_second_question_is() -> None:
    with Server("windows", {USER: PASSWORD}) as server:
        mi = Session(server.url, user_name=USER, password=PASSWORD, check_path="Health/v2.svc")
        mi.get("Health/v2.svc")
        before = len(server.requests)
        result = mi.check()

        assert outcome(result) == (True, True, 0, USER)
        assert [each.status for each in server.requests[before:]] == [200, 401]


def test_a_cookie_of_the_login_does_not_answer_the_question_without_login() -> None:
    def answers(seen: Seen) -> Answer:
        if seen.authorization == LOGIN or "sid" in seen.headers.get("cookie", ""):
            return Answer(200, [("Set-Cookie", "sid=in; Path=/")])
        return refused("Basic")

    with echo(answers) as server:
        mi = session_for(server.url)
        assert mi.check().proven
        assert mi.check().proven
        assert mi.cookies["sid"] == "in"


def test_a_second_question_sets_no_cookie_of_the_session() -> None:
    def answers(seen: Seen) -> Answer:
        if seen.authorization:
            return Answer(200, [("Set-Cookie", "sid=in; Path=/")])
        return Answer(401, [("Set-Cookie", "sid=out; Path=/"), ("WWW-Authenticate", "Basic")])

    with echo(answers) as server:
        mi = session_for(server.url)
        assert mi.check().proven

    assert mi.cookies["sid"] == "in"


def test_the_second_question_takes_headers_and_client_certificate(ca: CertificateAuthority) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(ca.server.chain, ca.server.key)
    tls.load_verify_locations(ca.ca_file)
    tls.verify_mode = ssl.CERT_REQUIRED
    settings = {"ca_file": str(ca.ca_file), "client_cert": str(ca.client.chain)}
    settings["client_key"] = str(ca.client.key)
    with echo(wants(LOGIN), tls) as server:
        result = session_for(server.url, headers={"X-Tenant": "t"}, tls=settings).check()

    assert result.proven
    assert [each.headers.get("x-tenant") for each in server.seen] == ["t", "t"]
    assert all(each.client for each in server.seen)


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (404, "check url and check_path"),
        (403, "no right to that page"),
        (440, "a form and a cookie"),
        (500, "its log says why"),
    ],
)
@pytest.mark.parametrize("scheme", ["basic", "credentials"])
def test_a_login_is_proven_whatever_the_page_answers(scheme: str, status: int, told: str) -> None:
    def answers(seen: Seen) -> Answer:
        return Answer(status) if seen.authorization == LOGIN else refused("Basic")

    with echo(answers) as server:
        result = session_for(server.url, scheme, check_path="Health/v2.svc", retries=0).check()

    assert outcome(result) == (False, True, 1, USER)
    assert f"logged on as {USER}, but the page answers {status}" in result.sentence
    assert told in result.hint
    assert set(server.paths) == {"/mi/Health/v2.svc"}


@pytest.mark.parametrize("status", [400, 429, 431, 496, 497, 502, 503, 522])
def test_what_answers_before_the_login_is_looked_at_proves_nothing(status: int) -> None:
    def answers(seen: Seen) -> Answer:
        return Answer(status) if seen.authorization else refused("Basic")

    with echo(answers) as server:
        result = session_for(server.url, retries=0).check()

    assert outcome(result) == (False, False, 1, None)
    assert str(status) in result.sentence


@pytest.mark.parametrize(
    "page",
    [
        b"<center>The plain HTTP request was sent to HTTPS port</center>",  # nginx
        b"Reason: You're speaking plain HTTP to an SSL-enabled server port.",  # Apache
        b"Client sent an HTTP request to an HTTPS server.",  # Go
        b"This combination of host and port requires TLS.",  # Tomcat
    ],
)
@pytest.mark.parametrize("scheme", ["basic", "credentials"])
def test_plain_http_on_the_port_of_https_is_told_as_such(scheme: str, page: bytes) -> None:
    with echo(lambda _: Answer(400, body=page)) as server:
        result = session_for(server.url, scheme).check()

    assert "write   https://   into url" in result.hint


@pytest.mark.parametrize("status", [402, 406, 409, 414, 421, 426])
def test_only_a_page_that_is_missing_or_refused_makes_the_url_suspicious(status: int) -> None:
    with echo(lambda _: Answer(status)) as server:
        result = session_for(server.url).check()

    assert result.hint
    assert "check url" not in result.hint


def test_a_403_that_names_the_state_of_the_account_is_told_by_that() -> None:
    def answers(seen: Seen) -> Answer:
        locked = Answer(403, body=b"Your account is locked.")
        return locked if seen.authorization else refused("Basic")

    with echo(answers) as server:
        result = session_for(server.url).check()

    assert "the server says: account is locked" in result.hint


@pytest.mark.parametrize("status", [403, 404])
def test_a_page_that_nobody_gets_proves_nothing(status: int) -> None:
    with echo(lambda _: Answer(status)) as server:
        result = session_for(server.url).check()

    assert outcome(result) == (False, False, 1, None)
    assert "check url and check_path" in result.hint


@pytest.mark.parametrize(
    ("without", "told"),
    [(Answer(403), "403 instead of 401"), (Answer(closes=True, missing=9), "")],
)
def test_another_answer_than_401_without_login_is_told_and_is_no_proof(
    without: Answer, told: str
) -> None:
    with echo(lambda seen: Answer() if seen.authorization else without) as server:
        result = session_for(server.url).check()

    assert outcome(result) == (False, False, 1, None)
    assert told in result.sentence


def test_credentials_of_the_caller_prove_nothing_of_the_profile() -> None:
    with echo(wants(basic("eve", "x"))) as server:
        mi = session_for(server.url)
        mi.auth = ("eve", "x")
        result = mi.check()

    assert outcome(result) == (False, False, 1, None)
    assert "to the credentials of the caller" in result.sentence


def test_a_redirect_within_the_server_is_asked_where_it_ends() -> None:
    with echo(redirects({"/mi/": "/mi/start"}, wants(LOGIN))) as server:
        result = session_for(server.url).check()

    assert outcome(result) == (True, True, 0, USER)
    assert server.paths == ["/mi/", "/mi/start", "/mi/start"]


# ---------------------------------------------------------------- pages for people


@pytest.mark.parametrize("scheme", ["basic", "ntlm"])
@pytest.mark.parametrize(
    ("answers", "told"),
    [
        (page(FORM), "a field for a password"),
        (redirects({"/mi/": "/Account/LogOn?ReturnUrl=%2Fmi"}), "login page /Account/LogOn"),
        (page(b'<META http-equiv=Refresh content="0;URL=/login?t=x">'), "on to /login"),
        (page(b"<script>window.location.href='/sso/start'</script>"), "on to /sso/start"),
        (
            page(b'<form action="https://idp/x"><input type=hidden name=SAMLRequest value=a>'),
            "a login elsewhere",
        ),
    ],
)
def test_a_login_page_is_named_as_such(scheme: str, answers: Answers, told: str) -> None:
    auth = {"user_name": USER, "password": PASSWORD}
    with echo(answers) as server:
        result = session_for(server.url, scheme, auth=auth).check()

    assert outcome(result) == (False, False, 1, None)
    assert told in result.sentence
    assert "?" not in result.sentence
    assert "in a browser" in result.hint


def test_check_is_not_content_with_the_login_page_of_another_server() -> None:
    with echo() as idp, echo(redirects({"/mi/": f"{idp.root}/login"})) as server:
        result = session_for(server.url).check()

    assert (result.ok, result.status) == (False, 200)
    assert f"redirects to {idp.root}" in result.sentence
    assert "in a browser" in result.sentence


def test_another_name_of_the_server_is_what_the_url_should_be() -> None:
    with echo(wants(LOGIN)) as other, echo() as server:
        server.answers = redirects({"/mi/x": f"{other.url}x"})
        with pytest.warns(GatepassWarning, match="is another server"):
            result = session_for(server.url, check_path="x").check()

    assert (result.ok, result.status) == (False, 401)
    assert result.hint == f'write   url = "{other.url.rstrip("/")}"'


# ---------------------------------------------------------------- no answer


def test_a_server_cannot_steer_the_terminal_through_the_result_of_check() -> None:
    with echo(lambda _: Answer(404, reason="\x1b[2Jgone\x9b31m")) as server:
        sentence = session_for(server.url).check().sentence

    assert r"404 \x1b[2Jgone\x9b31m" in sentence


def _pickled() -> Session:
    mi: Session = pickle.loads(pickle.dumps(session_for(NOWHERE)))  # noqa: S301 - our own
    return mi


@pytest.mark.parametrize(
    ("make", "kind", "code"),
    [
        (lambda _: session_for(NOWHERE, retries=0), Unreachable, 5),
        (session_for, LoginRefused, 4),
        (lambda _: _pickled(), SecretUnavailable, 3),
    ],
)
def test_check_returns_what_a_request_would_raise(
    make: Callable[[str], Session], kind: type[Exception], code: int
) -> None:
    with echo(lambda _: refused("Basic")) as server:
        result = make(server.url).check()

    assert outcome(result) == (False, False, code, None)
    assert isinstance(result.error, kind)
    assert result.sentence == result.error.message
    assert result.hint == result.error.hint
    assert result.scheme == "basic"


def test_a_circle_of_redirects_is_a_result_too() -> None:
    with echo(redirects({"/mi/": "/mi/"})) as server:
        result = session_for(server.url).check()

    assert outcome(result) == (False, False, 1, None)
    assert "redirects in a circle" in result.sentence
