"""The command, run in the process of the tests: what a process would do, without starting one."""

import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import keyring.core
from click.testing import CliRunner

from gatepass._system.terminal import Terminal
from gatepass.cli import run
from gatepass.cli._context import Context

# What a library reads once for each process, or a C library reads for itself.
_NEED_A_PROCESS = (
    "DBUS_SESSION_BUS_ADDRESS",
    "KRB5",
    "PYTHONIOENCODING",
    "PYTHONWARNINGS",
    "PYTHON_KEYRING_BACKEND",
)


def needs_a_process(environ: Mapping[str, str]) -> bool:
    """Tell whether these variables count only for a process that begins with them."""
    return any(name.startswith(_NEED_A_PROCESS) for name in environ)


def run_in_process(
    arguments: Sequence[str],
    environ: Mapping[str, str],
    *,
    stdin: str = "",
    cwd: Path,
    together: bool = False,
) -> "subprocess.CompletedProcess[str]":
    """Run the command here, with these variables, in that folder; its streams are pipes.

    ``together`` puts both streams into ``stdout``, in their order, as ``2>&1`` does.
    """
    runner = CliRunner()
    with _surroundings(environ, cwd), runner.isolation(input=stdin) as (out, err, both):
        # The terminal that the tests were started from is not this command's.
        is_told = {"GATEPASS_NO_INPUT", "CI"} & environ.keys()
        terminal = Terminal(os.environ, interactive=None if is_told else False)
        code = run(arguments, Context(os.environ, terminal))
        return subprocess.CompletedProcess(
            arguments,
            code,
            (both if together else out).getvalue().decode(),
            err.getvalue().decode(),
        )


@contextlib.contextmanager
def _surroundings(environ: Mapping[str, str], cwd: Path) -> Iterator[None]:
    variables, folder, backend = dict(os.environ), Path.cwd(), keyring.core._keyring_backend
    try:
        os.environ.clear()
        os.environ.update(environ)
        os.chdir(cwd)
        keyring.core._keyring_backend = None  # it is chosen by the variables
        yield
    finally:
        keyring.core._keyring_backend = backend
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(variables)
