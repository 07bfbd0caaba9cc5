"""Every peer does what its fixture claims."""

import base64
import json
import os
import ssl
import sys
from pathlib import Path

import pytest
import requests
from requests.auth import HTTPBasicAuth
from requests_ntlm import HttpNtlmAuth

from tests.support.peers import need
from tests.support.peers.apache import NTLM_USERS, USERS, Apache, connections
from tests.support.peers.ca import CLIENT_NAME, PASSPHRASE, CertificateAuthority
from tests.support.peers.environ import clean_environ
from tests.support.peers.kdc import Kdc
from tests.support.peers.squid import USERS as PROXY_USERS
from tests.support.peers.squid import Squid
from tests.support.peers.terminal import terminal, without_terminal
from tests.support.peers.waiting import accepts, free_port, free_ports, wait_for

WHOAMI = "/cgi/whoami"


@pytest.fixture
def client(ca: CertificateAuthority) -> requests.Session:
    """A plain session that trusts the test CA and ignores this machine's variables."""
    session = requests.Session()
    session.trust_env = False
    session.verify = str(ca.ca_file)
    return session


def basic(user: str) -> HTTPBasicAuth:
    # As bytes, since requests knows only Latin-1 here.
    return HTTPBasicAuth(user.encode(), USERS[user].encode())


@pytest.mark.parametrize("user", USERS)
def test_standalone_asks_for_basic_and_knows_its_users(
    apache: Apache, client: requests.Session, user: str
) -> None:
    url, mark = apache.standalone.https + WHOAMI, apache.mark()
    refused = client.get(url)
    assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (
        401,
        'Basic realm="standalone"',
    )
    answer = client.get(url, auth=basic(user)).json()
    assert (answer["user"], answer["auth"], answer["authorization"]) == (user, "Basic", "Basic")
    lines = apache.log_since(mark)
    assert [(line.status, line.user, line.authorization) for line in lines] == [
        (401, "", ""),
        (200, user, "Basic"),
    ]
    assert {line.room for line in lines} == {"standalone"}


def test_the_log_tells_connections_apart(apache: Apache) -> None:
    url, mark = apache.open.http + WHOAMI, apache.mark()
    with requests.Session() as first, requests.Session() as second:
        for session in (first, first, second):
            session.trust_env = False
            assert session.get(url).ok
    lines = apache.log_since(mark)
    assert connections(lines) == 2
    assert [line.keepalive for line in lines] == [0, 1, 0]


def test_whoami_reads_the_whole_body_and_reports_headers(
    apache: Apache, client: requests.Session
) -> None:
    body = os.urandom(3_000_000)
    parts = iter([body[:100], body[100:]])
    url, headers = apache.open.http + WHOAMI, {"X-Trace": "ab", "Cookie": "a=b"}
    for data in (body, parts):
        answer = client.post(url, data=data, headers=headers).json()
        assert (answer["method"], answer["body_bytes"]) == ("POST", len(body))
        assert (answer["headers"]["x-trace"], answer["headers"]["cookie"]) == ("ab", "a=b")
        assert answer["authorization"] == ""
    assert client.get(url).json()["body_bytes"] == 0


@pytest.mark.parametrize("code", [302, 307, 308])
def test_a_room_redirects_anywhere(apache: Apache, client: requests.Session, code: int) -> None:
    target = apache.open.https + WHOAMI
    answer = client.post(
        apache.standalone.http + "/cgi/redirect",
        params={"to": target, "code": str(code)},
        data=b"body",
        auth=basic("alice"),
    )
    assert [past.status_code for past in answer.history] == [code]
    assert answer.url == target
    assert answer.json()["body_bytes"] == (0 if code == 302 else 4)


def test_a_room_answers_any_status(apache: Apache, client: requests.Session) -> None:
    url = apache.open.http + "/cgi/status"
    busy = client.get(url, params={"code": "503", "retry_after": "120"})
    assert (busy.status_code, busy.headers["Retry-After"]) == (503, "120")
    assert client.get(url + "/404").status_code == 404


def test_mutual_tls_refuses_strangers_and_names_the_client(
    apache: Apache, client: requests.Session, ca: CertificateAuthority
) -> None:
    url = apache.mutual_tls.https + WHOAMI
    with pytest.raises(requests.ConnectionError):
        client.get(url)
    answer = client.get(url, cert=(str(ca.client.chain), str(ca.client.key)))
    assert answer.json()["client_cn"] == CLIENT_NAME


def test_the_encrypted_key_needs_its_passphrase(ca: CertificateAuthority) -> None:
    context, pair = ssl.create_default_context(), ca.encrypted_client
    with pytest.raises(ssl.SSLError):
        context.load_cert_chain(pair.chain, pair.key, password="another")
    context.load_cert_chain(pair.chain, pair.key, password=PASSPHRASE)


@pytest.mark.parametrize(
    ("room", "reason"), [("wrong_host", "Hostname mismatch"), ("expired", "has expired")]
)
def test_a_bad_certificate_is_bad_for_one_reason(
    apache: Apache, client: requests.Session, room: str, reason: str
) -> None:
    with pytest.raises(requests.exceptions.SSLError, match=reason):
        client.get(apache.room(room).https + WHOAMI)


@pytest.mark.parametrize(
    ("room", "offers"),
    [
        ("windows", "Negotiate, NTLM"),
        ("mixed", 'Negotiate, NTLM, Basic realm="mixed"'),
        ("ntlm", "Negotiate, NTLM"),
        ("krb_unbound", "Negotiate"),
        ("ntlm_no_keepalive", "Negotiate, NTLM"),
    ],
)
def test_a_room_offers_what_its_mode_offers(
    windows_apache: Apache, client: requests.Session, room: str, offers: str
) -> None:
    answer = client.get(windows_apache.room(room).https + WHOAMI)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, offers)


@pytest.mark.parametrize("user", NTLM_USERS)
def test_ntlm_logs_on_once_per_connection(
    windows_apache: Apache, client: requests.Session, user: str
) -> None:
    client.auth = HttpNtlmAuth(user, NTLM_USERS[user])
    url, mark = windows_apache.ntlm.http + WHOAMI, windows_apache.mark()
    answers = [client.get(url).json() for _ in range(3)]
    assert {answer["auth"] for answer in answers} == {"NTLM"}
    lines = windows_apache.log_since(mark)
    assert [line.status for line in lines] == [401, 401, 200, 200, 200]
    assert connections(lines) == 1


def test_ntlm_never_succeeds_without_keepalive(
    windows_apache: Apache, client: requests.Session
) -> None:
    client.auth = HttpNtlmAuth("CORP\\alice", "pw-alice")
    assert client.get(windows_apache.ntlm_no_keepalive.http + WHOAMI).status_code == 401


@pytest.mark.parametrize("user", ["alice", "CORP\\alice", "zoë"])
def test_mixed_takes_basic_too(windows_apache: Apache, client: requests.Session, user: str) -> None:
    answer = client.get(windows_apache.mixed.http + WHOAMI, auth=basic(user)).json()
    assert (answer["user"], answer["auth"]) == (user, "Basic")


def test_a_kerberos_ticket_opens_the_windows_room_until_it_runs_out(
    windows_apache: Apache, kdc: Kdc, tmp_path: Path
) -> None:
    curl = [need.need_program("curl", "curl"), "-sS", "--negotiate", "-u", ":"]

    def answer(ccache: Path | None) -> str:
        environ = clean_environ(tmp_path, **kdc.environ(ccache))
        return without_terminal([*curl, windows_apache.windows.http + WHOAMI], environ).stdout

    assert json.loads(answer(kdc.ccache("bob")))["user"] == "bob@CORP.TEST"
    assert "401 Unauthorized" in answer(kdc.expired_ccache)
    assert "401 Unauthorized" in answer(None)


def test_a_keytab_logs_on_without_a_password(kdc: Kdc, tmp_path: Path) -> None:
    kinit = [need.need_program("kinit", "krb5-user"), "-kt", str(kdc.files.client_keytab), "alice"]
    environ = clean_environ(tmp_path, **kdc.environ(tmp_path / "ccache"))
    assert without_terminal(kinit, environ).returncode == 0


def test_the_proxy_asks_for_a_password(
    squid: Squid, apache: Apache, client: requests.Session
) -> None:
    url, mark = apache.open.http + WHOAMI, squid.mark()
    refused = client.get(url, proxies={"http": squid.url})
    assert refused.status_code == 407
    assert 'realm="gatepass-proxy"' in refused.headers["Proxy-Authenticate"]
    assert client.get(url, proxies={"http": squid.url_for("paul")}).ok
    lines = squid.log_since(mark)
    assert [(line.status, line.user, line.method, line.target) for line in lines] == [
        (407, "", "GET", url),
        (200, "paul", "GET", url),
    ]


def test_the_proxy_knows_passwords_beyond_ascii(
    squid: Squid, apache: Apache, client: requests.Session
) -> None:
    credentials = base64.b64encode(f"petra:{PROXY_USERS['petra']}".encode()).decode()
    headers = {"Proxy-Authorization": f"Basic {credentials}"}
    url = apache.open.http + WHOAMI
    assert client.get(url, proxies={"http": squid.url}, headers=headers).ok


def test_the_proxy_tunnels_https(squid: Squid, apache: Apache, client: requests.Session) -> None:
    url = apache.open.https + WHOAMI
    with pytest.raises(requests.exceptions.ProxyError, match="407"):
        client.get(url, proxies={"https": squid.url})
    mark = squid.mark()
    with client:
        assert client.get(url, proxies={"https": squid.url_for("paul")}).ok
    # The line is written when the tunnel ends.
    tunnel = squid.wait_for_lines(mark, 1)
    assert [(line.method, line.user) for line in tunnel] == [("CONNECT", "paul")]


def python(code: str, environ: dict[str, str]) -> str:
    """Run Python code that ends by printing its answer."""
    done = without_terminal([sys.executable, "-c", code], environ)
    return done.stdout.strip() or done.stderr.strip().rpartition("\n")[2]


GET = "import keyring; print(keyring.get_password('service', 'zoë'))"
SET = "import keyring; keyring.set_password('service', 'zoë', 'päss-€'); print('set')"


def test_an_unlocked_keyring_serves_many_processes(unlocked_keyring: dict[str, str]) -> None:
    assert python(SET, unlocked_keyring) == "set"
    assert python(GET, unlocked_keyring) == "päss-€"


def test_a_locked_keyring_says_so(locked_keyring: dict[str, str]) -> None:
    assert "KeyringLocked" in python(GET, locked_keyring)


def test_a_bus_may_lack_a_keyring(absent_keyring: dict[str, str]) -> None:
    assert "NoKeyringError" in python(GET, absent_keyring)


def test_a_server_may_lack_a_bus(no_dbus: dict[str, str]) -> None:
    assert "NoKeyringError" in python(GET, no_dbus)


def test_a_terminal_hides_what_is_typed(tmp_path: Path) -> None:
    code = "import getpass; print(len(getpass.getpass('Word: ')))"
    with terminal([sys.executable, "-c", code], clean_environ(tmp_path)) as child:
        child.expect_exact("Word: ")
        child.waitnoecho()
        child.sendline("päss-€")
        child.expect_exact("6")
        child.wait()
        assert "päss" not in child.logfile_read.getvalue()


def test_without_a_terminal_there_is_none_to_open(tmp_path: Path) -> None:
    done = without_terminal([sys.executable, "-c", "open('/dev/tty')"], clean_environ(tmp_path))
    assert "OSError" in done.stderr


def test_a_clean_environment_inherits_nothing_by_accident(tmp_path: Path) -> None:
    environ = clean_environ(tmp_path, GATEPASS_PROFILE="dev")
    assert environ["GATEPASS_PROFILE"] == "dev"
    forbidden = {"CI", "DISPLAY", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "HTTPS_PROXY"}
    assert not forbidden & environ.keys()
    assert Path(environ["HOME"]) == tmp_path


def test_a_missing_peer_is_a_skip_or_a_failure_that_names_its_package() -> None:
    outcome = pytest.fail.Exception if need.REQUIRED else pytest.skip.Exception
    with pytest.raises(outcome, match="Debian package: nothing"):
        need.need_program("no-such-program", "nothing")
    with pytest.raises(outcome, match="Debian package: nothing"):
        need.need_file("/no/such/*/file", "nothing")


def test_free_ports_are_different_and_free() -> None:
    ports = free_ports(5)
    assert len(set(ports)) == 5
    assert not accepts(free_port())


def test_waiting_ends_with_what_was_awaited() -> None:
    with pytest.raises(TimeoutError, match="the sun: not within"):
        wait_for(lambda: False, 0.02, "the sun")
