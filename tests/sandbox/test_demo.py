"""The logins of `gatepass demo`, in processes of its own: it must not meet a real keyring."""

import json
import signal
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.demos import NULL, PROGRAM, SOURCE, go, run
from tests.support.peers.environ import clean_environ


@pytest.fixture(scope="module")
def report() -> Iterator[Any]:
    """What one run tells, on a machine on which a keyring would be noticed."""
    with tempfile.TemporaryDirectory(prefix="home-") as name:
        yield go(clean_environ(Path(name), PYTHONPATH=SOURCE, PYTHON_KEYRING_BACKEND=NULL))


def test_every_source_that_needs_nobody_gets_in_with_one_request(report: Any) -> None:
    for source in ("env", "file", "command"):
        trial = report["sources"][source]
        assert (trial["problem"], trial["skipped"]) == ("", "")
        assert (trial["status"], trial["user"], trial["requests"]) == (200, "alice", 1)
        assert trial["ok"]


def test_nothing_is_left_and_only_the_owner_can_look_meanwhile(report: Any) -> None:
    assert report["left"] is False
    if sys.platform != "win32":
        assert len(report["modes"]) > 5
        for is_folder, mode in report["modes"]:
            assert mode == ("0o700" if is_folder else "0o600")


def test_each_reference_is_shown_as_the_file_has_it(report: Any) -> None:
    profiles = tomllib.loads(report["toml"])["profiles"]
    assert all(each.get("extends", "env") == "env" for each in profiles.values())
    assert list(profiles) == list(report["sources"])
    for source, trial in report["sources"].items():
        shown = tomllib.loads(trial["name"])
        assert shown == {"password": profiles[source]["auth"]["password"]}
        assert "\n" not in trial["name"]


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


def test_each_scheme_meets_each_mode_and_works_or_says_what_does(report: Any) -> None:
    found = {(each["name"], each["mode"]): each for each in report["schemes"]}
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


def test_the_login_of_each_scheme_takes_its_number_of_messages(report: Any) -> None:
    assert [each["requests"] for each in report["schemes"]] == [1, 1, 1, 1, 3, 3, 2, 3, 3]


def test_a_stored_login_costs_one_request_and_none_to_the_identity_provider(report: Any) -> None:
    first, warm, renewal = report["oidc"]
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
    # The token; the key by which its ID token is checked is known.
    assert (renewal["requests"], renewal["provider_requests"]) == (1, 1)


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


@pytest.mark.parametrize("steps_before", [0, 1, 4, 8, 13, 14, 15])
def test_ctrl_c_between_the_steps_leaves_nothing(
    environ: dict[str, str], steps_before: int
) -> None:
    program = f"""
import itertools, json, signal, socket, threading
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
                urls.append(run.servers["oidc"].url)
        signal.raise_signal({int(signal.SIGINT)})
except KeyboardInterrupt:
    refused = all(map(refuses, urls))
    threads = [each.name for each in threading.enumerate() if "sandbox" in each.name]
    print(json.dumps([run.folder.exists(), refused, threads]))
"""
    assert run(program, environ) == [False, True, []]
