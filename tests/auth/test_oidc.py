"""The scheme ``oidc`` as a whole: log in once, run unattended ever after."""

import dataclasses
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from random import Random
from threading import Thread
from typing import Any

import pytest
import requests

from gatepass._config.profile import MachineSettings
from gatepass._config.redis_vault import RedisVault
from gatepass._session.exceptions import LoginRefused
from gatepass._session.session import Session
from gatepass._system.context import RunContext
from gatepass._system.terminal import Terminal
from gatepass.auth._oidc.login import OidcLogin
from gatepass.auth._oidc.status import create_vault_key
from gatepass.errors import GatepassError, GatepassWarning, LoginRequired, ProfileError
from gatepass.secrets import ref
from tests.support.echo import Answer, Echo, Seen, echo
from tests.support.faulty_provider import FaultyProvider
from tests.support.sessions import profile_for
from tests.support.threads import together

CLIENT = "gatepass"
pytestmark = pytest.mark.filterwarnings("ignore:the identity provider gave no refresh token")


class World:
    """An API, an identity provider, a vault, and people."""

    def __init__(self, api: Echo, idp: FaultyProvider, folder: Path) -> None:
        self.api = api
        self.idp = idp
        self.folder = folder
        self.vault: str | RedisVault = str(folder)
        self.dead: set[str] = set()  # access tokens that the API no longer takes
        self.status = 200
        api.answers = self._answer

    def _answer(self, seen: Seen) -> Answer:
        token = (seen.authorization or "").removeprefix("Bearer ")
        if not token or token in self.dead:
            error = ', error="invalid_token"' if token else ""
            challenge = (
                f'Bearer authority="{self.idp.issuer}", clientid="{CLIENT}", '
                f'redirecturi="http://127.0.0.1/callback", scope="openid offline_access"{error}'
            )
            return Answer(401, [("WWW-Authenticate", challenge)])
        return Answer(self.status, body=seen.body or b"ok")

    def session(self, *, person: bool = False, sees: str = "alice", **auth: Any) -> Session:
        """Return a session; with a person, a browser logs in as somebody."""
        profile = profile_for(self.api.url, "oidc", auth=auth)
        machine = MachineSettings(vault=self.vault, vault_key=ref(f"file:{self.folder}.key"))

        def browse(url: str) -> None:
            address = self.idp.sign_in(url, sees)
            Thread(target=lambda: requests.get(address, timeout=30)).start()

        terminal = Terminal(
            {},
            interactive=person,
            write=lambda _: None,
            open_url=browse,
            open_console=lambda _: None,
        )
        return Session._from_checked(
            dataclasses.replace(profile, machine=machine),
            RunContext.of(environ={}, terminal=terminal),
        )

    def logged_in(self) -> Session:
        """Log alice in and store the login."""
        mi = self.session(person=True)
        mi.persist_oidc_token()
        return mi

    @property
    def token_requests(self) -> int:
        return sum(self.idp.counts.token_requests.values())


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Return a function that starts an identity provider of some kind, with an API."""
    with ExitStack() as stack:

        def world(**keys: Any) -> World:
            keys.setdefault("access_token_seconds", 3600)
            users = {"alice": "pw", "bob": "pw"}
            idp = stack.enter_context(FaultyProvider(users=users, clients={CLIENT: None}, **keys))
            api = stack.enter_context(echo())
            folder = tmp_path / "vault"
            if not Path(f"{folder}.key").exists():
                create_vault_key(Path(f"{folder}.key"))
            return World(api, idp, folder)

        yield world


def login_of(session: Session) -> OidcLogin:
    authenticator = session._login.authenticator
    assert isinstance(authenticator, OidcLogin)
    return authenticator


# ------------------------------------------------------------- logging in


def test_building_opens_nothing_and_the_first_request_logs_in(make: Callable[..., World]) -> None:
    world = make()
    mi = world.session(person=True)
    assert world.idp.requests == ()
    assert world.api.seen == []

    assert mi.get("x").ok
    assert mi.get("y").ok

    assert world.token_requests == 1
    assert not world.folder.exists() or not list(world.folder.glob("*.token"))


def test_a_stored_login_costs_one_request_to_the_api_and_none_to_the_provider(
    make: Callable[..., World],
) -> None:
    world = make()
    world.logged_in()
    before, api_before = len(world.idp.requests), len(world.api.seen)

    assert world.session(use_stored_token=True).get("x").ok

    assert len(world.idp.requests) == before
    assert len(world.api.seen) == api_before + 1


def test_a_stored_login_is_renewed_and_the_new_token_is_stored(
    make: Callable[..., World],
) -> None:
    world = make(access_token_seconds=0)
    world.logged_in()
    for _ in range(3):
        assert world.session(use_stored_token=True).get("x").ok

    assert world.idp.counts.reuses == 0
    assert world.session(use_stored_token=True).refresh_token


def test_the_guides_words_work(make: Callable[..., World]) -> None:
    """``Session(url, oidc=True)``, ``refresh_token`` and a token carried elsewhere."""
    world = make()
    carried = world.logged_in().refresh_token
    world.folder = world.folder.with_name("another")
    world.vault = str(world.folder)
    create_vault_key(Path(f"{world.folder}.key"))

    mi = world.session(refresh_token=carried)

    assert mi.get("x").ok
    assert mi.refresh_token != carried  # it rotates


# ------------------------------------------------------------- unattended


@pytest.mark.parametrize("use_stored_token", [False, True])
def test_nobody_there_is_told_at_once_what_to_run(
    make: Callable[..., World], use_stored_token: bool
) -> None:
    world = make()
    mi = world.session(use_stored_token=use_stored_token)

    with pytest.raises(LoginRequired, match="nobody has logged in yet") as caught:
        mi.get("x")

    assert "persist_oidc_token" in caught.value.hint
    assert world.idp.requests == ()


def test_use_stored_token_forbids_a_login_even_where_somebody_is_there(
    make: Callable[..., World],
) -> None:
    world = make()

    with pytest.raises(LoginRequired, match="use_stored_token"):
        world.session(person=True, use_stored_token=True).get("x")

    assert world.token_requests == 0


def test_a_revoked_login_says_so_and_is_not_tried_again(make: Callable[..., World]) -> None:
    world = make(access_token_seconds=0)
    world.logged_in()
    world.idp.revoke("alice")
    for _ in range(2):
        with pytest.raises(LoginRequired):
            world.session(use_stored_token=True).get("x")

    assert world.idp.counts.token_requests["refresh_token"] <= 2


def test_processes_that_start_at_expiry_cost_one_token_request(
    make: Callable[..., World],
) -> None:
    """Threads stand for them here: each has a session and a vault object of its own."""
    world = make()
    mi = world.logged_in()
    first = login_of(mi).access_token().reveal()
    world.dead.add(first)
    before = world.token_requests
    sessions = [world.session(use_stored_token=True) for _ in range(8)]

    assert all(together(8, lambda number: sessions[number].get("x").ok))

    assert world.token_requests == before + 1


# ------------------------------------------------------------- requests


def test_an_invalid_token_is_renewed_and_the_request_sent_once_more(
    make: Callable[..., World],
) -> None:
    world = make()
    mi = world.logged_in()
    world.dead.add(login_of(mi).access_token().reveal())

    assert mi.post("x", data=b"body").content == b"body"
    assert mi.post("x", data=io.BytesIO(b"file")).content == b"file"
    assert world.idp.counts.token_requests["refresh_token"] == 1


def test_a_body_that_can_be_read_once_is_not_sent_again_and_the_session_goes_on(
    make: Callable[..., World],
) -> None:
    world = make()
    mi = world.logged_in()
    world.dead.add(login_of(mi).access_token().reveal())

    with pytest.raises(GatepassError, match="send the request again"):
        mi.post("x", data=iter([b"a", b"b"]))
    assert mi.post("x", data=iter([b"a", b"b"])).content == b"ab"


def test_a_token_that_stays_invalid_ends_after_one_renewal(make: Callable[..., World]) -> None:
    world = make()
    mi = world.logged_in()
    world.api.answers = lambda _: Answer(
        401, [("WWW-Authenticate", 'Bearer error="invalid_token"')]
    )

    with pytest.raises(LoginRefused):
        mi.get("x")

    assert world.idp.counts.token_requests["refresh_token"] == 1


@pytest.mark.parametrize(
    "challenge", ['Bearer error="insufficient_scope"', 'Bearer error="invalid_request"']
)
def test_other_refusals_renew_nothing(make: Callable[..., World], challenge: str) -> None:
    world = make()
    mi = world.logged_in()
    world.api.answers = lambda _: Answer(401, [("WWW-Authenticate", challenge)])

    with pytest.raises(LoginRefused):
        mi.get("x")
    world.api.answers = lambda _: Answer(403, [("WWW-Authenticate", challenge)])
    assert world.logged_in().get("x").status_code == 403
    assert world.idp.counts.token_requests.get("refresh_token", 0) == 0


def test_another_server_gets_no_token(make: Callable[..., World]) -> None:
    world = make()
    mi = world.logged_in()
    with echo(
        lambda _: Answer(401, [("WWW-Authenticate", 'Bearer error="invalid_token"')])
    ) as other:
        with pytest.warns(GatepassWarning, match="is another server"):
            assert mi.get(f"{other.root}/x").status_code == 401
        assert other.authorizations == [None]

    assert world.idp.counts.token_requests.get("refresh_token", 0) == 0


def test_sixteen_threads_share_one_renewal(make: Callable[..., World]) -> None:
    world = make()
    mi = world.logged_in()
    world.dead.add(login_of(mi).access_token().reveal())

    assert all(together(16, lambda _: mi.get("x").ok))

    assert world.idp.counts.token_requests["refresh_token"] == 1


# ------------------------------------------------------------- attackers and liars


def test_a_carried_token_needs_a_written_issuer() -> None:
    """Whoever answers for the server could have it sent anywhere."""
    with pytest.raises(ProfileError, match="refresh_token: needs issuer"):
        profile_for("https://mi.test/", "oidc", auth={"refresh_token": ref("env:TOKEN")})

    auth = {"refresh_token": ref("env:TOKEN"), "issuer": "https://login.test"}
    assert profile_for("https://mi.test/", "oidc", auth=auth).scheme == "oidc"


_FAULTS = [
    "token_html",
    "token_redirect",
    "token_error_once",
    "token_empty",
    "token_huge",
    "token_error_after_once",
    "token_reset_once",
]


@pytest.mark.parametrize("fault", _FAULTS)
def test_no_odd_answer_loses_a_usable_token(make: Callable[..., World], fault: str) -> None:
    """A provider within its grace period, or one that tells the truth again, is enough."""
    world = make(grace=3600.0)
    mi = world.logged_in()
    world.dead.add(login_of(mi).access_token().reveal())
    world.idp.inject(fault)
    with suppress(GatepassError):  # a mistake that was made once is got over
        assert mi.get("x").ok
    world.idp.inject()
    for token in [login_of(mi)._cached]:
        if token is not None:
            world.dead.add(token.token.reveal())

    assert world.session(use_stored_token=True).get("x").ok
    assert world.idp.counts.forced_logins == 0


def test_a_token_of_somebody_else_is_kept_but_not_used(make: Callable[..., World]) -> None:
    world = make()
    mi = world.logged_in()
    world.dead.add(login_of(mi).access_token().reveal())
    world.idp.inject("other_sub")

    for _ in range(2):
        with pytest.raises(LoginRequired, match="suspect|cannot be trusted"):
            world.session(use_stored_token=True).get("x")
        world.idp.inject()
    assert list(world.folder.glob("*.token"))


def test_no_token_shows_anywhere(make: Callable[..., World], caplog: Any) -> None:
    caplog.set_level("DEBUG")
    world = make()
    mi = world.logged_in()
    answer = mi.get("x")
    tokens = [mi.refresh_token, login_of(mi).access_token().reveal()]
    shown = "\n".join([repr(mi), repr(login_of(mi)), str(vars(answer.request)), caplog.text])

    assert not [token for token in tokens if token in shown]


# ------------------------------------------------------------- many processes

_WORKER = """
import dataclasses, json, sys
from gatepass._config.unnamed import unnamed_profile
from gatepass._config.profile import MachineSettings
from gatepass._session.session import Session
from gatepass._system.context import RunContext
from gatepass.secrets import ref
url, folder, turns = sys.argv[1], sys.argv[2], int(sys.argv[3])
profile = unnamed_profile(url, {"scheme": "oidc", "use_stored_token": True})
machine = MachineSettings(vault=folder, vault_key=ref(f"file:{folder}.key"))
profile = dataclasses.replace(profile, machine=machine)
session = Session._from_checked(profile, RunContext.of(interactive=False))
login, token = session._login.authenticator, None
for turn in range(turns):
    token = login.access_token(refused=token)
    print("ok", flush=True)
"""


def _start(world: World, turns: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", _WORKER, world.api.url, str(world.folder), str(turns)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "default"},
    )


@pytest.mark.slow
def test_processes_refresh_all_the_time_and_nobody_is_logged_out(
    make: Callable[..., World],
) -> None:
    """One-time refresh tokens, whole families revoked on reuse: every request is a rotation."""
    world = make()
    world.logged_in()
    before = world.idp.counts.rotations
    workers = [_start(world, 20) for _ in range(4)]
    ended = [worker.communicate(timeout=300) for worker in workers]

    assert [worker.returncode for worker in workers] == [0] * 4, "\n".join(
        each[1] for each in ended
    )
    counts = world.idp.counts
    assert counts.forced_logins == 0
    assert counts.reuses == 0
    assert counts.token_requests["refresh_token"] == counts.rotations - before
    assert world.session(use_stored_token=True).get("x").ok


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_killed_processes_lose_no_login_within_the_providers_grace(
    make: Callable[..., World],
) -> None:
    if sys.platform == "win32":
        pytest.skip("needs POSIX")
    world = make(grace=3600.0)
    world.logged_in()
    random = Random(7)  # noqa: S311 - chooses when to kill
    for _ in range(3):
        workers = [_start(world, 1000) for _ in range(3)]
        for worker in workers:
            assert worker.stdout is not None
            for _ in range(random.randrange(1, 12)):
                if not worker.stdout.readline():
                    break
            worker.send_signal(signal.SIGKILL)
        for worker in workers:
            worker.communicate(timeout=60)
        assert world.session(use_stored_token=True).get("x").ok

    login: Any = world.session(use_stored_token=True)._login.authenticator
    login.access_token(refused=login.access_token())  # a refresh that is not killed
    assert world.idp.counts.forced_logins == 0
    assert not [path for path in world.folder.iterdir() if path.suffix == ".inflight"]


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_a_process_that_died_in_a_refresh_is_named_when_the_login_is_gone(
    make: Callable[..., World],
) -> None:
    """No grace: the provider has used the token up, and its answer died with the process."""
    if sys.platform == "win32":
        pytest.skip("needs POSIX")
    world = make()
    world.idp.inject("expires_in_zero")
    world.logged_in()
    world.idp.inject()
    with world.idp.hold() as responses:
        worker = _start(world, 1)
        responses.wait_for(1)
        worker.send_signal(signal.SIGKILL)
        worker.communicate(timeout=60)

    with pytest.raises(LoginRequired, match=f"process {worker.pid} on .* began a refresh at"):
        world.session(use_stored_token=True).get("x")


def test_a_missing_key_is_named_and_no_new_one_is_made(make: Callable[..., World]) -> None:
    world = make()
    world.logged_in()
    key = Path(f"{world.folder}.key")
    key.rename(key.with_suffix(".away"))

    with pytest.raises(GatepassError, match="key"):
        world.session(use_stored_token=True).get("x")

    assert not key.exists()
