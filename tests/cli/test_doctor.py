"""``gatepass doctor``: each thing that can be wrong with a machine is really wrong here once."""

import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from gatepass.cli import run
from gatepass.cli._context import Context
from gatepass.cli._machine import Machine, Seen
from gatepass.cli.doctor import examine
from gatepass.sandbox.provider import IdentityProvider
from tests.support.doctor import (
    ANONYMOUS,
    BY_EITHER,
    BY_KEYRING,
    BY_TICKET,
    URL,
    Found,
    diagnosed,
    of,
    one,
    posix,
    problems_about,
    with_backend,
)
from tests.support.echo import Answer, echo
from tests.support.home import Home, ended, screen
from tests.support.logins import USERS, Office, profile
from tests.support.peers.ca import CertificateAuthority
from tests.support.peers.redis_server import Redis

Look = Callable[..., tuple[int, Found]]


@pytest.fixture
def look(context: Context, capsys: pytest.CaptureFixture[str]) -> Look:
    """Run the doctor in this process, with variables of its own."""

    def diagnose(*words: str, **variables: str) -> tuple[int, Found]:
        code = run(["doctor", "--json", *words], replace(context, environ=variables))
        return code, json.loads(capsys.readouterr().out)["findings"]

    return diagnose


# ---------------------------------------------------------------- the whole


def test_a_machine_in_order_has_no_problem(desk: Home) -> None:
    desk.user(BY_KEYRING)

    code, found = diagnosed(desk)

    assert problems_about(found, "keyring") == ""
    assert code == 0
    assert one(found, "keyring")["message"] == (
        "keyring.backends.SecretService.Keyring answers, and is unlocked"
    )
    assert {"gatepass", "Python", "packages", "person", "browser", "files"} <= {
        each["subject"] for each in found
    }


def test_a_person_sees_each_finding_and_the_end(home: Home) -> None:
    home.user(BY_KEYRING)

    done = home.run("doctor")
    with home.having(BROWSER="true", GATEPASS_NO_INPUT="0").sit("doctor") as child:
        assert ended(child) == 1
        shown = screen(child)

    assert (done.returncode, done.stderr) == (1, "")
    assert "\nproblem keyring: " in done.stdout
    assert done.stdout.endswith("\n1 problem\n")
    assert "looking at this machine" in shown
    assert "a person can be asked here" in shown


def test_it_changes_nothing_and_asks_no_server(home: Home) -> None:
    with echo(lambda _: Answer()) as server:
        home.user(ANONYMOUS.replace("https://mi.example.com/mi", server.url))
        home.project(ANONYMOUS)
        root = home.work.parent
        before = {path: path.lstat().st_mtime_ns for path in root.rglob("*")}

        code, _ = diagnosed(home)

        assert code == 0
        assert server.seen == []
    assert {path: path.lstat().st_mtime_ns for path in root.rglob("*")} == before


def test_a_part_that_hangs_or_breaks_does_not_keep_the_others_from_being_told(
    context: Context,
) -> None:
    never = Event()

    def hangs(_: Any) -> Iterator[Seen]:
        never.wait()
        yield Seen("ok", "never", "")

    def breaks(_: Any) -> Iterator[Seen]:
        yield Seen("ok", "half", "")
        raise RuntimeError("hunter2")

    def works(_: Any) -> Iterator[Seen]:
        yield Seen("ok", "good", "told")

    parts = [("first", 0.01, hangs), ("second", 60.0, breaks), ("third", 60.0, works)]
    found = list(examine(Machine(context), redacted=False, parts=parts))
    never.set()

    assert [(each.verdict, each.subject, each.message) for each in found] == [
        ("problem", "first", "this check did not end within 0.01 s"),
        ("problem", "second", "this check failed with RuntimeError"),
        ("ok", "good", "told"),
    ]


# ---------------------------------------------------------------- what is installed


@pytest.mark.parametrize(
    ("module", "text", "vault"),
    [("gssapi", BY_TICKET, ""), ("redis", "", "redis://127.0.0.1:1/0")],
)
def test_a_missing_extra_is_a_problem_only_where_it_is_needed(
    home: Home, module: str, text: str, vault: str
) -> None:
    broken = home.write(home.work.parent / "broken" / f"{module}.py", "raise ImportError\n")
    home.path.append(str(broken.parent))
    extra = {"gssapi": "kerberos"}.get(module, module)

    quiet, info = diagnosed(home)
    home.user(text)
    code, found = diagnosed(home.having(GATEPASS_VAULT=vault))

    assert (quiet, one(info, f"extra {extra}")["verdict"]) == (0, "info")
    assert code == 1
    assert f"pip install 'gatepass[{extra}]'" in one(found, f"extra {extra}")["hint"]


def _third_party(folder: Path, name: str, word: str, body: str) -> None:
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
        _third_party(packages, name, word, body)
    home.path.append(str(packages))

    code, found = diagnosed(home)

    said = problems_about(found, "plug-ins")
    assert code == 1
    assert one(found, "plug-ins", "vaultwarden")["verdict"] == "ok"
    assert "'safe' of gatepass.secrets is claimed by more than one package: one, two" in said
    assert "claims the built-in name 'env'" in said
    assert "cannot be imported: ModuleNotFoundError at broken.py:1" in said
    assert said.count("|") == 2


# ---------------------------------------------------------------- keyring


@pytest.mark.parametrize(
    ("backend", "said"),
    [
        ("MyFail", "no keyring that the keyring package can use"),
        ("MyNull", "is switched off"),
        ("MyPlaintextKeyring", "keeps plain text"),
        ("ExplodesAtChoice", "cannot choose a back end"),
        ("VaultHangs", "did not answer within 5 s"),
        ("VaultOverSsh", "keeps no credentials for this kind of logon"),
    ],
)
def test_a_keyring_that_cannot_be_used_is_a_problem_where_a_profile_needs_it(
    home: Home, backend: str, said: str
) -> None:
    home.user(BY_KEYRING)

    code, found = diagnosed(with_backend(home, backend))

    assert code == 1
    assert said in problems_about(found, "keyring")
    assert one(found, "keyring")["message"].endswith("; needed by 1 profile: api")
    assert of(found, "files"), "what comes after it is told too"


_NIGHTLY = f'[profiles.nightly]\n{URL}auth = {{ scheme = "oidc", issuer = "https://x.test/" }}\n'


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        (ANONYMOUS, "info"),
        (BY_EITHER, "info"),
        (_NIGHTLY, "problem"),
        ('vault_key = "env:KEY"\n' + _NIGHTLY, "info"),
        ('vault_key = ["env:KEY", "keyring:"]\n' + _NIGHTLY, "info"),
    ],
)
def test_a_missing_keyring_is_info_where_no_profile_depends_on_it(
    look: Look, user: Callable[[bytes], Path], text: str, verdict: str
) -> None:
    user(text.encode())

    _, found = look()

    assert one(found, "keyring")["verdict"] == verdict


def test_an_allowed_plain_keyring_is_no_problem_and_the_size_of_entries_is_told(home: Home) -> None:
    home.user("allow_insecure_keyring = true\n" + BY_KEYRING)

    code, found = diagnosed(with_backend(home, "MyPlaintextKeyring"))
    _, windows = diagnosed(with_backend(home, "Vault"))

    assert (code, one(found, "keyring")["verdict"]) == (0, "warning")
    assert "2560 bytes: 1280 characters" in one(windows, "keyring", "entry holds")["message"]


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


# ---------------------------------------------------------------- the way to a server


def test_authorities_are_counted(look: Look, ca: CertificateAuthority, tmp_path: Path) -> None:
    (tmp_path / "0123abcd.0").write_bytes(ca.ca_file.read_bytes())
    (tmp_path / "corporate.pem").write_bytes(ca.ca_file.read_bytes())

    for path in (ca.ca_file, tmp_path):
        code, found = look(CURL_CA_BUNDLE=str(path))

        assert code == 0
        assert one(found, "CURL_CA_BUNDLE")["message"] == "holds 1 certificate of authorities"


def test_a_bundle_that_is_missing_or_empty_is_a_problem(look: Look, tmp_path: Path) -> None:
    empty, folder, gone = (tmp_path / name for name in ("empty.pem", "certs", "gone.pem"))
    empty.write_text("")
    folder.mkdir()

    for path in (empty, folder, gone):
        code, found = look(REQUESTS_CA_BUNDLE=str(path))
        finding = one(found, "REQUESTS_CA_BUNDLE")
        assert (code, finding["verdict"]) == (1, "problem")
        assert str(path) in finding["message"] + finding["place"]


def test_a_variable_of_openssl_that_leads_nowhere_is_a_problem(look: Look) -> None:
    code, found = look(SSL_CERT_FILE="/gone.pem", SSL_CERT_DIR="/")

    assert code == 1
    assert problems_about(found, "SSL_CERT_FILE") == "does not exist"
    assert of(found, "SSL_CERT_DIR") == []


def test_proxies_are_told_without_what_logs_on(look: Look) -> None:
    code, found = look(
        https_proxy="http://bob:p%2Fw@proxy.example.com:8080",
        HTTPS_PROXY="http://not.used.example.com",
        HTTP_PROXY="bob:hunter2@proxy.example.com:80",
        NO_PROXY="localhost, .example.com",
    )

    assert code == 0
    assert one(found, "https_proxy")["message"] == (
        "set, with a login: http://proxy.example.com:8080"
    )
    assert one(found, "HTTP_PROXY")["message"] == "set, with a login: http://proxy.example.com:80"
    assert one(found, "NO_PROXY")["message"] == "set: localhost, .example.com"
    for word in ("p%2Fw", "hunter2", "not.used"):
        assert word not in json.dumps(found)


@pytest.mark.parametrize(
    "value", ["http://proxy:port", "http://", "http://[::1", "http://bob:p/w@proxy", "x://h:1"]
)
def test_a_proxy_that_is_no_address_is_a_problem(look: Look, value: str) -> None:
    code, found = look(ALL_PROXY=value)

    assert (code, one(found, "ALL_PROXY")["verdict"]) == (1, "problem")


# ---------------------------------------------------------------- files


def test_files_are_told_with_what_became_of_them(home: Home) -> None:
    user = home.user(ANONYMOUS)
    home.project(ANONYMOUS.replace("dev", "other"))
    (home.work / "profiles.toml").write_text("")

    code, found = diagnosed(home)

    report = {each["place"]: each for each in of(found, "files")}
    assert code == 0
    assert report[str(user)]["message"] == "read (user)"
    assert report[str(home.project_file)]["message"] == "skipped (project): not trusted"
    assert f"gatepass trust {home.project_file}" in report[str(home.project_file)]["hint"]
    assert report[str(home.work / "profiles.toml")]["verdict"] == "info"
    assert one(found, "profiles")["message"] == "1 can be used"


def test_what_is_malformed_broken_or_wrong_is_a_problem_with_its_place(home: Home) -> None:
    user = home.user("this is [ no TOML")
    code, malformed = diagnosed(home)
    home.user('allow_commands = "yes"\n' + ANONYMOUS + "[profiles.odd]\n")
    broken_code, broken = diagnosed(home)

    assert code == broken_code == 1
    assert one(malformed, "files")["place"].startswith(f"{user}:1:")
    assert "allow_commands" in one(broken, "files", "cannot be used")["message"]
    assert one(broken, "profiles", "odd")["hint"].strip() == "gatepass validate odd"


@posix
@pytest.mark.parametrize("place", ["config", "state", "trust"])
def test_a_folder_or_file_that_others_can_write_to_is_a_problem(home: Home, place: str) -> None:
    user = home.user(ANONYMOUS)
    state = Path(home.environ["XDG_STATE_HOME"], "gatepass")
    folder = {"config": user.parent, "state": state, "trust": state / "trust"}[place]
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o777)
    user.chmod(0o666)

    code, found = diagnosed(home)

    assert code == 1
    assert one(found, "permissions")["place"] == str(folder)
    assert one(found, "permissions")["hint"] == f"    chmod go-w {folder}"
    assert "can be written by anybody" in one(found, "files")["message"]
    assert "chmod go-w" in one(found, "files")["hint"]


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
    _, asks = diagnosed(office.home.having(GATEPASS_VAULT_KEY="prompt:"))

    assert code == 0
    assert one(found, "vault", "locks hold")["verdict"] == "ok"
    assert one(found, "vault", "1 login can be opened")["message"].endswith(f"file:{office.key}")
    assert one(asks, "vault", "was not asked for")["verdict"] == "warning"


@posix
def test_a_vault_that_is_damaged_or_open_to_others_is_a_problem(office: Office) -> None:
    (record,) = office.vault.glob("*.token")
    record.write_bytes(record.read_bytes()[:-1])
    damaged, found = diagnosed(office.home)
    office.vault.chmod(0o777)
    opened, of_folder = diagnosed(office.home)
    office.vault.chmod(0o700)
    office.key.chmod(0o644)
    readable, of_key = diagnosed(office.home)
    office.key.unlink()
    gone, of_none = diagnosed(office.home)

    assert damaged == opened == readable == gone == 1
    assert record.name in problems_about(found, "vault")
    assert "others can write to the folder of the vault" in problems_about(of_folder, "vault")
    assert "others can read the vault's key" in problems_about(of_key, "vault")
    assert "the vault's key cannot be read" in problems_about(of_none, "vault")


def test_a_key_that_nobody_made_is_a_problem_before_the_first_login(home: Home) -> None:
    home.user(profile("https://login.example.com/"))

    code, found = diagnosed(home.having(GATEPASS_VAULT_KEY="file:/gone/vault.key"))
    short, wrong = diagnosed(home.having(GATEPASS_VAULT_KEY="env:K", K="short"))

    assert code == short == 1
    assert "the vault's key cannot be read" in problems_about(found, "vault")
    assert "not base64url of 32 bytes" in problems_about(wrong, "vault")


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


# ---------------------------------------------------------------- a report for others

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


@pytest.mark.parametrize(
    "broken",
    [
        "",
        'sakiname = "tapirtext"\n',
        'vault = { url = "https://yakhost.test/" }\n',
        "[profiles.zebuprofile]\n[profiles.zebuprofile]\nurl = yakhost\n",
    ],
    ids=["valid", "an unknown top-level key", "a wrong setting", "no TOML"],
)
def test_a_redacted_report_holds_no_name(tmp_path: Path, broken: str) -> None:
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
    )
    text = broken + _rich("https://yakhost.test/mi")
    home.project(text.replace("zebuprofile", "zebuprofile-work"))
    user = home.user(text)
    user.parent.chmod(0o777)

    outputs = [home.run("doctor", *more, "--redacted") for more in ((), ("--json",))]
    open_ = home.run("doctor").stdout

    names = (*CANARIES, tmp_path.name, socket.gethostname())
    for done in outputs:
        assert (done.returncode, done.stderr) == (1, "")
        printed = done.stdout.lower()
        assert [name for name in names if name.lower() in printed] == []
    assert any(name in open_ for name in CANARIES), "it is there without --redacted"
    assert "read (user)" in outputs[0].stdout or "cannot be used" in outputs[0].stdout
