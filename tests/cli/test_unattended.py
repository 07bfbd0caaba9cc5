"""``gatepass check --unattended``: what it says is what a run without a person does.

A person runs it at a desk with an unlocked keyring.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support import jobs
from tests.support.faulty_provider import Fault
from tests.support.jobs import CASES, OF_A_DESKTOP, PASSWORD, Build, Desk
from tests.support.peers import secret_service
from tests.support.peers.ca import PASSPHRASE as OF_THE_KEY
from tests.support.peers.environ import clean_environ, is_root
from tests.support.peers.need import need_program


@pytest.fixture(scope="module")
def desktop() -> Iterator[dict[str, str]]:
    """The variables of a desktop after the login; its path is short enough for sockets."""
    with (
        tempfile.TemporaryDirectory(prefix="gatepass-") as name,
        secret_service.unlocked(Path(name)) as environ,
    ):
        yield {"DISPLAY": ":99"} | {key: environ[key] for key in OF_A_DESKTOP if key in environ}


@pytest.fixture
def desk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Desk]:
    folder = tmp_path / "home"
    environ = clean_environ(folder)
    with ExitStack() as stack:
        # Root reads everything, unless it gives that up.
        prefix = [need_program("setpriv", "util-linux")] if is_root() else []
        prefix += ["--bounding-set=-dac_override,-dac_read_search"] * is_root()
        yield Desk(folder, environ, request.getfixturevalue, stack, prefix)


# ---------------------------------------------------------------- each kind of profile


# What a job may find otherwise: subject, and words of the note.
NOTES = {
    jobs.a_variable_that_is_set: ("variables", "MI_PASSWORD"),
    jobs.a_file_in_the_home_folder: ("auth.password", "home folder of the user"),
    jobs.a_credential_of_systemd: ("auth.password", "LoadCredential="),
    jobs.a_project_that_is_trusted: ("file", "found from the working directory"),
    jobs.a_ticket: ("variables", "KRB5_CONFIG, KRB5CCNAME"),
    jobs.a_keytab: ("variables", "KRB5_CLIENT_KTNAME"),
    jobs.a_program_that_the_file_may_not_run: ("file", "the job must name it too"),
    jobs.a_program_that_is_missing: ("auth.password", "PATH of the job may lead elsewhere"),
    jobs.certificates_of_a_variable_that_are_missing: ("variables", "REQUESTS_CA_BUNDLE"),
}
if sys.platform == "linux":  # the stores of others know no variables
    NOTES[jobs.authorities_that_a_variable_of_openssl_names] = ("variables", "SSL_CERT_FILE")


@pytest.mark.parametrize("name", CASES)
def test_each_kind_of_profile_ends_as_a_run_without_a_person_does(desk: Desk, name: str) -> None:
    """And no secret is told, but what a job might see otherwise."""
    case = CASES[name]
    case.build(desk)

    checked = desk.check()

    assert checked.code == case.ends, checked.text
    assert bool(checked.problems) == bool(case.ends)
    assert case.problem in checked.problems
    assert PASSWORD not in checked.text
    assert OF_THE_KEY not in checked.text
    subject, words = NOTES.get(case.build, ("", ""))
    told = [each for each in checked.findings if each["verdict"] == "info"]
    assert not subject or [
        each for each in told if each["subject"] == subject and words in each["message"]
    ]


@pytest.mark.parametrize(
    "build",
    [jobs.a_variable_that_is_set, jobs.a_stored_login, jobs.a_ticket],
    ids=lambda build: build.__name__,
)
def test_it_works_and_says_that_one_attempt_was_made(desk: Desk, build: Build) -> None:
    build(desk)

    done = desk.gatepass("check", "job", "--unattended")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "ok: job runs without a person" in done.stdout
    assert "one attempt to log on; a stored login may be renewed" in done.stderr


def test_a_problem_says_what_where_why_and_the_next_step(desk: Desk) -> None:
    jobs.a_prompt_after_what_does_not_answer(desk)

    found = desk.check().one("secrets")

    assert found == {
        "verdict": "problem",
        "subject": "secrets",
        "message": f"{desk.user_file}:9:1: profiles.job.auth.password: no alternative answered:\n"
        "  env:MI_PASSWORD: the variable MI_PASSWORD is not set\n"
        f"  file:~/mi: cannot read {desk.folder / 'mi'}: No such file or directory\n"
        "  prompt: it needs a person, and nobody is there in an unattended run",
        "hint": "set MI_PASSWORD in the environment of this run\n"
        f"put the secret into the first line of {desk.folder / 'mi'}, readable by you\n"
        "for a run without a person use env:NAME, file:PATH or keyring: instead, or a list of "
        "references that ends in prompt:",
        "place": "",
    }


def test_before_a_login_the_key_of_the_vault_is_looked_at_too(desk: Desk) -> None:
    """Else the person logs in, and only then hears that the job cannot open the vault."""
    jobs.oidc(desk, jobs.provider(desk), key=False)

    assert desk.check().of("problem") == {"login", "vault_key"}


def test_without_a_ticket_the_key_of_the_vault_does_not_matter(desk: Desk) -> None:
    jobs.a_ticket_that_is_missing(desk)

    assert desk.check().of("problem") == {"login"}


def test_the_keyring_of_the_desktop_is_no_help_even_where_it_is_open(desk: Desk) -> None:
    jobs.an_entry_of_the_keyring_of_the_desktop(desk)

    here = desk.gatepass("check", "job")
    checked = desk.check()

    assert (here.returncode, checked.code) == (0, 3)
    assert "without a desktop" in checked.problems


# ---------------------------------------------------------------- what would end a later run


def _ended_token_in_a_vault_that_cannot_be_written(desk: Desk) -> Path:
    jobs.oidc(desk, jobs.provider(desk, access_token_seconds=0))
    jobs.log_in(desk)
    return _made_read_only(desk)


def _made_read_only(desk: Desk) -> Path:
    (folder,) = (path.parent for path in desk.folder.rglob("*.token"))
    folder.chmod(0o500)
    desk.powerless = True
    return folder


@pytest.mark.parametrize("options", [(), ("--offline",)], ids=str)
def test_a_vault_that_cannot_be_written_is_a_problem_where_the_token_has_ended(
    desk: Desk, options: tuple[str, ...]
) -> None:
    folder = _ended_token_in_a_vault_that_cannot_be_written(desk)
    try:
        checked = desk.check(*options)
    finally:
        folder.chmod(0o700)

    assert (checked.code, checked.of("problem")) == (3, {"vault"})


@pytest.mark.parametrize("options", [(), ("--offline",)], ids=str)
def test_a_vault_that_cannot_be_written_is_a_problem_where_the_token_ends_before_the_job(
    desk: Desk, options: tuple[str, ...]
) -> None:
    jobs.a_stored_login(desk)
    folder = _made_read_only(desk)
    try:
        short, long = desk.check("--for", "5m", *options), desk.check("--for", "8h", *options)
    finally:
        folder.chmod(0o700)

    assert (short.code, long.code) == (0, 3)
    assert long.of("problem") == {"vault"}


def test_a_keytab_that_is_outdated_does_not_log_on(desk: Desk) -> None:
    """The account's password has changed since it was made."""
    jobs.autologon(desk, None)
    desk.environ["KRB5_CLIENT_KTNAME"] = f"FILE:{desk.peer('kdc').files.outdated_keytab}"

    checked, offline = desk.check(), desk.check("--offline")

    assert checked.code != 0
    assert checked.problems
    assert (offline.of("ok"), "keytab" in offline.of("warning")) == (set(), True)


def test_a_ticket_does_not_hide_that_the_keytab_is_outdated(desk: Desk) -> None:
    kdc = desk.peer("kdc")
    jobs.autologon(desk, kdc.ccache(lifetime="10m"))
    desk.environ["KRB5_CLIENT_KTNAME"] = f"FILE:{kdc.files.outdated_keytab}"

    short, long = desk.check("--for", "5m"), desk.check("--for", "8h")

    assert (short.code, long.code) == (0, 3)
    assert "does not log on" in long.problems


def test_a_provider_that_does_not_renew_is_a_problem_where_the_token_ends_before_the_job(
    desk: Desk,
) -> None:
    idp = jobs.provider(desk)
    jobs.oidc(desk, idp)
    jobs.log_in(desk)
    idp.inject(Fault.TOKEN_HTML)

    short, long = desk.check("--for", "5m"), desk.check("--for", "8h")

    assert short.code == 0, short.text
    assert long.code != 0
    assert long.problems


def test_a_token_from_elsewhere_that_the_provider_replaces_is_a_warning(desk: Desk) -> None:
    """The provider ends the login where the next run brings the old one."""
    jobs.a_token_from_elsewhere(desk)

    checked = desk.check()

    assert (checked.code, checked.of("warning")) == (0, {"login"})
    assert "may refuse it to the next run" in checked.text


def test_an_issuer_that_cannot_work_is_a_problem(desk: Desk) -> None:
    desk.file("secret", "x")
    desk.profile(
        'scheme = "oidc"\nissuer = "http://localhost:1"\nclient_id = "job"\n'
        'flow = "client_credentials"\nclient_secret = "file:~/secret"',
        url=desk.server("oidc", provider=jobs.provider(desk)).url,
    )

    checked, offline = desk.check(), desk.check("--offline")

    assert checked.code != 0
    assert "localhost:1" in checked.problems
    assert offline.of("ok") == set()


# ---------------------------------------------------------------- --for


def test_a_ticket_that_ends_before_the_job_does_is_a_problem(desk: Desk) -> None:
    jobs.autologon(desk, desk.peer("kdc").ccache(lifetime="10m"))

    short, long = desk.check("--for", "5m"), desk.check("--for", "8h")

    assert (short.code, long.code) == (0, 3)
    assert "ends at 20" in long.one("ticket")["message"]
    assert "kinit -R" in long.one("ticket")["hint"]


def test_a_keytab_outlasts_its_tickets(desk: Desk) -> None:
    kdc = desk.peer("kdc")
    jobs.autologon(desk, kdc.ccache(lifetime="10m"))
    desk.environ["KRB5_CLIENT_KTNAME"] = f"FILE:{kdc.files.client_keytab}"

    assert desk.check("--for", "8h").code == 0


def test_a_login_that_is_not_renewed_and_ends_before_the_job_does_is_a_problem(desk: Desk) -> None:
    jobs.a_stored_login_that_cannot_be_renewed(desk)

    short, long = desk.check("--for", "30m"), desk.check("--for", "8h")

    assert (short.code, long.code) == (0, 3)
    assert "ends at 20" in long.one("login")["message"]
    assert long.one("login")["hint"] == "run: gatepass login job"


def test_a_login_whose_renewal_ends_before_the_job_does_is_a_problem(desk: Desk) -> None:
    """As Keycloak tells it, by ``refresh_expires_in``; ``status`` agrees."""
    idp = jobs.provider(desk, access_token_seconds=60, refresh_token_seconds=1800)
    jobs.oidc(desk, idp)
    jobs.log_in(desk)

    short, long = desk.check("--for", "20m"), desk.check("--for", "8h")
    codes = [
        desk.gatepass("status", "job", "--min-valid", seconds).returncode
        for seconds in ("20m", "8h")
    ]

    assert (short.code, long.code, codes) == (0, 3, [0, 3])
    assert "can be renewed until 20" in long.problems
    assert "gatepass login job" in long.problems


def test_a_login_that_is_renewed_lasts_and_the_renewal_is_told(desk: Desk) -> None:
    jobs.a_stored_login(desk)

    checked = desk.check("--for", "300d")

    assert checked.code == 0
    assert "the stored login was renewed by this check" in checked.text


# ---------------------------------------------------------------- --offline


@pytest.mark.parametrize(
    ("build", "ends"),
    [
        (jobs.a_variable_that_is_set, 0),
        (jobs.a_prompt, 3),
        (jobs.certificates_of_authorities_that_are_missing, 2),
        (jobs.a_stored_login, 0),
        (jobs.nobody_logged_in, 3),
        (jobs.a_stored_login_that_cannot_be_renewed_and_has_ended, 3),
        (jobs.a_token_from_elsewhere_that_is_missing, 3),
        (jobs.a_ticket, 0),
        (jobs.a_ticket_that_has_ended, 3),
        (jobs.a_client_secret, 0),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_offline_asks_no_server(desk: Desk, build: Build, ends: int) -> None:
    build(desk)
    before = desk.requests()

    checked = desk.check("--offline")

    assert checked.code == ends, checked.text
    assert desk.requests() == before
    assert "run" not in checked.of("ok")


def test_offline_does_not_say_that_it_works(desk: Desk) -> None:
    jobs.a_variable_that_is_set(desk)

    text = desk.gatepass("check", "job", "--unattended", "--offline").stdout

    assert "ok: job" not in text
    assert "no server was asked" in text


# ---------------------------------------------------------------- what a job may find otherwise


@pytest.mark.parametrize(
    ("variables", "more", "told"),
    [
        ({"HTTPS_PROXY": "http://u:hunter2@proxy.example.com:1"}, "", "HTTPS_PROXY"),
        (
            {"https_proxy": "http://proxy.example.com:1", "NO_PROXY": "mi.example.com"},
            "",
            "https_proxy, NO_PROXY",
        ),
        ({"HTTP_PROXY": "http://proxy.example.com:1"}, "", ""),
        ({"ALL_PROXY": "http://proxy.example.com:1"}, 'proxy = "none"', ""),
        ({"NO_PROXY": "mi.example.com"}, "", ""),
    ],
)
def test_a_proxy_that_this_desks_variables_name_is_info(
    desk: Desk, variables: dict[str, str], more: str, told: str
) -> None:
    desk.profile('scheme = "anonymous"', more, url="https://mi.example.com")
    desk.environ |= variables

    checked = desk.check("--offline")

    notes = [each["message"] for each in checked.findings if each["subject"] == "variables"]
    assert [each.partition(":")[0] for each in notes] == [told] * bool(told)
    assert "hunter2" not in checked.text


def test_variables_on_the_way_to_the_provider_are_info(desk: Desk) -> None:
    """Also where the server needs none of them."""
    desk.environ |= {"HTTPS_PROXY": "http://proxy.example.com:1", "CURL_CA_BUNDLE": "/no/such.pem"}
    desk.profile(
        'scheme = "oidc"\nissuer = "https://login.example.com"\nclient_id = "x"',
        'proxy = "none"\ntls.verify = false',
    )

    message = desk.check("--offline").one("variables")["message"]

    assert message.startswith("HTTPS_PROXY, CURL_CA_BUNDLE:")


def test_a_file_beside_the_profiles_needs_no_note(desk: Desk) -> None:
    jobs.a_file_beside_the_profiles(desk)

    assert desk.check().of("info") == set()


def test_a_profile_and_paths_from_variables_are_info(desk: Desk) -> None:
    desk.environ |= {
        "GATEPASS_PROFILES__JOB__URL": "https://mi.example.com",
        "GATEPASS_PROFILES__JOB__AUTH__SCHEME": "bearer",
        "GATEPASS_PROFILES__JOB__AUTH__TOKEN": "file:token",
        "GATEPASS_ALLOW_COMMANDS": "1",
    }
    desk.file("work/token", "abc")

    checked = desk.check("--offline")

    assert checked.of("info") == {"variables", "auth.token"}
    assert "working directory" in checked.one("auth.token")["message"]
    assert all(
        name in checked.one("variables")["message"]
        for name in desk.environ
        if name.startswith("GATEPASS_")
    )


# ---------------------------------------------------------------- the process apart


_WITNESS = """\
import json, os, sys
def shelf(text, context):
    print("a plug-in prints")
    with open(os.path.expanduser("~/seen"), "w") as file:
        json.dump({
            "leader": os.getsid(0) == os.getpid(),
            "input": sys.stdin.read(),
            "imports from the working directory": not sys.flags.safe_path,
            "desktop": [name for name in text.split(",") if name in os.environ],
            "why": context.terminal.why_not_ask(),
        }, file)
    return "sesame"
"""


def test_nobody_is_there_whatever_this_shell_says(desk: Desk) -> None:
    desk.at_the_desktop()
    desk.environ["GATEPASS_NO_INPUT"] = "0"
    desk.package("shelf.py", _WITNESS)
    desk.provides("secrets", "shelf", "shelf:shelf")
    desk.basic(f'"shelf:{",".join(OF_A_DESKTOP)}"')

    checked = desk.check()

    assert checked.code == 0, checked.text
    assert json.loads((desk.folder / "seen").read_text()) == {
        "leader": True,
        "input": "",
        "imports from the working directory": False,
        "desktop": [],
        "why": "nobody is there in an unattended run",
    }


def test_a_warning_of_the_run_is_told_once(desk: Desk) -> None:
    ca = desk.peer("ca")
    desk.file("mi", PASSWORD)
    server = desk.server(certificate=(ca.server.chain, ca.server.key))
    desk.basic('"file:~/mi"', "tls = { verify = false }", url=server.url)
    desk.environ["GATEPASS_JOP"] = "1"

    checked = desk.check()

    assert (checked.code, checked.of("warning")) == (0, {"run"})
    assert checked.text.count("tls.verify") == 1
    assert checked.text.count("GATEPASS_JOP") == 1


# ---------------------------------------------------------------- the command


def test_without_a_name_it_is_the_default_profile(desk: Desk) -> None:
    jobs.a_prompt(desk)

    done = desk.gatepass("check", "--unattended", "--json")

    told = json.loads(done.stdout)
    assert done.returncode == 3
    assert (told["profile"], told["ok"], told["exit_code"]) == ("job", False, 3)


def test_a_project_that_is_not_trusted_is_an_error_as_ever(desk: Desk) -> None:
    jobs.a_file_in_the_home_folder(desk)
    desk.work.mkdir()
    desk.user_file.rename(desk.work / "gatepass.toml")

    done = desk.gatepass("check", "job", "--unattended")

    assert done.returncode == 2
    assert "gatepass trust" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "job", "--for", "8h"],
        ["check", "job", "--offline"],
        ["check", "job", "--unattended", "--for", "soon"],
    ],
)
def test_an_option_that_belongs_to_nothing_is_refused(desk: Desk, arguments: list[str]) -> None:
    jobs.a_variable_that_is_set(desk)

    assert desk.gatepass(*arguments).returncode == 2
