"""Pools of workers of every kind, each with one worker that has nothing of its parent."""

import multiprocessing
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

from tests.support import worker_tasks
from tests.support.peers.environ import clean_environ
from tests.support.peers.need import absent

SECONDS: Final = 60  # for one answer, and no test waits for that

METHODS = [
    each
    for each in ("spawn", "fork", "forkserver")
    if each in multiprocessing.get_all_start_methods()
]
KINDS = [
    *(f"multiprocessing {method}" for method in METHODS),
    *(f"concurrent.futures {method}" for method in METHODS),
    "joblib",
    "dask",
]
CLOSURES = ("joblib", "dask")  # those that pickle functions by their value


class Pool(Protocol):
    """Does one task after the other in another process."""

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return what the function returns there, or raise what it raises."""


@contextmanager
def pool(kind: str, folder: Path, environ: Mapping[str, str]) -> Iterator[Pool]:
    """Start a pool of one worker, whose home and working directory are new folders."""
    there = folder / "there"
    there.mkdir(parents=True)
    world = (clean_environ(folder / "home", **environ), str(there))
    library, _, method = kind.partition(" ")
    start = {"multiprocessing": _multiprocessing, "concurrent.futures": _futures}.get(library)
    if start is not None:
        with start(method, world) as running:
            yield running
        return
    with {"joblib": _joblib, "dask": _dask}[library](world) as running:
        yield running


World = tuple[dict[str, str], str]


@contextmanager
def _multiprocessing(method: str, world: World) -> Iterator[Pool]:
    context = multiprocessing.get_context(method)
    with context.Pool(1, worker_tasks.settle, world) as running:  # leaving it ends the worker
        yield lambda function, *arguments: running.apply_async(function, arguments).get(SECONDS)


@contextmanager
def _futures(method: str, world: World) -> Iterator[Pool]:
    context = multiprocessing.get_context(method)
    executor = ProcessPoolExecutor(1, context, worker_tasks.settle, world)
    try:
        yield lambda function, *arguments: executor.submit(function, *arguments).result(SECONDS)
    finally:
        workers = list((executor._processes or {}).values())
        executor.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.join(SECONDS)
            worker.kill()


@contextmanager
def _joblib(world: World) -> Iterator[Pool]:
    """The backend of joblib's own, loky, whose processes are all joblib's."""
    try:
        from joblib.externals.loky import ProcessPoolExecutor as Loky
    except ImportError:
        absent("joblib is not installed")
    executor = Loky(1, initializer=worker_tasks.settle, initargs=world)
    try:
        yield lambda function, *arguments: executor.submit(function, *arguments).result(SECONDS)
    finally:
        executor.shutdown(kill_workers=True)


@contextmanager
def dask_client(workers: int) -> Iterator[Any]:
    """Start a cluster of dask in processes on this host."""
    try:
        import distributed
    except ImportError:
        absent("distributed is not installed")
    dask: Any = distributed  # it is typed in part
    options = {"processes": True, "dashboard_address": ":0", "host": "127.0.0.1"}
    with (
        dask.LocalCluster(n_workers=workers, threads_per_worker=1, **options) as cluster,
        dask.Client(cluster, set_as_default=False) as client,
    ):
        yield client


@contextmanager
def _dask(world: World) -> Iterator[Pool]:
    with dask_client(1) as client:
        client.run(worker_tasks.settle, *world)
        yield lambda function, *arguments: client.submit(function, *arguments, pure=False).result(
            timeout=SECONDS
        )
