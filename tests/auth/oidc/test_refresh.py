"""The order in which a refresh is committed, where something goes wrong in the middle of it."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from traceback import TracebackException
from typing import Any

import pytest
import requests
from requests.adapters import BaseAdapter

from gatepass._vault.records import InFlight, Record
from gatepass.auth._oidc import refresh, refresh_request
from gatepass.auth._oidc.http import ResponseLost
from gatepass.auth._oidc.login import OidcLogin
from gatepass.errors import GatepassError, GatepassWarning, LoginRequired, TokenNotPersisted
from gatepass.secrets import Secret
from tests.auth.test_oidc import World, login_of
from tests.auth.test_oidc import make as make  # noqa: PLC0414 - a fixture
from tests.support.peers.waiting import wait_for
from tests.support.vaults import PROVIDER

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="needs limits and signals of POSIX")


@contextmanager
def disk_full_from_the_question_on(world: World) -> Iterator[None]:
    """No file can grow any more, from the moment when the provider has used a token up."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    held = Event()

    def fill() -> None:
        with world.idp.hold() as gate:
            held.set()
            gate.wait_for(1)
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))

    filling = Thread(target=fill)
    filling.start()
    held.wait()
    try:
        yield
    finally:
        filling.join()
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def at_its_end(world: World) -> Any:
    """Return the login of a later run, whose stored access token the API does not take."""
    login = login_of(world.session(use_stored_token=True))
    world.dead.add(login.access_token().reveal())
    return login


@posix_only
def test_a_token_that_cannot_be_stored_is_used_told_and_stored_later(
    make: Callable[..., World],
) -> None:
    world = make()
    world.logged_in()
    mi = world.session(use_stored_token=True)
    world.dead.add(login_of(mi).access_token().reveal())
    with disk_full_from_the_question_on(world):
        with pytest.warns(GatepassWarning, match="could not be stored"):
            assert mi.get("x").ok
        assert mi.get("y").ok  # in memory it goes on
        new = mi.refresh_token
        with pytest.raises(AssertionError):
            assert world.session(use_stored_token=True).refresh_token == new

    assert mi.get("z").ok

    assert world.session(use_stored_token=True).refresh_token == new
    assert world.session(use_stored_token=True).get("x").ok
    assert not list(world.folder.glob("*.inflight"))
    assert world.idp.counts.reuses == 0


@posix_only
@pytest.mark.parametrize("fault", ["other_token_type", "other_sub"])
def test_what_cannot_be_stored_is_judged_as_well_and_its_token_survives(
    make: Callable[..., World], fault: str
) -> None:
    world = make()
    world.logged_in()
    login = at_its_end(world)
    world.idp.inject(fault)
    with (
        disk_full_from_the_question_on(world),
        pytest.raises(TokenNotPersisted, match="could not be stored"),
    ):
        login.access_token(refused=login.access_token())
    world.idp.inject()

    if fault == "other_sub":
        with pytest.raises(LoginRequired, match="suspect"):
            login.access_token(refused=login._cached.token)
        return
    assert login.access_token(refused=login._cached.token).reveal()
    assert world.session(use_stored_token=True).get("x").ok
    assert world.idp.counts.reuses == 0


@posix_only
def test_what_is_stored_later_does_not_replace_a_later_login(make: Callable[..., World]) -> None:
    world = make()
    world.logged_in()
    login = at_its_end(world)
    with (
        disk_full_from_the_question_on(world),
        pytest.warns(GatepassWarning, match="could not be stored"),
    ):
        login.access_token(refused=login.access_token())

    other = world.session(person=True)
    login_of(other).login()
    newest = other.refresh_token
    login.access_token()

    assert world.session(use_stored_token=True).refresh_token == newest
    assert login.refresh_token == newest


def test_a_login_in_memory_survives_an_odd_answer(make: Callable[..., World]) -> None:
    """The new refresh token is kept although the access token beside it cannot be used."""
    world = make()
    mi = world.session(person=True)
    assert mi.get("x").ok
    login = login_of(mi)
    token = login.access_token()
    world.idp.inject("other_token_type")
    with pytest.raises(GatepassError):
        login.access_token(refused=token)
    world.idp.inject()

    assert login.access_token(refused=token).reveal()
    assert world.idp.counts.reuses == 0
    assert world.idp.counts.forced_logins == 0


_INTERRUPTED = """
import dataclasses, sys
from gatepass._config.unnamed import unnamed_profile
from gatepass._config.profile import MachineSettings
from gatepass._session.session import Session
from gatepass.secrets import ref
url, folder = sys.argv[1:]
profile = unnamed_profile(url, {"scheme": "oidc", "use_stored_token": True})
machine = MachineSettings(vault=folder, vault_key=ref(f"file:{folder}.key"))
session = Session._from_checked(dataclasses.replace(profile, machine=machine), interactive=False)
login = session._authenticator
token = login.access_token()
try:
    print("ready", flush=True)
    login.access_token(refused=token)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.stdin.readline()
"""


def _interruptible(world: World) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", _INTERRUPTED, world.api.url, str(world.folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def _next_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline()


@posix_only
def test_ctrl_c_ends_the_wait_at_once_and_the_token_is_stored_nevertheless(
    make: Callable[..., World],
) -> None:
    world = make()
    before = world.logged_in().refresh_token
    with world.idp.hold() as gate:
        process = _interruptible(world)
        gate.wait_for(1)
        process.send_signal(signal.SIGINT)
        assert _next_line(process) == "interrupted\n"  # while the answer is still held back
        assert process.poll() is None
    _, said = process.communicate(timeout=60)

    assert (process.returncode, said) == (0, "")
    later = world.session(use_stored_token=True)
    assert later.refresh_token != before
    assert login_of(later).access_token(refused=login_of(later).access_token()).reveal()
    assert world.idp.counts.reuses == 0


_INTERRUPTED_ANYWHERE = """
import sys
from dis import Bytecode
from functools import cache
from time import sleep
from traceback import walk_stack
from gatepass.auth._oidc.uninterrupted import run_uninterrupted


@cache
def after_a_signal(code):
    # Where Python looks whether a signal has come: behind a call, at a function's start, in loops.
    looks = ("CALL", "RESUME", "JUMP_BACKWARD")
    steps = list(Bytecode(code))
    return {two.offset for one, two in zip(steps, steps[1:]) if one.opname.startswith(looks)}


def interrupted_at(number):
    # Returns whether the wait goes in circles there: all places before have had their turn.
    seen = []

    def trace(frame, event, _):
        frame.f_trace_opcodes = True
        place = tuple((each.f_code, each.f_lasti) for each, _ in walk_stack(frame))
        if event == "opcode" and frame.f_lasti in after_a_signal(frame.f_code):
            circles = place in seen
            seen.append(place)
            if circles or len(seen) > number:
                raise KeyboardInterrupt
        return trace

    def work(given_up):
        while not given_up():
            sleep(0.001)

    sys._getframe().f_trace_opcodes = True  # Python 3.12 wants it before
    sys.settrace(trace)
    try:
        run_uninterrupted(work)
    except (KeyboardInterrupt, RuntimeError):
        pass
    sys.settrace(None)
    return seen[-1] in seen[:-1]


number = 0
while not interrupted_at(number):
    number += 1
print(number)
"""


def test_ctrl_c_at_any_place_of_the_wait_lets_the_process_end() -> None:
    """Also inside Python's own locks: one that stays locked would keep the thread for ever."""
    done = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED_ANYWHERE],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 3


@posix_only
def test_ctrl_c_while_another_process_refreshes_ends_the_process_without_a_request(
    make: Callable[..., World],
) -> None:
    world = make()
    mi = world.logged_in()
    login = login_of(mi)
    asked = world.token_requests
    with login._vault.lock(login._identity, seconds=10):
        process = _interruptible(world)
        threads = Path(f"/proc/{process.pid}/task")
        if threads.exists():  # Linux: it waits for the lock in a thread of its own
            wait_for(lambda: len(list(threads.iterdir())) > 1, 30, "the wait for the lock")
        process.send_signal(signal.SIGINT)
        assert _next_line(process) == "interrupted\n"
        _, said = process.communicate(timeout=30)  # the lock alone would last a minute

    assert (process.returncode, said) == (0, "")
    assert world.token_requests == asked


def test_what_nobody_waits_for_is_not_begun(make: Callable[..., World]) -> None:
    world = make()
    mi = world.logged_in()
    login = login_of(mi)
    asked = world.token_requests
    with pytest.raises(KeyboardInterrupt):
        refresh._Renewal(
            login._vault, login._identity, login._refresh_context(), login.access_token()
        ).renew_under_lock(lambda: True, lambda: True)

    assert world.token_requests == asked
    assert not list(world.folder.glob("*.inflight"))


def test_a_logout_during_a_refresh_of_the_same_session_stays_a_logout(
    make: Callable[..., World],
) -> None:
    """After a Ctrl-C the refresh goes on; its write must not bring the login back."""
    world = make()
    mi = world.logged_in()
    login = login_of(mi)
    vault, identity, request = login._vault, login._identity, login._refresh_context()
    token = login.access_token()
    with world.idp.hold() as gate:
        refreshing = Thread(
            target=lambda: refresh.renew_login(vault, identity, request, refused=token)
        )
        refreshing.start()
        gate.wait_for(1)
        forgetting = Thread(target=lambda: vault.remove(identity))
        forgetting.start()
        forgetting.join(0.5)  # without the lock it would be over
    refreshing.join()
    forgetting.join()

    assert vault.read(identity) is None


def test_two_sessions_of_one_process_share_one_renewal(make: Callable[..., World]) -> None:
    world = make()
    world.logged_in()
    logins = [login_of(world.session(use_stored_token=True)) for _ in range(8)]
    token = logins[0].access_token()
    before = world.token_requests
    threads = [Thread(target=each.access_token, kwargs={"refused": token}) for each in logins]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {each.access_token().reveal() for each in logins} != {token.reveal()}
    assert world.token_requests == before + 1


@pytest.mark.parametrize("stored", [True, False])
def test_no_local_variable_of_a_traceback_shows_a_token(
    make: Callable[..., World], stored: bool
) -> None:
    """Error reporters such as Sentry send them along."""
    world = make()
    mi = world.logged_in() if stored else world.session(person=True)
    login = login_of(mi)
    sent = login.access_token()
    world.idp.inject("other_token_type")
    with pytest.raises(GatepassError) as caught:
        login.access_token(refused=sent)

    error = caught.value
    frames = error.__traceback__.tb_next if error.__traceback__ else None
    shown = "".join(TracebackException(type(error), error, frames, capture_locals=True).format())
    assert mi.refresh_token not in shown
    assert sent.reveal() not in shown


def test_a_refresh_that_fails_while_the_access_token_lasts_is_told_and_the_token_used(
    make: Callable[..., World],
) -> None:
    """A provider that is away for a moment must not stop a run that could go on."""
    later = [0.0]
    world = make(clock=lambda: time.time() + later[0])
    world.logged_in()
    mi = world.session(use_stored_token=True)
    context = login_of(mi)._context
    login = OidcLogin(
        login_of(mi)._scheme, dataclasses.replace(context, clock=lambda: time.time() + later[0])
    )
    token = login.access_token().reveal()
    later[0] = 3600 - 30.0  # it is time to renew it
    world.idp.answer_once("token", status=503)
    world.idp.answer_once("token", status=503)

    with pytest.warns(GatepassWarning, match="no new token yet"):
        assert login.access_token().reveal() == token
    assert login.access_token().reveal() != token
    assert world.idp.counts.forced_logins == 0


def _note_of_another(world: World) -> InFlight:
    """Leave the note of a process that died in a refresh."""
    login, note = login_of(world.session(use_stored_token=True)), InFlight(4711, "elsewhere", 1e9)
    login._vault._store.write_note(*login._vault._dump_note(login._identity, note))
    return note


def test_a_refresh_that_never_arrived_leaves_the_note_of_the_one_that_died(
    make: Callable[..., World],
) -> None:
    """It still explains what happens next."""
    world = make()
    world.logged_in()
    note = _note_of_another(world)
    login = at_its_end(world)
    world.idp.answer_once("token", b'{"error": "temporarily_unavailable"}', status=400)
    with pytest.raises(GatepassError) as caught:
        login.access_token(refused=login.access_token())
    assert not isinstance(caught.value, LoginRequired)
    assert login._vault.read_in_flight(login._identity) == note
    world.idp.revoke("alice")

    with pytest.raises(LoginRequired, match="process 4711 on elsewhere began a refresh at"):
        login.access_token(refused=login.access_token())


def test_a_process_whose_answer_was_odd_is_not_called_dead(make: Callable[..., World]) -> None:
    world = make()
    world.logged_in()
    login = at_its_end(world)
    token = login.access_token()
    world.idp.inject("token_html")
    with pytest.raises(GatepassError):
        login.access_token(refused=token)
    world.idp.inject()
    world.idp.revoke("alice")

    with pytest.raises(LoginRequired, match="killed, or its answer was lost") as caught:
        login.access_token(refused=token)
    assert f"process {os.getpid()} on" in caught.value.message
    assert "died" not in caught.value.message


def test_a_logout_during_a_refresh_of_another_process_revokes_the_new_token(
    make: Callable[..., World],
) -> None:
    """Read before the lock, the old one would be revoked, and the new one live on unseen."""
    world = make()
    mi = world.logged_in()
    login, leaving = login_of(mi), login_of(world.session(use_stored_token=True))
    token = login.access_token()
    revoked: list[str] = []

    def revoke(record: Record) -> bool:
        revoked.append(record.refresh_token.reveal() if record.refresh_token else "")
        return True

    leaving._revoke = revoke  # type: ignore[method-assign]  # looks at what is revoked
    with world.idp.hold() as gate:
        refreshing = Thread(target=lambda: login.access_token(refused=token))
        refreshing.start()
        gate.wait_for(1)
        forgetting = Thread(target=leaving.logout)
        forgetting.start()
        forgetting.join(0.5)  # without the lock it would be over
    refreshing.join()
    forgetting.join()

    (family,) = world.idp.families
    assert revoked == [family.refresh_token]
    assert login._vault.read(login._identity) is None


@pytest.mark.skipif(sys.platform != "linux", reason="needs prlimit")
def test_ctrl_c_on_a_full_disk_does_not_lose_the_token_that_came_after_it(
    make: Callable[..., World],
) -> None:
    """Nobody waits for the answer any more; it is kept, and stored when the process ends."""
    import resource

    world = make()
    world.logged_in()
    with world.idp.hold() as gate:
        process = _interruptible(world)
        gate.wait_for(1)
        _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, hard))
        process.send_signal(signal.SIGINT)
        assert _next_line(process) == "interrupted\n"
    login = login_of(world.session(use_stored_token=True))
    with login._vault.lock(login._identity, seconds=60):  # its write has failed by now
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (hard, hard))
    _, said = process.communicate(timeout=60)

    assert (process.returncode, said) == (0, "")
    assert login.refresh_token == world.idp.families[-1].refresh_token
    assert login.access_token(refused=login.access_token()).reveal()
    assert world.idp.counts.reuses == 0


class _LostThenGone(BaseAdapter):
    """Takes the first request and gives no answer; then nobody is there any more."""

    def __init__(self) -> None:
        super().__init__()
        self.times = 0

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        self.times += 1
        if self.times == 1:
            request.body.read()  # type: ignore[union-attr]
        raise requests.ConnectionError

    def close(self) -> None:
        pass


def test_a_second_question_that_never_left_does_not_undo_the_first() -> None:
    """The token may be used up, and the journal must go on saying so."""
    http, adapter = requests.Session(), _LostThenGone()
    http.mount("https://", adapter)
    request = refresh_request.RefreshContext(http, None, time.time, "")

    with pytest.raises(ResponseLost):
        refresh_request.post_refresh(PROVIDER, "client", Secret("token"), request)
    assert adapter.times == 2
