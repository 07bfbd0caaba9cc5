"""Kerberos by GSSAPI: tickets, keytabs, and what is said where there is none."""

import importlib
import importlib.util
import re
from base64 import b64encode
from pathlib import Path
from time import time
from typing import Any

import pytest

from gatepass._session.session import Session
from gatepass._system.context import RunContext
from gatepass.auth import _kerberos, autologon
from gatepass.errors import GatepassError, LoginRequired, ProfileError
from tests.auth.conftest import Make
from tests.support.echo import echo, refused
from tests.support.peers.apache import Apache
from tests.support.peers.kdc import UNUSABLE, Kdc
from tests.support.peers.waiting import free_port
from tests.support.sessions import profile_for

_NTLM_OID = bytes.fromhex("060a2b06010401823702020a")  # 1.3.6.1.4.1.311.2.2.10


def test_no_ticket_says_kinit_and_sends_nothing_more(
    make: Make, kdc: Kdc, windows_apache: Apache, monkeypatch: pytest.MonkeyPatch
) -> None:
    mi = make("autologon", "windows")
    for name, value in kdc.environ().items():
        monkeypatch.setenv(name, value)
    mark = windows_apache.mark()

    with pytest.raises(LoginRequired, match="kinit"):
        mi.get("cgi/whoami")

    assert [line.status for line in windows_apache.wait_for_lines(mark, 1)] == [401]


def test_an_expired_ticket_says_kinit(
    make: Make, kdc: Kdc, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in kdc.environ(kdc.expired_ccache).items():
        monkeypatch.setenv(name, value)
    mi = make("autologon", "windows")
    for name, value in kdc.environ(kdc.expired_ccache).items():
        monkeypatch.setenv(name, value)

    with pytest.raises(LoginRequired, match="(?s)expired.*kinit"):
        mi.get("cgi/whoami")


def test_a_keytab_logs_on_without_a_person(
    make: Make, kdc: Kdc, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    mi = make("autologon", "windows", auth={"principal": "alice@CORP.TEST"})
    for name, value in kdc.environ(tmp_path / "new.ccache").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("KRB5_CLIENT_KTNAME", f"FILE:{kdc.files.client_keytab}")

    assert mi.get("cgi/whoami").json()["user"].startswith("alice")


@pytest.mark.parametrize(
    ("account", "told", "next_step"),
    [
        ("svc-old", "does not take the key of the keytab: it is outdated", "make the keytab anew"),
        ("svc-gone", "there is no such account any more", "check the principal"),
        ("svc-ended", "the account has expired", "ask the administrator"),
        ("svc-password", "the password of the account has expired", "set a new one"),
        ("svc-locked", "the account is disabled or locked", "ask the administrator"),
        ("missing", "missing.keytab is not there", "correct KRB5_CLIENT_KTNAME"),
        ("junk", "junk.keytab holds no key that fits", "klist -k"),
    ],
)
def test_a_keytab_that_does_not_log_on_says_why(
    make: Make,
    kdc: Kdc,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    account: str,
    told: str,
    next_step: str,
) -> None:
    """GSSAPI says "no credentials" of each of them, and the cause in its minor message."""
    (tmp_path / "junk.keytab").write_bytes(b"junk")
    folder = kdc.files.folder if account in UNUSABLE else tmp_path
    mi = make("autologon", "windows", check_path="cgi/whoami")
    for name, value in kdc.environ(tmp_path / "new.ccache").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("KRB5_CLIENT_KTNAME", f"FILE:{folder / account}.keytab")

    with pytest.raises(LoginRequired, match=re.escape(told)) as caught:
        mi.get("cgi/whoami")

    assert next_step in caught.value.hint
    assert "kinit USER" not in str(caught.value)


@pytest.mark.parametrize("logged_on", [False, True])
def test_a_domain_that_does_not_answer_is_unreachable(
    make: Make, kdc: Kdc, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, logged_on: bool
) -> None:
    mi = make("autologon", "windows")
    nobody = tmp_path / "krb5.conf"
    text = kdc.files.krb5_conf.read_text(encoding="utf-8")
    nobody.write_text(text.replace(f":{kdc.port}", f":{free_port()}"), encoding="utf-8")
    for name, value in kdc.environ(kdc.ccache() if logged_on else tmp_path / "new").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("KRB5_CONFIG", str(nobody))
    monkeypatch.setenv("KRB5_CLIENT_KTNAME", f"FILE:{kdc.files.client_keytab}")

    with pytest.raises(GatepassError, match="no domain controller") as caught:
        mi.get("cgi/whoami")

    assert caught.value.exit_code == 5
    assert "krb5.conf" in caught.value.hint


# What a server answers to a ticket where it takes NTLM alone: a message of NTLM itself, or of
# SPNEGO (RFC 4178) that chooses it.
_OF_NTLM = b"NTLMSSP\0\2\0\0\0" + bytes(40)
_CHOOSES_NTLM = bytes.fromhex("a1153013a0030a0101a10c") + _NTLM_OID


@pytest.mark.parametrize("message", [_OF_NTLM, _CHOOSES_NTLM])
def test_a_server_that_takes_ntlm_alone_is_told_what_to_use(make: Make, message: bytes) -> None:
    make("autologon", "windows")  # alice has a ticket
    answer = f"Negotiate {b64encode(message).decode()}"

    with echo(lambda seen: refused(answer if seen.authorization else "Negotiate")) as server:
        mi = Session._from_checked(profile_for(server.url, "autologon"), RunContext.of(environ={}))
        with pytest.raises(GatepassError, match="takes NTLM alone") as caught:
            mi.get("x")

    assert caught.value.exit_code == 4
    assert 'scheme = "ntlm"' in caught.value.hint
    assert "\0" not in str(caught.value)


def test_another_principal_than_the_tickets_is_refused(make: Make) -> None:
    mi = make("autologon", "windows", auth={"principal": "carl@CORP.TEST"})

    with pytest.raises(GatepassError):
        mi.get("cgi/whoami")


def test_a_server_that_kerberos_does_not_know_is_named(make: Make, windows_apache: Apache) -> None:
    mi = make("autologon", "windows")
    url = windows_apache.windows.http.replace("localhost", "127.0.0.1")
    other = Session._from_checked(profile_for(url, "autologon"), RunContext.of(environ={}))

    with pytest.raises(GatepassError, match=r"(?s)HTTP/127\.0\.0\.1.*use the name under which"):
        other.get("cgi/whoami")
    assert mi.get("cgi/whoami").ok


@pytest.mark.parametrize("service", ["HTTP/localhost", "HTTP/localhost@CORP.TEST"])
def test_a_server_behind_an_alias_is_named_by_its_service(
    make: Make, windows_apache: Apache, service: str
) -> None:
    make("autologon", "windows")  # alice has a ticket
    url = windows_apache.windows.http.replace("localhost", "127.0.0.1")
    profile = profile_for(url, "autologon", auth={"service": service})

    assert Session._from_checked(profile, RunContext.of(environ={})).get("cgi/whoami").ok


def test_a_service_that_names_no_host_is_refused() -> None:
    with pytest.raises(ProfileError, match="service: should be such as HTTP/"):
        profile_for("https://mi.test", "autologon", auth={"service": "mi.test"})


@pytest.mark.parametrize("delegate", [False, True])
def test_the_ticket_is_lent_to_the_server_only_where_the_profile_says_so(
    make: Make, delegate: bool
) -> None:
    gssapi = importlib.import_module("gssapi")
    make("autologon", "windows")  # alice has a ticket
    scheme = autologon.Autologon(delegate=True) if delegate else autologon.Autologon()
    begin = _kerberos.context_maker(scheme.principal, delegate=scheme.delegate)

    context = begin("localhost", None)
    context.step()

    flags = context._context.actual_flags  # type: ignore[attr-defined]
    assert (gssapi.RequirementFlag.delegate_to_peer in flags) is delegate


def test_kerberos_alone_is_offered_whatever_else_gssapi_has(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """GSSAPI would offer NTLM too where it finds a password, and log on as somebody else."""
    make("autologon", "windows")  # alice has a ticket
    users = tmp_path / "ntlm-users"
    users.write_text("CORP:mallory:pw\n")
    monkeypatch.setenv("NTLM_USER_FILE", str(users))  # read by gss-ntlmssp, not by us

    token = _kerberos.context_maker(None, delegate=False)("localhost", None).step()

    assert token is not None
    assert _NTLM_OID not in token


@pytest.fixture
def as_on_macos(make: Make, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Take away what the macOS wheel of gssapi does not have: it is built for Heimdal."""
    monkeypatch.delattr(importlib.import_module("gssapi.raw"), "set_neg_mechs")
    monkeypatch.setattr(importlib.import_module("gssapi.creds"), "rcred_cred_store", None)
    return make


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("principal", [None, "alice@CORP.TEST"])
def test_a_ticket_logs_on_without_the_extensions_that_macos_lacks(
    as_on_macos: Make, principal: str | None, plain: bool
) -> None:
    mi = as_on_macos("autologon", "windows", plain=plain, auth={"principal": principal})

    assert mi.get("cgi/whoami").json()["user"].startswith("alice")


def test_another_principal_is_refused_also_without_the_extensions(
    as_on_macos: Make, kdc: Kdc, monkeypatch: pytest.MonkeyPatch
) -> None:
    mi = as_on_macos("autologon", "windows", auth={"principal": "bob@CORP.TEST"})
    with pytest.raises(LoginRequired):
        mi.get("cgi/whoami")

    for name, value in kdc.environ(kdc.ccache("bob")).items():
        monkeypatch.setenv(name, value)
    mi = as_on_macos("autologon", "windows", auth={"principal": "bob@CORP.TEST"})
    assert mi.get("cgi/whoami").json()["user"].startswith("bob")


def test_a_keytab_that_cannot_be_looked_into_is_a_warning_that_says_so(
    as_on_macos: Make, kdc: Kdc
) -> None:
    """Without credential stores GSSAPI reads no keytab but by a login."""
    as_on_macos("autologon", "windows")  # alice has a ticket
    keytab = f"FILE:{kdc.files.client_keytab}"

    looked = _kerberos.check_ticket_offline(
        None, {"KRB5_CLIENT_KTNAME": keytab}, now=time(), until=time()
    )
    found = {each.subject: each for each in looked}

    assert found["keytab"].verdict == "warning"
    assert f"whether {keytab} logs on cannot be told here" in found["keytab"].message
    assert "kinit -k -t" in found["keytab"].hint
    assert found["ticket"].verdict == "ok"
    assert "alice@CORP.TEST" in found["ticket"].message
