"""The login of a program by a secret, a key, or a token of its platform, over real HTTP."""

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from gatepass._session.session import Session
from gatepass._system.context import RunContext
from gatepass._vault.records import Client
from gatepass.auth._oidc import client_credentials
from gatepass.auth._oidc.client_assertion import sign_assertion
from gatepass.errors import GatepassError, SecretUnavailable
from gatepass.secrets import Secret, ref
from tests.support.echo import Answer, Seen, echo
from tests.support.peers.oidc_provider import (
    SECRETS,
    SERVICE,
    SERVICE_KEYS,
    SERVICE_POST,
    OidcProvider,
)
from tests.support.sessions import profile_for
from tests.support.small_provider import in_json, small_provider

SECRET = Secret("hush")


def test_a_program_logs_in_with_its_secret_and_sends_it_once() -> None:
    client = Client("app", secret=SECRET, scopes=("mi", "read"), audience="granta")
    with small_provider() as provider:
        tokens = client_credentials.log_in(client, send=provider.send(client))
    assert tokens.access_token.reveal() == "at"
    assert provider.posted == [
        {"grant_type": "client_credentials", "scope": "mi read", "audience": "granta"}
    ]
    assert provider.headers[0]["authorization"].startswith("Basic ")


def test_what_only_people_have_is_not_asked_for() -> None:
    """Providers refuse these scopes here, and they are the default."""
    client = Client("app", secret=SECRET)
    with small_provider() as provider:
        client_credentials.log_in(client, send=provider.send(client))
    assert provider.posted == [{"grant_type": "client_credentials"}]


def test_a_refusal_is_passed_on_without_the_secret() -> None:
    client = Client("app", secret=SECRET)
    refusal = in_json({"error": "invalid_client", "error_description": "not hush"}, 401)
    with (
        small_provider(token=lambda _: refusal) as provider,
        pytest.raises(GatepassError, match="invalid_client") as caught,
    ):
        client_credentials.log_in(client, send=provider.send(client))
    assert "hush" not in str(caught.value)


# ---------------------------------------------------------------- at a certified provider


@pytest.mark.parametrize(
    ("client", "key"),
    [
        (SERVICE, "client_secret"),
        (SERVICE_POST, "client_secret"),
        *((client, "client_key") for client in SERVICE_KEYS),
        ("service-ec", "client_assertion"),
    ],
)
def test_a_real_provider_takes_each_proof(
    client: str, key: str, oidc_provider: OidcProvider, tmp_path: Path
) -> None:
    """Which of them each client may use is found out; the metadata offers all.

    A token that a platform has written into a file needs no secret here.
    """
    mark = oidc_provider.mark()
    proof: Any = SECRETS.get(client)
    if proof is None:
        file = oidc_provider.client_keys[client]
        if key == "client_assertion":
            pem, file = Secret(file.read_text()), tmp_path / "token"
            file.write_text(sign_assertion(pem, client, oidc_provider.issuer).reveal())
        proof = ref(f"file:{file}")
    auth = {
        "issuer": oidc_provider.issuer,
        "client_id": client,
        "flow": "client_credentials",
        "scopes": ["api:read"],
        "tls": {"ca_file": str(oidc_provider.ca_file)},
        key: proof,
    }
    with echo() as api:
        with Session._from_checked(profile_for(api.url, "oidc", auth=auth), RunContext.of()) as mi:
            assert mi.get("x").ok
            assert mi.get("y").ok
        assert (api.authorizations[0] or "").startswith("Bearer ey")

    assert oidc_provider.token_requests(mark, "client_credentials")[-1:] == [200]


# ---------------------------------------------------------------- without a secret at rest


def tokens_of_platform(seen: Seen) -> Answer:
    """Take a token of the platform as the proof, and answer with it, so that tests see it."""
    form = dict(parse_qsl(seen.body.decode()))
    if seen.path.startswith("/.well"):
        root = f"http://{seen.headers['host']}"
        return in_json({"issuer": root, "token_endpoint": f"{root}/token"})
    assert form["client_assertion_type"].endswith(":jwt-bearer")
    assert form["client_id"] == "job"
    return in_json({"access_token": form["client_assertion"], "expires_in": 0})


def test_a_token_file_of_the_platform_is_read_anew_for_each_request(tmp_path: Path) -> None:
    token = tmp_path / "token"
    with echo(tokens_of_platform) as idp, echo() as api:
        auth = {
            "issuer": idp.root,
            "client_id": ref("env:JOB"),
            "flow": "client_credentials",
            "client_assertion": ref(f"file:{token}"),
        }
        run = RunContext.of(environ={"JOB": "job"}, interactive=False)
        profile = profile_for(api.url, "oidc", auth=auth)
        with pytest.raises(SecretUnavailable, match="client_assertion: .*cannot read"):
            Session._from_checked(profile, run)
        token.write_text("first.platform.token\n")
        with Session._from_checked(profile, run) as mi:
            assert mi.get("x").ok
            token.write_text("second.platform.token\n")
            assert mi.get("y").ok
            token.unlink()
            with pytest.raises(SecretUnavailable, match="client_assertion: .*cannot read"):
                mi.get("z")
            token.write_text("third.platform.token\n")
            assert mi.get("z").ok

        sent = [(each or "").removeprefix("Bearer ") for each in api.authorizations]
        assert sent == [f"{name}.platform.token" for name in ("first", "second", "third")]


@pytest.mark.parametrize("key", ["client_secret", "refresh_token", "client_assertion"])
def test_a_variable_that_ends_in_a_line_break_is_told_before_it_is_sent(key: str) -> None:
    flow = {} if key == "refresh_token" else {"flow": "client_credentials"}
    auth = {"issuer": "https://idp.invalid", "client_id": "c", key: ref("env:X"), **flow}
    run = RunContext.of(environ={"X": "canary\n"}, interactive=False)
    with pytest.raises(GatepassError, match=f"{key} holds a control character") as caught:
        Session._from_checked(profile_for("http://localhost/mi/", "oidc", auth=auth), run).get("x")

    assert "canary" not in str(caught.value)
    assert "line break" in caught.value.hint
