"""``scheme = "bearer"``: a fixed token."""

import pytest

from gatepass._session.exceptions import LoginRefused
from gatepass.secrets import ref
from tests.support.echo import echo, refused
from tests.support.sessions import session_for


def test_a_refused_token_is_not_told_to_check_a_user_name() -> None:
    with echo(lambda _: refused("Bearer")) as server:
        auth, environ = {"token": ref("env:MI_TOKEN")}, {"MI_TOKEN": "abc"}
        mi = session_for(server.url, "bearer", auth=auth, environ=environ)
        with pytest.raises(LoginRefused, match="refused the login") as caught:
            mi.get("x")

    assert "check the token or ticket" in caught.value.hint
    assert "user name" not in caught.value.hint
