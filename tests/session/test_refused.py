"""A refused login: explained, sent once, and never tried again."""

import pytest
import requests

from gatepass._session.exceptions import LoginRefused, SchemeNotOffered
from gatepass._session.session import Session
from gatepass.errors import GatepassError, GatepassWarning
from gatepass.secrets import Secret, ref
from tests.net.test_tls import server_side
from tests.support.echo import Answer, basic, echo, refused, wants
from tests.support.peers.ca import CertificateAuthority
from tests.support.sessions import PASSWORD, USER, session_for

LOGIN = basic(USER, PASSWORD)


def test_a_refused_login_raises_and_is_not_tried_again() -> None:
    with echo(wants(LOGIN)) as server:
        mi = session_for(server.url, environ={"MI_PASSWORD": "wrong"})
        with pytest.raises(LoginRefused, match=r"refused the login of bob \(401\)") as first:
            mi.get("x")
        with pytest.raises(LoginRefused) as second:
            mi.post("y", data=b"body")

    assert len(server.seen) == 1
    assert isinstance(first.value, requests.HTTPError)
    assert isinstance(first.value, GatepassError)
    assert first.value.exit_code == 4
    assert first.value.response is not None
    assert first.value.response.text == "no"
    assert second.value is not first.value
    assert str(second.value) == str(first.value)


def test_a_user_name_given_as_a_secret_is_not_shown() -> None:
    with echo(wants("nobody")) as server, pytest.raises(LoginRefused) as caught:
        session_for(server.url, auth={"user_name": Secret("canary")}).get("x")

    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        (b"<p>Your account has expired.</p>", "account has expired"),
        (b"401.1: the user's  ACCOUNT\r\n is expired; ask hr", "account is expired"),
        (b"Password expired", "password expired"),
        (b"account has been disabled. Account has been disabled.", "account has been disabled"),
        (b"You must  change your password before you log on.", "must change your password"),
        (b"Your password must be reset", "password must be reset"),
        (b"error ACCOUNT_LOCKED_OUT (0xC0000234)", "account is locked out"),
        (b"LDAP: error code 49 - 80090308: data 773, v3839", "password must be changed"),
        (
            b"Error 1909: the referenced account is currently locked out",
            "account is locked out",
        ),
        (b"80070533", None),
        (b"HRESULT 0x80070533", "account is disabled"),
        (b'{"error": "USER_ACCOUNT_LOCKED"}', "account locked"),
        (b"User alice@corp.test has been suspended.", "user has been suspended"),
        (b"Your credentials have expired", "credentials have expired"),
        (b"Too many failed login attempts. Try in 5 min.", "too many failed login attempts"),
        (b"Please change your password", "please change your password"),
        (b"Multi-factor authentication is required", "multi-factor authentication is required"),
        (
            b"Account restrictions are preventing this user from signing in.",
            "account restrictions are preventing",
        ),
        (
            b"Basic authentication is disabled for this account",
            "basic authentication is disabled",
        ),
        (b"the password of user hunter2 is wrong", None),
        (b"<a href=/reset>Password reset</a> <a>Password forgotten?</a>", None),
        (b"This session has expired, and the account of the department", None),
    ],
)
@pytest.mark.parametrize("scheme", ["basic", "credentials"])
def test_what_a_server_says_of_the_account_is_repeated_and_nothing_else(
    scheme: str, page: bytes, expected: str | None
) -> None:
    answer = Answer(401, [("WWW-Authenticate", "Basic")], page)
    with echo(lambda _: answer) as server, pytest.raises(LoginRefused) as caught:
        session_for(server.url, scheme).get("x")

    said = f". The server says: {expected}" if expected else ""
    assert caught.value.message.partition("the profile uses ")[2] == f"{scheme}{said}"


def test_what_a_header_says_of_the_account_is_repeated_too() -> None:
    headers = [
        ("WWW-Authenticate", "Basic"),
        ("X-Authentication-Denied-Reason", "CAPTCHA_CHALLENGE; login-url=https://x/canary"),
    ]
    with echo(lambda _: Answer(401, headers)) as server:
        result = session_for(server.url).check()

    assert result.sentence.endswith(". The server says: captcha_challenge")


def test_a_wrong_scheme_is_explained_from_what_the_server_offers() -> None:
    with echo(lambda _: refused("Negotiate", "NTLM")) as server:
        mi = session_for(server.url)
        for _ in range(2):
            with pytest.raises(SchemeNotOffered) as caught:
                mi.get("x")

    assert len(server.seen) == 1
    assert caught.value.message.startswith(
        "this server offers Negotiate, NTLM; the profile uses basic. "
    )


def test_the_advice_names_the_schemes_that_can_answer() -> None:
    with echo(lambda _: refused('Basic realm="x"')) as server:
        auth, environ = {"token": ref("env:MI_TOKEN")}, {"MI_TOKEN": "abc"}
        mi = session_for(server.url, "bearer", auth=auth, environ=environ)
        with pytest.raises(SchemeNotOffered, match=r"Use basic or credentials\.$"):
            mi.get("x")


def test_a_hostile_challenge_cannot_fill_the_screen() -> None:
    challenge = ", ".join(f"{'x' * 500}{number}" for number in range(30))
    with echo(lambda _: refused(challenge)) as server, pytest.raises(SchemeNotOffered) as caught:
        session_for(server.url).get("x")

    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("status", [403, 404, 500])
def test_other_statuses_are_returned(status: int) -> None:
    with echo(lambda _: Answer(status)) as server:
        mi = session_for(server.url)
        assert mi.get("x").status_code == status
        assert mi.get("x").status_code == status


def _refused_over_tls(ca: CertificateAuthority, answer: Answer, **auth: object) -> str:
    """Return the hint for credentials that an https server refused with this answer."""
    with echo(lambda _: answer, server_side(ca.server)) as server:
        mi = session_for(server.url, "credentials", auth=auth, tls={"ca_file": str(ca.ca_file)})
        with pytest.raises(LoginRefused) as caught:
            mi.get("x")
    return caught.value.hint


CHALLENGE = ("WWW-Authenticate", "Basic")


def test_over_tls_a_balancer_is_named_as_what_may_refuse_a_right_password(
    ca: CertificateAuthority,
) -> None:
    answer = Answer(401, [CHALLENGE])

    assert "channel_binding = false   into auth" in _refused_over_tls(ca, answer)
    assert "take channel_binding out" in _refused_over_tls(ca, answer, channel_binding=False)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("Via", "1.1 proxy7 (squid/6.1)", "Via: 1.1 proxy7"),
        ("Server", "nginx/1.25", "Server: nginx/1.25"),
        ("Server", "BigIP", "Server: BigIP"),
        ("Server", "Microsoft-IIS/10.0", None),
        ("Via", "\x1b[2J" + "x" * 500, "Via: \\x1b"),
    ],
)
def test_what_stands_in_between_is_named_where_it_shows_itself(
    name: str, value: str, told: str | None
) -> None:
    date = ("Date", "Sun, 29 Nov 2026 10:00:00 GMT")  # given, so that there is no other Server
    answer = Answer(401, [CHALLENGE, date, (name, value)])
    with echo(lambda _: answer) as server, pytest.raises(LoginRefused) as caught:
        session_for(server.url, "credentials").get("x")

    assert (told is not None) == ("something stands in between" in caught.value.hint)
    assert (told or "") in caught.value.hint
    assert "\x1b" not in caught.value.hint
    assert len(caught.value.hint) < 600


def test_an_answer_in_http_1_0_tells_of_a_proxy_that_speaks_it() -> None:
    with (
        echo(lambda _: refused("Basic"), version="HTTP/1.0") as server,
        pytest.raises(LoginRefused) as caught,
    ):
        session_for(server.url, "credentials").get("x")

    assert "something stands in between (HTTP/1.0)" in caught.value.hint


def test_a_password_of_basic_belongs_to_no_connection_and_nothing_in_between_matters() -> None:
    answer = Answer(401, [CHALLENGE, ("Via", "1.1 proxy7")])
    with echo(lambda _: answer) as server, pytest.raises(LoginRefused) as caught:
        session_for(server.url).get("x")

    assert "in between" not in caught.value.hint


def test_another_server_that_asks_for_a_login_is_told_of() -> None:
    """A short name in place of the full one is another origin: the bare 401 tells nobody why."""
    with (
        echo(lambda _: Answer()) as server,
        echo(lambda _: Answer(401, (("WWW-Authenticate", "Basic realm=x"),))) as other,
        Session(server.url, user_name="alice", password="pw") as session,
    ):
        with pytest.warns(GatepassWarning, match="another server than that of the profile") as told:
            assert session.get(f"{other.root}/api?q=hunter2").status_code == 401
        session.get(f"{other.root}/api", auth=("bob", "own"))

    assert other.authorizations[0] is None
    assert f"ask {server.root}/api, or give auth=" in str(told[0].message)
    assert "hunter2" not in str(told[0].message)
