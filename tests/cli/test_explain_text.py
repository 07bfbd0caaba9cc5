"""``gatepass show NAME --origin``: compared with what a person would write down."""

import contextlib
import io
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gatepass._config import files
from gatepass._config.locations import Locations
from gatepass._config.trust import TrustStore
from gatepass._system.terminal import Terminal
from gatepass.cli import run
from gatepass.cli._context import Context
from tests.support.home import Home, ended, screen
from tests.support.peers.daemon import running
from tests.support.peers.need import need_program
from tests.support.peers.waiting import wait_for

SYSTEM = """\
vault = "/srv/vault"\r
\r
[profiles]\r
base = { description = "Größe 𝄞 €", retries = 1, auth.scheme = "bearer", auth.token = "env:OLD" }\r
\r
[profiles.prod]\r
timeout = 7\r
"proxy".url = "http://proxy.example.com:3128"\r
proxy.user_name = "env:PROXY_USER"\r
proxy.password = 'env:PROXY_PASSWORD'\r
"""

USER = """\
default_profile = "other"
vault = "/home/vault"
[profiles.base]
url = "https://mi.example.com/mi"   # of all

[profiles.prod]
extends = "base"
description = "prod"
[profiles.prod.auth]
scheme = "credentials"
user_name = "env:MI_USERNAME"
password = [
    "env:MI_PASSWORD_OF_THE_SERVER_FOR_PRODUCTION",
    "keyring:",
    "prompt:Granta MI password",
]
[profiles.other]
url = "https://other.example.com/"
"""

EXPECTED = """\
profile prod: named by the argument

description = "prod"
    from {user}:8:1
    over "Größe 𝄞 €"
      at {system}:4:10
     why prod inherits from base (extends), and its own keys win
retries = 4
    from GATEPASS_PROFILES__PROD__RETRIES
    over 1
      at {system}:4:37
     why a variable wins over files
url = "https://mi.example.com/mi"
    from {user}:4:1
timeout = 7
    from {system}:7:1
extends = "base"
    from {user}:7:1
auth.scheme = "credentials"
    from {user}:10:1
    over "bearer"
      at {system}:4:55
     why another auth.scheme starts with an empty auth table
auth.user_name = "env:MI_USERNAME"
    from {user}:11:1
auth.password = [
    "env:MI_PASSWORD_OF_THE_SERVER_FOR_PRODUCTION",
    "keyring:",
    "prompt:Granta MI password",
]
    from {user}:12:1
proxy.url = "http://new.example.com:3128"
    from GATEPASS_PROFILES__PROD__PROXY__URL
    over "http://proxy.example.com:3128"
      at {system}:8:9
     why another proxy gets no login that was meant for this one
# not set: proxy.user_name
    from default
    over "env:PROXY_USER"
      at {system}:9:7
      by GATEPASS_PROFILES__PROD__PROXY__URL
     why another proxy gets no login that was meant for this one
# not set: proxy.password
    from default
    over "env:PROXY_PASSWORD"
      at {system}:10:7
      by GATEPASS_PROFILES__PROD__PROXY__URL
     why another proxy gets no login that was meant for this one
protected = false  # default
check_path = ""  # default
headers = {{}}  # default
tls.verify = true  # default
run = {{}}  # default
allow_http = false  # default
auth.channel_binding = true  # default
# not set: tls.ca_file, tls.client_cert, tls.client_key,
#   tls.client_key_password, auth.domain

written, but without any effect:
auth.token = "env:OLD"
      at {system}:4:79
      by {user}:10:1
     why another auth.scheme starts with an empty auth table

machine settings:
vault = "/run/vault"
    from GATEPASS_VAULT
    over "/home/vault"
      at {user}:2:1
     why a variable wins over files
    over "/srv/vault"
      at {system}:1:1
     why a variable wins over files
allow_commands = false  # default
allow_insecure_keyring = false  # default
# not set: vault_key

files:
       read {system} (system)
       read {user} (user)
     absent {project} (project)
         here and in the folders above
"""


def test_own_files_variables_and_what_each_overrode_read_as_written_by_hand(
    locations: Locations, capsys: pytest.CaptureFixture[str]
) -> None:
    """CRLF, a name in unicode before a key, inline tables, quoted and dotted keys, a list."""
    system, user = _write(locations.system[0], SYSTEM), _write(locations.user, USER)
    variables = {
        "GATEPASS_PROFILES__PROD__RETRIES": "4",
        "GATEPASS_PROFILES__PROD__PROXY__URL": "http://new.example.com:3128",
        "GATEPASS_VAULT": "/run/vault",
    }

    shown = _shown(locations, capsys, "prod", variables=variables)

    assert locations.working is not None
    project = locations.working / "gatepass.toml"
    assert shown == EXPECTED.format(system=system, user=user, project=project)


PROJECT = """\
[profiles.prod]
url = "https://mi.example.com/mi"
auth.scheme = "anonymous"
headers.Accept-Language = "de"
headers.X-Api-Key = "hunter2"
"""

LOCAL = """\
[profiles.prod.headers]
Accept-Language = "en"
[profiles.prod.tls]
ca_file = "ca.pem"
"""

MINE = """\
[profiles.prod]
url = "https://bob:hunter2@mine.example.com/?key=hunter2"
retries = 9
auth = { scheme = "basic", user_name = "bob", password = "hunter2", pasword = "hunter2" }
"""

REPLACED = """\
profile prod: the only profile that is not protected

url = "https://mi.example.com/mi"
    from {project}:2:1
    over "https://...@mine.example.com/?..."
      at {user}:2:1
      by {project}:1:11
     why the project's profile replaces the own one of that name whole
auth.scheme = "anonymous"
    from {project}:3:6
    over "basic"
      at {user}:4:10
      by {project}:1:11
     why the project's profile replaces the own one of that name whole
headers.Accept-Language = "en"
    from {local}:2:1
    over "de"
      at {project}:4:9
     why gatepass.local.toml wins over gatepass.toml
headers.X-Api-Key = (not shown)
    from {project}:5:9
tls.ca_file = "ca.pem"
    from {local}:4:1
retries = 3
    from default
    over 9
      at {user}:3:1
      by {project}:1:11
     why the project's profile replaces the own one of that name whole
protected = false  # default
description = ""  # default
check_path = ""  # default
timeout = [10, 60]  # default
tls.verify = true  # default
run = {{}}  # default
allow_http = false  # default
# not set: extends, proxy, tls.client_cert, tls.client_key,
#   tls.client_key_password

written, but without any effect:
auth.user_name = (not shown)
      at {user}:4:28
      by {project}:1:11
     why the project's profile replaces the own one of that name whole
auth.password = (not shown)
      at {user}:4:47
      by {project}:1:11
     why the project's profile replaces the own one of that name whole
auth.pasword = (not shown)
      at {user}:4:69
      by {project}:1:11
     why the project's profile replaces the own one of that name whole

machine settings:
allow_commands = false  # default
allow_insecure_keyring = false  # default
# not set: vault, vault_key

files:
     absent {system} (system)
       read {user} (user)
       read {project} (project)
       read {local} (local)
    skipped {stray} (project)
         only your own file has this name; a project's is called gatepass.toml
"""


def test_a_project_replaces_the_own_profile_whole_and_no_secret_of_the_loser_shows(
    locations: Locations, capsys: pytest.CaptureFixture[str]
) -> None:
    user, project, local = _write(locations.user, MINE), *_trusted(locations, PROJECT, LOCAL)
    stray = _write(project.parent / "profiles.toml", "")

    shown = _shown(locations, capsys)

    places = {"user": user, "project": project, "local": local, "stray": stray}
    assert shown == REPLACED.format(system=locations.system[0], **places)
    assert "hunter2" not in shown


def test_no_line_but_a_path_is_wider_than_80_columns(
    locations: Locations, capsys: pytest.CaptureFixture[str]
) -> None:
    _write(locations.user, USER)

    shown = _shown(locations, capsys, "prod", "--resolve")

    assert [line for line in shown.splitlines() if len(line) > 80 and "/" not in line] == []


def test_json_holds_the_same(locations: Locations, capsys: pytest.CaptureFixture[str]) -> None:
    system, user = _write(locations.system[0], SYSTEM), _write(locations.user, USER)
    variables = {"GATEPASS_PROFILE": "prod", "GATEPASS_PROFILES__PROD__RETRIES": "4"}

    report = json.loads(_shown(locations, capsys, "--json", variables=variables))

    keys = {each["key"]: each for each in report["keys"]}
    assert report["chosen"] == "named by GATEPASS_PROFILE"
    assert keys["retries"] == {
        "key": "retries",
        "value": 4,
        "location": "GATEPASS_PROFILES__PROD__RETRIES",
        "layer": "variable",
        "overrode": [
            {
                "key": "retries",
                "value": 1,
                "location": f"{system}:4:37",
                "layer": "system",
                "by": "GATEPASS_PROFILES__PROD__RETRIES",
                "why": "a variable wins over files",
            }
        ],
    }
    assert keys["auth.password"]["value"][1] == "keyring:"
    assert keys["protected"]["location"] == "default"
    assert [each["key"] for each in report["unused"]] == ["auth.token"]
    assert report["machine"][0]["location"] == f"{user}:2:1"
    assert report["files"][1] == {"path": str(user), "layer": "user", "state": "read", "why": ""}
    assert "references" not in report


@given(
    st.dictionaries(
        st.sampled_from(["auth", "headers", "proxy", "tls", "url", "timeout", "odd key"]),
        st.recursive(
            st.text(max_size=5) | st.integers() | st.booleans() | st.just("http://a:b/c@d?e"),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["scheme", "password", "url", "X-A", "command", ""]), inner
                )
            ),
            max_leaves=6,
        ),
        min_size=1,
    )
)
@example({"auth": {"command": ["http://a:b/c@d?e"]}})
@settings(max_examples=60, deadline=None)
def test_whatever_lost_is_told_without_a_fault_and_without_a_login(table: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        locations = Locations((), folder / "own.toml", folder / "state", folder / "work", None)
        (folder / "work" / ".git").mkdir(parents=True)
        _write(locations.user, tomli_w.dumps({"profiles": {"prod": table}}))
        _trusted(locations, PROJECT, LOCAL)
        stream = io.StringIO()
        with contextlib.redirect_stdout(stream):
            context = Context({}, Terminal({}, interactive=False), locations)
            assert run(["show", "prod", "--origin"], context) == 0

    assert "a:b/c" not in stream.getvalue()
    assert all(c.isprintable() or c == "\n" for c in stream.getvalue())


# ---------------------------------------------------------------- --resolve


def _with_password(reference: str) -> str:
    return (
        '[profiles.prod]\nurl = "https://mi.example.com"\n'
        f'auth = {{ scheme = "basic", user_name = "alice", password = {reference} }}\n'
    )


Outcome = tuple[str | None, bool, list[tuple[str, str]]]


def _outcome(home: Home, *arguments: str) -> Outcome:
    done = home.run("show", "prod", "--origin", "--resolve", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    assert "hunter2" not in done.stdout + done.stderr
    (report,) = json.loads(done.stdout)["references"]
    states = [(each["reference"], each["state"]) for each in report["answers"]]
    return report["used"], report["certain"], states


def test_the_first_that_answers_is_used_and_the_others_are_not_asked(home: Home) -> None:
    witness = home.work / "witness"
    home.user(
        _with_password(
            '["env:UNSET", "env:EMPTY", "file:none", "keyring:", "env:SET", '
            f'{{ command = ["touch", "{witness}"] }}, "prompt:"]'
        )
    )
    there = home.having(EMPTY="", SET="hunter2")

    used, certain, states = _outcome(there)
    text = there.run("show", "prod", "--origin", "--resolve").stdout

    assert (used, certain) == ("env:SET", True)
    assert [state for _, state in states] == ["no answer"] * 4 + ["answers"] + ["not needed"] * 2
    assert "       - env:UNSET (no answer: the variable UNSET is not set)\n" in text
    assert "       - env:EMPTY (no answer: the variable EMPTY is empty)\n" in text
    assert "       > env:SET (answers)\n" in text
    assert not witness.exists()
    assert "hunter2" not in text


def test_a_command_runs_where_a_session_would_run_it_and_only_there(home: Home) -> None:
    text = _with_password('[{ command = ["echo", "hunter" , "2"] }, "env:SET"]')
    home.user(text)
    file = home.write(home.work / "other.toml", text)
    there = home.having(SET="x")

    own = _outcome(there)
    named = _outcome(there, "--config-file", str(file))
    listed = there.run("secret", "list", "--all").stdout

    assert own == ("command echo", True, [("command echo", "answers"), ("env:SET", "not needed")])
    assert named == ("env:SET", True, [("command echo", "no answer"), ("env:SET", "answers")])
    assert "command echo  not run" in listed


def test_where_nobody_is_a_prompt_gives_no_answer(home: Home) -> None:
    home.user(_with_password('"prompt:Who?"'))

    used, certain, states = _outcome(home)
    text = home.apart.run("show", "prod", "--origin", "--resolve").stdout

    assert (used, certain, states) == (None, True, [("prompt:Who?", "no answer")])
    assert "nobody is there: there is no terminal to ask on" in text
    assert "none would answer here" in text


def test_a_person_is_told_of_a_prompt_and_not_asked(home: Home) -> None:
    home.user(_with_password('["env:UNSET", "prompt:Who are you?"]'))

    with home.sit("show", "prod", "--origin", "--resolve") as child:
        assert ended(child) == 0
        shown = screen(child)

    assert "> prompt:Who are you? (would ask a person)" in shown


def test_a_locked_keyring_is_told_and_left_alone(
    locked_keyring: dict[str, str], home: Home
) -> None:
    """Reading from it would start a dialog; where a person is, it is said that it would."""
    there = home.having(**locked_keyring)
    there.user(_with_password('["keyring:", "env:SET"]'))

    used, _, states = _outcome(there.having(SET="hunter2"))
    listed = there.run("secret", "list", "--all").stdout
    with there.sit("show", "prod", "--origin", "--resolve") as child:
        assert ended(child) == 0
        shown = screen(child)

    assert (used, states[0]) == ("env:SET", ("keyring:", "no answer"))
    assert "the keyring is locked" in listed
    assert "> keyring: (would ask a person: the keyring is locked" in shown


def test_nothing_is_asked_to_unlock_a_locked_keyring(
    locked_keyring: dict[str, str], home: Home, tmp_path: Path
) -> None:
    """Heard on the bus: a person's login asks for it, which would start a dialog; nothing else."""
    # The keyring package closes no connection to a bus on which nobody unlocks its collection.
    there = home.apart.having(**locked_keyring)
    there.user(_with_password('["keyring:", "env:SET"]'))
    heard, log = need_program("dbus-monitor", "dbus-bin"), tmp_path / "bus.log"
    argv = [heard, "--session", "interface='org.freedesktop.Secret.Service',member='Unlock'"]

    with running(argv, environ=there.environ, log=log, ready=lambda: "Acquired" in log.read_text()):
        there.run("show", "prod", "--origin", "--resolve")
        there.run("secret", "list", "--all")
        there.run("check", "prod")
        quiet = "member=Unlock" not in log.read_text()
        there.having(GATEPASS_NO_INPUT="0").run("check", "prod")
        wait_for(lambda: "member=Unlock" in log.read_text(), 20, "the bus tells of the login")

    assert quiet


def test_an_unlocked_keyring_answers(desk: Home) -> None:
    desk.user(_with_password('["keyring:", "env:SET"]'))

    without = _outcome(desk.having(SET="x"))
    assert desk.run("secret", "set", "prod", stdin="hunter2").returncode == 0
    stored = _outcome(desk.having(SET="x"))

    assert without[0] == "env:SET"
    assert stored[0] == "keyring:"


def test_a_user_name_that_is_a_reference_is_not_shown_either(desk: Home) -> None:
    desk.user(_with_password('"keyring:"').replace('"alice"', '"env:NAME"'))

    done = desk.having(NAME="hunter2").run("show", "--origin", "--resolve")

    assert "the keyring has no entry (user_name) of" in " ".join(done.stdout.split())
    assert "hunter2" not in done.stdout


def test_a_keyring_that_hangs_is_told_as_timed_out_once_and_the_next_is_asked(home: Home) -> None:
    """Its deadline is spent once, not for every reference."""
    home.user(
        _with_password('["keyring:", "env:SET"]')
        + '[profiles.prod.proxy]\nurl = "http://p.example.com:1"\nuser_name = "u"\n'
        'password = ["keyring:gatepass/proxy", "env:SET"]\n'
    )
    root = str(Path(__file__).parents[2])
    slow = replace(
        home.having(SET="hunter2", PYTHON_KEYRING_BACKEND="tests.support.hanging_keyring.Keyring"),
        path=[root],
    )

    done = slow.run("show", "prod", "--origin", "--resolve", "--json")

    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)["references"]
    assert [each["used"] for each in report] == ["env:SET", "env:SET"]
    assert {each["answers"][0]["state"] for each in report} == {"no answer"}
    (why,) = {each["answers"][0]["note"] for each in report}
    assert why.startswith("the keyring did not answer within 5 s")
    assert "hunter2" not in done.stdout


def test_what_cannot_be_told_without_asking_is_left_open(desk: Home) -> None:
    """The entry of the keyring is that of a user whose name only a person knows."""
    desk.user(_with_password('["keyring:", "env:SET"]').replace('"alice"', '"prompt:Who?"'))
    there = desk.having(SET="hunter2")

    report = json.loads(there.run("show", "--origin", "--resolve", "--json").stdout)["references"]
    text = there.run("show", "--origin", "--resolve").stdout

    assert [(each["used"], each["certain"]) for each in report] == [
        (None, True),
        ("env:SET", False),
    ]
    why = "- keyring: (not run: the user name, which names the entry, is not known here)"
    assert why in " ".join(text.split())
    assert "unless one before it answers, which was not asked" in text


def test_the_vaults_key_is_a_reference_too(home: Home) -> None:
    home.user('vault_key = "env:KEY"\n' + _with_password('"env:SET"'))

    done = home.having(KEY="hunter2").run("show", "--origin", "--resolve", "--json")

    report = {each["field"]: each["used"] for each in json.loads(done.stdout)["references"]}
    assert report == {"auth.password": None, "vault_key": "env:KEY"}
    assert "hunter2" not in done.stdout


def test_resolve_goes_with_origin(home: Home) -> None:
    home.user(_with_password('"env:SET"'))

    done = home.run("show", "prod", "--resolve")

    assert done.returncode == 2
    assert "--resolve goes with --origin" in done.stderr


# ---------------------------------------------------------------- helpers


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    path.chmod(0o600)
    return path


def _trusted(locations: Locations, project: str, local: str) -> list[Path]:
    assert locations.working is not None
    paths = []
    for name, text in (("gatepass.toml", project), ("gatepass.local.toml", local)):
        path = _write(locations.working / name, text)
        file = files.read_file(path)
        assert file is not None
        TrustStore(locations.state).add(file)
        paths.append(path)
    return paths


def _shown(
    locations: Locations,
    capsys: pytest.CaptureFixture[str],
    *arguments: str,
    variables: dict[str, str] | None = None,
) -> Any:
    context = Context(variables or {}, Terminal({}, interactive=False), locations)
    assert run(["show", "--origin", *arguments], context) == 0
    return capsys.readouterr().out
