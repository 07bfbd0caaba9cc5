"""Sessions in pools of every kind: secrets of the worker's own, errors that come back."""

import os
import pickle
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gatepass._session.exceptions import LoginRefused, SchemeNotOffered, Unreachable
from gatepass._session.session import Session
from gatepass._system.context import RunContext
from gatepass.errors import GatepassError, NobodyThere, SecretUnavailable
from gatepass.secrets import ref
from tests.support import worker_tasks
from tests.support.echo import Answer, Echo, Seen, basic, echo, refused
from tests.support.pools import CLOSURES, KINDS, Pool, dask_client, pool
from tests.support.sessions import NOWHERE, USER, profile_for

HERE, THERE = "canary-here", "canary-there"  # the same variable, in the parent and in the worker
PARENT = {"MI_PASSWORD": HERE, "ONLY_HERE": HERE}
WORKER = {"MI_PASSWORD": THERE, "MI_WRONG": "canary-wrong"}
LOGIN = basic(USER, THERE)

# Python 3.12 warns about each fork of a process with threads, and pools have threads.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


def _answers(seen: Seen) -> Answer:
    return Answer() if seen.authorization == LOGIN else refused('Basic realm="x"')


@pytest.fixture(scope="module")
def server() -> Iterator[Echo]:
    with echo(_answers) as running:
        yield running


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture(scope="module")
def worker(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with pool(kind, tmp_path_factory.mktemp("worker"), WORKER) as running:
        yield running


@pytest.fixture
def prod(server: Echo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Session]:
    """Return what builds a session of a trusted project, whose files are then gone."""

    def build(password: str = '"env:MI_PASSWORD"') -> Session:
        project = tmp_path / "secret-project"
        (project / ".git").mkdir(parents=True)
        file = project / "gatepass.toml"
        file.write_text(
            f'[profiles.prod]\nurl = "{server.url}"\n'
            f'auth = {{ scheme = "basic", user_name = "{USER}", password = {password} }}\n'
        )
        file.chmod(0o600)
        monkeypatch.chdir(project)
        mi = Session.from_profile("prod", config_file=file, environ=PARENT)
        monkeypatch.chdir(tmp_path)
        file.unlink()
        return mi

    return build


def test_a_session_works_where_there_is_neither_file_nor_trust(
    worker: Pool, prod: Callable[..., Session], server: Echo, tmp_path: Path
) -> None:
    before = len(server.seen)

    code, where, folder = worker(worker_tasks.status, prod())

    assert code == 200
    assert where.startswith("process ")
    assert where != worker_tasks.where()
    assert not Path(folder).is_relative_to(tmp_path)
    assert server.authorizations[before:] == [LOGIN], "with the worker's own secret"


def test_what_is_missing_there_names_the_worker_and_the_next_step(
    worker: Pool, prod: Callable[..., Session], server: Echo
) -> None:
    """And the pool goes on: a worker that ends would leave the others waiting."""
    before = len(server.seen)
    there = worker(worker_tasks.where)

    with pytest.raises(SecretUnavailable) as caught:
        worker(worker_tasks.status, prod('"env:ONLY_HERE"'))

    assert caught.value.message == (
        f"{there}: password: env:ONLY_HERE: the variable ONLY_HERE is not set"
    )
    assert caught.value.hint.startswith("set ONLY_HERE in the environment of this run\n")
    assert caught.value.exit_code == 3
    assert len(server.seen) == before
    assert worker(worker_tasks.where) == there


def test_nobody_is_asked_there(worker: Pool, prod: Callable[..., Session]) -> None:
    with pytest.raises(NobodyThere, match=r"(?s)^process .*no alternative answered"):
        worker(worker_tasks.status, prod('["env:ONLY_HERE", "prompt:The password"]'))


def test_a_refusal_comes_back_with_its_answer_and_is_sent_once(
    worker: Pool, server: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MI_WRONG", HERE)
    mi = Session._from_checked(
        profile_for(server.url, auth={"password": ref("env:MI_WRONG")}), RunContext.of()
    )
    before = len(server.seen)
    for _ in range(2):
        with pytest.raises(LoginRefused, match="refused the login of bob") as caught:
            worker(worker_tasks.attempt, mi, 3)

    assert len(server.seen) == before + 1
    error: Any = caught.value
    assert (error.response.status_code, error.response.text) == (401, "no")
    assert error.request.url == f"{server.url}x"
    assert error.hint
    assert error.exit_code == 4
    assert error.message.startswith(worker(worker_tasks.where))
    for secret in (b"canary", basic(USER, "canary-wrong").encode()):
        assert secret not in pickle.dumps(error)


@pytest.fixture(scope="module")
def negotiating() -> Iterator[str]:
    """The URL of a server of its own: in a worker, a password that it refuses is refused there."""
    with echo(lambda _: refused("Negotiate")) as running:
        yield running.url


@pytest.mark.parametrize(
    ("url", "expected", "exit_code"),
    [("", SchemeNotOffered, 4), (NOWHERE, Unreachable, 5)],
)
def test_other_errors_come_back_as_what_they_are(
    worker: Pool, negotiating: str, url: str, expected: type[GatepassError], exit_code: int
) -> None:
    profile = profile_for(url or negotiating, retries=0)
    mi = Session._from_checked(profile, RunContext.of(environ=PARENT))

    with pytest.raises(expected) as caught:
        worker(worker_tasks.status, mi)

    assert type(caught.value) is expected
    assert caught.value.exit_code == exit_code
    assert caught.value.message.startswith(worker(worker_tasks.where))


def test_what_cannot_travel_is_refused_before_anything_is_sent(worker: Pool, server: Echo) -> None:
    there, before = worker(worker_tasks.where), len(server.seen)
    mi = Session(server.url, user_name=USER, password=HERE)

    with pytest.raises(Exception) as caught:  # noqa: PT011 - joblib and dask wrap it
        worker(worker_tasks.status, mi)

    shown = "".join(traceback.format_exception(caught.value))
    assert "TypeError: this session cannot be pickled: password was given as a value" in shown
    assert HERE not in shown
    assert (worker(worker_tasks.where), len(server.seen)) == (there, before)


def test_a_closure_takes_its_session_along(
    kind: str, worker: Pool, prod: Callable[..., Session]
) -> None:
    if kind not in CLOSURES:
        pytest.skip("this kind of pool pickles functions by their name")
    mi = prod()
    mi.headers["X-Tenant"] = "t"
    mi.hooks["response"].append(lambda answer, **_: answer.headers.update({"X-By": "closure"}))

    def task() -> tuple[int, Any, int]:
        answer = mi.get("x")
        return answer.status_code, answer.headers.get("X-By"), os.getpid()

    code, by, pid = worker(task)
    assert (code, by) == (200, "closure")
    assert pid != os.getpid()


def test_a_plug_in_of_dask_brings_a_session_to_each_worker(
    prod: Callable[..., Session], server: Echo, tmp_path: Path
) -> None:
    distributed: Any = pytest.importorskip("distributed")

    class WithSession(distributed.WorkerPlugin):  # type: ignore[misc]  # it is typed in part
        """Keeps a session on each worker."""

        def __init__(self, mi: Session) -> None:
            self.mi = mi

        def setup(self, worker: Any) -> None:
            worker.mi = self.mi

    def task(_: int) -> tuple[int, int]:
        mi: Session = distributed.get_worker().mi
        return mi.get("x").status_code, os.getpid()

    before = server.connections
    with dask_client(2) as client:
        client.run(worker_tasks.settle, WORKER, str(tmp_path))
        client.register_plugin(WithSession(prod()))
        found = client.gather(client.map(task, range(8), pure=False))

    assert {code for code, _ in found} == {200}
    assert server.connections - before == len({pid for _, pid in found}), "one for each worker"
