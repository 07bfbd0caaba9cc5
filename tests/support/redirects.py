"""A login's redirect server on a free port, and what tests ask of it."""

import threading
from collections.abc import Iterator

import pytest

from gatepass.auth._oidc.callback import Callback
from gatepass.auth._oidc.redirect_server import RedirectServer
from tests.support import raw

STATE = "st4te-of-this-login"

CODE = "c0de-of-this-login"

GOOD = f"code={CODE}&state={STATE}"

needs_ipv6 = pytest.mark.skipif(not raw.has_ipv6(), reason="this machine has no ::1")


def port_of(redirect_server: RedirectServer) -> int:
    return int(redirect_server.redirect_uri.split(":")[2].split("/")[0])


def threads() -> list[str]:
    """The threads of redirect servers; other tests may have left one of theirs that hangs."""
    return [each.name for each in threading.enumerate() if each.name == "gatepass-login"]


@pytest.fixture
def redirect_server() -> Iterator[RedirectServer]:
    """A redirect server on a free port; nothing of it is left afterwards."""
    with RedirectServer(STATE) as running:
        yield running
    assert threads() == []


def code_of(found: Callback | None) -> str | None:
    return found.code.reveal() if found and found.code else None


def still_waits(redirect_server: RedirectServer) -> None:
    """Prove that nothing ended the login: the real callback is still the one that counts."""
    assert redirect_server.wait(0) is None
    with raw.asked(
        port_of(redirect_server), raw.get(f"/callback?{GOOD}", host(redirect_server))
    ) as browser:
        assert code_of(redirect_server.wait(raw.SECONDS)) == CODE
        redirect_server.send_page("done")
        assert raw.answer(browser).status == 200


def host(redirect_server: RedirectServer) -> str:
    return f"127.0.0.1:{port_of(redirect_server)}"
