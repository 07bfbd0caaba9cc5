"""``gatepass run`` gives a program what the profile names, and then is that program."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from gatepass.cli.run_program import wait_for_end
from gatepass.sandbox.provider import SERVICE_ID, SERVICE_SECRET
from tests.support.faulty_provider import FaultyProvider
from tests.support.home import Home, ended, screen
from tests.support.logins import SERVER, Office, log_in, profile

posix = pytest.mark.skipif(sys.platform == "win32", reason="becomes the program")
SECRET = "sesame-canary"
SHOW = "import os, sys; print({name: os.environ.get(name) for name in sys.argv[1:]})"
BASIC = f"""\
[profiles.mi]
url = "{SERVER}"
auth = {{ scheme = "basic", user_name = "alice", password = "env:PW", domain = "env:DOMAIN" }}
[profiles.mi.run]
"""


def _python(code: str, *arguments: str) -> tuple[str, ...]:
    return "--", sys.executable, "-c", code, *arguments


@pytest.fixture
def person(home: Home) -> Home:
    home.user(BASIC + 'MI_URL = "url"\nMI_USER = "user_name"\nMI_PASSWORD = "password"\n')
    return home.having(PW=SECRET, DOMAIN="CORP").apart


def test_the_program_gets_what_is_named(person: Home) -> None:
    done = person.run("run", *_python(SHOW, "MI_URL", "MI_USER", "MI_PASSWORD", "HOME"))

    values = {"MI_URL": SERVER, "MI_USER": "alice", "MI_PASSWORD": SECRET}
    assert done.stdout == f"{values | {'HOME': person.environ['HOME']}}\n"
    assert (done.returncode, done.stderr) == (0, "")


def test_only_what_is_named_is_looked_up(person: Home) -> None:
    """The reference of the password does not answer, and nobody asks it."""
    person.user(BASIC.replace("env:PW", "env:UNSET") + 'MI_USER = "user_name"\n')

    assert person.run("run", *_python(SHOW, "MI_USER")).stdout == "{'MI_USER': 'alice'}\n"


def test_what_is_missing_is_told_before_anything_starts(person: Home) -> None:
    done = person.having(PW="").run("run", *_python("print('started')"))

    assert (done.returncode, done.stdout) == (3, "")
    assert "auth.password: env:PW: the variable PW is empty" in done.stderr


def test_the_arguments_and_the_input_are_the_programs(person: Home) -> None:
    code = "import json, sys; print(json.dumps([*sys.argv[1:], sys.stdin.read()]))"
    words = ("-p", "--help", "--", "$HOME", "a  b", "")

    done = person.run("run", "-p", "mi", *_python(code, *words), stdin="typed")

    assert json.loads(done.stdout) == [*words, "typed"]


@pytest.mark.parametrize("code", [0, 1, 3, 70, 130, 255])
def test_the_exit_code_is_the_programs(person: Home, code: int) -> None:
    assert person.run("run", *_python(f"raise SystemExit({code})")).returncode == code


@posix
def test_the_program_is_the_same_process_and_so_gets_the_signals(person: Home) -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIG{})"

    assert person.run("run", *_python(code.format("TERM"))).returncode == -signal.SIGTERM
    assert person.run("run", "sh", "-c", "kill -INT $$").returncode == -signal.SIGINT
    # Python ignores these two, and what is ignored stays so in a program that it becomes.
    assert person.run("run", "sh", "-c", "kill -PIPE $$").returncode == -signal.SIGPIPE
    assert person.run("run", "sh", "-c", "kill -XFSZ $$").returncode == -signal.SIGXFSZ


@posix
@pytest.mark.parametrize(("typed", "code"), [("hello\n", 0), ("\x03", 7)])
def test_the_terminal_and_its_ctrl_c_are_the_programs(person: Home, typed: str, code: int) -> None:
    program = (
        "try: print('up', flush=True); assert input() == 'hello'\n"
        "except KeyboardInterrupt: raise SystemExit(7)"
    )
    with person.sit("run", *_python(program)) as child:
        child.expect("up")
        child.send(typed)
        assert ended(child) == code


@posix
@pytest.mark.parametrize(
    ("name", "code", "told"),
    [
        ("nosuch-program", 127, "nosuch-program: there is no such program"),
        ("./nosuch", 127, "there is no such program"),
        ("./text", 127, "there is no such program"),
        (".", 127, "there is no such program"),
        ("", 127, "there is no such program"),
        ("./odd", 126, "cannot start odd: Exec format error"),
    ],
)
def test_what_cannot_be_started_is_told_before_a_secret_is_looked_up(
    person: Home, name: str, code: int, told: str
) -> None:
    (person.work / "text").write_text("echo x")
    (person.work / "odd").write_text("echo x")
    (person.work / "odd").chmod(0o755)
    person = person if code == 126 else person.having(PW="")

    done = person.run("run", "--", name)

    assert (done.returncode, done.stdout) == (code, "")
    assert told in done.stderr


@posix
def test_a_secret_that_no_variable_can_hold_is_not_repeated(person: Home) -> None:
    file = person.write(person.work / "pw", f"{SECRET}\0")
    person.user(BASIC.replace("env:PW", f"file:{file}") + 'MI_PASSWORD = "password"\n')

    done = person.run("run", *_python("print('started')"))

    assert (done.returncode, done.stdout) == (126, "")
    assert "holds what the system cannot pass on" in done.stderr
    assert SECRET not in done.stderr


def test_a_profile_that_names_no_variable_says_how(home: Home) -> None:
    home.user(BASIC)

    done = home.run("run", "true")

    assert done.returncode == 2
    assert 'MI_TOKEN = "token"' in done.stderr


def test_a_project_replaces_no_variable_that_is_set(person: Home) -> None:
    """Your own file may."""
    text = BASIC + 'MI_USER = "user_name"\n'
    person.user(text)
    assert person.having(MI_USER="x").run("run", *_python(SHOW, "MI_USER")).returncode == 0
    person.user("")
    file = person.project(text)
    assert person.run("trust", "--yes").returncode == 0

    assert person.having(MI_USER="").run("run", *_python(SHOW, "MI_USER")).returncode == 0
    done = person.having(MI_USER="x").run("run", *_python(SHOW, "MI_USER"))

    assert (done.returncode, done.stdout) == (2, "")
    assert f"{file}:5:1: run.MI_USER is set already" in done.stderr
    assert "unset MI_USER" in done.stderr


def test_neither_the_log_nor_the_arguments_hold_a_secret(person: Home) -> None:
    code = "import sys, pathlib; sys.stdout.write(pathlib.Path('/proc/self/cmdline').read_text())"

    done = person.run("-v", "run", *_python(code if sys.platform == "linux" else ""))

    assert "MI_URL, MI_USER, MI_PASSWORD" in done.stderr
    assert SECRET not in done.stdout + done.stderr


# ---------------------------------------------------------------- tokens


def test_a_bearer_token_is_given_as_it_is(home: Home) -> None:
    home.user(
        f'[profiles.b]\nurl = "{SERVER}/"\nauth = {{ scheme = "bearer", token = "env:T" }}\n'
        '[profiles.b.run]\nMI_TOKEN = "token"\nMI_URL = "url"\n'
    )

    done = home.having(T=SECRET).apart.run("run", *_python(SHOW, "MI_TOKEN", "MI_URL"))

    assert done.stdout == f"{ {'MI_TOKEN': SECRET, 'MI_URL': SERVER} }\n"


RUN = '[profiles.nightly.run]\nMI_TOKEN = "token"\n'


def test_a_stored_login_gives_a_fresh_token(office: Office, idp: FaultyProvider) -> None:
    log_in(office, profile(idp.issuer) + RUN)

    done = office.empty_office.apart.run("run", *_python(SHOW, "MI_TOKEN"))

    token = office.empty_office.run("token").stdout.strip()
    assert done.stdout == f"{ {'MI_TOKEN': token} }\n"
    assert idp.counts.logins == 1


def test_where_nobody_is_the_login_is_asked_for_and_nothing_starts(
    office: Office, idp: FaultyProvider
) -> None:
    office.home.user(profile(idp.issuer) + RUN)

    done = office.empty_office.apart.run("run", *_python("print('started')"))

    assert (done.returncode, done.stdout) == (3, "")
    assert "gatepass login nightly" in done.stderr


@pytest.mark.parametrize("option", [(), ("--no-store",)])
def test_a_login_at_the_terminal_is_stored_unless_not_wanted(
    office: Office, idp: FaultyProvider, option: tuple[str, ...]
) -> None:
    office.home.user(profile(idp.issuer) + RUN)

    with office.home.sit("run", *option, *_python(SHOW, "HOME")) as child:
        assert ended(child) == 0, screen(child)

    stored = office.empty_office.run("token").returncode == 0
    assert stored is (not option)


def test_a_client_of_its_own_gets_a_token(office: Office, idp: FaultyProvider) -> None:
    more = 'flow = "client_credentials"\nclient_secret = "env:CLIENT_SECRET"\n'
    office.home.user(profile(idp.issuer, more).replace('"gatepass"', f'"{SERVICE_ID}"') + RUN)

    done = office.empty_office.having(CLIENT_SECRET=SERVICE_SECRET).apart.run(
        "run", *_python("import os; print(os.environ['MI_TOKEN'].count('.'))")
    )

    assert done.stdout == "2\n", done.stderr


# ---------------------------------------------------------------- where a process cannot become one


def test_the_way_of_windows_waits_and_passes_the_exit_code_on(tmp_path: Path) -> None:
    environ = {**os.environ, "MI_TOKEN": "t"}
    code = f"import os; open({str(tmp_path / 'out')!r}, 'w').write(os.environ['MI_TOKEN'])"

    assert wait_for_end([sys.executable, "-c", f"{code}; raise SystemExit(9)"], environ) == 9
    assert (tmp_path / "out").read_text() == "t"
