"""The modes of the server: how each lets in, and what it costs to name one."""

import json
import subprocess
import sys
from contextlib import nullcontext

import pytest

from gatepass.sandbox import IdentityProvider
from gatepass.sandbox._accounts import Accounts
from gatepass.sandbox._server.login import MODES, LoginContext, login_for

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
        context = LoginContext(Accounts({"alice": "sesame"}, None), None, provider=provider)

        result = login_for(mode, context)().authenticate(None)

    assert [each.partition(" ")[0] for each in result.challenges] == OFFERED[mode]
    assert result.admitted is (mode == "open")
    assert result.user is None


@pytest.mark.parametrize(("mode", "own"), [("open", "anonymous"), ("standalone", "basic")])
def test_a_mode_imports_no_other(mode: str, own: str) -> None:
    program = (
        "import json, sys\n"
        "from gatepass.sandbox._accounts import Accounts\n"
        "from gatepass.sandbox._server import login\n"
        f"login.login_for({mode!r}, login.LoginContext(Accounts({{}}, None), None))\n"
        "names = [name.rpartition('.') for name in sys.modules]\n"
        "print(json.dumps([name for above, _, name in names\n"
        "    if above == 'gatepass.sandbox._server' or name == 'spnego']))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    modes = {"anonymous", "basic", "mixed", "oidc", "windows", "spnego"}
    assert modes.intersection(json.loads(done.stdout)) == {own}
