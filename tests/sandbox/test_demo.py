"""The logins of `gatepass demo`, in processes of its own: it must not meet a real keyring."""

import json
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import gatepass
from tests.support.peers import secret_service
from tests.support.peers.environ import clean_environ

SOURCE = str(Path(str(gatepass.__file__)).parents[1])
DEADLINE = 120.0  # seconds; nothing takes that long
NULL = "keyring.backends.null.Keyring"

# Makes all attempts and tells what came of them, and what is left afterwards.
PROGRAM = """
import dataclasses, json, os, sys
from gatepass._system.terminal import Terminal
from gatepass.sandbox.demo import practice

ask, typed = json.loads(sys.argv[1])
terminal = Terminal(interactive=typed is not None, read_hidden=lambda label: typed)
before = dict(os.environ)
with practice(terminal=terminal, ask=ask) as run:
    toml, url = run.config_file.read_text(), run.base_profile["url"]
    attempts, oidc = list(run.attempts()), list(run.oidc_attempts())
    inside = [run.folder, *run.folder.rglob("*")]
    modes = {each.name: oct(each.stat().st_mode & 0o777) for each in inside}
    kinds = {each.name: each.is_dir() for each in inside}
told = [{**dataclasses.asdict(each), "ok": each.ok} for each in attempts]
print(json.dumps({
    "toml": toml,
    "url": url,
    "sources": dict(zip(["env", "file", "keyring", "command", "prompt"], told[:5])),
    "schemes": told[5:],
    "oidc": [{**dataclasses.asdict(each), "ok": each.ok} for each in oidc],
    "modes": [[kinds[name], mode] for name, mode in modes.items()],
    "left": run.folder.exists() or dict(os.environ) != before,
}, default=str))
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """A home folder whose path is short enough for the names of sockets."""
    with tempfile.TemporaryDirectory(prefix="home-") as name:
        yield Path(name)


@pytest.fixture
def environ(home: Path) -> dict[str, str]:
    """A machine on which the keyring package is switched off."""
    return clean_environ(home, PYTHONPATH=SOURCE, PYTHON_KEYRING_BACKEND=NULL)


def run(program: str, environ: dict[str, str], *arguments: str) -> Any:
    """Run a program and return the JSON that it prints; nothing else may be printed."""
    process = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", program, *arguments],
        env=environ,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=DEADLINE,
        check=False,
    )
    assert process.stderr == ""
    return json.loads(process.stdout)


def go(environ: dict[str, str], *, ask: bool = False, typed: str | None = None) -> Any:
    return run(PROGRAM, environ, json.dumps([ask, typed]))


@pytest.fixture(scope="module")
def told() -> Iterator[Any]:
    """What one run tells, on a machine on which the keyring package is switched off."""
    with tempfile.TemporaryDirectory(prefix="home-") as name:
        yield go(clean_environ(Path(name), PYTHONPATH=SOURCE, PYTHON_KEYRING_BACKEND=NULL))


def test_every_source_that_needs_nobody_gets_in_with_one_request(told: Any) -> None:
    for source in ("env", "file", "command"):
        trial = told["sources"][source]
        assert (trial["problem"], trial["skipped"]) == ("", "")
        assert (trial["status"], trial["user"], trial["requests"]) == (200, "alice", 1)
        assert trial["ok"]


def test_nothing_is_left_and_only_the_owner_can_look_meanwhile(told: Any) -> None:
    assert told["left"] is False
    if sys.platform != "win32":
        assert len(told["modes"]) > 5
        for is_folder, mode in told["modes"]:
            assert mode == ("0o700" if is_folder else "0o600")


def test_each_reference_is_shown_as_the_file_has_it(told: Any) -> None:
    profiles = tomllib.loads(told["toml"])["profiles"]
    assert all(each.get("extends", "env") == "env" for each in profiles.values())
    assert list(profiles) == list(told["sources"])
    for source, trial in told["sources"].items():
        shown = tomllib.loads(trial["name"])
        assert shown == {"password": profiles[source]["auth"]["password"]}
        assert "\n" not in trial["name"]


def test_a_keyring_that_is_not_good_enough_is_skipped_with_the_reason(told: Any) -> None:
    trial = told["sources"]["keyring"]
    assert "switched off" in trial["skipped"]
    assert trial["hint"]
    assert (trial["requests"], trial["problem"], trial["ok"]) == (0, "", False)


def test_the_prompt_is_tried_only_when_asked_for(environ: dict[str, str]) -> None:
    trial = go(environ, typed="sesame")["sources"]["prompt"]
    assert (trial["skipped"], trial["requests"]) == ("gatepass demo --ask tries it", 0)


def test_the_prompt_is_not_tried_when_nobody_is_there(environ: dict[str, str]) -> None:
    trial = go(environ, ask=True)["sources"]["prompt"]
    assert "needs a person" in trial["skipped"]
    assert trial["requests"] == 0


def test_a_person_who_answers_gets_in(environ: dict[str, str]) -> None:
    trial = go(environ, ask=True, typed="sesame")["sources"]["prompt"]
    assert (trial["ok"], trial["skipped"], trial["problem"]) == (True, "", "")


def test_a_person_who_mistypes_is_told_so(environ: dict[str, str]) -> None:
    trial = go(environ, ask=True, typed="mistyped")["sources"]["prompt"]
    assert (trial["ok"], trial["status"], trial["user"]) == (False, 401, None)
    assert trial["problem"]
    assert "mistyped" not in json.dumps(trial)


def test_the_user_s_own_profiles_and_variables_do_not_take_part(environ: dict[str, str]) -> None:
    """... nor does a proxy, which would not find this machine."""
    environ |= {
        "GATEPASS_PROFILE": "other",
        "GATEPASS_CONFIG_FILE": "/nowhere/profiles.toml",
        "GATEPASS_PROFILES__ENV__URL": "http://127.0.0.1:1/",
        "MI_PASSWORD": "another",
        "HTTP_PROXY": "http://127.0.0.1:1",
        "http_proxy": "http://127.0.0.1:1",
    }
    assert go(environ)["sources"]["env"]["ok"]


def test_each_scheme_meets_each_mode_and_works_or_says_what_does(told: Any) -> None:
    found = {(each["name"], each["mode"]): each for each in told["schemes"]}
    assert len(found) == 9
    for (name, mode), attempt in found.items():
        fits = {
            'scheme = "basic"': mode != "windows",
            'scheme = "ntlm"': mode != "standalone",
            'scheme = "credentials"': True,
        }
        assert (attempt["problem"], attempt["ok"]) == ("", fits[name])
        assert (attempt["not_offered"] == "") is fits[name]
        assert (attempt["status"], attempt["user"]) == (
            (200, "alice") if fits[name] else (401, None)
        )
    refused = found['scheme = "basic"', "windows"]["not_offered"]
    assert "Negotiate, NTLM (Windows mode)" in refused
    assert "Use basic or credentials." in found['scheme = "ntlm"', "standalone"]["not_offered"]


def test_the_login_of_each_scheme_takes_its_number_of_messages(told: Any) -> None:
    assert [each["requests"] for each in told["schemes"]] == [1, 1, 1, 1, 3, 3, 2, 3, 3]


def test_a_stored_login_costs_one_request_and_none_to_the_identity_provider(told: Any) -> None:
    first, warm, renewal = told["oidc"]
    for each in (first, warm, renewal):
        assert (each["problem"], each["skipped"]) == ("", "")
        assert (each["status"], each["user"], each["ok"]) == (200, "alice", True)
    assert (first["name"], warm["name"], renewal["name"]) == (
        "first login",
        "warm start",
        "renewal",
    )
    # The API says where to log in; metadata, token and keys.
    assert (first["requests"], first["provider_requests"]) == (2, 3)
    assert (warm["requests"], warm["provider_requests"]) == (1, 0)
    # The token, and the keys by which its ID token is checked.
    assert (renewal["requests"], renewal["provider_requests"]) == (1, 2)


def test_the_login_needs_no_person_no_proxy_and_no_vault_of_the_user(
    environ: dict[str, str], home: Path
) -> None:
    environ |= {
        "GATEPASS_NO_INPUT": "1",
        "GATEPASS_VAULT": str(home / "own"),
        "GATEPASS_VAULT_KEY": "env:NOT_SET",
        "HTTP_PROXY": "http://127.0.0.1:1",
        "http_proxy": "http://127.0.0.1:1",
    }
    before = sorted(home.rglob("*"))
    assert all(each["ok"] for each in go(environ)["oidc"])
    assert sorted(home.rglob("*")) == before


@pytest.mark.parametrize("part", ["joserfc", "filelock"])
def test_where_a_part_is_missing_the_sessions_say_so_and_all_else_goes_on(
    environ: dict[str, str], part: str
) -> None:
    found = run(f"import sys; sys.modules[{part!r}] = None\n{PROGRAM}", environ, "[false, null]")
    assert found["left"] is False
    assert found["sources"]["env"]["ok"]
    *_, last = found["oidc"]
    assert last["skipped"].startswith(f"it needs {part}")
    assert (last["ok"], last["problem"]) == (False, "")


@pytest.mark.skipif(sys.platform == "win32", reason="there a process cannot interrupt itself")
def test_ctrl_c_during_a_renewal_leaves_nothing(environ: dict[str, str]) -> None:
    """A renewal goes on after Ctrl-C; it is waited for, and the folder goes after it."""
    program = """
import json, os, signal, sys, threading
from gatepass.sandbox.demo import practice

asked, ended = threading.Event(), threading.Event()

def interrupt(event, arguments):
    if event != "os.rename" or threading.current_thread().name != "gatepass-refresh":
        return
    if not asked.is_set():
        asked.set()
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        ended.wait(1)  # without waiting for this write the demo has ended now

sys.addaudithook(interrupt)
sessions = []
try:
    with practice() as run:
        folder = run.folder
        for attempt in run.oidc_attempts():
            sessions.append(attempt.name)
except KeyboardInterrupt:
    alive = [each.name for each in threading.enumerate() if "refresh" in each.name]
    ended.set()
    print(json.dumps([sessions, alive, folder.exists()]))
"""
    assert run(program, environ) == [["first login", "warm start"], [], False]


@pytest.mark.skipif(sys.platform != "linux", reason="the Secret Service is of Linux desktops")
def test_an_unlocked_keyring_is_used_and_the_entry_removed(home: Path) -> None:
    program = (
        PROGRAM.replace("print(json.dumps({", "printed = (json.dumps({")
        + """
import keyring
from urllib.parse import urlsplit
printed = json.loads(printed)
service = "gatepass:http://" + urlsplit(printed["url"]).netloc
printed["entry"] = keyring.get_password(service, "alice")
print(json.dumps(printed))
"""
    )
    with secret_service.unlocked(home) as desktop:
        found = run(program, desktop | {"PYTHONPATH": SOURCE}, "[false, null]")
    trial = found["sources"]["keyring"]
    assert (trial["problem"], trial["skipped"], trial["requests"]) == ("", "", 1)
    assert trial["ok"]
    assert found["entry"] is None


# Keeps entries in the process and does to its caller what is asked for.
BACKEND = """
import os, signal, threading
from keyring.backend import KeyringBackend

entries, asked = {}, threading.Event()

class Keeps(KeyringBackend):
    priority = 1
    def get_password(self, service, account):
        asked.set()
        return entries.get((service, account))
    def set_password(self, service, account, secret):
        entries[service, account] = secret
    def delete_password(self, service, account):
        del entries[service, account]

class Interrupts(Keeps):
    def set_password(self, service, account, secret):
        asked.clear()
        os.kill(os.getpid(), signal.SIGINT)
        asked.wait(1)  # without waiting for this write the demo looks for the entry now
        super().set_password(service, account, secret)

class Changes(Keeps):
    def set_password(self, service, account, secret):
        super().set_password(service, account, secret + "!")

class PlainText(Keeps):  # a name by which the keyring source knows that kind
    pass

class Holds(Keeps):
    def delete_password(self, service, account):
        raise ValueError(entries[service, account])
"""


@pytest.fixture
def own_keyring(environ: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """A machine with a keyring whose behaviour the test chooses by PYTHON_KEYRING_BACKEND."""
    (tmp_path / "backend.py").write_text(BACKEND, encoding="utf-8")
    path = f"{SOURCE}{':' if sys.platform != 'win32' else ';'}{tmp_path}"
    return environ | {"PYTHONPATH": path}


@pytest.mark.skipif(sys.platform == "win32", reason="there a process cannot interrupt itself")
def test_ctrl_c_while_the_keyring_writes_leaves_no_entry(own_keyring: dict[str, str]) -> None:
    own_keyring["PYTHON_KEYRING_BACKEND"] = "backend.Interrupts"
    program = """
import backend, json
from gatepass.sandbox.demo import practice
try:
    with practice() as run:
        folder = run.folder
        for attempt in run.attempts():
            pass
except KeyboardInterrupt:
    left = [str(key) for key in backend.entries]
    print(json.dumps({"entries": left, "folder": folder.exists(), "last": attempt.name}))
"""
    assert run(program, own_keyring) == {
        "entries": [],
        "folder": False,
        "last": 'password = "file:password.txt"',
    }


def test_a_keyring_of_plain_text_is_used_only_where_the_user_allows_it(
    own_keyring: dict[str, str],
) -> None:
    own_keyring["PYTHON_KEYRING_BACKEND"] = "backend.PlainText"
    assert "plain text" in go(own_keyring)["sources"]["keyring"]["skipped"]
    own_keyring["GATEPASS_ALLOW_INSECURE_KEYRING"] = "1"
    assert go(own_keyring)["sources"]["keyring"]["ok"]


def test_an_entry_that_was_not_kept_as_it_was_written_is_removed_too(
    own_keyring: dict[str, str],
) -> None:
    own_keyring["PYTHON_KEYRING_BACKEND"] = "backend.Changes"
    program = """
import backend, json
from gatepass.sandbox.demo import practice
with practice() as run:
    skipped = [attempt.skipped for attempt in run.attempts()]
print(json.dumps([skipped[2], len(backend.entries)]))
"""
    reason, entries = run(program, own_keyring)
    assert "read back" in reason
    assert entries == 0


def test_an_entry_that_cannot_be_removed_is_told(own_keyring: dict[str, str]) -> None:
    own_keyring["PYTHON_KEYRING_BACKEND"] = "backend.Holds"
    trial = go(own_keyring)["sources"]["keyring"]
    assert "could not be removed" in trial["problem"]
    assert "keyring del" in trial["hint"]
    assert "sesame" not in json.dumps(trial)


@pytest.mark.parametrize("steps_before", [0, 1, 3, 5, 8, 14, 15, 16])
def test_ctrl_c_between_the_steps_leaves_nothing(
    environ: dict[str, str], steps_before: int
) -> None:
    program = f"""
import itertools, json, signal, socket, threading, tomllib
from urllib.parse import urlsplit
from gatepass.sandbox.demo import practice

def refuses(url):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", urlsplit(url).port)) != 0

try:
    with practice() as run:
        urls = [run.base_profile["url"]]
        steps = itertools.chain(run.attempts(), run.oidc_attempts())
        for _ in range({steps_before}):
            step = next(steps)
            if step.mode == "oidc":
                profiles = tomllib.loads((run.folder / "oidc.toml").read_text())["profiles"]
                urls.append(profiles["nightly"]["url"])
        signal.raise_signal({int(signal.SIGINT)})
except KeyboardInterrupt:
    refused = all(map(refuses, urls))
    threads = [each.name for each in threading.enumerate() if "sandbox" in each.name]
    print(json.dumps([run.folder.exists(), refused, threads]))
"""
    assert run(program, environ) == [False, True, []]
