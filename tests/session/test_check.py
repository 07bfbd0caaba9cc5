"""``Session.check`` explains a response and raises what a request raises."""

import pytest

from gatepass._session.exceptions import Unreachable
from tests.support.echo import Answer, echo, redirects
from tests.support.sessions import (
    NOWHERE,
    session_for,
)


def test_check_tells_a_page_that_is_not_there() -> None:
    with echo(lambda _: Answer(404)) as server:
        result = session_for(server.url, check_path="Health/v2.svc").check()

    assert server.paths == ["/mi/Health/v2.svc"]
    assert (result.ok, result.status) == (False, 404)
    assert "check url and check_path" in result.sentence


def test_check_is_not_content_with_the_login_page_of_another_server() -> None:
    with echo() as idp, echo(redirects({"/mi/": f"{idp.root}/login"})) as server:
        result = session_for(server.url).check()

    assert (result.ok, result.status) == (False, 200)
    assert f"redirects to {idp.root}" in result.sentence


def test_a_server_cannot_steer_the_terminal_through_the_result_of_check() -> None:
    with echo(lambda _: Answer(404, reason="\x1b[2Jgone\x9b31m")) as server:
        sentence = session_for(server.url).check().sentence

    assert r"404 \x1b[2Jgone\x9b31m" in sentence


def test_check_raises_what_a_request_raises() -> None:
    with pytest.raises(Unreachable):
        session_for(NOWHERE, retries=0).check()
