"""Logins that belong to a connection, against real servers: NTLM and Kerberos."""

import hashlib
import io
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import requests

from gatepass._session.exceptions import LoginRefused, ProxyRefused, SchemeNotOffered
from gatepass._session.session import Session
from gatepass._system.context import RunContext
from gatepass.errors import GatepassError, GatepassWarning
from gatepass.sandbox import Server
from tests.auth.conftest import Make
from tests.support.echo import Answer, Seen, echo, refused
from tests.support.peers.apache import Apache
from tests.support.peers.squid import USERS as PROXY_USERS
from tests.support.peers.squid import Squid
from tests.support.sessions import profile_for
from tests.support.threads import together

SCHEMES = ("ntlm", "credentials", "autologon")


# Messages beyond the requests themselves, until a connection is logged on.
EXTRA = {"ntlm": 2, "credentials": 2, "autologon": 1}


_OK = "ok"


MATRIX = [
    ("anonymous", "windows", "this server offers Negotiate, NTLM (Windows mode)"),
    ("anonymous", "mixed", "this server offers Negotiate, NTLM, Basic (mixed mode)"),
    ("anonymous", "standalone", "this server offers Basic (standalone mode)"),
    ("basic", "windows", "the profile uses basic. Use autologon, credentials or ntlm."),
    ("basic", "mixed", _OK),
    ("basic", "standalone", _OK),
    ("ntlm", "windows", _OK),
    ("ntlm", "mixed", _OK),
    ("ntlm", "standalone", "the profile uses ntlm. Use basic or credentials."),
    ("credentials", "windows", _OK),
    ("credentials", "mixed", _OK),
    ("credentials", "standalone", _OK),
    ("autologon", "windows", _OK),
    ("autologon", "mixed", _OK),
    ("autologon", "standalone", "the profile uses autologon. Use basic or credentials."),
    ("bearer", "windows", "the profile uses bearer. Use autologon, credentials or ntlm."),
    ("bearer", "mixed", "the profile uses bearer. Use autologon, basic, credentials or ntlm."),
    ("bearer", "standalone", "the profile uses bearer. Use basic or credentials."),
]


@pytest.mark.parametrize("plain", [False, True], ids=["https", "http"])
@pytest.mark.parametrize(("scheme", "room", "outcome"), MATRIX)
def test_each_scheme_works_at_each_server_or_says_what_does(
    make: Make, scheme: str, room: str, outcome: str, plain: bool
) -> None:
    auth = {"token": "t0ken"} if scheme == "bearer" else {}
    mi = make(scheme, room, auth=auth, plain=plain)

    if outcome == _OK:
        assert "alice" in mi.get("cgi/whoami").json()["user"]
        return
    with pytest.raises(SchemeNotOffered) as caught:
        mi.get("mi_servicelayer")
    assert outcome in str(caught.value)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("room", ["windows", "mixed"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_ten_requests_take_one_connection_and_few_messages(
    make: Make, windows_apache: Apache, scheme: str, room: str
) -> None:
    mark = windows_apache.mark()
    mi = make(scheme, room)
    for _ in range(10):
        assert "alice" in mi.get("cgi/whoami").json()["user"]

    lines = windows_apache.wait_for_lines(mark, 10 + EXTRA[scheme])
    assert [line.status for line in lines] == [401] * EXTRA[scheme] + [200] * 10
    assert len({line.connection for line in lines}) == 1


def test_credentials_on_basic_take_one_message_more(make: Make, windows_apache: Apache) -> None:
    mark = windows_apache.mark()
    mi = make("credentials", "standalone")
    for _ in range(10):
        assert mi.get("cgi/whoami").json()["auth"] == "Basic"

    assert [line.status for line in windows_apache.wait_for_lines(mark, 11)] == [401] + [200] * 10


def test_ntlm_where_connections_are_not_kept_is_explained_without_a_failed_login(
    make: Make, windows_apache: Apache
) -> None:
    mark = windows_apache.mark()
    with pytest.raises(GatepassError, match="closes each connection"):
        make("ntlm", "ntlm_no_keepalive", plain=True).get("cgi/whoami")

    lines = windows_apache.wait_for_lines(mark, 2)
    assert [line.status for line in lines] == [401, 401]  # the question and the first message


@pytest.mark.parametrize("scheme", SCHEMES)
def test_sixteen_threads_get_their_own_answers(make: Make, scheme: str) -> None:
    mi = make(scheme, "windows")

    def ask(number: int) -> list[tuple[bool, bool]]:
        answers = []
        for turn in range(5):
            word = f"{number}-{turn}"
            answered = mi.get("cgi/whoami", headers={"X-Word": word}).json()
            answers.append((answered["headers"]["x-word"] == word, "alice" in answered["user"]))
        return answers

    assert together(16, ask) == [[(True, True)] * 5] * 16


@pytest.mark.parametrize("scheme", SCHEMES)
def test_an_answer_that_is_still_being_read_lends_its_connection_to_nobody(
    make: Make, scheme: str
) -> None:
    mi = make(scheme, "windows")
    with mi.get("cgi/whoami", stream=True) as first:
        second = mi.get("cgi/whoami")
        assert "alice" in second.json()["user"]
        assert "alice" in first.json()["user"]


def _generator(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), 100_000):
        yield data[start : start + 100_000]


KINDS: dict[str, Callable[[bytes], dict[str, Any]]] = {
    "bytes": lambda data: {"data": data},
    "file": lambda data: {"data": io.BytesIO(data)},
    "generator": lambda data: {"data": _generator(data)},
    "multipart": lambda data: {"files": {"part": ("name", io.BytesIO(data))}},
}


@pytest.mark.parametrize("used", [False, True], ids=["fresh", "used"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("scheme", "room"),
    [*((scheme, "windows") for scheme in SCHEMES), ("autologon", "krb_unbound")],
)
def test_every_byte_of_a_body_arrives(
    make: Make, scheme: str, room: str, kind: str, used: bool
) -> None:
    data = bytes(range(256)) * 4000
    mi = make(scheme, room)
    if used:
        mi.get("cgi/whoami")

    answered = mi.post("cgi/whoami", **KINDS[kind](data)).json()

    assert "alice" in answered["user"]
    if kind == "multipart":
        assert answered["body_bytes"] > len(data)
    else:
        assert answered["body_bytes"] == len(data)
        assert answered["body_sha256"] == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_fifty_megabytes_arrive_and_are_sent_once(
    make: Make, windows_apache: Apache, scheme: str
) -> None:
    data = bytes(50_000_000)
    mark = windows_apache.mark()

    answered = make(scheme, "windows").post("cgi/whoami", data=_generator(data)).json()

    assert answered["body_bytes"] == len(data)
    lines = windows_apache.log_since(mark)
    assert [line.request.split()[0] for line in lines].count("POST") == 1


@pytest.mark.parametrize("kind", ["file", "generator"])
def test_a_stream_that_cannot_be_sent_is_an_error_never_an_empty_body(
    make: Make, kind: str
) -> None:
    """Without keep-alive no connection can be logged on beforehand."""
    mi = make("ntlm", "ntlm_no_keepalive", plain=True)

    with pytest.raises(GatepassError):
        mi.post("cgi/whoami", **KINDS[kind](b"body"))


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("room", ["windows", "mixed", "ntlm"])
@pytest.mark.parametrize("scheme", ["ntlm", "credentials"])
def test_a_wrong_password_is_tried_once_by_sixteen_threads(
    make: Make, windows_apache: Apache, scheme: str, room: str, method: str
) -> None:
    """A directory server locks accounts after a few attempts."""
    mark = windows_apache.mark()
    mi = make(scheme, room, password="wrong")

    def attempt(_: int) -> None:
        with pytest.raises(LoginRefused):
            mi.request(method, "cgi/whoami", data=b"x" if method == "POST" else None)

    together(16, attempt)

    lines = windows_apache.log_since(mark)
    with_credentials = [line for line in lines if line.authorization]
    # One attempt is two messages of NTLM; nobody falls back to Basic.
    assert [line.status for line in with_credentials] == [401, 401]
    assert {(line.authorization or "").lower() for line in with_credentials} == {"ntlm"}
    with pytest.raises(LoginRefused):
        mi.get("cgi/whoami")
    assert len(windows_apache.log_since(mark)) == len(lines)


@pytest.mark.parametrize("scheme", ["ntlm", "credentials"])
@pytest.mark.parametrize("used", [False, True], ids=["fresh", "used"])
def test_not_now_is_no_refusal(make: Make, windows_apache: Apache, scheme: str, used: bool) -> None:
    """The last message of NTLM is not sent again: it would count as a failed login."""
    mi = make(scheme, "windows", retries=2)
    if used:
        mi.get("cgi/whoami")
    mark = windows_apache.mark()

    answer = mi.get("cgi/status", params={"code": 503, "retry_after": 0})

    assert answer.status_code == 503
    assert mi.get("cgi/whoami").ok
    statuses = [line.status for line in windows_apache.log_since(mark)]
    assert statuses.count(503) == 3


def test_a_server_that_takes_kerberos_alone_is_explained(make: Make) -> None:
    for scheme in ("ntlm", "credentials"):
        with pytest.raises(GatepassError, match="(?s)does not answer NTLM.*autologon") as caught:
            make(scheme, "krb_unbound").get("cgi/whoami")
        assert caught.value.exit_code == 4


def _always(challenge: str, _: Seen) -> Answer:
    return refused(challenge)


def test_a_hostile_answer_to_a_handshake_is_our_own_error(make: Make) -> None:
    assert make("ntlm", "windows").get("cgi/whoami").ok
    for scheme, token in (("Negotiate", "AAAA"), ("Negotiate", "!!"), ("NTLM", "TlRMTVNTUAA=")):
        challenge = f"{scheme} {token}"
        with echo(partial(_always, challenge)) as server:
            for name in ("ntlm", "autologon", "credentials"):
                auth = {"user_name": "u", "password": "p"} if name == "ntlm" else {}
                profile = profile_for(server.url, name, auth=auth)
                session = Session._from_checked(
                    profile, RunContext.of(environ={"MI_PASSWORD": "p"})
                )
                with pytest.raises(GatepassError) as caught:
                    session.get("a")
                assert "use the name under which" not in str(caught.value)


@pytest.mark.parametrize("how", ["absolute", "redirect"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_another_server_gets_no_handshake(
    make: Make, windows_apache: Apache, scheme: str, how: str
) -> None:
    """The other server offers everything; nothing of the profile goes there."""
    mi = make(scheme, "windows")
    mi.get("cgi/whoami")
    other = f"{windows_apache.mixed.https}/cgi/whoami"
    mark = windows_apache.mark()

    with pytest.warns(GatepassWarning, match="is another server"):
        answer = (
            mi.get(other) if how == "absolute" else mi.get("cgi/redirect", params={"to": other})
        )

    assert answer.status_code == 401
    there = [line for line in windows_apache.log_since(mark) if line.room == "mixed"]
    assert [line.authorization for line in there] == [None] or not any(
        line.authorization for line in there
    )


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_callers_own_auth_borrows_no_connection_that_is_logged_on(
    make: Make, windows_apache: Apache, scheme: str
) -> None:
    mi = make(scheme, "windows")
    mi.get("cgi/whoami")
    mark = windows_apache.mark()

    answer = mi.get("cgi/whoami", auth=("mallory", "wrong"))

    assert answer.status_code == 401
    assert {line.user for line in windows_apache.log_since(mark)} <= {None, "", "-", "mallory"}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_no_trace_of_the_handshake_reaches_the_caller(make: Make, scheme: str) -> None:
    answer = make(scheme, "windows").get("cgi/whoami")

    for each in (answer, *answer.history):
        assert "Authorization" not in each.request.headers
    assert isinstance(answer, requests.Response)


@pytest.mark.parametrize("plain", [False, True], ids=["https", "http"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_proxy_in_between_does_not_disturb(
    make: Make, squid: Squid, scheme: str, plain: bool
) -> None:
    proxy = {"url": squid.url, "user_name": "petra", "password": PROXY_USERS["petra"]}
    mi = make(scheme, "windows", plain=plain, proxy=proxy)

    assert "alice" in mi.get("cgi/whoami").json()["user"]
    assert mi.post("cgi/whoami", data=_generator(b"body")).json()["body_bytes"] == 4


@pytest.mark.parametrize("plain", [False, True], ids=["https", "http"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_proxy_that_asks_for_a_login_gets_nothing_of_the_servers(
    make: Make, squid: Squid, windows_apache: Apache, scheme: str, plain: bool
) -> None:
    mark = windows_apache.mark()
    mi = make(scheme, "windows", plain=plain, proxy=squid.url)

    with pytest.raises(ProxyRefused) as caught:
        mi.get("cgi/whoami")

    assert caught.value.exit_code == 5
    assert windows_apache.log_since(mark) == []
    assert caught.value.request is not None
    assert "Authorization" not in caught.value.request.headers


@pytest.mark.parametrize(
    ("scheme", "room", "configuration"),
    [
        ("autologon", "windows", "Windows"),
        ("credentials", "mixed", "mixed"),
        ("credentials", "standalone", "standalone"),
    ],
)
def test_check_names_the_servers_configuration(
    make: Make, scheme: str, room: str, configuration: str
) -> None:
    result = make(scheme, room, check_path="mi_servicelayer").check()

    assert result.ok
    assert result.server_configuration == configuration


def test_a_server_in_oidc_mode_is_recognised() -> None:
    granta = (
        'Bearer authority="https://login.test", clientid="mi", redirecturi="http://localhost", '
        'scope="openid offline_access", apiAudience="api"'
    )
    for scheme in ("anonymous", "basic", "ntlm", "credentials"):
        auth = {"user_name": "u", "password": "p"} if scheme != "anonymous" else {}
        with echo(partial(_always, granta)) as server:
            mi = Session._from_checked(
                profile_for(server.url, scheme, auth=auth), RunContext.of(environ={})
            )
            with pytest.raises(SchemeNotOffered, match=r"Bearer \(OIDC mode\)"):
                mi.get("mi_servicelayer")


def test_a_locked_account_is_said_to_be_locked() -> None:
    with Server(mode="standalone", users={"u": "right"}, lock_after=1) as server:
        for password, message in (
            ("wrong", "refused the login of u"),
            ("right", "The server says: account is locked"),
        ):
            auth = {"user_name": "u", "password": password}
            profile = profile_for(server.url, "credentials", auth=auth)
            with pytest.raises(LoginRefused, match=message):
                Session._from_checked(profile, RunContext.of(environ={})).get("Health/v2.svc")
        assert server.attempts("u") == 1
