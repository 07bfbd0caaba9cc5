"""Transports: proxies, TLS behind them, and timeouts."""

import logging
import os
import pickle
import traceback
from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest
import requests
from requests.utils import get_environ_proxies

from gatepass._session import adapter
from gatepass._session.adapter import Network
from gatepass._session.exceptions import (
    ProxyRefused,
    TimedOut,
)
from gatepass._session.session import Session
from gatepass.errors import GatepassError
from gatepass.secrets import ref
from tests.net.test_tls import server_side
from tests.support.echo import Answer, Echo, Seen, basic, echo, redirects
from tests.support.peers.ca import CLIENT_NAME, CertificateAuthority
from tests.support.peers.squid import USERS as PROXY_USERS
from tests.support.peers.squid import Squid
from tests.support.sessions import ENVIRON, NOWHERE, PASSWORD, USER, session_for

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


@pytest.mark.parametrize("user_info", ["", "paul:canary-wrong@"])
def test_a_proxy_that_asks_for_a_login_is_explained(
    squid: Squid, secure: Echo, ca: CertificateAuthority, user_info: str
) -> None:
    url = squid.url.replace("//", f"//{user_info}")
    environ = {**ENVIRON, "HTTPS_PROXY": url, "HTTP_PROXY": url}
    with echo() as plain:
        for server in (secure, plain):
            keys: dict[str, Any] = {"tls": {"ca_file": str(ca.ca_file)}, "allow_http": True}
            mi = session_for(server.url, environ=environ, **keys)
            with pytest.raises(ProxyRefused, match="asks for a login") as caught:
                mi.get("x")
            assert server.seen == []
            assert squid.url in str(caught.value)
            assert isinstance(caught.value, requests.exceptions.ProxyError)
            assert "canary" not in "".join(traceback.format_exception(caught.value))


def test_a_proxy_that_is_not_there_is_named_without_its_password(secure: Echo) -> None:
    environ = {**ENVIRON, "HTTPS_PROXY": "http://paul:canary@localhost:1"}
    mi = session_for(secure.url, environ=environ, retries=0)

    with pytest.raises(
        ProxyRefused, match="no way through the proxy http://localhost:1:"
    ) as caught:
        mi.get("x")

    assert "NO_PROXY" in caught.value.hint
    assert "canary" not in "".join(traceback.format_exception(caught.value))
    assert "canary" not in repr(pickle.dumps(caught.value))


@pytest.mark.parametrize(
    ("proxy", "named"),
    [
        ("http://paul:canary@localhost:1", "http://localhost:1"),
        ("paul:canary@localhost:1", "http://localhost:1"),
        (" http://paul:canary@localhost:1", "http://localhost:1"),
        ("http://paul:s3#canary@localhost:1", "of the environment"),
        ("http://paul:12/canary@localhost:1", "of the environment"),
        ("canary:12?3@localhost:1", "of the environment"),
    ],
)
def test_the_log_names_a_proxy_without_its_login(
    secure: Echo, proxy: str, named: str, caplog: pytest.LogCaptureFixture
) -> None:
    mi = session_for(secure.url, environ={**ENVIRON, "HTTPS_PROXY": proxy}, retries=0)

    with caplog.at_level(logging.DEBUG, "gatepass"), pytest.raises(requests.RequestException):
        mi.get("x")

    lines = [record.getMessage() for record in caplog.records if record.name == "gatepass"]
    assert [line for line in lines if line.startswith("proxy for ")] == [
        f"proxy for {secure.url}x: {named}"
    ]
    assert not any("canary" in line or "paul" in line for line in lines)


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
        *((f"{kind}_PROXY", "http://upper:1") for kind in ("HTTPS", "ALL")),
        *((name, "mi.example.com") for name in ("no_proxy", "NO_PROXY")),
        ("REQUEST_METHOD", "GET"),
    ],
)
def test_a_change_of_the_variables_counts_for_the_next_request(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is remembered is what requests would say now."""
    network, url = Network(os.environ), "http://mi.example.com/x"
    for each in adapter._PROXY_VARIABLES:
        monkeypatch.delenv(each, raising=False)
    none = network.proxies(url)
    monkeypatch.setenv("HTTP_PROXY", "http://upper:1")
    before = network.proxies(url)
    monkeypatch.setenv(name, value)
    after = network.proxies(url)

    assert none == {}
    assert before == {"http": "http://upper:1"}
    assert after == get_environ_proxies(url) != before


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
