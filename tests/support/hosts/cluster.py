"""A dask scheduler and its client; the workers come from elsewhere.

Run as `python -m tests.support.hosts.cluster ADDRESS`.
It reads commands as lines of JSON and answers each with one.
"""

import json
import pickle
import sys
import tempfile
from pathlib import Path
from typing import Any

from distributed import Client, LocalCluster

from tests.support.hosts import tasks


class Driver:
    """Carries commands out."""

    def __init__(self, address: str) -> None:
        cluster: Any = LocalCluster  # dask has no types for these
        client: Any = Client
        self._cluster = cluster(n_workers=0, host=address, dashboard_address=None)
        self._client = client(self._cluster)
        self._futures: list[Any] = []

    def where(self) -> str:
        """Return the scheduler's address."""
        return str(self._cluster.scheduler_address)

    def wait(self, workers: int) -> int:
        """Wait for so many workers."""
        self._client.wait_for_workers(workers, timeout=120)
        return len(self._client.scheduler_info(n_workers=-1)["workers"])

    def submit(self, name: str, session: str, times: int, each: int) -> int:
        """Let each worker do a task so many times at once, on threads of its own."""
        data = Path(session).read_bytes()
        assert pickle.loads(data)  # noqa: S301 - the test's own
        folder = tempfile.mkdtemp()
        places = [
            address
            for address in self._client.scheduler_info(n_workers=-1)["workers"]
            for _ in range(each)
        ]
        self._futures = [
            self._client.submit(
                getattr(tasks, name), data, times, folder, number, len(places),
                workers=[address], allow_other_workers=False, pure=False,
            )
            for number, address in enumerate(places)
        ]  # fmt: skip
        return len(places)

    def gather(self) -> Any:
        """Return what came of the tasks."""
        return self._client.gather(self._futures)


def main(address: str) -> None:
    """Answer commands until the input ends."""
    driver = Driver(address)
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        print(json.dumps(getattr(driver, name)(*arguments)), flush=True)  # noqa: T201 - to the test


if __name__ == "__main__":
    main(sys.argv[1])
