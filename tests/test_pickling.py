"""Sessions in other processes: pickles, copies, forks."""

import copy
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from gatepass._failures import LoginRefused
from gatepass._session import Session
from gatepass._terminal import Terminal
from gatepass.errors import (
    NobodyThere,
)
from gatepass.sandbox import Server
from gatepass.secrets import Secret, ref
from tests._echo import Answer, Seen, basic, echo, wants
from tests._sessions import ENVIRON, NOWHERE, PASSWORD, USER, person, profile_for, session_for

LOGIN = basic(USER, PASSWORD)


def reopened(content: bytes) -> Any:
    return pickle.loads(content)  # noqa: S301 - our own


def _pickled(mi: Session, environ: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    """Open a pickle in another process and make one request."""
    script = (
        "import pickle, sys\n"
        "mi = pickle.load(sys.stdin.buffer)\n"
        "print(mi, mi.get('x').status_code, mi.max_redirects)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", script],
        input=pickle.dumps(mi),
        capture_output=True,
        check=False,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), **environ},
    )


def test_a_pickle_opens_in_another_process_with_secrets_of_its_own() -> None:
    with echo(wants(LOGIN)) as server:
        mi = session_for(server.url)
        mi.max_redirects = 7
        good, without = _pickled(mi, ENVIRON), _pickled(mi, {})

    assert good.stdout.split()[-2:] == [b"200", b"7"], good.stderr
    assert b"password: env:MI_PASSWORD: the variable MI_PASSWORD is not set" in without.stderr
    assert server.authorizations == [LOGIN]


def test_a_pickle_holds_neither_secret_nor_place(tmp_path: Path) -> None:
    text = """
        [profiles.prod]
        url = "https://mi.example.com"
        headers = { X-Tenant = "t" }
        auth = { scheme = "basic", user_name = "bob", password = "env:MI_PASSWORD" }
        """
    (tmp_path / "secret-place").mkdir()
    profiles = tmp_path / "secret-place" / "p.toml"
    profiles.write_text(text)
    mi = Session.from_profile("prod", config_file=profiles, environ=ENVIRON)
    mi.headers["X-Secret"] = "canary-header"
    mi.cookies.set("c", "canary-cookie")

    content = pickle.dumps(mi)

    assert b"MI_PASSWORD" in content
    for secret in (b"canary", b"secret-place", PASSWORD.encode()):
        assert secret not in content


def test_a_file_reference_means_the_same_file_after_pickling(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text(PASSWORD)
    profiles = tmp_path / "p.toml"
    profiles.write_text(
        '[profiles.p]\nurl = "https://mi.example.com"\n'
        'auth = { scheme = "basic", user_name = "bob", password = ["env:NONE", "file:pw"] }'
    )
    mi = Session.from_profile("p", config_file=profiles, environ={})

    again = reopened(pickle.dumps(mi))

    reference = again.profile.auth.password
    assert reference.alternatives == (("env", "NONE"), ("file", str(tmp_path / "pw")))
    assert reference.layer == "file"
    assert reference.base_dir is None


def test_an_answer_after_a_handshake_travels_without_the_login() -> None:
    """The requests of its history had hooks of the scheme, and those hold the password."""
    with Server("windows", {USER: PASSWORD}) as server:
        answer = Session(server.url, user_name=USER, password=PASSWORD).get("Health/v2.svc")

    again = pickle.loads(pickle.dumps(answer))  # noqa: S301 - our own
    assert [each.status_code for each in (*again.history, again)] == [401, 401, 200]
    for each in (*answer.history, answer):
        assert each.request.hooks == {"response": []}
        assert "Authorization" not in each.request.headers


def test_a_secret_given_as_a_value_stops_the_pickle() -> None:
    mi = Session("https://mi.example.com", user_name=USER, password=PASSWORD)

    with pytest.raises(TypeError, match="password was given as a value") as caught:
        pickle.dumps(mi)
    assert PASSWORD not in str(caught.value)


def test_a_secret_that_only_a_person_knows_stops_the_pickle() -> None:
    terminal = Terminal({}, interactive=True, read_hidden=lambda _: "x")
    profile = profile_for(NOWHERE, auth={"password": ref("prompt:MI password")})
    mi = Session._from_checked(profile, environ={}, terminal=terminal)

    with pytest.raises(TypeError, match="only a person can answer password"):
        pickle.dumps(mi)


def test_nobody_is_asked_where_a_pickle_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MI_PASSWORD", PASSWORD)
    mi = session_for(NOWHERE, auth={"password": ref(["env:MI_PASSWORD", "prompt:"])})
    content = pickle.dumps(mi)
    assert reopened(content).profile.auth == mi.profile.auth
    monkeypatch.delenv("MI_PASSWORD")

    with pytest.raises(NobodyThere, match="interactive=False forbids asking"):
        reopened(content)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_a_copy_shares_secrets_and_settings_but_no_connection(
    duplicate: Callable[[Session], Session],
) -> None:
    asked, terminal = person(PASSWORD)
    with echo(wants(LOGIN)) as server:
        profile = profile_for(server.url, auth={"password": ref("prompt:")})
        mi = Session._from_checked(profile, environ={}, terminal=terminal)
        mi.headers["X-Mine"] = "1"
        mi.cookies.set("c", "1")
        twin = duplicate(mi)
        assert mi.get("x").ok
        assert twin.get("x").ok
        twin.headers["X-Mine"] = "2"

    assert len(asked) == 1
    assert mi.headers["X-Mine"] == ("1" if duplicate is copy.deepcopy else mi.headers["X-Mine"])
    assert [seen.headers["x-mine"] for seen in server.seen] == ["1", "1"]
    assert [seen.connection for seen in server.seen] == [1, 2]


def test_a_session_with_a_secret_as_a_value_can_be_copied() -> None:
    with echo(wants(LOGIN)) as server:
        mi = Session(server.url, user_name=USER, password=Secret(PASSWORD))
        assert copy.deepcopy(mi).get("x").ok


def test_an_error_survives_a_pickle_without_credentials() -> None:
    with echo(wants("nobody")) as server:
        mi = session_for(server.url)
        with pytest.raises(LoginRefused) as caught:
            mi.post(
                "x", data=(part for part in [b"body"]), hooks={"response": lambda *_, **__: None}
            )

    content = pickle.dumps(caught.value)
    again = reopened(content)
    assert (type(again), str(again)) == (LoginRefused, str(caught.value))
    assert again.response.status_code == 401
    assert again.request.url == f"{server.url}x"
    assert LOGIN.encode() not in content
    assert str(copy.copy(caught.value)) == str(caught.value)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_makes_connections_of_its_own() -> None:
    """Also when another thread held the lock of the first login during the fork."""
    arrived, go_on = Event(), Event()

    def answers(seen: Seen) -> Answer:
        if seen.path == "/mi/slow":
            arrived.set()
            go_on.wait(timeout=60)
        return Answer()

    with echo(answers) as server, ThreadPoolExecutor(1) as pool:
        mi = session_for(server.url)
        slow = pool.submit(mi.get, "slow")
        arrived.wait(timeout=60)
        assert _exit_code_of_child(lambda: mi.get("child").ok) == 0
        go_on.set()
        assert slow.result().ok
        assert mi.get("parent").ok

    assert server.paths == ["/mi/slow", "/mi/child", "/mi/parent"]
    assert [seen.connection for seen in server.seen] == [1, 2, 1]


def _exit_code_of_child(work: Callable[[], bool]) -> int:
    """Do something in a forked process; 0 means that it went well."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if work() else 1
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_leaves_idle_connections_to_its_parent() -> None:
    with echo() as server:
        mi = session_for(server.url)
        for client in (mi, mi._http()):
            assert client.get(f"{server.url}parent").ok

        def work() -> bool:
            return all(client().get(f"{server.url}child").ok for client in (lambda: mi, mi._http))

        assert _exit_code_of_child(work) == 0
        for client in (mi, mi._http()):
            assert client.get(f"{server.url}parent").ok

    assert [(seen.path, seen.connection) for seen in server.seen] == [
        ("/mi/parent", 1),
        ("/mi/parent", 2),
        ("/mi/child", 3),
        ("/mi/child", 4),
        ("/mi/parent", 1),
        ("/mi/parent", 2),
    ]


def test_a_closed_session_can_be_used_again() -> None:
    """Closing also closes what its scheme uses."""
    with echo() as server:
        mi = session_for(server.url)
        for _ in range(2):
            mi.get("x")
            mi._http().get(server.url)
            mi.close()

    assert [seen.connection for seen in server.seen] == [1, 2, 3, 4]
