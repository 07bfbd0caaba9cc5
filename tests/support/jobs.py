"""A person's desk, and the profiles of many jobs that a timer is to run.

What surrounds a profile is real: files and their permissions, variables, keyrings, tickets, stored
logins, packages that are missing.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import Any

from gatepass.sandbox import Server
from gatepass.sandbox.provider import CLIENT_ID, SERVICE_ID, SERVICE_SECRET
from tests.support.faulty_provider import Fault, FaultyProvider
from tests.support.home import ARGV, SOURCES
from tests.support.in_process import needs_a_process, run_in_process
from tests.support.peers.ca import PASSPHRASE as OF_THE_KEY
from tests.support.peers.ca import CertificateAuthority
from tests.support.peers.kdc import Kdc
from tests.support.peers.redis_server import Redis, redis_server

PASSWORD = "sesame"
USERS = {"alice": PASSWORD, "CORP\\alice": PASSWORD}

# What a job has of a desktop: nothing.
OF_A_DESKTOP = ("DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "XDG_RUNTIME_DIR")

_BLOCKER = """\
import os, sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in os.environ["BLOCKED"].split():
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Blocker())
"""
_BROWSER = """\
import sys, urllib.request
with urllib.request.urlopen(sys.argv[1]) as page:
    page.read()
"""
_MANAGER = f"""\
from keyring.backends.Windows import WinVaultKeyring
class Manager(WinVaultKeyring):
    priority = 9
    def get_password(self, service, username):
        return "{PASSWORD}"
"""


@dataclass(frozen=True)
class Checked:
    """What ``check --unattended`` says."""

    code: int
    findings: list[dict[str, str]]
    text: str

    def of(self, verdict: str) -> set[str]:
        return {each["subject"] for each in self.findings if each["verdict"] == verdict}

    def one(self, subject: str) -> dict[str, str]:
        (found,) = (each for each in self.findings if each["subject"] == subject)
        return found

    @property
    def problems(self) -> str:
        told = [each for each in self.findings if each["verdict"] == "problem"]
        return "\n".join(f"{each['subject']}: {each['message']}\n{each['hint']}" for each in told)


@dataclass
class Desk:
    """A person's home, with servers at hand."""

    folder: Path
    environ: dict[str, str]
    peer: Callable[[str], Any]
    stack: ExitStack
    prefix: list[str] = field(default_factory=list)
    powerless: bool = False  # root without its power over permissions
    python_path: list[str] = field(default_factory=lambda: [SOURCES])
    servers: list[Server | FaultyProvider] = field(default_factory=list)

    @property
    def user_file(self) -> Path:
        return Path(self.environ["XDG_CONFIG_HOME"], "gatepass", "profiles.toml")

    @property
    def work(self) -> Path:
        return self.folder / "work"

    def file(self, name: str, text: str, mode: int = 0o600) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        return path

    def profile(self, auth: str, more: str = "", *, url: str = "", above: str = "") -> None:
        """Write the profile of the job; its server takes a password if no other is given."""
        url = url or self.server().url
        text = f'{above}\n[profiles.job]\nurl = "{url}"\nretries = 0\n{more}\n'
        self.file(str(self.user_file), f"{text}[profiles.job.auth]\n{auth}\n")

    def basic(self, password: str, more: str = "", *, user: str = '"alice"', **keys: str) -> None:
        auth = f'scheme = "basic"\nuser_name = {user}\npassword = {password}'
        self.profile(auth, more, **keys)

    def server(self, mode: str = "standalone", **keys: Any) -> Server:
        users = {} if mode == "oidc" else USERS
        server: Server = self.stack.enter_context(Server(mode=mode, users=users, **keys))
        self.servers.append(server)
        return server

    def requests(self) -> int:
        """How many requests have arrived at the servers."""
        return sum(len(server.requests) for server in self.servers)

    def package(self, name: str, text: str) -> None:
        """Install a module where every Python here finds it."""
        folder = self.file(f"site/{name}", text).parent
        if str(self.folder / "site") not in self.python_path:
            self.python_path.append(str(self.folder / "site"))
        assert folder.is_dir()

    def provides(self, group: str, name: str, target: str) -> None:
        """Install an entry point of gatepass, as a package of its own."""
        info = f"site/{name}-1.0.dist-info"
        self.package(f"../{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        self.package(f"../{info}/entry_points.txt", f"[gatepass.{group}]\n{name} = {target}\n")

    def block(self, module: str) -> None:
        """Take a package from every Python here."""
        self.package("sitecustomize.py", _BLOCKER)
        self.environ["BLOCKED"] = module

    def gatepass(self, *arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        """Run the command at the desk; in this process, where that makes no difference."""
        packages = self.python_path[1:]
        if not (self.powerless or needs_a_process(self.environ, packages)):
            self.work.mkdir(parents=True, exist_ok=True)
            environ = self.environ | {"PYTHONPATH": os.pathsep.join(self.python_path)}
            return run_in_process(arguments, environ, stdin=stdin, cwd=self.work, packages=packages)
        return self.run([*ARGV, *arguments], self.environ, stdin=stdin)

    def at_the_desktop(self) -> None:
        """Sit down where a keyring is unlocked."""
        self.environ |= self.peer("desktop")

    def check(self, *options: str, name: str = "job") -> Checked:
        """Run ``check --unattended`` at the desk."""
        done = self.gatepass("check", name, "--unattended", "--json", *options)
        assert "Traceback" not in done.stderr
        told = json.loads(done.stdout) if done.stdout else {"findings": []}
        return Checked(done.returncode, told["findings"], done.stdout + done.stderr)

    def run(
        self, argv: list[str], environ: dict[str, str], stdin: str = ""
    ) -> "subprocess.CompletedProcess[str]":
        path = {"PYTHONPATH": os.pathsep.join(self.python_path), "PYTHONDONTWRITEBYTECODE": "1"}
        self.work.mkdir(exist_ok=True)
        return subprocess.run(
            [*self.prefix * self.powerless, *argv],
            env=environ | path,
            cwd=self.work,
            input=stdin,
            encoding="utf-8",
            capture_output=True,
            timeout=120,
            start_new_session=True,
            check=False,
        )


# ---------------------------------------------------------------- the cases


@dataclass(frozen=True)
class Case:
    """A profile and what surrounds it.

    Attributes:
        build: makes it.
        problem: a word of what is wrong; empty where the job runs.
        ends: what a run ends with.
    """

    build: Callable[[Desk], None]
    problem: str
    ends: int


CASES: dict[str, Case] = {}


Build = Callable[[Desk], None]


def case(problem: str = "", *, ends: int = 3) -> Callable[[Build], Build]:
    def add(build: Build) -> Build:
        CASES[build.__name__] = Case(build, problem, ends if problem else 0)
        return build

    return add


@case()
def a_variable_that_is_set(desk: Desk) -> None:
    desk.environ["MI_PASSWORD"] = PASSWORD
    desk.basic('"env:MI_PASSWORD"')


@case("auth.password")
def a_variable_that_is_not_set(desk: Desk) -> None:
    desk.basic('"env:MI_PASSWORD"')


@case()
def a_file_in_the_home_folder(desk: Desk) -> None:
    desk.file("mi", PASSWORD)
    desk.basic('"file:~/mi"')


@case()
def a_file_beside_the_profiles(desk: Desk) -> None:
    desk.file(str(desk.user_file.parent / "mi"), PASSWORD)
    desk.basic('"file:mi"')


@case()
def a_credential_of_systemd(desk: Desk) -> None:
    desk.environ["CREDENTIALS_DIRECTORY"] = str(desk.file("credentials/mi", PASSWORD).parent)
    desk.basic('"file:$CREDENTIALS_DIRECTORY/mi"')


@case("auth.password")
def a_prompt(desk: Desk) -> None:
    desk.basic('"prompt:Granta MI password"')


@case("auth.password")
def a_prompt_after_what_does_not_answer(desk: Desk) -> None:
    desk.basic('["env:MI_PASSWORD", "file:~/mi", "prompt:"]')


@case()
def a_prompt_after_what_answers(desk: Desk) -> None:
    desk.file("mi", PASSWORD)
    desk.basic('["env:MI_PASSWORD", "file:~/mi", "prompt:"]')


@case()
def a_prompt_before_what_answers(desk: Desk) -> None:
    desk.file("mi", PASSWORD)
    desk.basic('["prompt:", "file:~/mi"]')


@case("auth.password")
def an_entry_of_the_keyring_of_the_desktop(desk: Desk) -> None:
    desk.at_the_desktop()
    desk.basic('"keyring:"')
    stored = desk.gatepass("secret", "set", "job", "--stdin", stdin=PASSWORD)
    assert stored.returncode == 0, stored.stderr


@case()
def an_entry_of_the_credential_manager_of_windows(desk: Desk) -> None:
    desk.package("manager.py", _MANAGER)
    desk.environ["PYTHON_KEYRING_BACKEND"] = "manager.Manager"
    desk.basic('"keyring:"')


@case("auth.password")
def a_program_that_is_missing(desk: Desk) -> None:
    desk.basic('{ command = ["no-such-program", "x"] }')


@case("auth.password")
def a_program_that_the_file_may_not_run(desk: Desk) -> None:
    path = desk.file("named.toml", "")
    desk.environ["GATEPASS_CONFIG_FILE"] = str(path)
    desk.basic('{ command = ["echo", "sesame"] }')
    desk.user_file.rename(path)


@case()
def no_login_at_all(desk: Desk) -> None:
    desk.profile('scheme = "anonymous"', url=desk.server("open").url)


@case("proxy.password")
def a_password_of_the_proxy_that_is_missing(desk: Desk) -> None:
    proxy = '{ url = "http://127.0.0.1:1", user_name = "bob", password = "env:PROXY" }'
    desk.file("mi", PASSWORD)
    desk.basic('"file:~/mi"', f"proxy = {proxy}")


@case("tls.ca_file", ends=2)
def certificates_of_authorities_that_are_missing(desk: Desk) -> None:
    desk.file("mi", PASSWORD)
    desk.basic('"file:~/mi"', 'tls = { ca_file = "~/ca.pem" }')


@case("tls.client_key_password")
def a_passphrase_that_is_missing(desk: Desk) -> None:
    _with_passphrase(desk)


@case()
def a_client_certificate(desk: Desk) -> None:
    desk.file("passphrase", OF_THE_KEY)
    _with_passphrase(desk)


def _with_passphrase(desk: Desk) -> None:
    ca: CertificateAuthority = desk.peer("ca")
    encrypted = ca.encrypted_client
    desk.file("mi", PASSWORD)
    keys = f'client_cert = "{encrypted.chain}", client_key = "{encrypted.key}"'
    keys += f', ca_file = "{ca.ca_file}", client_key_password = "file:~/passphrase"'
    server = desk.server(certificate=(ca.server.chain, ca.server.key))
    desk.basic('"file:~/mi"', f"tls = {{ {keys} }}", url=server.url)


@case("REQUESTS_CA_BUNDLE", ends=2)
def certificates_of_a_variable_that_are_missing(desk: Desk) -> None:
    ca: CertificateAuthority = desk.peer("ca")
    desk.file("mi", PASSWORD)
    desk.environ["REQUESTS_CA_BUNDLE"] = "/no/such.pem"
    server = desk.server(certificate=(ca.server.chain, ca.server.key))
    desk.basic('"file:~/mi"', url=server.url)


@case()
def authorities_that_a_variable_of_openssl_names(desk: Desk) -> None:
    ca: CertificateAuthority = desk.peer("ca")
    desk.file("mi", PASSWORD)
    desk.environ["SSL_CERT_FILE"] = str(ca.ca_file)
    server = desk.server(certificate=(ca.server.chain, ca.server.key))
    desk.basic('"file:~/mi"', url=server.url)


# NTLM


@case()
def ntlm(desk: Desk) -> None:
    desk.file("mi", PASSWORD)
    auth = 'scheme = "ntlm"\nuser_name = "alice"\ndomain = "CORP"\npassword = "file:~/mi"'
    desk.profile(auth, url=desk.server("windows").url)


@case("requests_ntlm", ends=1)
def ntlm_without_its_package(desk: Desk) -> None:
    ntlm(desk)
    desk.block("requests_ntlm")


# Kerberos


def autologon(desk: Desk, ccache: Path | None, more: str = "") -> None:
    kdc: Kdc = desk.peer("kdc")
    desk.environ |= kdc.environ(ccache or desk.folder / "none.ccache")
    room = desk.peer("windows_apache").room("windows")
    desk.profile(f'scheme = "autologon"\n{more}', 'check_path = "cgi/whoami"', url=room.http)


@case()
def a_ticket(desk: Desk) -> None:
    autologon(desk, desk.peer("kdc").ccache())


@case("ticket")
def a_ticket_that_is_missing(desk: Desk) -> None:
    autologon(desk, None)


@case("ticket")
def a_ticket_that_has_ended(desk: Desk) -> None:
    autologon(desk, desk.peer("kdc").expired_ccache)


@case()
def a_keytab(desk: Desk) -> None:
    desk.environ["KRB5_CLIENT_KTNAME"] = f"FILE:{desk.peer('kdc').files.client_keytab}"
    autologon(desk, None, 'principal = "alice"')


@case()
def a_keytab_of_the_machine(desk: Desk) -> None:
    """Named by krb5.conf; a look at it gets no ticket."""
    autologon(desk, None)
    files = desk.peer("kdc").files
    key = f"[libdefaults]\n default_client_keytab_name = FILE:{files.client_keytab}\n"
    text = files.krb5_conf.read_text().replace("[libdefaults]\n", key)
    desk.environ["KRB5_CONFIG"] = str(desk.file("krb5.conf", text))


# OpenID Connect


def provider(desk: Desk, **keys: Any) -> FaultyProvider:
    keys.setdefault("access_token_seconds", 3600)
    users = {"alice": PASSWORD}
    idp: FaultyProvider = desk.stack.enter_context(
        FaultyProvider(users=users, auto_login="alice", **keys)
    )
    desk.servers.append(idp)
    return idp


def oidc(
    desk: Desk, idp: FaultyProvider, more: str = "", *, client: str = CLIENT_ID, key: bool = True
) -> None:
    server = desk.server("oidc", provider=idp)
    auth = f'scheme = "oidc"\nissuer = "{idp.issuer}"\nclient_id = "{client}"\n{more}'
    path = desk.folder / "vault.key"
    desk.profile(auth, url=server.url, above=f'vault_key = "file:{path}"' if key else "")
    if key and not path.exists():
        assert desk.gatepass("secret", "new-key", str(path)).returncode == 0


def log_in(desk: Desk) -> None:
    """Log alice in with a browser that follows links."""
    browser = desk.file("browser.py", _BROWSER)
    person = {
        "GATEPASS_NO_INPUT": "0",
        "BROWSER": f"{quote(sys.executable)} {quote(str(browser))} %s",
    }
    desk.environ |= person
    done = desk.gatepass("login", "job")
    for name in person:
        del desk.environ[name]
    assert done.returncode == 0, done.stderr


@case()
def a_stored_login(desk: Desk) -> None:
    oidc(desk, provider(desk), "use_stored_token = true")
    log_in(desk)


@case("login")
def nobody_logged_in(desk: Desk) -> None:
    oidc(desk, provider(desk))


@case()
def a_stored_login_that_cannot_be_renewed(desk: Desk) -> None:
    _not_renewable(desk, access_token_seconds=3600)


@case("login")
def a_stored_login_that_cannot_be_renewed_and_has_ended(desk: Desk) -> None:
    _not_renewable(desk, access_token_seconds=0)


def _not_renewable(desk: Desk, *, access_token_seconds: int) -> None:
    idp = provider(desk, access_token_seconds=access_token_seconds)
    oidc(desk, idp)
    idp.inject(Fault.NO_REFRESH_TOKEN)
    log_in(desk)


@case("login")
def a_stored_login_that_the_provider_has_refused(desk: Desk) -> None:
    idp = provider(desk, access_token_seconds=0, refresh_token_seconds=0)
    oidc(desk, idp)
    log_in(desk)
    assert desk.gatepass("token", "job").returncode == 3


@case("vault")
def a_key_of_the_vault_that_others_can_read(desk: Desk) -> None:
    a_login = provider(desk)
    oidc(desk, a_login)
    log_in(desk)
    (desk.folder / "vault.key").chmod(0o644)


@case("vault_key")
def a_key_of_the_vault_that_is_missing(desk: Desk) -> None:
    oidc(desk, provider(desk))
    log_in(desk)
    (desk.folder / "vault.key").unlink()


@case("vault_key")
def a_key_of_the_vault_in_the_keyring_of_the_desktop(desk: Desk) -> None:
    desk.at_the_desktop()
    oidc(desk, provider(desk), key=False)
    log_in(desk)


def _in_redis(desk: Desk, idp: FaultyProvider) -> Redis:
    """Keep the vault in a redis with a password; its key in a file."""
    folder = desk.folder.parent / "redis"
    redis = desk.stack.enter_context(redis_server(folder, settings=["requirepass red-sesame"]))
    desk.file("redis", "red-sesame")
    oidc(desk, idp)
    _vault(desk, redis, "file:~/redis")
    return redis


def _vault(desk: Desk, redis: Redis, password: str) -> None:
    old = next((line for line in desk.user_file.read_text().split("\n") if "vault = " in line), "")
    text = desk.user_file.read_text().removeprefix(old)
    vault = f'vault = {{ url = "{redis.url}", password = "{password}" }}\n'
    desk.file(str(desk.user_file), vault + text.lstrip())


@case()
def a_stored_login_in_a_redis(desk: Desk) -> None:
    _in_redis(desk, provider(desk))
    log_in(desk)


@case("vault.password")
def a_password_of_the_redis_that_is_missing(desk: Desk) -> None:
    redis = _in_redis(desk, provider(desk))
    log_in(desk)
    _vault(desk, redis, "env:REDIS_PASSWORD")


@case("vault")
def a_redis_that_does_not_run(desk: Desk) -> None:
    redis = _in_redis(desk, provider(desk))
    log_in(desk)
    redis.stop()


@case()
def a_client_secret(desk: Desk) -> None:
    desk.file("secret", SERVICE_SECRET)
    more = 'flow = "client_credentials"\nclient_secret = "file:~/secret"'
    oidc(desk, provider(desk), more, client=SERVICE_ID, key=False)


@case("auth.refresh_token")
def a_token_from_elsewhere_that_is_missing(desk: Desk) -> None:
    oidc(desk, provider(desk), 'refresh_token = "env:TOKEN"', key=False)


@case()
def a_token_from_elsewhere(desk: Desk) -> None:
    """The key of the vault lies in a keyring that the job cannot read, and need not."""
    desk.at_the_desktop()
    idp = provider(desk)
    desk.file("token", _token_of_another_login(desk, idp))
    oidc(desk, idp, 'refresh_token = "file:~/token"', key=False)


def _token_of_another_login(desk: Desk, idp: FaultyProvider) -> str:
    script = (
        "from gatepass import Profile, Session\n"
        "mi = Session.from_profile('job', interactive=True)\n"
        "mi.login()\nprint(mi.refresh_token)"
    )
    browser = desk.file("browser.py", _BROWSER)
    oidc(desk, idp, key=False)
    variable = {"BROWSER": f"{quote(sys.executable)} {quote(str(browser))} %s"}
    done = desk.run([sys.executable, "-c", script], desk.environ | variable)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# Files of projects, and packages of others


@case()
def a_project_that_is_trusted(desk: Desk) -> None:
    desk.file("mi", PASSWORD)
    desk.basic('"file:~/mi"')
    desk.work.mkdir()
    desk.user_file.rename(desk.work / "gatepass.toml")
    assert desk.gatepass("trust", "--yes").returncode == 0


@case("auth.password")
def a_source_of_another_package_that_does_not_answer(desk: Desk) -> None:
    desk.package(
        "shelf.py",
        "from gatepass import SecretUnavailable\n"
        "def shelf(text, context):\n    raise SecretUnavailable('the shelf is empty')\n",
    )
    desk.provides("secrets", "shelf", "shelf:shelf")
    desk.basic('"shelf:mi"')
