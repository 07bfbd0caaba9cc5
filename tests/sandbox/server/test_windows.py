r"""Modes `windows` and `mixed`: logins of connections, by real sessions and by single messages."""

import hashlib
import os
from base64 import b64decode, b64encode
from typing import Any

import pytest
import requests
import spnego
from hypothesis import given
from hypothesis import strategies as st
from spnego._ntlm_raw.crypto import desl
from spnego._ntlm_raw.messages import Authenticate, Challenge, NegotiateFlags
from spnego._spnego import NegTokenInit
from spnego.exceptions import OperationNotAvailableError

from gatepass.sandbox import Server
from gatepass.sandbox._accounts import Accounts
from gatepass.sandbox._server.login import ConnectionLogin, LoginResult, login_for
from tests.sandbox.conftest import basic
from tests.support.windows_logins import PAGE, USERS, begin, session

OFFER = ("Negotiate", "NTLM")
KERBEROS = "1.2.840.113554.1.2.2"


def client(name: str, password: str, word: str = "NTLM") -> Any:
    options = spnego.NegotiateOptions
    kind = {"NTLM": options.use_ntlm, "Negotiate": options.use_negotiate}[word]
    return spnego.client(name, password, hostname="localhost", protocol=word, options=kind)


def header(word: str, token: bytes | None) -> str:
    return f"{word} {b64encode(token or b'').decode()}"


def token_in(result: LoginResult) -> bytes:
    (challenge,) = result.challenges
    return b64decode(challenge.partition(" ")[2])


def log_on(connection: ConnectionLogin, context: Any, word: str = "NTLM") -> LoginResult:
    """Exchange the messages of a login and return the last result."""
    asked = connection.authenticate(header(word, context.step()))
    return connection.authenticate(header(word, context.step(token_in(asked))))


# ------------------------------------------------------------- sessions


@pytest.mark.parametrize("mode", ["windows", "mixed"])
@pytest.mark.parametrize(
    ("scheme", "name"), [*(("ntlm", name) for name in USERS), ("credentials", "alice")]
)
def test_ten_requests_take_one_connection_and_two_messages_more(
    mode: str, scheme: str, name: str
) -> None:
    with Server(mode=mode, users=USERS) as server, session(server.url, scheme, name) as mi:
        users = [mi.get(PAGE).json()["user"] for _ in range(10)]
        seen = server.requests

    assert users == [name] * 10
    assert [each.status for each in seen] == [401, 401] + [200] * 10
    assert [each.scheme for each in seen] == [None, "ntlm", "ntlm"] + [None] * 9
    assert [each.user for each in seen] == [None, None] + [name] * 10
    assert {each.connection for each in seen} == {1}


@pytest.mark.parametrize(
    ("mode", "challenges"),
    [
        ("windows", "Negotiate, NTLM"),
        ("mixed", 'Negotiate, NTLM, Basic realm="gatepass sandbox", charset="UTF-8"'),
    ],
)
@pytest.mark.parametrize("headers", [{}, basic("alice", "wrong"), {"Authorization": "NTLM TlRM"}])
def test_who_is_not_let_in_is_offered_everything(
    client: requests.Session, mode: str, challenges: str, headers: dict[str, str]
) -> None:
    with Server(mode=mode, users=USERS) as server:
        answer = client.get(server.url, headers=headers)

    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, challenges)


@pytest.mark.parametrize("scheme", ["ntlm", "credentials"])
def test_a_body_in_chunks_arrives_whole_and_once(scheme: str) -> None:
    data = bytes(range(256)) * 4096
    with Server(mode="windows", users=USERS) as server, session(server.url, scheme) as mi:
        chunks = (data[at : at + 70_000] for at in range(0, len(data), 70_000))
        answered = mi.post("upload", data=chunks).json()
        posts = [each for each in server.requests if each.method == "POST"]

    assert (answered["user"], answered["body_length"]) == ("alice", len(data))
    assert answered["body_sha256"] == hashlib.sha256(data).hexdigest()
    assert [(each.status, each.body_length) for each in posts] == [(200, len(data))]


def test_neither_the_environment_nor_other_users_of_pyspnego_notice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NTLM_USER_FILE", raising=False)
    before = dict(os.environ)
    with Server(mode="windows", users=USERS) as server, session(server.url, "ntlm") as mi:
        assert mi.get(PAGE).ok
        assert dict(os.environ) == before
        with pytest.raises(OperationNotAvailableError):
            spnego.server(protocol="ntlm", options=spnego.NegotiateOptions.use_ntlm)


def test_two_servers_have_two_sets_of_accounts() -> None:
    with (
        Server(mode="windows", users={"alice": "one"}) as first,
        Server(mode="windows", users={"alice": "two"}) as second,
        session(first.url, "ntlm", password="one") as at_first,
        session(second.url, "ntlm", password="two") as at_second,
    ):
        assert at_first.get(PAGE).ok
        assert at_second.get(PAGE).ok


# ------------------------------------------------------------- messages


@pytest.mark.parametrize("name", USERS)
@pytest.mark.parametrize(("word", "inner"), [("Negotiate", "Negotiate"), ("Negotiate", "NTLM")])
def test_negotiate_takes_ntlm_wrapped_and_as_it_is(name: str, word: str, inner: str) -> None:
    """... and ends with the server's proof where it is wrapped."""
    _, connection = begin()
    context = client(name, USERS[name], inner)

    result = log_on(connection, context, word)

    assert (result.admitted, result.user) == (True, name)
    if inner == "Negotiate":
        assert not context.complete
        context.step(token_in(result))
    assert context.complete
    assert connection.authenticate(None) == LoginResult(admitted=True, user=name)


@pytest.mark.parametrize("word", OFFER)
def test_the_right_password_of_a_locked_account_does_not_log_the_connection_on(word: str) -> None:
    accounts, connection = begin(lock_after=1)
    assert not log_on(connection, client("alice", "wrong", word), word).admitted

    result = log_on(connection, client("alice", "sesame", word), word)

    assert (result.admitted, result.challenges, "locked" in result.reason) == (
        False,
        OFFER,
        True,
    )
    assert not connection.authenticate(None).admitted
    assert accounts.attempts("alice") == 1


@pytest.mark.parametrize("word", OFFER)
@pytest.mark.parametrize(
    ("name", "password"), [("bob", ""), (r"EVIL\alice", "sesame"), ("Alice", "sesame")]
)
def test_a_name_that_nobody_has_is_a_wrong_attempt(word: str, name: str, password: str) -> None:
    accounts, connection = begin()

    result = log_on(connection, client(name, password, word), word)

    assert (result.admitted, result.reason) == (False, "wrong user name or password")
    assert (accounts.attempts(name), accounts.attempts("alice")) == (1, 0)


def test_a_request_in_between_ends_the_handshake_and_is_no_attempt() -> None:
    accounts, connection = begin()
    context = client("alice", "sesame")
    asked = connection.authenticate(header("NTLM", context.step()))

    assert connection.authenticate(None).challenges == OFFER
    assert not connection.authenticate(header("NTLM", context.step(token_in(asked)))).admitted
    assert accounts.attempts("alice") == 0


def test_a_message_on_another_connection_is_refused() -> None:
    accounts = Accounts(USERS, None)
    login = login_for("windows", accounts)
    first, second = login(), login()
    context = client("alice", "sesame")
    asked = first.authenticate(header("NTLM", context.step()))
    second.authenticate(header("NTLM", client("alice", "sesame").step()))

    assert not second.authenticate(header("NTLM", context.step(token_in(asked)))).admitted
    assert not second.authenticate(None).admitted


def test_a_handshake_does_not_change_its_word() -> None:
    _, connection = begin()
    context = client("alice", "sesame")
    asked = connection.authenticate(header("NTLM", context.step()))

    assert not connection.authenticate(header("Negotiate", context.step(token_in(asked)))).admitted


@pytest.mark.parametrize("mode", ["windows", "mixed"])
def test_credentials_of_their_own_are_not_covered_by_the_login_of_the_connection(
    mode: str,
) -> None:
    accounts, connection = begin(mode)
    assert log_on(connection, client("alice", "sesame")).admitted

    own = basic("alice", "wrong")["Authorization"]
    assert not connection.authenticate(own).admitted
    assert accounts.attempts("alice") == (1 if mode == "mixed" else 0)
    assert connection.authenticate(None).user == "alice"


def test_another_login_on_the_connection_ends_the_first() -> None:
    _, connection = begin()
    assert log_on(connection, client("alice", "sesame")).user == "alice"

    assert not log_on(connection, client("alice", "wrong")).admitted
    assert not connection.authenticate(None).admitted
    assert log_on(connection, client(r"CORP\zoë", USERS[r"CORP\zoë"])).user == r"CORP\zoë"
    assert connection.authenticate(None).user == r"CORP\zoë"


def test_negotiate_without_ntlm_is_refused() -> None:
    _, connection = begin()
    ticket = NegTokenInit([KERBEROS], mech_token=b"ticket").pack()

    result = connection.authenticate(header("Negotiate", ticket))

    assert (result.admitted, result.challenges) == (False, OFFER)
    assert "not of NTLM" in result.reason


def last_message(user: str, lm: bytes, nt: bytes | None) -> str:
    *domain, name = user.split("\\")
    message = Authenticate(
        NegotiateFlags.unicode, lm, nt, domain_name="".join(domain), username=name
    )
    return header("NTLM", message.pack())


@pytest.mark.parametrize("nobody", ["", "CORP\\"])
def test_nobody_logs_on_without_a_name(nobody: str) -> None:
    _, connection = begin()
    connection.authenticate(header("NTLM", client("alice", "sesame").step()))

    result = connection.authenticate(last_message(nobody, bytes(24), bytes(24)))

    assert not result.admitted
    assert "malformed" in result.reason


def test_nobody_logs_on_by_the_hash_of_lan_manager() -> None:
    """... which the server has not got; one of zeros is none that a client could guess."""
    accounts, connection = begin()
    asked = connection.authenticate(header("NTLM", client("alice", "sesame").step()))
    challenge = Challenge.unpack(token_in(asked)).server_challenge

    result = connection.authenticate(last_message("alice", desl(bytes(16), challenge), None))

    assert (result.admitted, accounts.attempts("alice")) == (False, 1)


foreign = st.one_of(
    st.text(),
    st.builds(header, st.sampled_from(OFFER), st.binary()),
    st.builds(
        lambda word, kind, rest: header(word, b"NTLMSSP\0" + bytes([kind, 0, 0, 0]) + rest),
        st.sampled_from(OFFER),
        st.integers(0, 4),
        st.binary(max_size=200),
    ),
)


@given(st.lists(foreign, max_size=4), st.sampled_from(["windows", "mixed"]))
def test_foreign_messages_are_refused_and_never_an_exception(texts: list[str], mode: str) -> None:
    _, connection = begin(mode)
    for text in texts:
        assert not connection.authenticate(text).admitted
    assert not connection.authenticate(None).admitted


@pytest.fixture
def asked() -> tuple[ConnectionLogin, bytearray]:
    """A connection that waits for the last message, and that message."""
    _, connection = begin()
    context = client("alice", "sesame")
    result = connection.authenticate(header("NTLM", context.step()))
    return connection, bytearray(context.step(token_in(result)))


@pytest.mark.parametrize("place", [-1, -20, 20, 88])
def test_a_message_that_was_changed_on_its_way_is_refused(
    asked: tuple[ConnectionLogin, bytearray], place: int
) -> None:
    connection, message = asked
    message[place] ^= 1

    assert not connection.authenticate(header("NTLM", bytes(message))).admitted
