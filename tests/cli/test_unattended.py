"""``gatepass validate --unattended``: what it predicts is what a run without a person then does.

A person asks for the prediction at a desk with an unlocked keyring; then the same profile runs as
cron would run it, and both are compared.
"""

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from gatepass._system.findings import Finding
from tests.support import jobs
from tests.support.home import ARGV, SOURCES, ended, screen
from tests.support.jobs import CASES, OF_A_DESKTOP, PASSWORD, Build, Desk
from tests.support.peers import secret_service
from tests.support.peers.ca import PASSPHRASE as OF_THE_KEY
from tests.support.peers.environ import clean_environ, is_root
from tests.support.peers.need import need_program
from tests.support.peers.terminal import terminal


@pytest.fixture(scope="module")
def desktop() -> Iterator[dict[str, str]]:
    """The variables of a desktop after the login; its path is short enough for sockets."""
    with (
        tempfile.TemporaryDirectory(prefix="gatepass-") as name,
        secret_service.unlocked(Path(name)) as environ,
    ):
        yield {"DISPLAY": ":99"} | {key: environ[key] for key in OF_A_DESKTOP if key in environ}


@pytest.fixture
def desk(desktop: dict[str, str], tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Desk]:
    folder = tmp_path / "home"
    environ = clean_environ(folder) | desktop
    with ExitStack() as stack:
        # Root reads everything, unless it gives that up.
        prefix = [need_program("setpriv", "util-linux")] if is_root() else []
        prefix += ["--bounding-set=-dac_override,-dac_read_search"] * is_root()
        yield Desk(folder, environ, request.getfixturevalue, stack, prefix)


# ---------------------------------------------------------------- the heart


@pytest.mark.parametrize("name", CASES)
def test_what_is_predicted_is_what_a_run_without_a_person_does(desk: Desk, name: str) -> None:
    """And looking ahead opens no connection to the server, changes nothing and tells no secret."""
    CASES[name].build(desk)
    before, asked = desk.content(), desk.requests()

    predicted = desk.predict()
    after, asked_again = desk.content(), desk.requests()
    ran = desk.run()

    assert predicted.of("problem") == {CASES[name].problem} - {""}
    assert predicted.of("warning") == set()
    assert (predicted.code, ran.returncode) == (
        3 if CASES[name].problem else 0,
        CASES[name].ends,
    ), predicted.text + ran.stderr
    assert (after, asked_again) == (before, asked)
    assert PASSWORD not in predicted.text
    assert OF_THE_KEY not in predicted.text


# ---------------------------------------------------------------- what is told


def test_a_problem_names_what_where_why_and_the_next_step(desk: Desk) -> None:
    jobs.a_prompt_after_what_does_not_answer(desk)

    found = desk.predict().one("auth.password")

    assert found == {
        "profile": "job",
        "verdict": "problem",
        "subject": "auth.password",
        "message": "no alternative would answer:\n"
        "  env:MI_PASSWORD: the variable MI_PASSWORD is not set\n"
        f"  file:~/mi: cannot read {desk.folder / 'mi'}: No such file or directory\n"
        "  prompt: it needs a person",
        "hint": "set MI_PASSWORD in the environment of this run\n"
        f"put the secret into the first line of {desk.folder / 'mi'}, readable by you\n"
        "put env:NAME or file:PATH before it; the first that answers is used",
        "place": f"{desk.user_file}:9:1",
    }


def test_all_that_would_fail_is_told_at_once(desk: Desk) -> None:
    desk.basic(
        '"prompt:"',
        'tls = { ca_file = "/no/such.pem" }\n'
        'proxy = { url = "http://x:1", user_name = "env:USER_THERE", password = "env:THERE" }',
        user='"env:MI_USERNAME"',
    )

    predicted = desk.predict()

    assert predicted.code == 3
    assert predicted.of("problem") == {
        "auth.password", "auth.user_name", "proxy.password", "proxy.user_name", "tls.ca_file"
    }  # fmt: skip
    assert "5 problems in 1 profile" in predicted.text


def test_what_fails_on_the_way_to_the_provider_is_told_by_its_own_keys(desk: Desk) -> None:
    more = (
        'tls = { ca_file = "/no/such.pem", client_cert = "/no/c.pem", '
        'client_key_password = "env:KEY_PW" }\n'
        'proxy = { url = "http://x:1", user_name = "me", password = "env:PROXY_PW" }\n'
    )
    jobs.oidc(desk, jobs.provider(desk), more)

    predicted = desk.predict()

    assert predicted.of("problem") == {
        "login", "auth.tls.ca_file", "auth.tls.client_cert", "auth.tls.client_key",
        "auth.tls.client_key_password", "auth.proxy.password",
    }  # fmt: skip
    assert predicted.one("auth.tls.ca_file")["place"].startswith(str(desk.user_file))
    assert predicted.one("auth.proxy.password")["place"].startswith(str(desk.user_file))


def test_variables_of_this_desk_on_the_way_to_the_provider_are_notes(desk: Desk) -> None:
    """Also where the server needs none of them."""
    desk.environ |= {"HTTPS_PROXY": "http://proxy.example.com:1", "CURL_CA_BUNDLE": "/no/such.pem"}
    desk.profile(
        'scheme = "oidc"\nissuer = "https://login.example.com"',
        'proxy = "none"\ntls.verify = false',
    )

    predicted = desk.predict()

    assert {"auth.proxy", "CURL_CA_BUNDLE"} <= predicted.of("info")
    assert "CURL_CA_BUNDLE" in predicted.of("problem")


def test_before_a_login_the_key_of_the_vault_is_looked_at_too(desk: Desk) -> None:
    """Else the person logs in, and only then hears that the job cannot open the vault."""
    jobs.oidc(desk, jobs.provider(desk), key=False)

    assert desk.predict().of("problem") == {"login", "vault_key"}


NOTES: list[tuple[Build, str, str]] = [
    (jobs.a_variable_that_is_set, "auth.password", "set here; the job must set it too"),
    (
        jobs.a_file_in_the_home_folder,
        "auth.password",
        "home folder of the user",
    ),
    (jobs.a_credential_of_systemd, "auth.password", "LoadCredential="),
    (jobs.a_project_that_is_trusted, "file", "found from the working directory"),
    (jobs.a_ticket, "KRB5CCNAME", "set here"),
    (jobs.a_ticket, "KRB5_CONFIG", "set here"),
    (jobs.a_keytab, "KRB5_CLIENT_KTNAME", "set here"),
    (jobs.a_keytab_that_is_missing, "keytab", "no key that can be used"),
    (jobs.an_entry_of_the_credential_manager_of_windows, "auth.password", "Do not store password"),
    (jobs.a_program_that_the_file_may_not_run, "file", "the job must name it too"),
    (jobs.certificates_of_a_variable_that_are_missing, "REQUESTS_CA_BUNDLE", "set here"),
]


if sys.platform == "linux":  # the stores of others know no variables
    NOTES.append((jobs.authorities_that_a_variable_of_openssl_names, "SSL_CERT_FILE", "set here"))


@pytest.mark.parametrize(
    ("build", "subject", "message"), NOTES, ids=lambda value: getattr(value, "__name__", "")
)
def test_what_a_job_might_see_otherwise_is_info(
    desk: Desk, build: Build, subject: str, message: str
) -> None:
    build(desk)

    infos = [each for each in desk.predict().findings if each["verdict"] == "info"]

    assert [
        each["message"]
        for each in infos
        if each["subject"] == subject and message in each["message"]
    ]


@pytest.mark.parametrize(
    ("variables", "more", "expected"),
    [
        ({"HTTPS_PROXY": "http://u:hunter2@proxy.example.com:1"}, "", {"HTTPS_PROXY"}),
        (
            {"https_proxy": "http://proxy.example.com:1", "NO_PROXY": "mi.example.com"},
            "",
            {"https_proxy", "NO_PROXY"},
        ),
        ({"HTTP_PROXY": "http://proxy.example.com:1"}, "", set()),
        ({"ALL_PROXY": "http://proxy.example.com:1"}, 'proxy = "none"', set()),
        ({"NO_PROXY": "mi.example.com"}, "", set()),
    ],
)
def test_a_proxy_that_this_desks_variables_name_is_info(
    desk: Desk, variables: dict[str, str], more: str, expected: set[str]
) -> None:
    desk.profile('scheme = "anonymous"', more, url="https://mi.example.com")
    desk.environ |= variables

    predicted = desk.predict()

    assert predicted.code == 0
    assert predicted.of("info") == ({"proxy"} if expected else set())
    if expected:
        assert set(predicted.one("proxy")["message"].partition(":")[0].split(", ")) == expected
    assert "hunter2" not in predicted.text


def test_a_file_beside_the_profiles_needs_no_note(desk: Desk) -> None:
    jobs.a_file_beside_the_profiles(desk)

    assert desk.predict().of("info") == set()


def test_a_profile_and_paths_from_variables_are_notes(desk: Desk) -> None:
    desk.environ |= {
        "GATEPASS_PROFILES__JOB__URL": "https://mi.example.com",
        "GATEPASS_PROFILES__JOB__AUTH__SCHEME": "bearer",
        "GATEPASS_PROFILES__JOB__AUTH__TOKEN": "file:token",
        "GATEPASS_ALLOW_COMMANDS": "1",
    }
    desk.file("work/token", "abc")

    predicted = desk.predict()

    assert predicted.code == 0
    assert predicted.of("info") == {"variables", "auth.token"}
    assert "working directory" in predicted.one("auth.token")["message"]
    assert all(
        name in predicted.one("variables")["message"]
        for name in desk.environ
        if name.startswith("GATEPASS_")
    )


# ---------------------------------------------------------------- --for


def test_a_ticket_that_ends_before_the_job_does_is_a_problem(desk: Desk) -> None:
    jobs.autologon(desk, desk.peer("kdc").ccache(lifetime="10m"))

    short, long = desk.predict("--for", "5m"), desk.predict("--for", "8h")

    assert (short.code, long.code) == (0, 3)
    assert "ends at 20" in long.one("ticket")["message"]
    assert "kinit -R" in long.one("ticket")["hint"]


def test_a_keytab_outlasts_its_tickets(desk: Desk) -> None:
    jobs.a_keytab(desk)
    desk.environ |= desk.peer("kdc").environ(desk.peer("kdc").ccache(lifetime="10m"))

    assert desk.predict("--for", "8h").code == 0


def test_a_login_that_is_not_renewed_and_ends_before_the_job_does_is_a_problem(desk: Desk) -> None:
    jobs.a_stored_login_that_cannot_be_renewed(desk)

    short, long = desk.predict("--for", "30m"), desk.predict("--for", "8h")

    assert (short.code, long.code) == (0, 3)
    assert "ends at 20" in long.one("login")["message"]
    assert long.one("login")["hint"] == "run: gatepass login job"


def test_a_login_whose_renewal_ends_before_the_job_does_is_a_problem(desk: Desk) -> None:
    """As Keycloak tells it, by ``refresh_expires_in``; ``status`` agrees."""
    idp = jobs.provider(desk, access_token_seconds=60, refresh_token_seconds=1800)
    jobs.oidc(desk, idp)
    jobs.log_in(desk)

    short, long = desk.predict("--for", "20m"), desk.predict("--for", "8h")
    codes = [
        desk.gatepass("status", "job", "--min-valid", seconds).returncode
        for seconds in ("20m", "8h")
    ]

    assert (short.code, long.code, codes) == (0, 3, [0, 3])
    assert "can be renewed until 20" in long.one("login")["message"]
    assert "gatepass login job" in long.one("login")["hint"]
    assert desk.gatepass("status", "job").stdout.count("until 20") == 2


def test_a_login_that_is_renewed_lasts(desk: Desk) -> None:
    jobs.a_stored_login(desk)

    assert desk.predict("--for", "300d").code == 0


@pytest.mark.parametrize("arguments", [["--for", "8h"], ["--unattended", "--for", "soon"]])
def test_a_time_that_is_none_or_belongs_to_nothing_is_refused(
    desk: Desk, arguments: list[str]
) -> None:
    jobs.a_variable_that_is_set(desk)

    assert desk.gatepass("validate", *arguments).returncode == 2


# ---------------------------------------------------------------- what cannot be told


def test_a_program_is_not_run_and_cannot_be_told(desk: Desk) -> None:
    program = desk.file("program", "#!/bin/sh\ntouch ~/ran\necho sesame\n", mode=0o700)
    desk.basic(f'{{ command = ["{program}"] }}')

    predicted = desk.predict()

    assert (predicted.code, predicted.of("warning")) == (0, {"auth.password"})
    assert "1 warning" in predicted.text
    assert not (desk.folder / "ran").exists()


def test_a_program_that_the_path_of_this_desk_finds_may_not_be_found_by_the_job(desk: Desk) -> None:
    desk.file("bin/program", "#!/bin/sh\necho sesame\n", mode=0o700)
    desk.environ["PATH"] = f"{desk.folder / 'bin'}{os.pathsep}{desk.environ['PATH']}"
    desk.basic('{ command = ["program"] }')

    predicted = desk.predict()

    assert predicted.of("warning") == {"auth.password"}
    assert "the PATH of the job may lead elsewhere" in predicted.text


def test_the_key_of_the_vault_from_a_program_leaves_the_login_untold(desk: Desk) -> None:
    jobs.a_stored_login(desk)
    text = desk.user_file.read_text().replace(
        f'"file:{desk.folder / "vault.key"}"', '{ command = ["echo", "x"] }'
    )
    desk.file(str(desk.user_file), text)

    predicted = desk.predict()

    assert (predicted.code, predicted.of("warning")) == (0, {"vault_key", "login"})


def test_the_login_keychain_of_macos_is_not_asked_and_an_info_says_when_it_is_locked(
    desk: Desk,
) -> None:
    text = jobs.FOREIGN.replace(
        "keyring.backend import KeyringBackend", "keyring.backends import macOS"
    )
    desk.package("manager.py", text.replace("KeyringBackend", "macOS.Keyring"))
    desk.environ["PYTHON_KEYRING_BACKEND"] = "manager.Manager"
    desk.basic('"keyring:"')

    predicted = desk.predict()

    assert (predicted.code, predicted.of("warning")) == (0, {"auth.password"})
    assert "finds it locked" in predicted.text
    assert not (desk.work / "asked").exists()


def test_the_password_of_a_redis_from_a_program_leaves_the_login_untold(desk: Desk) -> None:
    jobs.a_stored_login_in_a_redis(desk)
    program = desk.file("program", "#!/bin/sh\ntouch ~/ran\necho red-sesame\n", mode=0o700)
    text = desk.user_file.read_text().replace('"file:~/redis"', f'{{ command = ["{program}"] }}')
    desk.file(str(desk.user_file), text)

    predicted = desk.predict()

    assert (predicted.code, predicted.of("warning")) == (0, {"vault.password", "login"})
    assert not (desk.folder / "ran").exists()


def test_a_keyring_that_nobody_knows_is_not_asked(desk: Desk) -> None:
    desk.package("manager.py", jobs.FOREIGN)
    desk.environ["PYTHON_KEYRING_BACKEND"] = "manager.Manager"
    desk.basic('"keyring:"')

    predicted = desk.predict()

    assert predicted.of("warning") == {"auth.password"}
    assert "manager.Manager was not asked" in predicted.text
    assert not (desk.work / "asked").exists()


STRANGE = {
    "nothing": ("", "this source cannot be predicted"),
    "raises": ("def unattended(text, context):\n    raise ValueError('sesame')", "ValueError"),
    "late": (
        "def unattended(text, context):\n    yield 1\n    raise ValueError('sesame')",
        "ValueError",
    ),
    "rubbish": ("def unattended(text, context):\n    return ['sesame']", "no list of findings"),
    "none": ("def unattended(text, context):\n    return None", "TypeError"),
    "value": ("unattended = 'sesame'", "TypeError"),
}


@pytest.mark.parametrize("kind", STRANGE)
def test_a_source_that_predicts_wrongly_is_named_and_not_repeated(desk: Desk, kind: str) -> None:
    code, message = STRANGE[kind]
    carried = f"{code}\nshelf.unattended = unattended\n" if code else ""
    desk.package("shelf.py", f"def shelf(text, context):\n    return 'sesame'\n{carried}")
    desk.provides("secrets", "shelf", "shelf:shelf")
    desk.basic('"shelf:mi"')

    predicted = desk.predict()

    assert (predicted.code, predicted.of("warning")) == (0, {"auth.password"})
    assert "shelf" in predicted.one("auth.password")["message"]
    assert message in predicted.one("auth.password")["message"]
    assert PASSWORD not in predicted.text


@pytest.mark.parametrize("kind", STRANGE)
def test_a_scheme_that_predicts_wrongly_is_named_and_not_repeated(desk: Desk, kind: str) -> None:
    """One without a method has its references looked at all the same."""
    code, message = STRANGE[kind]
    method = code.replace("text, context", "self, context").replace("\n", "\n    ")
    desk.package("saml.py", jobs.SAML.format(base="", more=f"    {method}"))
    desk.provides("auth", "saml", "saml:Saml")
    desk.profile('scheme = "saml"\nkey = "env:KEY"')

    predicted = desk.predict()

    assert predicted.of("warning") == {"auth"}
    assert "the scheme saml" in predicted.one("auth")["message"] or kind == "nothing"
    assert predicted.of("problem") == ({"auth.key"} if kind == "nothing" else set())
    assert kind == "nothing" or message in predicted.one("auth")["message"]
    assert PASSWORD not in predicted.text


_INSIDE = """\
from dataclasses import dataclass
from gatepass import SchemeBase, SecretField

@dataclass(frozen=True)
class Inner:
    token: SecretField

@dataclass(frozen=True)
class Saml(SchemeBase):
    inner: Inner
    several: list[SecretField]
    named: dict[str, SecretField]
    def authenticator(self, context):
        context.resolve(a=self.inner.token, b=self.several[1], c=self.named["x"])
        return lambda request: request
"""


def _saml_inside(desk: Desk) -> None:
    desk.package("saml.py", _INSIDE)
    desk.provides("auth", "saml", "saml:Saml")
    desk.profile(
        'scheme = "saml"\ninner = { token = "prompt:" }\n'
        f'several = ["env:HOME", {{ command = ["touch", "{desk.folder}/witness"] }}]\n'
        'named = { x = ["env:NOT_SET", "file:none"] }'
    )


def test_references_in_tables_and_lists_of_a_foreign_scheme_are_looked_at_too(desk: Desk) -> None:
    _saml_inside(desk)

    predicted = desk.predict()
    job = desk.run()

    assert (predicted.code, job.returncode) == (3, 3)
    assert predicted.of("problem") == {"auth.inner.token", "auth.named.x"}
    assert predicted.of("warning") == {"auth.several[1]"}
    assert predicted.one("auth.named.x")["place"].endswith("profiles.toml:10:11")
    assert predicted.one("auth.several[1]")["place"].endswith("profiles.toml:9:1")


def test_resolve_tells_of_references_in_tables_and_lists_of_a_foreign_scheme(desk: Desk) -> None:
    _saml_inside(desk)

    text = desk.gatepass("show", "job", "--origin", "--resolve").stdout

    assert '"prompt:"' in text
    assert "       - prompt: (no answer: nobody is there" in text
    assert "       > env:HOME (answers)\n" in text
    assert "       - command touch (no answer: it is empty" in text
    assert "       - env:NOT_SET (no answer: the variable NOT_SET is not set)\n" in text


def test_a_command_in_a_list_of_a_foreign_scheme_runs_only_where_it_may(desk: Desk) -> None:
    """A project's file runs no program, wherever in it the command stands."""
    _saml_inside(desk)
    other = desk.user_file.rename(desk.folder / "other.toml")

    predicted = desk.predict("--config-file", str(other))
    shown = desk.gatepass("show", "job", "--origin", "--resolve", "--config-file", str(other))

    assert "auth.several[1]" in predicted.of("problem")
    assert "a command runs only when your own file names it" in " ".join(shown.stdout.split())
    assert not (desk.folder / "witness").exists()


_LOUD = """\
from gatepass import Finding
class Loud(str):
    def fail(self, *_): raise RuntimeError("sesame")
    __str__ = __format__ = __eq__ = split = fail
    __hash__ = str.__hash__
"""


def test_a_source_whose_attributes_fail_is_unknown_by_its_own_name(desk: Desk) -> None:
    desk.package(
        "shelf.py",
        "class Shelf:\n    def __call__(self, text, context):\n        return 'sesame'\n"
        "    def __getattr__(self, name):\n        raise RuntimeError('sesame')\nshelf = Shelf()\n",
    )
    desk.provides("secrets", "shelf", "shelf:shelf")
    desk.basic('"shelf:mi"')

    predicted = desk.predict()

    assert "the source shelf" in predicted.one("auth.password")["message"]
    assert predicted.of("warning") == {"auth.password"}
    assert PASSWORD not in predicted.text


_FAILING = "raise RuntimeError('sesame')"


_ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.text() | st.integers() | st.builds(Finding, st.text(), st.text(), st.text()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


# ---------------------------------------------------------------- the command


def test_without_a_name_every_profile_is_predicted_and_a_broken_one_weighs_more(
    desk: Desk,
) -> None:
    jobs.a_prompt(desk)
    text = desk.user_file.read_text()
    desk.file(
        str(desk.user_file),
        text + '[profiles.free]\nurl = "http://localhost"\nauth = { scheme = "anonymous" }\n',
    )
    valid = desk.gatepass("validate", "--unattended", "--json")
    desk.file(str(desk.user_file), desk.user_file.read_text() + "pasword = 1\n")
    broken = desk.gatepass("validate", "--unattended", "--json")

    assert (valid.returncode, broken.returncode) == (3, 2)
    assert [each["profile"] for each in json.loads(valid.stdout)] == ["job"]
    assert [(each["profile"], each["verdict"]) for each in json.loads(broken.stdout)] == [
        ("free", "problem"),
        ("job", "problem"),
    ]


def test_a_project_that_is_not_trusted_is_an_error_as_ever(desk: Desk) -> None:
    jobs.a_file_in_the_home_folder(desk)
    desk.work.mkdir()
    desk.user_file.rename(desk.work / "gatepass.toml")

    done = desk.gatepass("validate", "job", "--unattended")

    assert done.returncode == 2
    assert "gatepass trust" in done.stderr


def test_before_a_person_nobody_is_asked(desk: Desk) -> None:
    desk.basic('"prompt:"')
    environ = desk.environ | {"PYTHONPATH": SOURCES, "GATEPASS_NO_INPUT": "0"}

    with terminal((*ARGV, "validate", "job", "--unattended"), environ) as child:
        code = ended(child)
        shown = screen(child)

    assert code == 3
    assert "it needs a person" in shown
    assert "password of alice" not in shown


def test_a_source_of_another_package_hears_that_nobody_is_there(desk: Desk) -> None:
    desk.environ["GATEPASS_NO_INPUT"] = "0"
    desk.package(
        "shelf.py",
        "from gatepass import Finding\ndef shelf(text, context):\n    return ''\n"
        "def look(text, context):\n"
        "    return [Finding('info', 'x', str(context.terminal.why_not_ask()))]\n"
        "shelf.unattended = look\n",
    )
    desk.provides("secrets", "shelf", "shelf:shelf")
    desk.basic('"shelf:mi"')

    assert "forbids asking" in desk.predict().one("auth.password")["message"]


@pytest.mark.parametrize("variables", [{"CI": "true"}, {"GATEPASS_NO_INPUT": "1"}, {}])
def test_whether_somebody_may_be_asked_here_does_not_matter(
    desk: Desk, variables: dict[str, str]
) -> None:
    jobs.a_prompt(desk)
    desk.environ |= variables

    assert desk.predict().findings[-1]["message"].endswith("it needs a person")


def test_a_scheme_of_another_package_that_cannot_be_loaded_makes_the_profile_invalid(
    desk: Desk,
) -> None:
    desk.package("saml.py", "import no_such_module\n")
    desk.provides("auth", "saml", "saml:Saml")
    desk.profile('scheme = "saml"')

    predicted = desk.predict()

    assert (predicted.code, desk.run().returncode) == (2, 2)
    assert "ModuleNotFoundError at saml.py:1" in predicted.findings[0]["message"]
