"""Clients of httpx behind a SOCKS proxy."""

import socket
import sys
import traceback
from threading import Event
from typing import Any

import httpx
import pytest

from gatepass.secrets import ref
from tests.auth.oidc.test_http import raw_server
from tests.integrations.test_httpx import LOGIN, both, fetch
from tests.net.test_tls import server_side
from tests.support.echo import echo
from tests.support.peers.ca import CertificateAuthority
from tests.support.sessions import NOWHERE, PASSWORD, session_for
from tests.support.socks import socks_proxy


@both
@pytest.mark.parametrize("kind_of_proxy", ["socks5", "socks5h"])
@pytest.mark.parametrize("password", ["sesame", "canary"])
def test_a_socks_proxy_gets_its_login_and_looks_the_name_up(
    kind: str,
    kind_of_proxy: str,
    password: str,
    ca: CertificateAuthority,
    caplog: pytest.LogCaptureFixture,
) -> None:
    tls = {"ca_file": str(ca.ca_file)}
    environ = {"MI_PASSWORD": PASSWORD, "PROXY": password}
    caplog.set_level("DEBUG")
    with echo(tls=server_side(ca.server)) as server, socks_proxy(login=("p", "sesame")) as proxy:
        url = f"{kind_of_proxy}://127.0.0.1:{proxy.port}"
        table = {"url": url, "user_name": "p", "password": ref("env:PROXY")}
        keys: dict[str, Any] = {"tls": tls, "environ": environ, "retries": 0}
        with session_for(server.url, proxy=table, **keys) as session:
            if password == "sesame":
                assert fetch(kind, session, "x").status_code == 200
                assert (proxy.asked, server.authorizations) == (["localhost"], [LOGIN])
                assert "sesame" not in caplog.text
                return
            for _ in range(3):
                with pytest.raises(httpx.ProxyError, match="refused the login of p\n") as caught:
                    fetch(kind, session, "x")

    assert server.seen == []
    assert proxy.wrong == 1
    assert "canary" not in "".join(traceback.format_exception(caught.value)) + caplog.text


@both
@pytest.mark.parametrize(
    ("answer", "words"), [(b"", "no answer in time"), (b"HTTP/1.1 400 Bad\r\n\r\n", "Malformed")]
)
def test_a_socks_proxy_that_says_nothing_or_nonsense_is_given_up(
    kind: str, answer: bytes, words: str
) -> None:
    def speak(connection: socket.socket, over: Event) -> None:
        connection.recv(99)
        connection.sendall(answer)
        over.wait()

    with (
        raw_server(speak) as url,
        session_for(
            NOWHERE, proxy=f"socks5h{url[4:].removesuffix('/token')}", retries=0, timeout=[0.2, 30]
        ) as session,
        pytest.raises(httpx.ProxyError, match=f"no way through the proxy.*{words}"),
    ):
        fetch(kind, session, "x")


@both
@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("socks5h://localhost:1", "no way through the proxy socks5h://localhost:1"),
        ("socks4://localhost:1", "speaks SOCKS 4, which httpx does not.*socks5h://"),
    ],
)
def test_a_socks_proxy_that_is_of_no_use_is_told_as_such(kind: str, url: str, words: str) -> None:
    with (
        session_for(NOWHERE, proxy=url, retries=0) as session,
        pytest.raises(httpx.ProxyError, match=f"(?s){words}"),
    ):
        fetch(kind, session, "x")


@both
def test_without_its_package_a_socks_proxy_is_told_what_it_needs(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    words = r"(?s)needs the package socksio.*'gatepass\[socks\]'"
    with (
        session_for(NOWHERE, proxy="socks5h://localhost:1") as session,
        pytest.raises(httpx.ProxyError, match=words),
    ):
        fetch(kind, session, "x")
