"""The whole way with a real identity provider, a real API and a real browser."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import requests

from gatepass._config.profile import MachineSettings
from gatepass._session.session import Session
from gatepass._system.context import RunContext
from gatepass._system.terminal import Terminal
from gatepass.auth._oidc.login import OidcLogin
from gatepass.auth._oidc.status import create_vault_key
from gatepass.errors import LoginRequired
from gatepass.secrets import ref
from tests.support.peers.apache import Apache
from tests.support.peers.browser import Browser
from tests.support.peers.ca import CertificateAuthority
from tests.support.peers.oidc_provider import NATIVE, OidcProvider
from tests.support.sessions import profile_for


def _session(
    folder: Path,
    url: str,
    ca: CertificateAuthority,
    *,
    terminal: Terminal | None = None,
    **auth: Any,
) -> Session:
    tls = {"ca_file": str(ca.ca_file)}
    profile = profile_for(url, "oidc", auth={"tls": tls, **auth}, tls=tls)
    machine = MachineSettings(vault=str(folder / "vault"), vault_key=ref(f"file:{folder / 'key'}"))
    return Session._from_checked(
        dataclasses.replace(profile, machine=machine),
        RunContext.of(environ={}, terminal=terminal or Terminal({}, interactive=False)),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    create_vault_key(tmp_path / "key")
    return tmp_path


def test_a_person_logs_in_by_chromium_once_and_a_batch_job_runs_ever_after(
    folder: Path,
    oidc_apache: Apache,
    oidc_provider: OidcProvider,
    browser: Browser,
    ca: CertificateAuthority,
) -> None:
    written: list[str] = []
    person = Terminal(
        {"BROWSER": browser.command},
        interactive=True,
        write=written.append,
        open_console=lambda _: None,
    )
    mi = _session(folder, oidc_apache.oidc.https, ca, terminal=person)
    assert mi.get("cgi/whoami").json()["user"] == "alice"
    assert oidc_provider.issuer in "".join(written)  # the address is always printed
    page = browser.last_page()
    assert "code=" not in page.text
    mi.persist_oidc_token()

    mark, api_mark = oidc_provider.mark(), oidc_apache.mark()
    batch = _session(folder, oidc_apache.oidc.https, ca, use_stored_token=True)
    assert batch.get("cgi/whoami").json()["user"] == "alice"

    lines = oidc_apache.log_since(api_mark)
    refreshes = oidc_provider.token_requests(mark, "refresh_token")
    # Its access tokens live for seconds only; a warm start asks the provider at most once.
    assert len(refreshes) <= 1
    assert [line.status for line in lines if line.room == "oidc"] == [200]


def test_sixteen_renewals_keep_the_family_alive(
    folder: Path,
    oidc_apache: Apache,
    oidc_provider: OidcProvider,
    ca: CertificateAuthority,
) -> None:
    """Each refresh token works once; the provider revokes the family when one comes again."""

    def browse(url: str) -> None:
        requests.get(oidc_provider.sign_in(url, "alice"), timeout=30)

    person = Terminal(
        {}, interactive=True, write=lambda _: None, open_url=browse, open_console=lambda _: None
    )
    mi = _session(folder, oidc_apache.oidc.https, ca, terminal=person)
    mi.persist_oidc_token()
    mark = oidc_provider.mark()
    for _ in range(16):
        job = _session(folder, oidc_apache.oidc.https, ca, use_stored_token=True)
        login = job._login.authenticator
        assert isinstance(login, OidcLogin)
        login.access_token(refused=login.access_token())

    assert set(oidc_provider.token_requests(mark, "refresh_token")) == {200}


def test_without_a_login_the_batch_job_says_what_to_run(
    folder: Path, oidc_apache: Apache, oidc_provider: OidcProvider, ca: CertificateAuthority
) -> None:
    mark = oidc_provider.mark()
    with pytest.raises(LoginRequired, match="nobody has logged in"):
        _session(folder, oidc_apache.oidc.https, ca, use_stored_token=True).get("cgi/whoami")

    assert oidc_provider.log_since(mark) == []
    assert NATIVE


def test_a_second_login_in_the_same_browser_outlives_the_first(
    folder: Path,
    oidc_apache: Apache,
    oidc_provider: OidcProvider,
    ca: CertificateAuthority,
) -> None:
    """Providers tie both to one grant: who revokes the first one's token ends the second."""
    with oidc_provider.browser() as signed_on:

        def browse(url: str) -> None:
            requests.get(oidc_provider.sign_in(url, "alice", signed_on), timeout=30)

        person = Terminal(
            {}, interactive=True, write=lambda _: None, open_url=browse, open_console=lambda _: None
        )
        mi = _session(folder, oidc_apache.oidc.https, ca, terminal=person)
        mi.persist_oidc_token()
        login = mi._login.authenticator
        assert isinstance(login, OidcLogin)
        login.login()

    job = _session(folder, oidc_apache.oidc.https, ca, use_stored_token=True)._login.authenticator
    assert isinstance(job, OidcLogin)
    assert job.access_token(refused=job.access_token()).reveal()


def test_another_device_logs_in_at_the_real_provider(
    folder: Path,
    oidc_apache: Apache,
    oidc_provider: OidcProvider,
    ca: CertificateAuthority,
) -> None:
    """RFC 8628: the person opens the address elsewhere; we ask until that has happened."""
    approved: list[str] = []

    def tell(text: str) -> None:
        found = re.search(r"https://\S+user_code=\S+", text)
        if found and not approved:
            approved.append(found[0])
            oidc_provider.approve(found[0], "alice")

    person = Terminal({}, interactive=True, write=tell, open_console=lambda _: None)
    mi = _session(folder, oidc_apache.oidc.https, ca, terminal=person, flow="device")

    assert mi.get("cgi/whoami").json()["user"] == "alice"
    assert approved
