"""The command, run in the process of the tests: what a process would do, without starting one."""

import contextlib
import importlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import keyring.backend
import keyring.core
from click.testing import CliRunner

from gatepass._system.terminal import Terminal
from gatepass.cli import run
from gatepass.cli._context import Context

# What a library reads once for each process, or a C library reads for itself.
_NEED_A_PROCESS = (
    "KRB5",
    "PYTHONIOENCODING",
    "PYTHONWARNINGS",
    "PYTHON_KEYRING_BACKEND",
)


def needs_a_process(environ: Mapping[str, str], packages: Sequence[str] = ()) -> bool:
    """Tell whether these variables count only for a process that begins with them.

    So do folders of packages with a module that stands in the place of another.
    """
    if any(name.startswith(_NEED_A_PROCESS) for name in environ):
        return True
    modules = {path.stem for folder in packages for path in Path(folder).iterdir()}
    return bool(modules & {*(sys.modules.keys() - _foreign(packages)), "sitecustomize"})


def _foreign(packages: Sequence[str]) -> set[str]:
    """The modules that are loaded from these folders."""
    places = tuple(packages)
    modules = sys.modules.items() if places else ()
    return {
        name
        for name, module in modules
        if str(getattr(module, "__file__", None)).startswith(places)
    }


def run_in_process(
    arguments: Sequence[str],
    environ: Mapping[str, str],
    *,
    stdin: str = "",
    cwd: Path,
    packages: Sequence[str] = (),
    together: bool = False,
) -> "subprocess.CompletedProcess[str]":
    """Run the command here, with these variables, in that folder; its streams are pipes.

    ``together`` puts both streams into ``stdout``, in their order, as ``2>&1`` does.
    """
    runner = CliRunner()
    with _surroundings(environ, cwd, packages), runner.isolation(input=stdin) as (out, err, both):
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
def _surroundings(environ: Mapping[str, str], cwd: Path, packages: Sequence[str]) -> Iterator[None]:
    variables, folder, backend = dict(os.environ), Path.cwd(), keyring.core._keyring_backend
    path = list(sys.path)
    try:
        os.environ.clear()
        os.environ.update(environ)
        os.chdir(cwd)
        sys.path[:0] = packages
        importlib.invalidate_caches()
        # A back end is chosen by the variables, among those that work where they lead.
        keyring.core._keyring_backend = None
        vars(keyring.backend.get_all_keyring).pop("saved_result", None)
        yield
    finally:
        keyring.core._keyring_backend = backend
        vars(keyring.backend.get_all_keyring).pop("saved_result", None)
        sys.path[:] = path
        for name in _foreign(packages):
            del sys.modules[name]
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(variables)
