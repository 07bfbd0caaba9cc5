"""Run a server in the foreground, as a child process, until the block ends."""

import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.peers.waiting import wait_for

START_SECONDS = 120
STOP_SECONDS = 10


@contextmanager
def running(
    argv: Sequence[str],
    *,
    environ: Mapping[str, str],
    log: Path,
    ready: Callable[[], object],
    stdin: bytes = b"",
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a server, wait until it is ready, and stop that very process at the end.

    Args:
        argv: a command that stays in the foreground.
        environ: its whole environment.
        log: where its output goes.
        ready: truthy as soon as the server answers.
        stdin: what it reads before the end of its input.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            argv,
            env=environ,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Neither Ctrl-C nor a resized window (to Apache: stop) must reach the server.
            start_new_session=True,
        )
    try:
        if process.stdin:
            with process.stdin as pipe:
                pipe.write(stdin)
        wait_for(lambda: _lives(process, log) and ready(), START_SECONDS, f"{argv[0]} is ready")
        yield process
    finally:
        _stop(process)


def _lives(process: subprocess.Popen[bytes], log: Path) -> bool:
    if process.poll() is not None:
        tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise RuntimeError(f"{process.args!r} ended with {process.returncode}:\n{tail}")
    return True


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
