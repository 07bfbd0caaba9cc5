"""``gatepass check`` without a name: each thing that can be wrong is really wrong here once."""

import json
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from gatepass._config.locations import Locations
from gatepass._system.findings import Finding
from gatepass._system.terminal import Terminal
from gatepass.cli import run
from gatepass.cli._context import Context
from gatepass.cli._doctor import diagnose_machine
from gatepass.cli._redaction import Redactor
from gatepass.sandbox.provider import IdentityProvider
from tests.support.echo import Answer, echo
from tests.support.home import Home, ended, screen
from tests.support.logins import USERS, Office, profile
from tests.support.peers.ca import CertificateAuthority
from tests.support.peers.kdc import Kdc
from tests.support.peers.redis_server import Redis

ROOT = str(Path(__file__).resolve().parents[2])
BACKENDS = "tests.support.keyring_backends."
URL = 'url = "https://mi.example.com/mi"\n'
ANONYMOUS = f'[profiles.dev]\n{URL}auth = {{ scheme = "anonymous" }}\n'
BY_KEYRING = f'[profiles.api]\n{URL}auth = {{ scheme = "bearer", token = "keyring:" }}\n'
BY_EITHER = f'[profiles.api]\n{URL}auth = {{ scheme = "bearer", token = ["env:T", "keyring:"] }}\n'
BY_TICKET = f'[profiles.desk]\n{URL}auth = {{ scheme = "autologon" }}\n'

posix = pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")

Found = list[dict[str, str]]


def diagnosed(home: Home, *options: str) -> tuple[int, Found]:
    """Run the doctor, and see that each problem comes with a next step."""
    done = home.run("check", "--json", *options)
    assert done.stderr == "", done.stderr
    told = json.loads(done.stdout)
    assert told["ok"] == (done.returncode == 0)
    found: Found = told["findings"]
    assert all(each["hint"] for each in found if each["verdict"] == "problem")
    return done.returncode, found


def of(found: Found, subject: str) -> Found:
    return [each for each in found if each["subject"] == subject]


def one(found: Found, subject: str, words: str = "") -> dict[str, str]:
    """The only finding about a subject that says these words."""
    (only,) = (each for each in of(found, subject) if words in each["message"])
    return only


def _said(found: Found, subject: str) -> str:
    """What is said of a problem."""
    return " | ".join(
        each["message"] for each in of(found, subject) if each["verdict"] == "problem"
    )


@pytest.fixture
def context(locations: Locations) -> Context:
    return Context({}, Terminal({}, interactive=False), locations)


@pytest.fixture
def look(context: Context, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, Found]]:
    """Run the doctor in this process, with variables of its own."""

    def diagnose(*words: str, **variables: str) -> tuple[int, Found]:
        code = run(["check", "--json", *words], replace(context, environ=variables))
        return code, json.loads(capsys.readouterr().out)["findings"]

    return diagnose


# ---------------------------------------------------------------- the whole


def test_a_machine_in_order_has_no_problem(desk: Home) -> None:
    desk.user(BY_KEYRING)

    code, found = diagnosed(desk)

    assert [each for each in found if each["verdict"] == "problem"] == []
    assert code == 0
    assert one(found, "keyring")["message"] == (
        "keyring.backends.SecretService.Keyring answers, and is unlocked"
    )
    assert {"gatepass", "Python", "packages", "person", "browser", "files"} <= {
        each["subject"] for each in found
    }


def test_a_person_sees_each_finding_and_the_end(home: Home) -> None:
    home.user(BY_KEYRING)

    done = home.run("check")

    assert done.returncode == 1
    assert done.stderr == ""
    assert "\nproblem keyring: " in done.stdout
    assert done.stdout.endswith("\n1 problem\n")


def test_an_doctor_changes_nothing_and_asks_no_server(home: Home) -> None:
    with echo(lambda _: Answer()) as server:
        home.user(ANONYMOUS.replace("https://mi.example.com/mi", server.url))
        home.project(ANONYMOUS)
        root = home.work.parent
        before = {path: path.lstat().st_mtime_ns for path in root.rglob("*")}

        code, _ = diagnosed(home)

        assert code == 0
        assert server.seen == []
    assert {path: path.lstat().st_mtime_ns for path in root.rglob("*")} == before


def test_redacted_is_for_the_check_of_the_machine(home: Home) -> None:
    done = home.run("check", "dev", "--redacted")

    assert done.returncode == 2
    assert "leave NAME out" in done.stderr


def test_a_part_that_hangs_or_breaks_does_not_keep_the_others_from_being_told(
    context: Context,
) -> None:
    never = Event()

    def hangs(_: Any) -> Iterator[Finding]:
        never.wait()
        yield Finding("ok", "never", "")

    def breaks(_: Any) -> Iterator[Finding]:
        yield Finding("ok", "half", "")
        raise RuntimeError("hunter2")

    def works(_: Any) -> Iterator[Finding]:
        yield Finding("ok", "good", "told")

    parts = [("first", 0.01, hangs), ("second", 60.0, breaks), ("third", 60.0, works)]
    found = list(diagnose_machine(context, (), redacted=False, parts=parts))
    never.set()

    assert [(each.verdict, each.subject, each.message) for each in found] == [
        ("problem", "first", "this check did not end within 0.01 s"),
        ("problem", "second", "this check failed with RuntimeError"),
        ("ok", "good", "told"),
    ]


# ---------------------------------------------------------------- keyring


def with_backend(home: Home, name: str) -> Home:
    home.path.append(ROOT)
    return home.having(PYTHON_KEYRING_BACKEND=BACKENDS + name)


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


@pytest.mark.parametrize("text", [ANONYMOUS, BY_EITHER])
def test_the_same_keyring_is_info_where_no_profile_depends_on_it(home: Home, text: str) -> None:
    home.user(text)

    code, found = diagnosed(with_backend(home, "MyFail"))

    assert (code, one(found, "keyring")["verdict"]) == (0, "info")


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


# ---------------------------------------------------------------- Kerberos


def test_a_ticket_is_told_with_its_principal_and_its_end(home: Home, kdc: Kdc) -> None:
    pytest.importorskip("gssapi")
    home.user(BY_TICKET)

    code, found = diagnosed(home.having(**kdc.environ(kdc.ccache())))

    assert code == 0
    assert "a ticket of alice@CORP.TEST is there until 20" in one(found, "kerberos")["message"]


def test_no_ticket_and_an_expired_one_are_problems_with_kinit(home: Home, kdc: Kdc) -> None:
    pytest.importorskip("gssapi")
    home.user(BY_TICKET)

    for cache, said in ((None, "there is no Kerberos ticket"), (kdc.expired_ccache, "expired")):
        code, found = diagnosed(home.having(**kdc.environ(cache)))
        assert (code, one(found, "kerberos")["verdict"]) == (1, "problem")
        assert said in one(found, "kerberos")["message"]
        assert "kinit" in one(found, "kerberos")["hint"]


def test_a_keytab_logs_on_without_a_ticket_and_none_is_fetched(home: Home, kdc: Kdc) -> None:
    pytest.importorskip("gssapi")
    home.user(BY_TICKET)
    cache = home.work / "new.ccache"
    variables = kdc.environ(cache) | {"KRB5_CLIENT_KTNAME": f"FILE:{kdc.files.client_keytab}"}

    code, found = diagnosed(home.having(**variables))

    assert code == 0
    assert one(found, "kerberos")["message"].endswith("alice.keytab logs on")
    assert not cache.exists()


def test_a_missing_gssapi_is_a_problem_of_autologon_alone(home: Home) -> None:
    broken = home.work.parent / "broken"
    broken.mkdir()
    (broken / "gssapi.py").write_text("raise ImportError\n")
    home.path.append(str(broken))

    quiet, _ = diagnosed(home)
    home.user(BY_TICKET)
    code, found = diagnosed(home)

    assert quiet == 0
    assert code == 1
    assert "pip install 'gatepass[kerberos]'" in one(found, "extra kerberos")["hint"]
    assert "needs GSSAPI" in one(found, "kerberos")["message"]


def test_a_missing_redis_package_is_a_problem_of_a_vault_in_redis_alone(home: Home) -> None:
    broken = home.work.parent / "broken"
    broken.mkdir()
    (broken / "redis.py").write_text("raise ImportError\n")
    home.path.append(str(broken))

    quiet, found = diagnosed(home)
    code, _ = diagnosed(home.having(GATEPASS_VAULT="redis://127.0.0.1:1/0"))

    assert quiet == 0
    assert one(found, "extra redis")["verdict"] == "info"
    assert code == 1


# ---------------------------------------------------------------- the way to a server


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


# ---------------------------------------------------------------- a person


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


# ---------------------------------------------------------------- files


def test_files_are_told_with_what_became_of_them(home: Home) -> None:
    user = home.user(ANONYMOUS)
    home.project(ANONYMOUS.replace("dev", "other"))
    (home.work / "profiles.toml").write_text("")

    code, found = diagnosed(home)

    told = {each["place"]: each for each in of(found, "files")}
    assert code == 0
    assert told[str(user)]["message"] == "read (user)"
    assert told[str(home.project_file)]["message"] == "skipped (project): not trusted"
    assert f"gatepass trust {home.project_file}" in told[str(home.project_file)]["hint"]
    assert told[str(home.work / "profiles.toml")]["verdict"] == "info"
    assert "1 can be used: anonymous" in one(found, "profiles")["message"]


def test_a_profile_that_waits_for_trust_is_not_broken(home: Home) -> None:
    home.user(ANONYMOUS)
    home.project(ANONYMOUS)

    code, found = diagnosed(home)

    assert code == 0
    assert one(found, "profiles")["message"] == "0 can be used"
    assert one(found, "profiles")["hint"] == "", "there are profiles, so none need be made"


def test_a_malformed_file_is_a_problem_with_its_place(home: Home) -> None:
    user = home.user("this is [ no TOML")

    code, found = diagnosed(home)

    assert code == 1
    assert one(found, "files")["place"].startswith(f"{user}:1:")


def test_a_broken_profile_and_a_broken_setting_are_problems(home: Home) -> None:
    home.user('allow_commands = "yes"\n' + ANONYMOUS + "[profiles.odd]\n")

    code, found = diagnosed(home)

    assert code == 1
    assert "allow_commands" in one(found, "files", "allow_commands")["message"]
    assert one(found, "profiles", "odd")["hint"].strip() == "gatepass validate odd"


@posix
@pytest.mark.parametrize("place", ["config", "state", "trust"])
def test_a_folder_that_others_can_write_to_is_a_problem(home: Home, place: str) -> None:
    user = home.user(ANONYMOUS)
    state = Path(home.environ["XDG_STATE_HOME"], "gatepass")
    folder = {"config": user.parent, "state": state, "trust": state / "trust"}[place]
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o777)

    code, found = diagnosed(home)

    assert code == 1
    assert one(found, "permissions")["place"] == str(folder)
    assert one(found, "permissions")["hint"] == f"    chmod go-w {folder}"


@posix
def test_a_file_of_profiles_that_others_can_write_to_is_a_problem(home: Home) -> None:
    home.user(ANONYMOUS).chmod(0o666)

    code, found = diagnosed(home)

    assert code == 1
    assert "can be written by anybody" in one(found, "files")["message"]
    assert "chmod go-w" in one(found, "files")["hint"]


def test_records_of_trust_are_told_as_they_are(home: Home) -> None:
    home.project(ANONYMOUS)
    assert home.run("trust", "--yes").returncode == 0
    (record,) = Path(home.environ["XDG_STATE_HOME"], "gatepass", "trust").glob("*.json")

    _, same = diagnosed(home)
    home.project(ANONYMOUS + "\n")
    code, changed = diagnosed(home)
    home.project_file.unlink()
    _, absent = diagnosed(home)
    record.write_text("{}")
    damaged_code, damaged = diagnosed(home)

    assert one(same, "trust")["message"] == "1 trusted file as they were"
    assert (code, one(changed, "trust")["verdict"]) == (0, "info")
    assert "has changed since" in one(changed, "trust")["message"]
    assert one(absent, "trust")["message"] == "is trusted, and absent"
    assert (damaged_code, one(damaged, "trust")["verdict"]) == (1, "problem")
    assert f"gatepass trust --revoke {record}" in one(damaged, "trust")["hint"]


# ---------------------------------------------------------------- vault


@pytest.fixture
def office(home: Home, tmp_path: Path) -> Iterator[Office]:
    """A home with a stored login."""
    with IdentityProvider(users=USERS, auto_login="alice") as idp:
        furnished = Office.furnished(home, tmp_path)
        furnished.home.user(profile(idp.issuer))
        assert furnished.home.run("login", "nightly").returncode == 0
        yield furnished


def test_a_vault_in_order_says_how_many_logins_its_key_opens(office: Office) -> None:
    code, found = diagnosed(office.home)

    assert code == 0
    assert one(found, "vault", "locks hold")["verdict"] == "ok"
    assert one(found, "vault", "1 login can be opened")["message"].endswith(f"file:{office.key}")


def test_a_key_that_is_gone_or_open_to_others_is_a_problem(office: Office) -> None:
    office.key.chmod(0o644)
    code, found = diagnosed(office.home)
    office.key.unlink()
    gone, missing = diagnosed(office.home)

    assert code == gone == 1
    assert "others can read the vault's key" in _said(found, "vault")
    assert "the vault's key cannot be read" in _said(missing, "vault")


def test_a_key_that_nobody_made_is_a_problem_before_the_first_login(home: Home) -> None:
    home.user(profile("https://login.example.com/"))

    code, found = diagnosed(home.having(GATEPASS_VAULT_KEY="file:/gone/vault.key"))
    short, wrong = diagnosed(home.having(GATEPASS_VAULT_KEY="env:K", K="short"))

    assert code == short == 1
    assert "the vault's key cannot be read" in _said(found, "vault")
    assert "not base64url of 32 bytes" in _said(wrong, "vault")


def test_a_login_that_is_damaged_is_a_problem(office: Office) -> None:
    (record,) = office.vault.glob("*.token")
    record.write_bytes(record.read_bytes()[:-1])

    code, found = diagnosed(office.home)

    assert code == 1
    assert one(found, "vault", record.name)["verdict"] == "problem"


@posix
def test_a_vault_in_which_others_can_write_is_a_problem(office: Office) -> None:
    office.vault.chmod(0o777)

    code, found = diagnosed(office.home)

    assert code == 1
    assert "others can write to the folder of the vault" in _said(found, "vault")


def test_a_key_that_may_need_a_person_is_not_asked_for(office: Office) -> None:
    _, found = diagnosed(office.home.having(GATEPASS_VAULT_KEY="prompt:"))

    assert one(found, "vault", "was not asked for")["verdict"] == "warning"


def test_a_vault_in_a_redis_that_stands_still_is_a_problem(home: Home, own_redis: Redis) -> None:
    home = home.having(GATEPASS_VAULT=own_redis.url, GATEPASS_VAULT_KEY="env:K", K="A" * 43)

    code, good = diagnosed(home)
    own_redis.stop()
    stopped, found = diagnosed(home)
    _, redacted = diagnosed(home, "--redacted")

    assert code == 0
    assert [each["verdict"] for each in of(good, "vault")] == ["ok"] * len(of(good, "vault"))
    assert stopped == 1
    assert "redis at 127.0.0.1" in json.dumps(found)
    assert "127.0.0.1" not in json.dumps(redacted)


# ---------------------------------------------------------------- plug-ins


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


# ---------------------------------------------------------------- redacted

CANARIES = (
    "quagga", "zebuprofile", "yakhost", "okapiuser", "lynxdomain", "ibisproxy", "emubundle",
    "gnuproject", "kudukey", "orixissuer", "tapirtext", "numbatdir", "sakiname",
)  # fmt: skip


def _rich(server: str) -> str:
    return (
        f'[profiles.zebuprofile]\nurl = "{server}"\ndescription = "tapirtext"\n'
        'proxy = "http://ibisproxy.test:1"\n'
        '[profiles.zebuprofile.auth]\nscheme = "credentials"\nuser_name = "okapiuser"\n'
        'domain = "lynxdomain"\npassword = "keyring:kudukey/okapiuser"\n'
        '[profiles.zebuprofile-desk]\nurl = "https://yakhost.test/"\n'
        'auth = { scheme = "autologon" }\n'
        '[profiles.zebuprofile-odd]\nurl = "https://yakhost.test/"\npasword = "tapirtext"\n'
        '[profiles.zebuprofile-night]\nurl = "https://yakhost.test/"\n'
        'auth = { scheme = "oidc", issuer = "https://orixissuer.test/" }\n'
    )


BROKEN_FILES = {
    "valid": "",
    "an unknown top-level key": 'sakiname = "tapirtext"\n',
    "a wrong setting": 'vault = { url = "https://yakhost.test/" }\n',
    "no TOML": "[profiles.zebuprofile]\n[profiles.zebuprofile]\nurl = yakhost\n",
}


@pytest.mark.parametrize("broken", BROKEN_FILES.values(), ids=BROKEN_FILES)
def test_a_redacted_report_holds_no_name(tmp_path: Path, kdc: Kdc, broken: str) -> None:
    """Every name here is an animal; and none of them is in the output, in either form."""
    from tests.cli.conftest import make_home
    from tests.support.peers.environ import clean_environ

    home = make_home(clean_environ(tmp_path / "quagga"), tmp_path / "gnuproject" / "work")
    bundle = tmp_path / "quagga" / "numbatdir" / "emubundle.pem"
    home = with_backend(home, "MyPlaintextKeyring").having(
        USER="sakiname",
        HOSTNAME="yakhost",
        REQUESTS_CA_BUNDLE=str(bundle),
        HTTPS_PROXY="http://okapiuser:tapirtext@ibisproxy.test:8080",
        NO_PROXY="yakhost.test",
        GATEPASS_VAULT=str(tmp_path / "numbatdir" / "vault"),
        GATEPASS_VAULT_KEY=f"file:{tmp_path}/numbatdir/kudukey",
        GATEPASS_PROFILES__ZEBUPROFILE__URL="https://yakhost.test/2",
        **kdc.environ(kdc.ccache()),
    )
    text = broken + _rich("https://yakhost.test/mi")
    project = text.replace("zebuprofile", "zebuprofile-work")
    home.project(project)
    if not broken:
        assert home.run("trust", "--yes").returncode == 0
        home.project(project + "\n")
    user = home.user(text)
    user.parent.chmod(0o777)

    outputs = [home.run("check", *more, "--redacted") for more in ((), ("--json",))]
    open_ = home.run("check").stdout

    names = (*CANARIES, tmp_path.name, "CORP.TEST", socket.gethostname())
    for done in outputs:
        assert done.returncode == 1
        assert done.stderr == ""
        told = done.stdout.lower()
        assert [name for name in names if name.lower() in told] == []
    assert any(name in open_ for name in CANARIES), "it is there without --redacted"
    assert "~" in outputs[0].stdout


def test_a_redacted_path_keeps_what_every_machine_has(home: Home) -> None:
    home.user(ANONYMOUS)

    _, found = diagnosed(home, "--redacted")

    places = {each["place"] for each in of(found, "files")}
    assert str(Path("~/.config/gatepass/profiles.toml")) in places
    assert any(place.endswith(str(Path(".../gatepass.toml"))) for place in places)


def test_the_net_takes_out_what_the_words_let_through() -> None:
    names = {"USER": "okapiuser", "HOSTNAME": "yakhost.test"}
    home = Path("/home/quagga")
    redactor = Redactor.of_this_machine(redacted=True, home=home, environ=names)
    leak = Finding("ok", "x", "OKAPIUSER at yakhost.test", "/home/quagga/x", "okapiusers")

    assert redactor.redact(leak) == Finding("ok", "x", "(user) at (computer)", "~/x", "okapiusers")


def test_of_a_path_only_what_every_machine_has_is_left() -> None:
    redactor = Redactor(redacted=True, home=Path("/home/quagga"))

    shown = [
        redactor.path(path)
        for path in (
            "/home/quagga",
            "/home/quagga/.config/gatepass/profiles.toml",
            "/home/quagga/a/b/gatepass.toml",
            "/etc/ssl/certs/corporate.pem",
            "/data/projects/vault",
        )
    ]

    assert shown == [
        "~",
        "~/.config/gatepass/profiles.toml",
        "~/.../gatepass.toml",
        "/etc/ssl/certs/...",
        "/.../vault",
    ]
