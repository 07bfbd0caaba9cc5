"""Logins of several messages: one connection, few messages, and answers of any size."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import pytest
from requests import PreparedRequest

from gatepass._session.exceptions import LoginRefused, Unreachable
from gatepass._session.session import Session
from gatepass._system.context import RunContext
from gatepass.auth import AuthContext, SchemeBase, autologon
from gatepass.errors import GatepassError
from tests.support.echo import Answer, Echo, Seen, echo, refused
from tests.support.sessions import profile_for


@dataclass
class _Talk:
    """Our side of a login that takes so many messages."""

    messages: int
    sent: int = 0

    @property
    def complete(self) -> bool:
        return self.sent >= self.messages

    def step(self, token: bytes | None = None) -> bytes | None:  # noqa: ARG002 - any will do
        self.sent += 1
        return f"message {self.sent}".encode()


@dataclass(frozen=True)
class _Talkative(SchemeBase):
    """Negotiate with a mechanism that takes so many messages."""

    messages: int
    connection_bound: ClassVar[bool] = True
    answers: ClassVar[frozenset[str]] = frozenset({"negotiate"})

    def authenticator(self, context: AuthContext) -> Callable[[PreparedRequest], PreparedRequest]:  # noqa: ARG002 - no secret
        return autologon._NegotiateAuth(lambda *_: _Talk(self.messages), channel_binding=True)


def _talking(server: Echo, messages: int) -> Session:
    profile = profile_for(server.url, "autologon", retries=1)
    return Session._from_checked(
        dataclasses.replace(profile, auth=_Talkative(messages)), RunContext.of(environ={})
    )


@dataclass
class _Negotiate:
    """Takes a login after so many messages over one connection.

    Attributes:
        messages: how many.
        page: goes along with each 401.
        closes: whether it closes the connection after each message.
    """

    messages: int
    page: Answer = field(default_factory=lambda: refused("Negotiate"))
    closes: bool = False
    heard: dict[int, int] = field(default_factory=dict)

    def __call__(self, seen: Seen) -> Answer:
        if seen.authorization is None:
            return self._asks("Negotiate")
        heard = self.heard[seen.connection] = self.heard.get(seen.connection, 0) + 1
        if heard == self.messages:
            return Answer()
        return dataclasses.replace(self._asks("Negotiate bW9yZQ=="), closes=self.closes)

    def _asks(self, challenge: str) -> Answer:
        headers = [("WWW-Authenticate", challenge)]
        return dataclasses.replace(self.page, headers=headers)


@pytest.mark.parametrize("size", [2, 500_000])
def test_a_login_of_several_messages_keeps_its_connection_whatever_the_pages_weigh(
    size: int,
) -> None:
    with echo(_Negotiate(3, Answer(401, body=b"x" * size))) as server:
        assert _talking(server, 3).get("a").ok

    assert server.connections == 1
    assert len(server.seen) == 1 + 3


def test_a_server_that_is_never_content_hears_six_messages() -> None:
    with echo(_Negotiate(1_000)) as server:
        mi = _talking(server, 1_000)
        for _ in range(2):
            with pytest.raises(LoginRefused):
                mi.get("a")

    assert len([sent for sent in server.authorizations if sent]) == 6


def test_a_server_that_closes_between_two_messages_hears_no_more() -> None:
    """On another connection, what follows would begin in the middle; it may be begun anew."""
    answers = _Negotiate(3, closes=True)
    with echo(answers) as server:
        with pytest.raises(Unreachable, match="closed the connection in the middle of the login"):
            _talking(server, 3).get("a")

        assert set(answers.heard.values()) == {1}


_ENDLESS = Answer(401, body=b"x" * 50_000, endless=True)


@pytest.mark.parametrize("messages", [1, 3])
def test_negotiate_ends_where_a_page_does_not(messages: int) -> None:
    with echo(_Negotiate(1_000, _ENDLESS)) as server, pytest.raises(GatepassError):
        _talking(server, messages).get("a")
