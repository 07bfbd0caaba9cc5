"""The modes of the server: how each lets in, and what it costs to name one."""

import subprocess
import sys
from contextlib import nullcontext

import pytest
import requests

from gatepass.sandbox import IdentityProvider, Server
from gatepass.sandbox._accounts import Accounts
from gatepass.sandbox._server.login import MODES, login_for
from tests.sandbox.conftest import basic

OFFERED = {
    "open": [],
    "standalone": ["Basic"],
    "mixed": ["Negotiate", "NTLM", "Basic"],
    "windows": ["Negotiate", "NTLM"],
    "oidc": ["Bearer"],
}


@pytest.mark.parametrize("mode", MODES)
def test_each_mode_says_how_it_lets_in(mode: str) -> None:
    with IdentityProvider() if mode == "oidc" else nullcontext() as provider:
        login = login_for(mode, Accounts({"alice": "sesame"}, None), provider)

        result = login().authenticate(None)

    assert [each.partition(" ")[0] for each in result.challenges] == OFFERED[mode]
    assert result.admitted is (mode == "open")
    assert result.user is None


def test_modes_without_windows_logins_do_not_import_pyspnego() -> None:
    program = (
        "import sys\n"
        "from gatepass.sandbox._accounts import Accounts\n"
        "from gatepass.sandbox._server.login import login_for\n"
        "for mode in ('open', 'standalone'):\n"
        "    login_for(mode, Accounts({}, None))\n"
        "print('spnego' in sys.modules)"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "False"


def test_open_mode_asks_nobody_and_knows_nobody(
    open_server: Server, client: requests.Session
) -> None:
    answer = client.get(open_server.url + "Health/v2.svc", headers=basic("alice", "anything"))
    assert answer.json() == {"status": "Healthy", "user": None}
    assert open_server.requests[-1].scheme == "basic"
