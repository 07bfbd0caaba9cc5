"""The sandbox's identity provider: its start, its records, and what it refuses."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from gatepass.sandbox.provider import IdentityProvider
from tests.support.peers.environ import clean_environ
from tests.support.provider_requests import USERS, login_url, refresh
from tests.support.secret_context import PYTHONPATH


def test_a_provider_that_cannot_make_its_key_opens_no_port(tmp_path: Path) -> None:
    """As where joserfc is not installed."""
    (tmp_path / "joserfc.py").write_text("raise ImportError('not installed')\n")
    script = (
        "import gc\n"
        "from gatepass.sandbox.provider import IdentityProvider\n"
        "try:\n    IdentityProvider().__enter__()\n"
        "except ImportError:\n    print('said so')\n"
        "gc.collect()\n"
    )
    sources = os.pathsep.join([str(tmp_path), PYTHONPATH])

    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", script],
        env=clean_environ(tmp_path / "home", PYTHONPATH=sources),
        capture_output=True,
        text=True,
        check=True,
    )

    assert (done.stdout, done.stderr) == ("said so\n", "")


def test_records_stay_readable_and_a_second_run_begins_anew(client: requests.Session) -> None:
    idp = IdentityProvider(users=USERS)
    with pytest.raises(RuntimeError, match="not been started"):
        assert idp.issuer
    with idp:
        refresh(client, idp, idp.issue()["refresh_token"])
        with pytest.raises(RuntimeError, match="runs already"), idp:
            pass
    assert (idp.counts.refreshes, len(idp.requests)) == (1, 1)
    with idp:
        assert (idp.counts.refreshes, idp.requests, idp.families) == (0, (), ())


@pytest.mark.parametrize(
    "wrong", [{"path": "realms"}, {"path": "/realms/"}, {"auto_login": "nobody"}]
)
def test_what_cannot_work_is_refused_at_once(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"path|user"):
        IdentityProvider(users=USERS, **wrong)


def test_a_name_that_nobody_has_logs_on_nowhere(idp: IdentityProvider) -> None:
    for attempt in (
        lambda: idp.issue("nobody"),
        lambda: idp.sign_in(login_url(idp), "nobody"),
        lambda: idp.sign_in("http://127.0.0.1:1/authorize?client_id=gatepass"),
    ):
        with pytest.raises(ValueError, match=r"no such user|not this provider's"):
            attempt()
    with IdentityProvider() as empty, pytest.raises(ValueError, match="no such user"):
        empty.issue()


def test_importing_the_provider_loads_no_server_and_no_cryptography() -> None:
    program = (
        "import json, sys, gatepass.sandbox.provider; "
        "print(json.dumps(sorted({'http.server', 'joserfc', 'cryptography'} & {*sys.modules})))"
    )
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert json.loads(output.stdout) == []
