"""The sockets of a login: on loopback only, and shared with no other program."""

import socket
import sys

import pytest

from gatepass.auth._oidc.redirect_server import RedirectServer
from gatepass.errors import GatepassError
from tests.support import raw
from tests.support.peers.waiting import free_port
from tests.support.redirects import CODE, GOOD, STATE, code_of, needs_ipv6, port_of
from tests.support.redirects import redirect_server as redirect_server  # noqa: PLC0414 - a fixture


@needs_ipv6
def test_both_loopback_addresses_lead_to_the_listener(redirect_server: RedirectServer) -> None:
    at = f"[::1]:{port_of(redirect_server)}"
    with raw.asked(port_of(redirect_server), raw.get(f"/callback?{GOOD}", at), "::1"):
        assert code_of(redirect_server.wait(raw.SECONDS)) == CODE


def test_no_other_address_leads_to_the_listener(redirect_server: RedirectServer) -> None:
    """Above all not the addresses at which other machines see this one."""
    with pytest.raises(ConnectionRefusedError):
        raw.connect(port_of(redirect_server), "127.0.0.2")


def test_a_taken_port_is_told_and_nothing_is_left_open() -> None:
    port = free_port()
    with RedirectServer(STATE, f"http://localhost:{port}/"):
        with pytest.raises(GatepassError, match=f"port {port}") as caught:
            RedirectServer(STATE, f"http://localhost:{port}/").__enter__()
        assert "redirect_uri" in caught.value.hint
    with RedirectServer(STATE, f"http://localhost:{port}/"):
        pass


@needs_ipv6
def test_a_fixed_port_that_is_taken_on_one_family_only_is_taken() -> None:
    """Else `localhost` may lead the browser, and the code, to the other program."""
    with socket.socket(socket.AF_INET6) as other:
        other.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        other.bind(("::1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(GatepassError, match=f"port {port}"):
            RedirectServer(STATE, f"http://127.0.0.1:{port}/").__enter__()


def test_nobody_else_can_listen_on_the_same_address(redirect_server: RedirectServer) -> None:
    with socket.socket() as other:
        if sys.platform != "win32":
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        with pytest.raises(OSError, match="."):
            other.bind(("127.0.0.1", port_of(redirect_server)))


def test_a_fixed_port_is_free_for_the_next_login_at_once() -> None:
    """Even where connections ended on our side first, idle ones among them."""
    written = f"http://127.0.0.1:{free_port()}/callback"
    for _ in range(3):
        with RedirectServer(STATE, written) as redirect_server:
            idle = raw.connect(port_of(redirect_server))
            assert raw.open_address(written).status == 400
        idle.close()
