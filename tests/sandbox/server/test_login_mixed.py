"""Mode ``mixed``: Basic beside Negotiate and NTLM."""

import pytest

from gatepass._session.exceptions import LoginRefused, SchemeNotOffered
from gatepass.sandbox import Server
from tests.sandbox.conftest import basic
from tests.support.windows_logins import PAGE, USERS, begin, session


@pytest.mark.parametrize("mode", ["windows", "mixed"])
def test_basic_gets_in_where_it_is_offered_and_is_explained_elsewhere(mode: str) -> None:
    with (
        Server(mode=mode, users=USERS) as server,
        session(server.url, "basic", r"CORP\alice") as mi,
    ):
        if mode == "mixed":
            assert mi.get(PAGE).json()["user"] == r"CORP\alice"
            return
        with pytest.raises(SchemeNotOffered, match=r"Negotiate, NTLM \(Windows mode\)"):
            mi.get(PAGE)
        assert server.attempts(r"CORP\alice") == 0


def test_wrong_passwords_in_a_row_lock_the_account_for_both_ways_to_log_on() -> None:
    with Server(mode="mixed", users=USERS, lock_after=2) as server:
        for scheme in ("ntlm", "basic"):
            with session(server.url, scheme, password="wrong") as mi, pytest.raises(LoginRefused):
                mi.get(PAGE)
        with session(server.url, "ntlm") as mi, pytest.raises(LoginRefused) as caught:
            mi.get(PAGE)
        assert caught.value.response is not None
        assert "locked" in caught.value.response.json()["error"]
        assert server.attempts("alice") == 2
        with session(server.url, "ntlm", r"CORP\alice") as mi:
            assert mi.get(PAGE).ok


def test_a_login_by_basic_is_of_its_request_alone() -> None:
    _, connection = begin("mixed")

    assert connection.authenticate(basic("alice", "sesame")["Authorization"]).user == "alice"
    assert not connection.authenticate(None).admitted
