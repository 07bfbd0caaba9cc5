"""Clients of httpx over TLS, proxies, threads, processes and event loops."""

import asyncio
import gc
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from gatepass._session.exceptions import LoginRefused
from gatepass.integrations.httpx import async_client, client
from gatepass.secrets import ref
from tests.integrations.test_httpx import LOGIN, both, fetch
from tests.net.test_tls import server_side
from tests.support.echo import basic, echo, redirects, refused
from tests.support.forks import in_child
from tests.support.peers.ca import CLIENT_NAME, PASSPHRASE, CertificateAuthority
from tests.support.sessions import PASSWORD, session_for


@both
@pytest.mark.parametrize("encrypted", [False, True])
def test_the_profiles_ca_and_client_certificate_are_for_its_server(
    kind: str, encrypted: bool, ca: CertificateAuthority
) -> None:
    tls = server_side(ca.server, ca.ca_file)
    mine = ca.encrypted_client if encrypted else ca.client
    keys: dict[str, Any] = {"ca_file": str(ca.ca_file), "client_cert": str(mine.chain)}
    keys["client_key"] = str(mine.key)
    if encrypted:
        keys["client_key_password"] = ref("env:KEY")
    with echo(tls=tls) as server, echo(tls=tls) as other:
        server.answers = redirects({"/mi/away": other.url})
        environ = {"MI_PASSWORD": PASSWORD, "KEY": PASSPHRASE}
        with session_for(server.url, tls=keys, environ=environ) as session:
            assert fetch(kind, session, "x").status_code == 200
            assert fetch(kind, session, "away").status_code == 200

    assert {each.client for each in server.seen} == {CLIENT_NAME}
    assert set(server.authorizations) == {LOGIN}
    assert [(each.client, each.authorization) for each in other.seen] == [("", None)]


@both
def test_a_server_that_nobody_trusts_is_a_connect_error_and_gets_nothing(
    kind: str, ca: CertificateAuthority
) -> None:
    with (
        echo(tls=server_side(ca.server)) as server,
        session_for(server.url) as session,
        pytest.raises(httpx.ConnectError, match="certificate"),
    ):
        fetch(kind, session, "x")

    assert server.seen == []


@both
@pytest.mark.parametrize("scheme", ["basic", "bearer"])
def test_a_redirect_from_https_to_http_takes_no_login_along(
    kind: str, scheme: str, ca: CertificateAuthority
) -> None:
    with echo() as plain, echo(tls=server_side(ca.server)) as server:
        server.answers = redirects({"/mi/away": plain.url})
        keys: dict[str, Any] = (
            {"auth": {"token": ref("env:MI_TOKEN")}} if scheme == "bearer" else {}
        )
        environ = {"MI_PASSWORD": PASSWORD, "MI_TOKEN": "canary"}
        keys |= {"tls": {"ca_file": str(ca.ca_file)}, "environ": environ}
        with session_for(server.url, scheme, **keys) as session:
            answer = fetch(kind, session, "away")

    assert answer.status_code == 200
    assert server.authorizations == ["Bearer canary" if scheme == "bearer" else LOGIN]
    assert plain.authorizations == [None]


@both
def test_a_tunnel_through_a_proxy_is_for_the_server_alone(
    kind: str, ca: CertificateAuthority
) -> None:
    with echo() as proxy, echo(tls=server_side(ca.server)) as server:
        login = {"url": proxy.root, "user_name": "p", "password": ref("env:MI_PASSWORD")}
        with session_for(
            server.url, tls={"ca_file": str(ca.ca_file)}, proxy=login, environ={"MI_PASSWORD": "pw"}
        ) as session:
            assert fetch(kind, session, "x").status_code == 200

    assert [each.method for each in proxy.seen] == ["CONNECT"]
    headers = {name.lower(): value for name, value in proxy.seen[0].headers.items()}
    assert headers["proxy-authorization"] == basic("p", "pw")
    assert "authorization" not in headers
    assert "proxy-authorization" not in server.seen[0].headers


def test_threads_of_one_client_with_a_wrong_password_make_one_attempt() -> None:
    def attempt(mi: httpx.Client) -> BaseException | None:
        with pytest.raises(LoginRefused) as caught:
            mi.get("x")
        return caught.value

    with (
        echo(lambda _: refused('Basic realm="x"')) as server,
        session_for(server.url) as session,
        client(session) as mi,
        ThreadPoolExecutor(20) as pool,
    ):
        list(pool.map(attempt, [mi] * 20))

    assert len([each for each in server.seen if each.authorization]) == 1


def test_an_asynchronous_client_goes_on_in_the_next_event_loop() -> None:
    """One of httpx itself fails there: its idle connection belongs to the loop that has ended."""
    with echo() as server, session_for(server.url) as session, warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # asyncio tells of such connections
        mi = async_client(session)

        async def get(mi: httpx.AsyncClient) -> int:
            return (await mi.get("x")).status_code

        assert [asyncio.run(get(mi)) for _ in range(3)] == [200] * 3
        asyncio.run(mi.aclose())
        del mi
        gc.collect()


def test_a_forked_process_opens_connections_of_its_own() -> None:
    with echo() as server, session_for(server.url) as session, client(session) as mi:
        mi.get("x")
        assert in_child(lambda: mi.get("x").status_code) == 200
        mi.get("x")

    first, child, last = [each.connection for each in server.seen]
    assert first == last != child
