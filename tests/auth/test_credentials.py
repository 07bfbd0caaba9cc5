"""``scheme = "credentials"`` asks the server which way it takes, once."""

import io
from collections.abc import Iterator
from typing import Any

import pytest

from gatepass._session.exceptions import LoginRefused, SchemeNotOffered
from gatepass.errors import GatepassError, SecretUnavailable
from tests.support.echo import Answer, Seen, basic, echo, ok, refused, wants
from tests.support.peers.apache import USERS, Apache
from tests.support.peers.ca import CertificateAuthority
from tests.support.sessions import PASSWORD, USER, session_for
from tests.support.threads import together

LOGIN = basic(USER, PASSWORD)
BODY = b"body"


def test_the_question_costs_one_request_for_the_whole_session() -> None:
    with echo(wants(LOGIN)) as server:
        mi = session_for(server.url, "credentials")
        for path in ("a", "b", "c"):
            assert mi.get(path).ok

    assert server.paths == ["/mi/a", "/mi/a", "/mi/b", "/mi/c"]
    assert server.authorizations == [None, LOGIN, LOGIN, LOGIN]
    assert {seen.connection for seen in server.seen} == {1}


def test_the_answer_shows_no_trace_of_the_question() -> None:
    with echo(wants(LOGIN)) as server:
        answer = session_for(server.url, "credentials").get("a")

    assert answer.history == []
    assert "Authorization" not in answer.request.headers


def _pieces() -> Iterator[bytes]:
    yield BODY[:2]
    yield BODY[2:]


@pytest.mark.parametrize("kind", ["bytes", "file", "generator"])
def test_a_body_is_never_sent_into_the_question(kind: str) -> None:
    bodies: dict[str, Any] = {"bytes": BODY, "file": io.BytesIO(BODY), "generator": _pieces()}
    with echo(wants(LOGIN)) as server:
        assert session_for(server.url, "credentials").post("a", data=bodies[kind]).ok

    assert [(seen.method, seen.path, seen.body) for seen in server.seen] == [
        ("HEAD", "/mi/a", b""),
        ("HEAD", "/mi/a", b""),
        ("POST", "/mi/a", BODY),
    ]
    assert server.authorizations == [None, LOGIN, LOGIN]


def _only_posts_need_a_login(seen: Seen) -> Answer:
    return wants(LOGIN)(seen) if seen.method == "POST" else ok(seen)


def test_bytes_are_sent_again_where_the_question_was_answered_without_a_login() -> None:
    with echo(_only_posts_need_a_login) as server:
        assert session_for(server.url, "credentials").post("a", data=BODY).ok

    assert [seen.body for seen in server.seen] == [b"", BODY, BODY]


def test_a_spent_stream_is_explained_and_does_not_stop_the_session() -> None:
    with echo(_only_posts_need_a_login) as server:
        mi = session_for(server.url, "credentials")
        with pytest.raises(LoginRefused, match="when the body is already sent") as caught:
            mi.post("a", data=_pieces())
        assert "send bytes or a file" in caught.value.hint
        assert mi.post("a", data=_pieces()).ok

    assert [seen.body for seen in server.seen] == [b"", BODY, BODY]


def test_a_server_that_asks_nobody_gets_no_password() -> None:
    with echo() as server:
        mi = session_for(server.url, "credentials")
        assert mi.get("a").ok
        assert mi.post("a", data=BODY).ok

    assert not mi._guard.login.state._accepted, "what was not sent is not proven"
    assert set(server.authorizations) == {None}


@pytest.mark.parametrize(
    ("challenges", "message"),
    [
        (
            ["Bearer authority=https://idp/"],
            "this server offers Bearer; the profile uses",
        ),
        (['Digest realm="x"'], "this server offers Digest; the profile uses credentials"),
    ],
)
@pytest.mark.parametrize("body", [None, BODY])
def test_what_it_cannot_answer_is_explained_and_nothing_is_sent(
    challenges: list[str], message: str, body: bytes | None
) -> None:
    with echo(lambda _: refused(*challenges)) as server:
        mi = session_for(server.url, "credentials")
        with pytest.raises(SchemeNotOffered, match=message) as caught:
            mi.request("POST" if body else "GET", "a", data=body)

    assert caught.value.response is not None
    assert caught.value.response.status_code == 401
    assert set(server.authorizations) == {None}
    assert {seen.body for seen in server.seen} == {b""}


@pytest.mark.parametrize("challenge", ["", "=broken"])
def test_a_challenge_that_tells_nothing_is_a_refusal(challenge: str) -> None:
    with (
        echo(lambda _: refused(challenge)) as server,
        pytest.raises(LoginRefused, match="names no way to log on that can be read"),
    ):
        session_for(server.url, "credentials").get("a")

    assert set(server.authorizations) == {None}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_wrong_password_is_sent_once_by_sixteen_threads(method: str) -> None:
    with echo(wants(LOGIN)) as server:
        mi = session_for(server.url, "credentials", environ={"MI_PASSWORD": "wrong"})

        def attempt(_: int) -> None:
            with pytest.raises(LoginRefused):
                mi.request(method, "a", data=BODY if method == "POST" else None)

        together(16, attempt)

    assert len([each for each in server.authorizations if each]) == 1


def test_sixteen_threads_log_on_with_the_right_password() -> None:
    with echo(wants(LOGIN)) as server:
        mi = session_for(server.url, "credentials")
        assert all(together(16, lambda _: mi.get("a").ok))

    assert server.authorizations.count(LOGIN) == 16


def test_what_basic_cannot_send_is_said_when_basic_is_asked_for() -> None:
    with echo(lambda _: refused("Basic")) as server:
        mi = session_for(server.url, "credentials", auth={"user_name": "a:b"})
        with pytest.raises(GatepassError, match="colon"):
            mi.get("a")


def test_a_missing_password_shows_when_the_session_is_built() -> None:
    with pytest.raises(SecretUnavailable, match="password: env:MI_PASSWORD"):
        session_for("http://localhost:1/", "credentials", environ={})


@pytest.mark.parametrize("user", USERS)
def test_apache_takes_every_name_and_password(
    apache: Apache, ca: CertificateAuthority, user: str
) -> None:
    """Domain names, letters beyond ASCII and colons in passwords arrive."""
    domain, _, name = user.rpartition("\\")
    mark = apache.mark()
    mi = session_for(
        apache.standalone.https,
        "credentials",
        auth={"user_name": name, **({"domain": domain} if domain else {})},
        environ={"MI_PASSWORD": USERS[user]},
        tls={"ca_file": str(ca.ca_file)},
    )
    for _ in range(2):
        assert mi.get("cgi/whoami").json()["user"] == user
    assert [line.status for line in apache.wait_for_lines(mark, 3)] == [401, 200, 200]


def test_mixed_mode_gets_ntlm_and_never_the_password(
    windows_apache: Apache, ca: CertificateAuthority
) -> None:
    mark = windows_apache.mark()
    mi = session_for(
        windows_apache.mixed.https,
        "credentials",
        auth={"user_name": "alice", "domain": "CORP"},
        environ={"MI_PASSWORD": "pw-alice"},
        tls={"ca_file": str(ca.ca_file)},
        check_path="mi_servicelayer",
    )

    assert mi.get("cgi/whoami").json()["auth"] == "NTLM"
    assert mi.check().server_configuration == "mixed"
    sent = {line.authorization for line in windows_apache.log_since(mark)}
    assert not any("basic" in (word or "").lower() for word in sent)


def test_a_server_that_offers_less_than_before_does_not_get_the_password() -> None:
    """NTLM was offered; then somebody strips it and asks for Basic."""
    offers = iter(["NTLM", "Basic", "Basic"])
    with echo(lambda _: refused(next(offers))) as server:
        mi = session_for(server.url, "credentials")
        with pytest.raises(GatepassError):
            mi.get("a")
        with pytest.raises(LoginRefused, match="offers Basic, less than before"):
            mi.get("a")

    assert not any(str(sent).startswith("Basic") for sent in server.authorizations)
