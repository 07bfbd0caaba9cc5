"""Mode ``standalone``: who is admitted, and which attempts are counted."""

from base64 import b64encode
from threading import Barrier, Thread

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from gatepass.sandbox import Server
from gatepass.sandbox._accounts import basic_pair
from tests.sandbox.conftest import USERS, basic


@pytest.mark.parametrize("user", sorted(USERS))
def test_the_right_password_is_admitted_in_utf8(
    server: Server, client: requests.Session, user: str
) -> None:
    answer = client.get(server.url + "Health/v2.svc", headers=basic(user, USERS[user]))
    assert answer.status_code == 200
    assert answer.json() == {"status": "Healthy", "user": user}
    assert server.requests[-1].user == user


def test_a_request_without_credentials_is_challenged(
    server: Server, client: requests.Session
) -> None:
    answer = client.get(server.url + "whoami")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == ('Basic realm="gatepass sandbox", charset="UTF-8"')
    assert "missing" in answer.json()["error"]
    assert server.requests[-1].user is None


@pytest.mark.parametrize(
    ("user", "password"), [("alice", "Sesame"), ("alice", ""), ("bob", "sesame"), ("bob", "")]
)
def test_a_wrong_pair_is_challenged_and_counted(
    server: Server, client: requests.Session, user: str, password: str
) -> None:
    answer = client.get(server.url, headers=basic(user, password))
    assert answer.status_code == 401
    assert "WWW-Authenticate" in answer.headers
    assert "wrong" in answer.json()["error"]
    assert server.attempts(user) == 1
    assert server.requests[-1].user is None


def test_a_missing_or_right_password_is_no_wrong_attempt(
    server: Server, client: requests.Session
) -> None:
    client.get(server.url)
    client.get(server.url, headers=basic("alice", "sesame"))
    assert server.attempts("alice") == 0


def test_a_domain_is_part_of_the_name(server: Server, client: requests.Session) -> None:
    answer = client.get(server.url, headers=basic(r"CORP\alice", USERS["alice"]))
    assert answer.status_code == 401
    assert (server.attempts(r"CORP\alice"), server.attempts("alice")) == (1, 0)


@pytest.mark.parametrize(
    "header",
    [
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic /w==",
        "Basic YWxpY2U=",
        "Bearer YQ",
        "x",
        "Basic é",
        "Basic !YWxpY2U6c2VzYW1l",
    ],
)
def test_a_malformed_header_is_challenged_and_not_counted(
    server: Server, client: requests.Session, header: str
) -> None:
    """... `/w==` is not UTF-8, `YWxpY2U=` has no colon, and the last holds a `!`."""
    answer = client.get(server.url, headers={"Authorization": header.encode("latin-1")})
    assert answer.status_code == 401
    assert "malformed" in answer.json()["error"]
    assert server.attempts("alice") == 0


def test_wrong_passwords_in_a_row_lock_the_account_also_for_the_right_one(
    client: requests.Session,
) -> None:
    with Server(users=USERS, lock_after=2) as server:
        texts = [
            client.get(server.url, headers=basic("alice", password)).json()["error"]
            for password in ("1", "2", "3", "sesame", "sesame")
        ]
        other = client.get(server.url, headers=basic("empty", ""))
        assert server.attempts("alice") == 3
    assert ["locked" in text for text in texts] == [False, False, True, True, True]
    assert other.status_code == 200


def test_attempts_of_many_threads_are_all_counted(server: Server) -> None:
    barrier = Barrier(8)

    def try_often() -> None:
        with requests.Session() as session:
            session.trust_env = False
            barrier.wait()
            for _ in range(5):
                session.get(server.url, headers=basic("alice", "wrong"))

    threads = [Thread(target=try_often) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.attempts("alice") == 40
    assert len(server.requests) == 40
    assert len({request.connection for request in server.requests}) == 8


@given(st.text(st.characters(exclude_characters=":", codec="utf-8")), st.text())
def test_every_pair_comes_out_as_it_went_in(user: str, password: str) -> None:
    pair = f"{user}:{password}".encode("utf-8", "surrogatepass")
    try:
        pair.decode()
    except UnicodeDecodeError:
        expected = None
    else:
        expected = (user, password)
    assert basic_pair("basic " + b64encode(pair).decode()) == expected
