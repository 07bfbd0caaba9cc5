"""The cookies of a login's answers, with servers that want them with the next message."""

from dataclasses import dataclass, replace
from http.cookiejar import DefaultCookiePolicy

import pytest

from gatepass._session.exceptions import LoginRefused
from tests.auth.test_ntlm import _ASKS, _SECOND, SCHEMES, _Ntlm, _serving, _session
from tests.support.echo import Answer, Seen, echo, refused


@pytest.mark.parametrize("scheme", SCHEMES)
def test_cookies_survive_a_login_whose_answers_set_others(scheme: str) -> None:
    setting = ("Set-Cookie", "balancer=1; Path=/; HttpOnly")
    middle = replace(_SECOND, headers=[*_SECOND.headers, setting])
    with _serving(_Ntlm(middle=middle)) as server:
        mi = _session(server, scheme)
        assert mi.get("a", cookies={"sid": "abc"}).ok

    sent = [set((seen.headers.get("cookie") or "").split("; ")) for seen in server.seen]
    assert sent == [{"sid=abc"}, {"sid=abc"}, {"sid=abc", "balancer=1"}]
    assert dict(mi.cookies) == {"balancer": "1"}


@dataclass
class _Balancer:
    """Takes a message only with the cookie of the answer before; each answer sets one."""

    server: _Ntlm
    number: int = 0

    def __call__(self, seen: Seen) -> Answer:
        expected = f"LB=node{self.number}" if self.number else None
        if seen.headers.get("cookie") != expected:
            return _ASKS
        self.number += 1
        answer = self.server(seen)
        setting = ("Set-Cookie", f"LB=node{self.number}; Path=/")
        return replace(answer, headers=[*answer.headers, setting])


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_cookie_of_each_answer_goes_along_with_the_next_message(
    scheme: str, method: str
) -> None:
    with _serving(_Ntlm()) as server:
        server.answers = _Balancer(_Ntlm())
        mi = _session(server, scheme)
        for _ in range(2):
            assert mi.request(method, "a", data=b"body" if method == "POST" else None).ok

    assert dict(mi.cookies) == {"LB": f"node{len(server.seen)}"}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_cookies_of_a_login_that_is_refused_stay(scheme: str) -> None:
    with _serving(_Ntlm()) as server:
        server.answers = _Balancer(_Ntlm(takes=False))
        mi = _session(server, scheme)
        with pytest.raises(LoginRefused):
            mi.get("a")

    assert dict(mi.cookies) == {"LB": "node3"}


def test_basic_is_sent_with_the_cookie_of_the_question() -> None:
    def answers(seen: Seen) -> Answer:
        if seen.authorization and seen.headers.get("cookie") == "LB=1":
            return Answer()
        asks = refused("Basic")
        return replace(asks, headers=[*asks.headers, ("Set-Cookie", "LB=1; Path=/")])

    with echo(answers) as server:
        mi = _session(server, "credentials")
        assert mi.get("a").ok

    assert dict(mi.cookies) == {"LB": "1"}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_cookie_that_is_removed_or_of_another_path_is_not_sent(scheme: str) -> None:
    settings = [("Set-Cookie", "sid=; Max-Age=0; Path=/"), ("Set-Cookie", "far=1; Path=/other")]
    middle = replace(_SECOND, headers=[*_SECOND.headers, *settings])
    with _serving(_Ntlm(middle=middle)) as server:
        mi = _session(server, scheme)
        mi.cookies.set("sid", "abc", domain="localhost.local", path="/")
        assert mi.get("a").ok

    assert [seen.headers.get("cookie") for seen in server.seen] == ["sid=abc", "sid=abc", None]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_session_that_takes_no_cookies_sends_none_in_a_login(scheme: str) -> None:
    middle = replace(_SECOND, headers=[*_SECOND.headers, ("Set-Cookie", "b=1; Path=/")])
    with _serving(_Ntlm(middle=middle)) as server:
        mi = _session(server, scheme)
        mi.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        assert mi.get("a").ok

    assert {seen.headers.get("cookie") for seen in server.seen} == {None}
    assert dict(mi.cookies) == {}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_cookie_header_that_the_caller_wrote_is_kept(scheme: str) -> None:
    with _serving(
        _Ntlm(middle=replace(_SECOND, headers=[*_SECOND.headers, ("Set-Cookie", "b=1")]))
    ) as server:
        assert _session(server, scheme).get("a", headers={"Cookie": "mine=1"}).ok

    assert {seen.headers.get("cookie") for seen in server.seen} == {"mine=1"}
