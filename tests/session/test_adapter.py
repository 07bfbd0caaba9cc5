"""Transports: proxies, TLS behind them, and timeouts."""

import logging
import os
import pickle
import re
import subprocess
import sys
import traceback
from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest
import requests
from requests.utils import get_environ_proxies, select_proxy

from gatepass._net.proxy import VARIABLES, NamedProxy
from gatepass._session.adapter import Network
from gatepass._session.exceptions import ProxyRefused, TimedOut
from gatepass._session.session import Session
from gatepass.errors import GatepassError
from gatepass.secrets import ref
from tests.net.test_tls import server_side
from tests.support.echo import Answer, Echo, Seen, basic, echo, redirects
from tests.support.peers.ca import CLIENT_NAME, CertificateAuthority
from tests.support.peers.squid import USERS as PROXY_USERS
from tests.support.peers.squid import Squid
from tests.support.sessions import ENVIRON, NOWHERE, PASSWORD, USER, session_for
from tests.support.socks import socks_proxy
from tests.support.threads import together

LOGIN = basic(USER, PASSWORD)


@pytest.fixture
def secure(ca: CertificateAuthority) -> Iterator[Echo]:
    """An https server."""
    with echo(tls=server_side(ca.server, ca.ca_file)) as running:
        yield running


def _by_profile(squid: Squid, user: str) -> dict[str, Any]:
    proxy = {"url": squid.url, "user_name": user, "password": ref("env:PROXY")}
    return {"proxy": proxy, "environ": {**ENVIRON, "PROXY": PROXY_USERS[user]}}


def _by_variable(squid: Squid, user: str) -> dict[str, Any]:
    url = squid.url_for(user)
    return {"environ": {**ENVIRON, "HTTPS_PROXY": url, "http_proxy": url}}


@pytest.mark.parametrize("way", [_by_profile, _by_variable])
@pytest.mark.parametrize("user", PROXY_USERS)
def test_the_proxy_gets_its_own_login_and_the_server_its_own(
    squid: Squid, secure: Echo, ca: CertificateAuthority, way: Any, user: str
) -> None:
    with echo() as plain:
        for server in (secure, plain):
            mark = squid.mark()
            keys = {"tls": {"ca_file": str(ca.ca_file)}, "allow_http": True, **way(squid, user)}
            mi = session_for(server.url, **keys)
            answer = mi.get("x")
            mi.close()
            (line,) = squid.wait_for_lines(mark, 1)
            assert (line.user, line.status) == (user, 200)
            assert server.authorizations == [LOGIN]
            assert "proxy-authorization" not in server.seen[0].headers
            assert "Proxy-Authorization" not in answer.request.headers
            assert PROXY_USERS[user] not in repr(mi._network) + repr(mi.proxies)


@pytest.mark.parametrize(
    ("user_info", "told"),
    [("", "asks for a login"), ("paul:canary-wrong@", r"refused the login of paul \(407\)")],
)
def test_a_proxy_that_refuses_a_login_is_told_from_one_that_asks(
    squid: Squid, secure: Echo, ca: CertificateAuthority, user_info: str, told: str
) -> None:
    url = squid.url.replace("//", f"//{user_info}")
    with echo() as plain:
        for server, variable in ((secure, "HTTPS_PROXY"), (plain, "http_proxy")):
            keys: dict[str, Any] = {"tls": {"ca_file": str(ca.ca_file)}, "allow_http": True}
            mi = session_for(server.url, environ={**ENVIRON, variable: url}, **keys)
            with pytest.raises(ProxyRefused, match=told) as caught:
                mi.get("x")
            assert server.seen == []
            assert f"{squid.url} ({variable})" in str(caught.value)
            assert isinstance(caught.value, requests.exceptions.ProxyError)
            assert "canary" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("secured", [False, True])
@pytest.mark.parametrize("offered", ["NTLM", "Negotiate, NTLM"])
def test_a_proxy_that_wants_another_login_is_told_by_what_it_offers(
    secure: Echo, secured: bool, offered: str
) -> None:
    asks = Answer(407, [("Proxy-Authenticate", offered)])
    with echo(lambda _: asks) as proxy:
        proxy.refuses = asks if secured else None
        mi = session_for(secure.url if secured else NOWHERE, "anonymous", proxy=proxy.root)
        with pytest.raises(ProxyRefused, match=f"asks for a login by {offered}") as caught:
            mi.get("x")

    assert "proxy of the profile" in str(caught.value)


def _proxied(server: Echo, variable: str, value: str, **keys: Any) -> Session:
    return session_for(server.url, environ={**ENVIRON, variable: value}, retries=0, **keys)


class _Proxy:
    """Asks for petra's login, and forwards nothing.

    Attributes:
        password: hers.
        wrong: how often another one arrived.
    """

    def __init__(self, password: str) -> None:
        self.password = password
        self.wrong = 0

    def __call__(self, seen: Seen) -> Answer:
        """Ask on each page but /mi/open; let nobody see /mi/forbidden."""
        if seen.path.endswith("/open"):
            return Answer()
        login = seen.headers.get("proxy-authorization")
        self.wrong += login not in {None, basic("petra", self.password)}
        if login != basic("petra", self.password) or seen.path.endswith("/forbidden"):
            return Answer(407, [("Proxy-Authenticate", "Basic")])
        return Answer()


def _by(proxy: Echo, password: str = "right", **keys: Any) -> Session:
    login = {"url": proxy.root, "user_name": "petra", "password": ref("env:PROXY")}
    environ = keys.pop("environ", {"PROXY": password})
    return session_for(NOWHERE, "anonymous", proxy=login, environ=environ, **keys)


def _is_refused(mi: Session, path: str) -> bool:
    try:
        return not mi.get(path).ok
    except ProxyRefused:
        return True


@pytest.mark.parametrize("own", [False, True], ids=["one session", "a session each"])
def test_a_wrong_proxy_password_is_sent_once(own: bool) -> None:
    answers = _Proxy("right")
    with echo(answers) as proxy:
        shared = _by(proxy, "wrong")

        def ask(_: int) -> bool:
            mi = _by(proxy, "wrong") if own else shared
            return all(_is_refused(mi, "x") for _ in range(5))

        assert all(together(16, ask))
        assert answers.wrong == 1
        with pytest.raises(ProxyRefused, match="except after session.login()"):
            shared.get("x")
        shared.login()
        assert _is_refused(shared, "x")
        assert answers.wrong == 2
        assert not _is_refused(_by(proxy), "x"), "another password is another matter"


def test_a_wrong_password_is_sent_once_to_squid(
    squid: Squid, secure: Echo, ca: CertificateAuthority
) -> None:
    environ = {**ENVIRON, "HTTPS_PROXY": squid.url.replace("//", "//paul:wrong@")}
    mark = squid.mark()
    for _ in range(4):
        mi = session_for(secure.url, environ=environ, tls={"ca_file": str(ca.ca_file)})
        with pytest.raises(ProxyRefused, match="refused the login of paul"):
            mi.get("x")

    assert [line.status for line in squid.wait_for_lines(mark, 1)] == [407]


def test_what_a_proxy_forbids_does_not_end_its_login_and_a_change_does() -> None:
    answers = _Proxy("right")
    with echo(answers) as proxy:
        mi = _by(proxy)
        for _ in range(3):
            assert not _is_refused(mi, "x")
            for _ in range(3):
                assert _is_refused(mi, "forbidden")
        assert answers.wrong == 0
        answers.password = "new"
        for _ in range(3):
            assert _is_refused(mi, "y")

    assert answers.wrong == 2


def test_a_page_for_which_a_proxy_asks_nobody_proves_nothing() -> None:
    answers = _Proxy("right")
    with echo(answers) as proxy:
        mi = _by(proxy, "wrong")
        for _ in range(5):
            _is_refused(mi, "open")
            assert _is_refused(mi, "x")

    assert answers.wrong == 2


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize(
    "value",
    [
        "http://paul:canary@localhost:1",
        "paul:canary@localhost:1",
        " http://paul:canary@localhost:1",
        "http://CORP\\paul:can%ary@localhost:1",
    ],
)
def test_a_proxy_that_is_not_there_is_named_with_its_variable_without_its_password(
    secure: Echo, variable: str, value: str, caplog: pytest.LogCaptureFixture
) -> None:
    mi = _proxied(secure, variable, value)
    way = f"http://localhost:1 ({variable})"
    with (
        caplog.at_level(logging.DEBUG, "gatepass"),
        pytest.raises(ProxyRefused, match=f"no way through the proxy {re.escape(way)}") as caught,
    ):
        mi.get("x")

    assert caught.value.exit_code == 5
    assert f"look at {variable}; NO_PROXY" in caught.value.hint
    shown = "".join(traceback.format_exception(caught.value)) + repr(pickle.dumps(caught.value))
    lines = [record.getMessage() for record in caplog.records if record.name == "gatepass"]
    assert f"proxy for {secure.url}x: {way}" in lines
    assert not any(word in shown + "".join(lines) for word in ("canary", "paul", "can%ary"))


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("http://paul:s3#canary@localhost:1", "%23"),
        ("http://paul:12/canary@localhost:1", "%2F"),
        ("canary:12?3@localhost:1", "%3F"),
        ("http://canary:x%0Ay@localhost:1", "control character"),
        ("http://can%3Aary:x@localhost:1", "colon in the name"),
        ("http://canary host:1", "blank"),
        ("http://canary:port", "malformed host or port"),
        ("http://[::canary", "malformed host or port"),
        ("http://:3128", "malformed host or port"),
        ("http://canary:1/?x", "should end before any"),
        ("ftp://canary:1", "should begin with"),
        ("socks9://canary:1", "should begin with"),
    ],
)
def test_a_variable_that_names_no_proxy_is_told_and_its_value_never(
    variable: str, value: str, told: str
) -> None:
    with echo() as server:
        mi = _proxied(server, variable, value, allow_http=True)
        with pytest.raises(ProxyRefused, match=f"{variable} names no usable proxy") as caught:
            mi.get("x")

    assert server.seen == []
    assert (caught.value.exit_code, told in str(caught.value)) == (5, True)
    shown = "".join(traceback.format_exception(caught.value))
    assert not any(word in shown for word in ("canary", "paul", "can%", "s3", "x%0A"))


@pytest.mark.parametrize("given", [{"http": "http://a b"}, {"all": "x://y"}])
def test_a_proxy_of_the_caller_is_judged_too(given: dict[str, str]) -> None:
    with pytest.raises(ProxyRefused, match="proxies= names no usable proxy"):
        session_for(NOWHERE, "anonymous").get("x", proxies=given)


def _socks(server: Echo, way: str, url: str) -> Session:
    said: dict[str, Any] = {"proxy": url} if way == "profile" else {"environ": {way: url}}
    return session_for(server.url, "anonymous", retries=0, **said)


@pytest.mark.parametrize("way", ["profile", "ALL_PROXY"])
@pytest.mark.parametrize("kind", ["socks5", "socks5h"])
def test_a_socks_proxy_leads_to_the_server(way: str, kind: str) -> None:
    pytest.importorskip("socks")
    with echo() as server, socks_proxy() as proxy:
        assert _socks(server, way, f"{kind}://127.0.0.1:{proxy.port}").get("x").ok

    assert proxy.asked == ["localhost" if kind == "socks5h" else "127.0.0.1"]
    assert server.paths == ["/mi/x"]


def test_a_wrong_password_of_a_socks_proxy_is_sent_once_and_told_as_such() -> None:
    pytest.importorskip("socks")
    with echo() as server, socks_proxy(login=("bob", "sesame")) as proxy:

        def build(**login: Any) -> Session:
            table = {"url": f"socks5h://localhost:{proxy.port}", **login}
            environ = {"RIGHT": "sesame", "WRONG": "canary"}
            return session_for(server.url, "anonymous", proxy=table, environ=environ)

        wrong = {"user_name": "bob", "password": ref("env:WRONG")}
        assert all(together(16, lambda _: [_is_refused(build(**wrong), "x") for _ in range(3)]))
        assert proxy.wrong == 1
        with pytest.raises(
            ProxyRefused, match=r"refused the login of bob\n(?s:.*)login\(\)"
        ) as caught:
            build(**wrong).get("x")
        assert "canary" not in "".join(traceback.format_exception(caught.value))
        with pytest.raises(ProxyRefused, match="asks for a login\n"):
            build().get("x")
        assert server.seen == []
        assert build(user_name="bob", password=ref("env:RIGHT")).get("x").ok


@pytest.mark.parametrize("way", ["profile", "ALL_PROXY"])
def test_a_socks_proxy_that_is_not_there_is_told_as_such(way: str) -> None:
    pytest.importorskip("socks")
    with echo() as server, pytest.raises(ProxyRefused, match="through the proxy socks5h://"):
        _socks(server, way, "socks5h://localhost:1").get("x")


def test_without_its_package_a_socks_proxy_is_told_what_it_needs() -> None:
    """In a Python that has no other packages than those that gatepass needs."""
    script = (
        "import sys; sys.modules['socks'] = None\n"
        "from gatepass import Session\n"
        "result = Session('http://localhost:1', anonymous=True, environ={'ALL_PROXY': "
        "'socks5h://h:1'}).check()\n"
        "print(result.exit_code, result.sentence, result.hint)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert "5 ALL_PROXY names a SOCKS proxy, which needs the package PySocks" in done.stdout
    assert "gatepass[socks]" in done.stdout


@pytest.mark.parametrize(
    "keys",
    [
        {"environ": {"HTTP_PROXY": NOWHERE, "NO_PROXY": "localhost"}},
        {"environ": {"all_proxy": NOWHERE, "no_proxy": "example.com, localhost"}},
        {"environ": {"HTTP_PROXY": NOWHERE}, "proxy": "none"},
    ],
)
def test_some_servers_are_reached_without_the_proxy(keys: dict[str, Any]) -> None:
    with echo() as server:
        assert session_for(server.url, "anonymous", **keys).get("x").ok


def test_a_login_over_plain_http_to_this_computer_does_not_leave_it() -> None:
    """It needs no ``allow_http``, so a proxy of the environment must not get to see it."""
    with echo() as server, echo() as proxy:
        environ = {**ENVIRON, "http_proxy": proxy.root}
        session_for(server.url, environ=environ).get("direct")
        session_for(server.url, environ=environ, allow_http=True).get("proxied")

    assert server.authorizations == [LOGIN]
    assert proxy.paths == [f"{server.url}proxied"]


def test_the_proxies_of_this_process_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with echo() as server, echo() as proxy:
        mi = Session(server.url, anonymous=True)
        mi.get("direct")
        monkeypatch.setenv("HTTP_PROXY", proxy.root)
        mi.get("proxied")
        monkeypatch.setenv("NO_PROXY", "localhost")
        mi.get("direct-again")

    assert server.paths == ["/mi/direct", "/mi/direct-again"]
    assert proxy.paths == [f"{server.url}proxied"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((f"{kind}_proxy", "http://lower:1") for kind in ("http", "https", "all")),
        *((f"{kind}_PROXY", "http://upper:2") for kind in ("HTTPS", "ALL")),
        ("http_proxy", ""),
        *((name, "mi.example.com") for name in ("no_proxy", "NO_PROXY")),
        ("REQUEST_METHOD", "GET"),
    ],
)
def test_a_change_of_the_variables_counts_for_the_next_request(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is remembered is what requests would say now."""
    network, url = Network(os.environ), "http://mi.example.com/x"
    for each in VARIABLES:
        monkeypatch.delenv(each, raising=False)
    none = network.proxy_for(url)
    monkeypatch.setenv("HTTP_PROXY", "http://upper:1")
    before = network.proxy_for(url)
    monkeypatch.setenv(name, value)
    after = network.proxy_for(url)

    assert none is None
    assert before == NamedProxy("http://upper:1", "HTTP_PROXY")
    assert after == Network(dict(os.environ)).proxy_for(url)
    assert (after and after.url) == select_proxy(url, get_environ_proxies(url))


def test_the_callers_proxies_come_first() -> None:
    with echo() as proxy:
        mi = session_for(NOWHERE, "anonymous", proxy="http://localhost:1")
        mi.get("x", proxies={"http": proxy.root})
        mi.proxies = {"http": proxy.root}
        mi.get("y")

    assert proxy.paths == [f"{NOWHERE}x", f"{NOWHERE}y"]


def test_a_redirect_chooses_its_proxy_anew() -> None:
    with echo() as other, echo(redirects({"/mi/a": f"{other.root}/b"})) as server:
        host = server.root.removeprefix("http://")
        environ = {
            "http_proxy": NOWHERE,
            "no_proxy": f"{host},{other.root.removeprefix('http://')}",
        }
        assert session_for(server.url, "anonymous", environ=environ).get("a").ok


def test_a_proxy_behind_tls_is_verified_and_sees_no_client_certificate(
    secure: Echo, ca: CertificateAuthority
) -> None:
    """Both for http, which it forwards, and for https, which it tunnels."""
    tls = {
        "ca_file": str(ca.ca_file),
        "client_cert": str(ca.client.chain),
        "client_key": str(ca.client.key),
    }
    with echo(tls=server_side(ca.server, ca.ca_file)) as proxy:
        for url in (NOWHERE, secure.url):
            assert session_for(url, "anonymous", tls=tls, proxy=proxy.root).get("x").ok
        untrusting = session_for(secure.url, "anonymous", proxy=proxy.root, retries=0)
        with pytest.raises(ProxyRefused, match="certificate"):
            untrusting.get("x")

    forwarded, tunnelled = proxy.seen
    assert (forwarded.path, forwarded.client) == (f"{NOWHERE}x", "")
    assert tunnelled.method == "CONNECT"
    assert secure.seen[0].client == CLIENT_NAME


def test_the_timeout_of_the_profile_holds() -> None:
    done = Event()

    def answers(_: Seen) -> Answer:
        done.wait(timeout=60)
        return Answer()

    with echo(answers) as server:
        for mi, more in (
            (session_for(server.url, timeout=[10, 0.05]), {}),
            (session_for(server.url), {"timeout": (10, 0.05)}),
        ):
            with pytest.raises(TimedOut, match="did not answer in time") as caught:
                mi.get("x", **more)  # type: ignore[arg-type]
            _is_a(caught.value, requests.ReadTimeout, requests.Timeout, requests.ConnectionError)
        done.set()


def test_a_body_that_stops_in_the_middle_is_a_timeout_too() -> None:
    with echo(lambda _: Answer(missing=1)) as server:
        mi = session_for(server.url, timeout=[10, 0.05])
        with pytest.raises(TimedOut):
            mi.get("x")
        with mi.get("x", stream=True) as response, pytest.raises(requests.ConnectionError):
            _ = response.content


def _is_a(error: BaseException, *kinds: type[BaseException]) -> None:
    for kind in (GatepassError, requests.RequestException, *kinds):
        assert isinstance(error, kind)
