"""``gatepass token`` speaks to people, to programs and to kubectl."""

import json
import re
from datetime import datetime

import pytest

from tests.support.faulty_provider import FaultyProvider
from tests.support.logins import Office, log_in, profile


@pytest.fixture
def nightly(office: Office, idp: FaultyProvider) -> Office:
    log_in(office, profile(idp.issuer))
    return office


def test_json_tells_when_the_token_ends(nightly: Office) -> None:
    plain = nightly.empty_office.run("token").stdout.strip()
    told = json.loads(nightly.empty_office.run("token", "--json").stdout)

    assert told["access_token"] == plain
    assert told["token_type"] == "Bearer"
    assert datetime.fromisoformat(told["expires_at"]).tzinfo is not None


@pytest.mark.parametrize(
    ("info", "version"),
    [
        ("", "v1"),
        ('{"apiVersion": "client.authentication.k8s.io/v1beta1"}', "v1beta1"),
        ('{"apiVersion": "evil/v1"}', "v1"),
        ("[", "v1"),
        ("[]", "v1"),
    ],
)
def test_kubectl_gets_what_it_expects(nightly: Office, info: str, version: str) -> None:
    home = nightly.empty_office.having(KUBERNETES_EXEC_INFO=info)

    told = json.loads(home.run("token", "nightly", "--format", "exec-credential").stdout)

    assert told["apiVersion"] == f"client.authentication.k8s.io/{version}"
    assert told["kind"] == "ExecCredential"
    assert told["status"]["token"] == home.run("token").stdout.strip()
    ends = told["status"]["expirationTimestamp"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", ends)


def test_two_forms_at_once_are_refused(nightly: Office) -> None:
    done = nightly.empty_office.run("token", "--json", "--format", "exec-credential")

    assert done.returncode == 2
