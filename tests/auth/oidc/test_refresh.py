"""The order in which a refresh is committed, where something goes wrong in the middle of it."""

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from threading import Event, Thread
from traceback import TracebackException
from typing import Any

import pytest
import requests
from requests.adapters import BaseAdapter

from gatepass._vault.records import Client, InFlight, Record
from gatepass.auth._oidc import refresh, status
from gatepass.auth._oidc.http import ResponseLost
from gatepass.auth._oidc.memory import MemoryLogin
from gatepass.auth._oidc.token_response import Retry
from gatepass.errors import GatepassError, GatepassWarning, LoginRequired
from gatepass.secrets import Secret
from tests.auth.oidc.test_http import raw_server
from tests.auth.test_oidc import World, login_of
from tests.auth.test_oidc import make as make  # noqa: PLC0414 - a fixture
from tests.support.peers.waiting import wait_for
from tests.support.vaults import IDENTITY, RECORD, plain

REFUSALS = {
    "empty": (400, b"", "application/json"),
    "a page": (400, b"<html>Bad Request</html>", "text/html"),
    "nothing readable": (401, b"no", "text/plain"),
    "something on the way": (403, b"<html>Forbidden</html>", "text/html"),
    "another form": (400, b"error=bad_refresh_token", "application/x-www-form-urlencoded"),
    "an object": (400, b'{"error": {"code": 190, "type": "OAuthException"}}', "application/json"),
    **{
        code: (400, b'{"error": "%s"}' % code.encode(), "application/json")
        for code in (
            "interaction_required",
            "login_required",
            "consent_required",
            "account_selection_required",
            "invalid_request",
            "invalid_token",
            "access_denied",
            "expired_token",
        )
    },
    "with status 200": (200, b'{"error": "bad_refresh_token"}', "application/json"),
}
OF_THE_CLIENT = ["invalid_client", "unauthorized_client", "invalid_scope", "unsupported_grant_type"]

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="needs limits and signals of POSIX")


@contextmanager
def disk_full_from_the_question_on(world: World) -> Iterator[None]:
    """No file can grow any more, from the moment when the provider has used a token up."""
    if sys.platform == "win32":
        pytest.skip("needs POSIX")
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    held = Event()

    def fill() -> None:
        with world.idp.hold() as responses:
            held.set()
            responses.wait_for(1)
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
        pytest.warns(GatepassWarning, match="could not be stored"),
        pytest.raises(GatepassError),
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


_INTERRUPTED = """
import dataclasses, sys
from gatepass._config.unnamed import unnamed_profile
from gatepass._config.profile import MachineSettings
from gatepass._session.session import Session
from gatepass._system.context import RunContext
from gatepass.secrets import ref
url, folder = sys.argv[1:]
profile = unnamed_profile(url, {"scheme": "oidc", "use_stored_token": True})
machine = MachineSettings(vault=folder, vault_key=ref(f"file:{folder}.key"))
profile = dataclasses.replace(profile, machine=machine)
session = Session._from_checked(profile, RunContext.of(interactive=False))
login = session._login.authenticator
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
    with world.idp.hold() as responses:
        process = _interruptible(world)
        responses.wait_for(1)
        process.send_signal(signal.SIGINT)
        assert _next_line(process) == "interrupted\n"  # while the answer is still held back
        assert process.poll() is None
    _, said = process.communicate(timeout=60)

    assert (process.returncode, said) == (0, "")
    later = world.session(use_stored_token=True)
    assert later.refresh_token != before
    assert login_of(later).access_token(refused=login_of(later).access_token()).reveal()
    assert world.idp.counts.reuses == 0


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
        refresh.refresh_stored(
            login._vault,
            login._refresh_context(),
            login.access_token(),
            lambda: True,
            lambda: False,
        )

    assert world.token_requests == asked
    assert not list(world.folder.glob("*.inflight"))


def test_a_logout_during_a_refresh_of_the_same_session_stays_a_logout(
    make: Callable[..., World],
) -> None:
    """After a Ctrl-C the refresh goes on; its write must not bring the login back."""
    world = make()
    mi = world.logged_in()
    login = login_of(mi)
    vault, identity, context = login._vault, login._identity, login._refresh_context()
    token = login.access_token()
    with world.idp.hold() as responses:
        refreshing = Thread(target=lambda: refresh.renew_login(vault, context, refused=token))
        refreshing.start()
        responses.wait_for(1)
        forgetting = Thread(target=lambda: vault.remove(identity))
        forgetting.start()
        forgetting.join(0.5)  # without the lock it would be over
    refreshing.join()
    forgetting.join()

    assert vault.read(identity) is None


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


@pytest.mark.skipif(sys.platform != "linux", reason="needs prlimit")
def test_ctrl_c_on_a_full_disk_does_not_lose_the_token_that_came_after_it(
    make: Callable[..., World],
) -> None:
    """Nobody waits for the answer any more; it is kept, and stored when the process ends."""
    if sys.platform != "linux":
        pytest.skip("needs prlimit")
    import resource

    world = make()
    world.logged_in()
    with world.idp.hold() as responses:
        process = _interruptible(world)
        responses.wait_for(1)
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


# ---------------------------------------------------------------- what is sent once more, or never


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
    http, adapter, memory = requests.Session(), _LostThenGone(), MemoryLogin()
    http.mount("https://", adapter)
    memory.record = RECORD
    context = refresh.RefreshContext(IDENTITY, memory, http, Client(""), time.time, "")

    with pytest.raises(ResponseLost):
        refresh.renew_login(memory, context, refused=RECORD.access_token)
    assert adapter.times == 2


@pytest.mark.parametrize("hangs", [False, True], ids=["breaks off", "has no end"])
def test_a_new_token_in_an_answer_without_an_end_is_not_lost(hangs: bool) -> None:
    def speak(connection: socket.socket, over: Event) -> None:
        connection.recv(65536)
        connection.sendall(
            b'HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{"access_token": "a2", '
            b'"refresh_token": "r2", "expires_in": 60}'
        )
        if hangs:
            over.wait()

    memory = MemoryLogin()
    with raw_server(speak) as url, requests.Session() as http:
        provider = dataclasses.replace(RECORD.provider, issuer=url, token_endpoint=url)
        memory.record = dataclasses.replace(RECORD, provider=provider)
        context = refresh.RefreshContext(
            IDENTITY, memory, http, Client(""), time.time, "", seconds=2.0
        )
        refresh.renew_login(memory, context, refused=RECORD.access_token)

    assert plain(memory.record)["refresh_token"] == ("secret", "r2")


def _stored(world: World) -> Record:
    login = login_of(world.session(use_stored_token=True))
    record = login._vault.read(login._identity)
    assert record is not None
    return record


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_login_that_the_provider_does_not_renew_is_kept_told_and_not_sent_again(
    make: Callable[..., World], refusal: str
) -> None:
    world = make()
    before = world.logged_in().refresh_token
    login = at_its_end(world)
    code, body, kind = REFUSALS[refusal]
    world.idp.answer_once("token", body, status=code, content_type=kind)
    asked = len(world.idp.requests)

    for attempt in (login, at_its_end(world)):
        with pytest.raises(LoginRequired, match="refuses") as caught:
            attempt.access_token(refused=_stored(world).access_token)
        assert "persist_oidc_token()" in caught.value.hint
    assert len(world.idp.requests) == asked + 1

    record = _stored(world)
    assert record.refresh_token is not None
    assert record.refresh_token.reveal() == before
    found = status.read_status(login._scheme, login._context.origin, login._vault)
    assert (found.renewable, "refuses" in str(found.refused)) == (False, True)
    assert not list(world.folder.glob("*.inflight"))


def test_a_token_that_the_provider_calls_dead_is_kept_no_longer(make: Callable[..., World]) -> None:
    world = make()
    world.logged_in()
    login = at_its_end(world)
    world.idp.answer_once("token", b'{"error": "invalid_grant"}', status=400)

    with pytest.raises(LoginRequired, match="expired or was revoked"):
        login.access_token(refused=_stored(world).access_token)

    assert _stored(world).refresh_token is None


def test_a_person_is_asked_where_the_login_is_not_renewed(make: Callable[..., World]) -> None:
    world = make()
    world.logged_in()
    mi = world.session(person=True)
    world.dead.add(login_of(mi).access_token().reveal())
    world.idp.answer_once("token", status=400)

    assert mi.get("x").ok
    assert world.idp.counts.token_requests["authorization_code"] == 2
    assert _stored(world).refused is None


@pytest.mark.parametrize("error", OF_THE_CLIENT)
def test_what_speaks_of_the_client_asks_no_person_and_changes_no_record(
    make: Callable[..., World], error: str
) -> None:
    world = make()
    world.logged_in()
    before = plain(_stored(world))
    mi = world.session(person=True)
    token = login_of(mi).access_token()
    world.idp.answer_once("token", b'{"error": "%s"}' % error.encode(), status=401)

    with pytest.raises(GatepassError, match=error) as caught:
        login_of(mi).access_token(refused=token)

    assert caught.value.exit_code == 4
    assert "gatepass login" not in caught.value.hint
    assert world.idp.counts.token_requests["authorization_code"] == 1
    assert plain(_stored(world)) == before
    assert login_of(mi).access_token(refused=token).reveal()


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(("wait", "renewed"), [("0", True), ("11", False)])
def test_a_provider_that_asks_for_a_short_wait_is_asked_once_more(
    make: Callable[..., World], status: int, wait: str, renewed: bool
) -> None:
    world = make()
    world.logged_in()
    login = at_its_end(world)
    world.idp.answer_once("token", status=status, headers=[("Retry-After", wait)])
    asked = len(world.idp.requests)

    with nullcontext() if renewed else pytest.raises(Retry, match="wait 11 seconds"):
        login.access_token(refused=login.access_token())

    assert len(world.idp.requests) == asked + 1 + renewed
    assert _stored(world).refresh_token


def test_what_may_have_come_from_a_gateway_is_tried_again_after_an_hour(
    make: Callable[..., World],
) -> None:
    world = make()
    world.logged_in()
    login = at_its_end(world)
    context, later = login._refresh_context(), [0.0]
    context = dataclasses.replace(context, clock=lambda: time.time() + later[0])
    token = login.access_token()
    world.idp.answer_once("token", b"default backend - 404", status=404)

    for _ in range(2):
        with pytest.raises(LoginRequired, match="status 404"):
            refresh.renew_login(login._vault, context, refused=token)
    later[0] = 3601.0
    assert refresh.renew_login(login._vault, context, refused=token).access_token

    assert world.token_requests == 2  # the login, and the renewal; the refusal is not counted
    assert _stored(world).refused is None


def test_a_given_token_that_is_refused_is_sent_once_by_all_sessions_of_a_process(
    make: Callable[..., World],
) -> None:
    world = make()
    given = Secret(world.idp.issue("alice")["refresh_token"])
    world.idp.revoke("alice")
    for session in (world.session(refresh_token=given), world.session(refresh_token=given)):
        for _ in range(2):
            with pytest.raises(LoginRequired):
                session.get("x")

    assert world.token_requests == 1


def test_sessions_with_different_given_tokens_are_different_people(
    make: Callable[..., World],
) -> None:
    world = make()
    tokens = [Secret(world.idp.issue(who)["refresh_token"]) for who in ("alice", "bob")]
    sessions = [world.session(refresh_token=token) for token in tokens]
    for session in sessions:
        assert session.get("x").ok
    records = [login_of(session)._own.record for session in sessions]

    assert [record and record.user for record in records] == ["alice", "bob"]
