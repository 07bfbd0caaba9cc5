"""The doctor looks at the machine: each thing that can be wrong is really wrong here once."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gatepass.cli import run
from gatepass.cli._context import Context
from tests.support.doctor import BY_KEYRING, BY_TICKET, Found, diagnosed, of, one, with_backend
from tests.support.home import Home, ended, screen
from tests.support.peers.ca import CertificateAuthority
from tests.support.peers.kdc import Kdc
from tests.support.peers.need import need_gssapi


@pytest.fixture
def look(context: Context, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, Found]]:
    """Run the doctor in this process, with variables of its own."""

    def diagnose(*words: str, **variables: str) -> tuple[int, Found]:
        code = run(["check", "--json", *words], replace(context, environ=variables))
        return code, json.loads(capsys.readouterr().out)["findings"]

    return diagnose


@pytest.mark.parametrize(
    ("backend", "said"),
    [
        ("MyFail", "no keyring that the keyring package can use"),
        ("MyNull", "is switched off"),
        ("MyPlaintextKeyring", "keeps plain text"),
        ("ExplodesAtChoice", "cannot choose a back end"),
        ("HangsAtChoice", "did not answer within 5 s"),
        ("VaultHangs", "did not answer within 5 s"),
        ("VaultOverSsh", "keeps no credentials for this kind of logon"),
    ],
)
def test_a_keyring_that_cannot_be_used_is_a_problem_where_a_profile_needs_it(
    home: Home, backend: str, said: str
) -> None:
    home.user(BY_KEYRING)

    code, found = diagnosed(with_backend(home, backend))

    finding = one(found, "keyring")
    assert code == 1
    assert finding["verdict"] == "problem"
    assert said in finding["message"]
    assert finding["message"].endswith("; needed by api")
    assert of(found, "files"), "what comes after it is told too"


def test_an_allowed_plain_keyring_is_no_problem(home: Home) -> None:
    home.user("allow_insecure_keyring = true\n" + BY_KEYRING)

    code, found = diagnosed(with_backend(home, "MyPlaintextKeyring"))

    assert (code, one(found, "keyring")["verdict"]) == (0, "warning")


def test_a_locked_keyring_is_a_problem_where_nobody_can_unlock_it(
    locked_keyring: dict[str, str], tmp_path: Path
) -> None:
    home = Home(locked_keyring, tmp_path)
    home.user(BY_KEYRING)

    code, found = diagnosed(home)
    _, asked = diagnosed(home.having(GATEPASS_NO_INPUT="0"))

    assert (code, one(found, "keyring")["verdict"]) == (1, "problem")
    assert "is locked, and nobody is there" in one(found, "keyring")["message"]
    assert one(asked, "keyring")["verdict"] == "info"


def test_the_capacity_of_the_windows_credential_manager_is_told(home: Home) -> None:
    _, found = diagnosed(with_backend(home, "Vault"))

    assert "2560 bytes: 1280 characters" in one(found, "keyring", "entry holds")["message"]
    assert one(found, "keyring", "answers")["verdict"] == "ok"


def test_a_ticket_is_told_with_its_principal_and_its_end(home: Home, kdc: Kdc) -> None:
    need_gssapi()
    home.user(BY_TICKET)

    code, found = diagnosed(home.having(**kdc.environ(kdc.ccache())))

    assert code == 0
    assert "a ticket of alice@CORP.TEST is there until 20" in one(found, "kerberos")["message"]


def test_no_ticket_and_an_expired_one_are_problems_with_kinit(home: Home, kdc: Kdc) -> None:
    need_gssapi()
    home.user(BY_TICKET)

    for cache, said in ((None, "there is no Kerberos ticket"), (kdc.expired_ccache, "expired")):
        code, found = diagnosed(home.having(**kdc.environ(cache)))
        assert (code, one(found, "kerberos")["verdict"]) == (1, "problem")
        assert said in one(found, "kerberos")["message"]
        assert "kinit" in one(found, "kerberos")["hint"]


def test_a_keytab_logs_on_without_a_ticket_and_none_is_fetched(home: Home, kdc: Kdc) -> None:
    need_gssapi()
    home.user(BY_TICKET)
    cache = home.work / "new.ccache"
    variables = kdc.environ(cache) | {"KRB5_CLIENT_KTNAME": f"FILE:{kdc.files.client_keytab}"}

    code, found = diagnosed(home.having(**variables))

    assert code == 0
    assert one(found, "kerberos")["message"].endswith("alice.keytab logs on")
    assert not cache.exists()


def test_a_bundle_is_counted(
    look: Callable[..., tuple[int, Found]], ca: CertificateAuthority
) -> None:
    code, found = look(CURL_CA_BUNDLE=str(ca.ca_file))

    assert code == 0
    assert one(found, "CURL_CA_BUNDLE")["message"] == f"{ca.ca_file} holds 1 authority"


def test_a_bundle_that_is_missing_or_empty_is_a_problem(
    look: Callable[..., tuple[int, Found]], tmp_path: Path
) -> None:
    empty, folder = tmp_path / "empty.pem", tmp_path / "certs"
    empty.write_text("")
    folder.mkdir()

    for path, said in (
        (tmp_path / "gone.pem", "No such file"),
        (empty, "holds no certificate"),
        (folder, "holds no certificate of an authority"),
    ):
        code, found = look(REQUESTS_CA_BUNDLE=str(path))
        finding = one(found, "REQUESTS_CA_BUNDLE")
        assert (code, finding["verdict"]) == (1, "problem")
        assert said in finding["message"]
        assert str(path) in finding["message"]


def test_a_folder_of_authorities_is_counted_by_the_names_that_openssl_finds(
    look: Callable[..., tuple[int, Found]], ca: CertificateAuthority, tmp_path: Path
) -> None:
    shutil.copy(ca.ca_file, tmp_path / "0123abcd.0")
    shutil.copy(ca.ca_file, tmp_path / "corporate.pem")

    code, found = look(REQUESTS_CA_BUNDLE=str(tmp_path))

    assert code == 0
    assert "holds 1 authority" in one(found, "REQUESTS_CA_BUNDLE")["message"]


def test_variables_of_openssl_that_lead_nowhere_are_problems(home: Home) -> None:
    code, found = diagnosed(home.having(SSL_CERT_FILE="/gone.pem", SSL_CERT_DIR="/gone"))

    assert code == 1
    assert one(found, "SSL_CERT_FILE")["verdict"] == "problem"
    assert one(found, "certificates")["verdict"] == "warning"


def test_the_store_of_the_system_is_used_otherwise(home: Home) -> None:
    _, found = diagnosed(home)

    assert "the system's" in one(found, "certificates")["message"]


def test_proxies_are_told_without_what_logs_on(look: Callable[..., tuple[int, Found]]) -> None:
    code, found = look(
        https_proxy="http://bob:p/w@proxy.example.com:8080",
        HTTPS_PROXY="http://not.used.example.com",
        HTTP_PROXY="bob:hunter2@proxy.example.com:80",
        NO_PROXY="localhost, .example.com",
    )

    assert code == 0
    assert one(found, "https_proxy")["message"] == (
        "set: http://proxy.example.com:8080, with a login"
    )
    assert one(found, "HTTP_PROXY")["message"] == "set: proxy.example.com:80, with a login"
    assert one(found, "NO_PROXY")["message"] == "set: localhost, .example.com"
    assert not {"p/w", "hunter2", "not.used"} & {word for each in found for word in each.values()}
    assert "hunter2" not in json.dumps(found)
    assert "p/w" not in json.dumps(found)
    assert "not.used" not in json.dumps(found)


@pytest.mark.parametrize("value", ["http://proxy:port", "http://", "http://[::1"])
def test_a_proxy_that_is_no_address_is_a_problem(
    look: Callable[..., tuple[int, Found]], value: str
) -> None:
    code, found = look(ALL_PROXY=value)

    assert (code, one(found, "ALL_PROXY")["verdict"]) == (1, "problem")


def test_whether_a_person_is_there_is_told_with_the_reason(home: Home) -> None:
    _, nobody = diagnosed(home.having(GATEPASS_NO_INPUT="1"))
    with home.having(BROWSER="true").sit("check", "--json") as child:
        assert ended(child) == 0
        shown = screen(child)

    assert one(nobody, "person")["message"].endswith("GATEPASS_NO_INPUT forbids asking")
    assert "GATEPASS_NO_INPUT" in one(nobody, "browser")["message"]
    assert "a person can be asked here" in shown
    assert "a browser can be opened here" in shown
    assert "checking this machine" in shown


def third_party(folder: Path, name: str, word: str, body: str) -> None:
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[gatepass.secrets]\n{word} = {name}:source\n")
    (folder / f"{name}.py").write_text(body)


def test_each_problem_of_a_foreign_package_is_a_problem(home: Home, tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    good = "def source(text, context):\n    return text\n"
    for name, word, body in (
        ("good", "vaultwarden", good),
        ("one", "safe", good),
        ("two", "safe", good),
        ("thief", "env", good),
        ("broken", "broken", "import nothing_of_this_name\n"),
    ):
        third_party(packages, name, word, body)
    home.path.append(str(packages))

    code, found = diagnosed(home)

    said = " | ".join(each["message"] for each in of(found, "plug-ins") if each["hint"])
    assert code == 1
    assert one(found, "plug-ins", "vaultwarden")["verdict"] == "ok"
    assert "'safe' of gatepass.secrets is claimed by more than one package: one, two" in said
    assert "claims the built-in name 'env'" in said
    assert "broken of gatepass.secrets cannot be used: " in said
    assert "cannot be imported: ModuleNotFoundError at broken.py:1" in said
    assert said.count("|") == 2
