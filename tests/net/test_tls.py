"""TLS: whom a session trusts, and to whom it shows a certificate."""

import os
import re
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import pkcs12
from urllib3.exceptions import InsecureRequestWarning

from gatepass._config.load import load_profile
from gatepass._net.tls import ClientCertificate, TlsContexts, trust_of
from gatepass._session.adapter import Network, Transport
from gatepass._session.exceptions import TLSFailed, Unreachable
from gatepass._session.session import Session
from gatepass._system.deadline import run_with_deadline
from gatepass.errors import ProfileError
from gatepass.secrets import ref
from tests.support.echo import Echo, echo, redirects
from tests.support.peers.apache import Apache
from tests.support.peers.ca import CLIENT_NAME, PASSPHRASE, Certificate, CertificateAuthority
from tests.support.peers.need import need_program
from tests.support.sessions import NOWHERE, session_for


def server_side(certificate: Certificate, clients: Path | None = None) -> ssl.SSLContext:
    """A server's context; with ``clients`` it asks for their certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.chain, certificate.key)
    if clients is not None:
        context.load_verify_locations(clients)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


@pytest.fixture
def server(ca: CertificateAuthority) -> Iterator[Echo]:
    """An https server that asks for a client certificate and does not insist."""
    with echo(tls=server_side(ca.server, ca.ca_file)) as running:
        yield running


def anonymous(url: str, **keys: object) -> Session:
    environ = keys.pop("environ", {})
    return session_for(url, "anonymous", environ=environ, **keys)  # type: ignore[arg-type]


@contextmanager
def refused_by(url: str, cause: str, **keys: object) -> Iterator[None]:
    with pytest.raises(TLSFailed, match=cause) as caught:
        anonymous(url, **keys).get("x")
    assert isinstance(caught.value, requests.exceptions.SSLError)
    assert caught.value.exit_code == 5
    assert url.removesuffix("/mi/") in str(caught.value)
    assert caught.value.hint
    yield


def test_an_unknown_authority_is_refused_and_the_way_out_is_named(server: Echo) -> None:
    with refused_by(server.url, r"unknown authority(.|\n)*ca_file"):
        assert server.seen == []


def without_intermediate(certificate: Certificate, folder: Path) -> Certificate:
    """Return a certificate without those of the authorities above it."""
    leaf = certificate.chain.read_text().partition("-----END CERTIFICATE-----\n")
    alone = folder / "leaf.pem"
    alone.write_text("".join(leaf[:2]))
    return Certificate(alone, certificate.key)


def _hashed(file: Path, folder: Path) -> Path:
    """Return a folder in which OpenSSL finds a certificate."""
    folder.mkdir()
    shutil.copy(file, folder / f"{_subject_hash(file)}.0")
    return folder


@pytest.mark.parametrize("sent", ["with the chain", "alone"])
@pytest.mark.parametrize("named", ["ca_file", "folder", "variable", "verify"])
def test_an_intermediate_authority_is_trusted_where_it_is_named(
    ca: CertificateAuthority, tmp_path: Path, named: str, sent: str
) -> None:
    chain = ca.below if sent == "with the chain" else without_intermediate(ca.below, tmp_path)
    file = str(ca.intermediate_file)
    keys: dict[str, object] = {"tls": {"ca_file": file}} if named == "ca_file" else {}
    if named == "variable":
        keys = {"environ": {"REQUESTS_CA_BUNDLE": file}}
    elif named == "folder":
        keys = {"tls": {"ca_file": str(_hashed(ca.intermediate_file, tmp_path / "folder"))}}
    with echo(tls=server_side(chain)) as server:
        more = {"verify": file} if named == "verify" else {}
        assert anonymous(server.url, **keys).get("x", **more).ok  # type: ignore[arg-type]


def test_a_certificate_that_is_named_itself_is_trusted(
    ca: CertificateAuthority, tmp_path: Path
) -> None:
    pinned = without_intermediate(ca.below, tmp_path).chain
    with echo(tls=server_side(ca.below)) as server:
        assert anonymous(server.url, tls={"ca_file": str(pinned)}).get("x").ok


def test_an_intermediate_authority_vouches_for_nobody_above_or_beside_it(
    ca: CertificateAuthority, other_ca: CertificateAuthority
) -> None:
    for chain in (ca.server, other_ca.below):
        with (
            echo(tls=server_side(chain)) as server,
            refused_by(server.url, "unknown authority", tls={"ca_file": str(ca.intermediate_file)}),
        ):
            assert server.seen == []


def test_a_certificate_for_another_host_is_refused(ca: CertificateAuthority) -> None:
    with (
        echo(tls=server_side(ca.wrong_host)) as server,
        refused_by(server.url, "another host name", tls={"ca_file": str(ca.ca_file)}),
    ):
        assert server.seen == []


def test_an_expired_certificate_is_refused(ca: CertificateAuthority) -> None:
    with (
        echo(tls=server_side(ca.expired)) as server,
        refused_by(server.url, "has expired", tls={"ca_file": str(ca.ca_file)}),
    ):
        assert server.seen == []


def test_a_server_that_speaks_plain_http_is_recognised() -> None:
    with echo() as server, refused_by(server.url.replace("http", "https"), "does not speak TLS"):
        assert server.seen == []


def test_the_ca_file_of_the_profile_comes_first(
    server: Echo, ca: CertificateAuthority, other_ca: CertificateAuthority
) -> None:
    wrong = {"REQUESTS_CA_BUNDLE": str(other_ca.ca_file), "CURL_CA_BUNDLE": str(other_ca.ca_file)}
    assert anonymous(server.url, environ=wrong, tls={"ca_file": str(ca.ca_file)}).get("x").ok

    right = {"REQUESTS_CA_BUNDLE": str(ca.ca_file)}
    with refused_by(
        server.url, "unknown authority", environ=right, tls={"ca_file": str(other_ca.ca_file)}
    ):
        pass


def test_the_ca_file_comes_before_the_variables_of_this_process_too(
    server: Echo,
    ca: CertificateAuthority,
    other_ca: CertificateAuthority,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where requests itself would put the variable above ``session.verify``."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other_ca.ca_file))
    mi = Session(server.url, anonymous=True, tls={"ca_file": str(ca.ca_file)})

    assert mi.get("x").ok


def test_the_variables_come_next_that_of_requests_first(
    server: Echo, ca: CertificateAuthority, other_ca: CertificateAuthority
) -> None:
    good, bad = str(ca.ca_file), str(other_ca.ca_file)
    for environ in ({"CURL_CA_BUNDLE": good}, {"REQUESTS_CA_BUNDLE": good, "CURL_CA_BUNDLE": bad}):
        assert anonymous(server.url, environ=environ).get("x").ok


@pytest.mark.skipif(sys.platform != "linux", reason="OpenSSL's variable names the store on Linux")
def test_the_operating_systems_store_comes_last_and_alone(
    server: Echo, ca: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ca.ca_file))
    monkeypatch.setenv("SSL_CERT_DIR", "/nonexistent")
    mi = anonymous(server.url)
    assert mi.get("x").ok

    connections = mi.adapters["https://"]
    (context,) = connections.transports["authenticated"]._contexts._made.values()  # type: ignore[attr-defined]
    assert len(context.get_ca_certs()) == 1, "certifi's authorities are not among them"


def test_verify_true_means_what_the_profile_says(server: Echo, ca: CertificateAuthority) -> None:
    mi = anonymous(server.url, tls={"ca_file": str(ca.ca_file)})

    assert mi.get("x", verify=True).ok
    assert mi.get("x").ok
    assert {seen.connection for seen in server.seen} == {1}


def test_verify_false_for_one_request_does_not_reach_the_next(
    server: Echo, ca: CertificateAuthority
) -> None:
    mi = anonymous(server.url)
    for _ in range(2):
        with pytest.warns(InsecureRequestWarning):
            assert mi.get("x", verify=False).ok
        with pytest.raises(TLSFailed):
            mi.get("x")
        assert mi.get("x", verify=str(ca.ca_file)).ok
        with pytest.raises(TLSFailed):
            mi.get("x", verify=True)

    assert [seen.connection for seen in server.seen] in ([1, 3, 1, 3], [1, 2, 1, 2])


def test_tls_verify_false_trusts_anybody(server: Echo) -> None:
    mi = anonymous(server.url, tls={"verify": False})
    for client in (mi, mi._http()):
        with pytest.warns(InsecureRequestWarning):
            assert client.get(f"{server.url}x").ok
    with pytest.raises(TLSFailed):
        mi.get("x", verify=True)


# The client's certificate.


def _client_tls(ca: CertificateAuthority) -> dict[str, str]:
    return {
        "ca_file": str(ca.ca_file),
        "client_cert": str(ca.client.chain),
        "client_key": str(ca.client.key),
    }


def test_the_clients_certificate_goes_home_only(ca: CertificateAuthority) -> None:
    """Not to another server, not after a redirect there, not with the caller's own login."""
    tls = server_side(ca.server, ca.ca_file)
    with echo(tls=tls) as other, echo(redirects({"/mi/away": f"{other.root}/end"}), tls) as home:
        mi = anonymous(home.url, tls=_client_tls(ca))
        mi.get("x")
        mi.get("x", auth=("own", "password"))
        mi.get("away")
        mi.get(other.url)

    assert [(seen.path, seen.client) for seen in home.seen] == [
        ("/mi/x", CLIENT_NAME),
        ("/mi/x", ""),
        ("/mi/away", CLIENT_NAME),
    ]
    assert {seen.client for seen in other.seen} == {""}


def test_cert_for_one_request_does_not_reach_the_next(
    server: Echo, ca: CertificateAuthority
) -> None:
    mi = anonymous(server.url, tls={"ca_file": str(ca.ca_file)})
    for cert in ((str(ca.client.chain), str(ca.client.key)), None) * 2:
        mi.get("x", cert=cert)

    assert [seen.client for seen in server.seen] == [CLIENT_NAME, "", CLIENT_NAME, ""]


def test_a_scheme_asks_without_the_clients_certificate(
    server: Echo, ca: CertificateAuthority
) -> None:
    anonymous(server.url, tls=_client_tls(ca))._http().get(server.url)

    assert [seen.client for seen in server.seen] == [""]


def test_a_server_may_ask_for_the_certificate_after_the_handshake(
    ca: CertificateAuthority,
) -> None:
    """As IIS does, which first looks at the path."""
    certificate = ClientCertificate(str(ca.client.chain), str(ca.client.key))

    assert TlsContexts(trust_of(str(ca.ca_file), {})).get(True, certificate).post_handshake_auth


def test_a_failed_handshake_is_not_tried_again(
    server: Echo, caplog: pytest.LogCaptureFixture
) -> None:
    with refused_by(server.url, "unknown authority"):
        assert [each for each in caplog.records if "Retrying" in each.getMessage()] == []


def test_apache_takes_the_certificate(apache: Apache, ca: CertificateAuthority) -> None:
    answer = anonymous(apache.mutual_tls.https, tls=_client_tls(ca)).get("cgi/whoami").json()

    assert answer["client_cn"] == CLIENT_NAME


def test_a_missing_certificate_is_explained(apache: Apache, ca: CertificateAuthority) -> None:
    with pytest.raises(Unreachable, match="client's certificate") as caught:
        anonymous(apache.mutual_tls.https, tls={"ca_file": str(ca.ca_file)}).get("cgi/whoami")

    assert "client_cert" in caught.value.hint


def _encrypted(ca: CertificateAuthority, **more: object) -> dict[str, object]:
    return {**_client_tls(ca), "client_key": str(ca.encrypted_client.key), **more}


def test_an_encrypted_key_is_opened_by_its_passphrase(
    server: Echo, ca: CertificateAuthority
) -> None:
    tls = _encrypted(ca, client_key_password=ref("env:KEY"))
    anonymous(server.url, tls=tls, environ={"KEY": PASSPHRASE}).get("x")

    assert server.seen[0].client == CLIENT_NAME


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({}, "is encrypted, and no passphrase is given"),
        ({"KEY": "canary-wrong"}, "cannot be opened(.|\n)*wrong passphrase"),
        ({"KEY": "canary" * 400}, "too long"),
    ],
)
def test_a_passphrase_that_does_not_fit_is_told_when_the_session_is_built(
    ca: CertificateAuthority, environ: dict[str, str], message: str
) -> None:
    """Also without one: OpenSSL would ask on the terminal."""
    password = {"client_key_password": ref("env:KEY")} if environ else {}
    with pytest.raises(ProfileError, match=message) as caught:
        anonymous(NOWHERE, tls=_encrypted(ca, **password), environ=environ)

    assert "canary" not in str(caught.value)


def test_certificate_files_that_cannot_be_used_are_told_when_the_session_is_built(
    ca: CertificateAuthority, other_ca: CertificateAuthority, tmp_path: Path
) -> None:
    empty = tmp_path / "empty.pem"
    empty.touch()
    chain, foreign_key = str(ca.client.chain), str(other_ca.client.key)
    absent = str(Path("/nonexistent/ca.pem").absolute())
    for tls, message in (
        ({"ca_file": absent}, f"cannot read {re.escape(absent)}: No such file"),
        ({"ca_file": str(empty)}, "holds no certificate"),
        ({"client_cert": absent}, f"cannot read {re.escape(absent)}"),
        ({"client_cert": str(empty)}, "are not a certificate and its key"),
        ({"client_cert": chain, "client_key": foreign_key}, "belongs to another certificate"),
    ):
        with pytest.raises(ProfileError, match=message):
            anonymous(NOWHERE, tls=tls)


def test_a_folder_of_authorities_may_be_named_and_must_be_hashed(
    server: Echo, ca: CertificateAuthority, tmp_path: Path
) -> None:
    """As in requests, and as OpenSSL reads it: by names that are hashes."""
    hashed = _hashed(ca.ca_file, tmp_path / "hashed")
    assert anonymous(server.url, tls={"ca_file": str(hashed)}).get("x").ok

    plain = tmp_path / "plain"
    plain.mkdir()
    shutil.copy(ca.ca_file, plain)
    for keys in ({"tls": {"ca_file": str(plain)}}, {"environ": {"CURL_CA_BUNDLE": str(plain)}}):
        with pytest.raises(ProfileError, match="names that are hashes") as caught:
            anonymous(server.url, **keys).get("x")
        assert f"openssl rehash {plain}" in caught.value.hint


def test_a_certificate_in_der_form_is_told_how_it_is_converted(
    ca: CertificateAuthority, tmp_path: Path
) -> None:
    der = tmp_path / "ca.cer"
    der.write_bytes(ssl.PEM_cert_to_DER_cert(ca.ca_file.read_text()))

    with pytest.raises(ProfileError, match=r"no certificate in PEM form(.|\n)*-inform der"):
        anonymous(NOWHERE, tls={"ca_file": str(der)})


@pytest.mark.skipif(sys.platform != "linux", reason="SSL_CERT_FILE stands for the system's store")
@pytest.mark.parametrize("named", [["system", "OTHER"], ["CA", "OTHER"], ["CA", "system"]])
def test_a_list_of_authorities_trusts_each_of_them(
    ca: CertificateAuthority,
    other_ca: CertificateAuthority,
    monkeypatch: pytest.MonkeyPatch,
    named: list[str],
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ca.ca_file if "OTHER" in named else other_ca.ca_file))
    files = {"CA": str(ca.ca_file), "OTHER": str(other_ca.ca_file)}
    tls = {"ca_file": [files.get(each, each) for each in named]}
    for authority in (ca, other_ca):
        with echo(tls=server_side(authority.server)) as server:
            assert anonymous(server.url, tls=tls).get("x").ok


def test_paths_in_a_list_start_in_the_folder_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "p.toml"
    file.write_text(
        '[profiles.p]\nurl = "https://a.test"\nauth = { scheme = "anonymous" }\n'
        'tls = { ca_file = ["system", "a.pem", "sub/b.pem"] }\n'
    )
    found = load_profile("p", config_file=file, environ={}).tls.ca_file

    assert found == ["system", str(tmp_path / "a.pem"), str(tmp_path / "sub" / "b.pem")]


def _p12(ca: CertificateAuthority, folder: Path, passphrase: str) -> str:
    key = serialization.load_pem_private_key(ca.client.key.read_bytes(), None)
    own, *others = x509.load_pem_x509_certificates(ca.client.chain.read_bytes())
    encryption = (
        serialization.BestAvailableEncryption(passphrase.encode())
        if passphrase
        else serialization.NoEncryption()
    )
    file = folder / "client.p12"
    assert isinstance(key, RSAPrivateKey | EllipticCurvePrivateKey)
    file.write_bytes(pkcs12.serialize_key_and_certificates(b"me", key, own, others, encryption))
    return str(file)


@pytest.mark.parametrize("passphrase", ["", PASSPHRASE])
def test_a_pkcs12_file_is_a_clients_certificate(
    server: Echo, ca: CertificateAuthority, tmp_path: Path, passphrase: str
) -> None:
    password = {"client_key_password": ref("env:KEY")} if passphrase else {}
    tls = {"ca_file": str(ca.ca_file), "client_cert": _p12(ca, tmp_path, passphrase), **password}
    anonymous(server.url, tls=tls, environ={"KEY": passphrase}).get("x")

    assert server.seen[0].client == CLIENT_NAME


@pytest.mark.parametrize(
    ("given", "told"), [(None, "no passphrase is given"), ("canary", "wrong passphrase")]
)
def test_a_pkcs12_file_that_cannot_be_opened_is_told_as_one(
    ca: CertificateAuthority, tmp_path: Path, given: str | None, told: str
) -> None:
    password = {"client_key_password": ref("env:KEY")} if given else {}
    tls = {"client_cert": _p12(ca, tmp_path, PASSPHRASE), **password}
    with pytest.raises(ProfileError, match=f"a PKCS#12 file(.|\n)*{told}") as caught:
        anonymous(NOWHERE, tls=tls, environ={"KEY": given or ""})

    assert "canary" not in str(caught.value)


def _subject_hash(certificate: Path) -> str:
    argv = ["openssl", "x509", "-subject_hash", "-noout", "-in", str(certificate)]
    need_program("openssl", "openssl")
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


def test_all_connections_of_a_session_share_a_context(ca: CertificateAuthority) -> None:
    """Each one that is made costs the reading of all its authorities."""
    network = Network({}, trust=trust_of(str(ca.ca_file), {}))

    first, second = (Transport(network)._contexts for _ in range(2))

    assert first.get() is second.get()
    assert first.get() is not second.get(verify=False)


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX")
@pytest.mark.parametrize("key", ["ca_file", "client_cert", "client_key"])
def test_a_pipe_is_refused_and_not_waited_for(
    ca: CertificateAuthority, tmp_path: Path, key: str
) -> None:
    if sys.platform == "win32":
        pytest.skip("needs POSIX")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    named = {"ca_file": str(ca.ca_file), "client_cert": str(ca.client.chain), key: str(pipe)}
    contexts = TlsContexts(trust_of(named["ca_file"], {}))
    certificate = ClientCertificate(named["client_cert"], named.get("client_key"))

    with pytest.raises(ProfileError, match="it is not a regular file"):
        run_with_deadline(lambda: contexts.get(True, certificate), 60, "pipe")


@pytest.mark.parametrize("content", [None, b"nothing", b"\x30\x00"], ids=["none", "text", "der"])
@pytest.mark.parametrize("key", ["ca_file", "client_cert", "client_key"])
def test_the_name_of_a_file_cannot_steer_a_terminal(
    ca: CertificateAuthority, tmp_path: Path, key: str, content: bytes | None
) -> None:
    if sys.platform == "win32":
        pytest.skip("names of files hold no control characters there")
    file = tmp_path / "a\x1b]0;x\x07\u202e"
    if content is not None:
        file.write_bytes(content)
    named = {"ca_file": str(ca.ca_file), "client_cert": str(ca.client.chain), key: str(file)}
    certificate = ClientCertificate(named["client_cert"], named.get("client_key"))

    with pytest.raises(ProfileError) as caught:
        TlsContexts(trust_of(named["ca_file"], {})).get(True, certificate)

    assert all(line.isprintable() for line in str(caught.value).split("\n"))
