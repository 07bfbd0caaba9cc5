"""What happens when many processes of one person start at the moment when the token has ended.

All are started, and wait at a barrier before their first request; then they are let go at once.
"""

import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from benchmarks.environments import OAC, Environment
from benchmarks.measure import Failed, Script, stamp
from benchmarks.oidc import HOUR, Office, office

COUNTS: Final = (1, 8, 32)
_SECONDS: Final = 600
# How the provider treats its refresh tokens: whether it replaces them.
POLICIES: Final = {"keeps them": False, "replaces them and detects reuse": True}


def measured(
    environments: dict[str, Environment],
    counts: Sequence[int] = COUNTS,
    policies: Sequence[str] = tuple(POLICIES),
) -> dict[str, Any]:
    """Return the rows of this part.

    Args:
        environments: by name.
        counts: numbers of processes.
        policies: of the provider.
    """
    rows = []
    for policy in policies:
        for count in counts:
            rows.append(_row(policy, count, environments, _ours))
            if OAC in environments:
                rows.append(_row(policy, count, environments, _theirs))
    return {**stamp(environments, 1), "rows": rows}


def _ours(place: Office, environments: dict[str, Environment]) -> Script:
    client = place.ours(environments)
    place.store(client, seconds_ago=HOUR)
    return client


def _theirs(place: Office, environments: dict[str, Environment]) -> Script:
    return place.theirs(environments, "stored")


def _row(
    policy: str,
    count: int,
    environments: dict[str, Environment],
    prepare: Callable[[Office, dict[str, Environment]], Script],
) -> dict[str, Any]:
    with (
        tempfile.TemporaryDirectory() as folder,
        office(Path(folder), rotation=POLICIES[policy]) as place,
    ):
        client = prepare(place, environments)
        before = place.provider.counts
        seen = len(place.provider.requests)
        outcomes = _at_once(client, count)
        after = place.provider.counts
        return {
            "name": client.name,
            "provider": policy,
            "processes": count,
            "token_requests": after.refreshes - before.refreshes,
            "provider_requests": len(place.provider.requests) - seen,
            "forced_logins": after.forced_logins - before.forced_logins,
            "failed": [outcome for outcome in outcomes if outcome != "ok"],
        }


def _at_once(client: Script, count: int) -> list[str]:
    """Let so many processes begin at one moment; return how each ended."""
    waiting = replace(client, environ={**client.environ, "BARRIER": "1"})
    with ExitStack() as stack:
        processes = [stack.enter_context(_started(waiting)) for _ in range(count)]
        for process in processes:
            if process.stdout is None or process.stdout.readline() != "ready\n":
                raise Failed(client.name, 1, "it ended before the barrier")
        for process in processes:
            if process.stdin is not None:
                process.stdin.write("\n")
                process.stdin.flush()
        return [_ended(client, process) for process in processes]


@contextmanager
def _started(client: Script) -> Iterator["subprocess.Popen[str]"]:
    """Start a script; it does not outlive the block."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        client.argv,
        env=client.variables(),
        cwd=client.home,
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()  # does nothing to one that has ended


def _ended(client: Script, process: "subprocess.Popen[str]") -> str:
    _, errors = process.communicate(timeout=_SECONDS)
    return Failed(client.name, process.returncode, errors).kind if process.returncode else "ok"
