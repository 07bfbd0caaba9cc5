"""The dask workers of one host, each a process with threads.

Run as `python -m tests.support.hosts.host SCHEDULER ADDRESS PROCESSES THREADS`.
It ends with its input.
"""

import asyncio
import os
import sys

from distributed import Worker

import gatepass._session.session
import tests.support.hosts.tasks


async def _work(scheduler: str, address: str, threads: int) -> None:
    worker: object = Worker(
        scheduler, host=address, nthreads=threads, memory_limit=0, dashboard_address=None
    )
    async with worker as running:  # type: ignore[attr-defined]  # dask has no types for it
        await running.finished()


def main(scheduler: str, address: str, processes: str, threads: str) -> None:
    """Fork the processes, after all that takes long to import, and wait for the end."""
    if sys.platform == "win32":
        raise NotImplementedError
    loaded = gatepass._session.session, tests.support.hosts.tasks
    assert loaded
    children = []
    for _ in range(int(processes)):
        child = os.fork()
        if not child:
            os.close(0)
            asyncio.run(_work(scheduler, address, int(threads)))
            os._exit(0)
        children.append(child)
    sys.stdin.read()
    for child in children:
        os.kill(child, 15)
    for child in children:
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
