"""What went wrong with a connection is told by its cause, with the next step of the situation."""

import json
import ssl
from pathlib import Path
from typing import Any

import pytest
import requests
from requests.exceptions import ConnectTimeout

from gatepass._session.exceptions import TimedOut, TLSFailed, Unreachable
from gatepass._session.session import Session
from gatepass._session.translate import translate_error
from tests.net.test_tls import server_side, without_intermediate
from tests.support.echo import echo
from tests.support.peers.ca import CertificateAuthority
from tests.support.peers.waiting import free_port
from tests.support.sessions import session_for


def test_a_name_that_is_not_known_is_explained() -> None:
    with pytest.raises(Unreachable, match=r"the name nowhere\.invalid is not known") as caught:
        session_for("https://nowhere.invalid", "anonymous", environ={}, retries=0).get("x")

    assert "https://nowhere.invalid" in str(caught.value)
    assert "check the spelling" in caught.value.hint


def test_a_port_where_nobody_listens_is_explained() -> None:
    url = f"http://localhost:{free_port()}/"
    with pytest.raises(Unreachable, match="nobody listens there") as caught:
        session_for(url, retries=0).get("x")

    assert caught.value.exit_code == 5
    assert caught.value.__context__ is None, "the original holds the request with its credentials"


def test_a_connection_that_takes_too_long_is_explained() -> None:
    request = requests.Request("GET", "https://mi.example.com/x").prepare()

    error = translate_error(ConnectTimeout(request=request), request)

    assert str(error).startswith("https://mi.example.com did not take a connection in time")
    assert isinstance(error, TimedOut)
    assert isinstance(error, requests.ConnectTimeout)


def test_what_says_nothing_of_the_way_stays_as_it_is() -> None:
    request = requests.Request("GET", "https://mi.example.com/x").prepare()
    original = requests.TooManyRedirects("x")

    assert translate_error(original, request) is original


# What trusts too little, and what the hint says then.
@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({}, "install it in the operating system"),
        ({"environ": {"REQUESTS_CA_BUNDLE": "OTHER"}}, "only those of REQUESTS_CA_BUNDLE: OTHER;"),
        ({"environ": {"CURL_CA_BUNDLE": "OTHER"}}, "or unset CURL_CA_BUNDLE"),
        *(
            ({"environ": {name: "OTHER"}}, f"unset {name}, which stands for the system's ")
            for name in ("SSL_CERT_FILE", "SSL_CERT_DIR")
        ),
        ({"tls": {"ca_file": "OTHER"}}, "only those of tls.ca_file of the profile: OTHER;"),
        ({"tls": {"ca_file": "OTHER"}}, 'ca_file = ["system", "OTHER"]'),
        ({"tls": {"ca_file": ["system", "OTHER"]}}, "those of the system and of tls.ca_file"),
    ],
)
def test_an_unknown_authority_is_told_by_what_was_trusted_and_who_said_so(
    ca: CertificateAuthority, other_ca: CertificateAuthority, keys: dict[str, Any], told: str
) -> None:
    file = str(other_ca.ca_file)
    filled = json.loads(json.dumps(keys).replace("OTHER", file))
    with echo(tls=server_side(ca.server)) as server:
        mi = session_for(server.url, "anonymous", **{"environ": {}, **filled})
        with pytest.raises(TLSFailed, match="unknown authority") as caught:
            mi.get("x")

    assert told.replace("OTHER", file) in caught.value.hint
    assert ("operating system" in caught.value.hint) == (keys == {})


def test_the_place_of_ca_file_and_proxy_is_named(
    ca: CertificateAuthority, other_ca: CertificateAuthority, tmp_path: Path
) -> None:
    with echo(tls=server_side(ca.server)) as server:
        file = tmp_path / "p.toml"
        file.write_text(
            f'[profiles.p]\nurl = "{server.url}"\nauth = {{ scheme = "anonymous" }}\n'
            f'tls = {{ ca_file = "{other_ca.ca_file}" }}\n'
        )
        result = Session.from_profile("p", config_file=file, environ={}).check()
        proxied = Session.from_profile(
            "p",
            config_file=file,
            environ={},
            overrides={"proxy": "http://localhost:1", "retries": 0},
        ).check()

    assert f"tls.ca_file ({file}:4:" in result.hint
    assert "no way through the proxy http://localhost:1 (proxy (overrides" in proxied.sentence
    assert (result.exit_code, proxied.exit_code) == (5, 5)


def test_verify_of_the_caller_is_named(
    ca: CertificateAuthority, other_ca: CertificateAuthority
) -> None:
    with echo(tls=server_side(ca.server)) as server:
        mi = session_for(server.url, "anonymous", environ={})
        with pytest.raises(TLSFailed, match="only those of verify="):
            mi.get("x", verify=str(other_ca.ca_file))


def test_an_intermediate_that_the_server_leaves_out_is_thought_of(
    ca: CertificateAuthority, tmp_path: Path
) -> None:
    alone = without_intermediate(ca.below, tmp_path)
    with echo(tls=server_side(alone)) as server:
        mi = session_for(server.url, "anonymous", tls={"ca_file": str(ca.ca_file)})
        with pytest.raises(TLSFailed, match="leaves out the certificate of an intermediate"):
            mi.get("x")


def _verdict(code: int, message: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(message)
    error.verify_code, error.verify_message = code, message
    return error


@pytest.mark.parametrize(
    ("code", "message", "told"),
    [
        (0x800B0109, "Certificate chain policy error 0x800b0109", "an unknown authority"),
        (0x800B0101, "Certificate chain policy error 0x800b0101", "has expired"),
        (0x800B010F, "Certificate chain policy error 0x800b010f", "another host name"),
        (0x800B010C, "Certificate chain policy error 0x800b010c", "has been revoked"),
        (0x80092013, "Certificate chain policy error 0x80092013", "nobody could tell"),
        (-67843, "\u201cmi.test\u201d certificate is not trusted", "an unknown authority"),
        (-67818, "\u201cmi.test\u201d certificate is expired", "has expired"),
        (18, "self-signed certificate", "signed by itself"),
        (67, "CA signature digest algorithm too weak", "too weak"),
        (79, "invalid CA certificate", "is not accepted (invalid CA certificate)"),
    ],
)
def test_each_system_has_its_words_for_a_certificate_and_ours_are_the_same(
    code: int, message: str, told: str
) -> None:
    request = requests.Request("GET", "https://mi.test/x").prepare()
    original = requests.exceptions.SSLError(_verdict(code, message))
    error = translate_error(original, request)

    assert told in str(error)
    assert isinstance(error, TLSFailed)
    assert error.hint
