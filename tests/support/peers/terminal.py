"""Run a command in a terminal of its own, or with no terminal at all."""

import io
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pexpect
import pytest


@contextmanager
def terminal(
    argv: Sequence[str],
    environ: Mapping[str, str],
    *,
    cwd: Path | None = None,
    timeout: float = 20,
    columns: int = 100,
) -> "Iterator[pexpect.spawn[str]]":
    """Run a command in a new pseudo-terminal; end it with the block.

    All that appeared on its screen is in `child.logfile_read.getvalue()`.
    """
    if not hasattr(pexpect, "spawn"):
        pytest.skip("this system has no pseudo-terminals")
    child = pexpect.spawn(
        argv[0],
        list(argv[1:]),
        env={"TERM": "xterm-256color", **environ},
        cwd=None if cwd is None else str(cwd),
        timeout=timeout,
        encoding="utf-8",
        dimensions=(40, columns),
    )
    child.logfile_read = io.StringIO()
    try:
        yield child
    finally:
        child.close(force=True)


def without_terminal(
    argv: Sequence[str],
    environ: Mapping[str, str],
    *,
    stdin: str = "",
    cwd: Path | None = None,
    timeout: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Run a command in a session of its own: it cannot open `/dev/tty`, its streams are pipes."""
    return subprocess.run(
        argv,
        env=environ,
        cwd=cwd,
        input=stdin,
        encoding="utf-8",
        capture_output=True,
        timeout=timeout,
        start_new_session=True,
        check=False,
    )
