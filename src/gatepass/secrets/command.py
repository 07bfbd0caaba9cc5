"""``{ command = [...] }``: the first line that a program prints, such as a password manager.

Never a shell: the program gets its arguments as they are written. It is looked for on ``PATH``
only, never in the working directory, which may belong to somebody else. And only the user's own
file, or Python code, may name it: a cloned repository must not run programs.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final, cast

from gatepass._system.process_tree import ProcessTree
from gatepass.errors import SecretUnavailable
from gatepass.secrets import SecretContext

_SECONDS: Final = 30.0
_MOST_BYTES: Final = 65536  # a secret is short

# CreateProcess hands these to cmd.exe, which reads the arguments as commands; it also ignores
# blanks and dots at the end of their names ("BatBadBut": CVE-2024-24576, CVE-2024-43402).
_BATCH: Final = (".bat", ".cmd")
_WINDOWS_ENDINGS: Final = (".exe", ".com", *_BATCH)  # of PATHEXT, those that need no association


def command(text: str, context: SecretContext, *, seconds: float = _SECONDS) -> str:
    """Run the program and return the first line of its output, without its line end.

    It gets the variables of the context, an empty input and 30 seconds. What it prints as
    errors is thrown away, since it may repeat the secret.

    Args:
        text: the program and its arguments, as a JSON list.
        context: gives the layer, the variables and the machine setting.
        seconds: how long the program may take.

    Raises:
        SecretUnavailable: commands are not allowed here; or the program is missing, failed, took
            too long, or printed too much or no UTF-8.
    """
    argv = _argv(text, context)
    output = _output(argv, context.environ, seconds)
    try:
        return output.partition(b"\n")[0].removesuffix(b"\r").decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SecretUnavailable(f"the output of {argv[0]} is not UTF-8") from None


def _argv(text: str, context: SecretContext) -> list[str]:
    """Return what may be run, with the program's absolute path. Looks at the disk."""
    if context.layer not in {"user", "argument"} and not context.allow_commands:
        raise SecretUnavailable(
            "a command runs only when your own file names it",
            hint="move this reference to your own profiles.toml; or set allow_commands = true "
            "there, or GATEPASS_ALLOW_COMMANDS=1, to let every file run programs",
        )
    name, *arguments = json.loads(text)
    return [_program(name, context), *arguments]


def _program(name: str, context: SecretContext) -> str:
    """Return the absolute path of a program. Looks at the disk."""
    if name.startswith(("~/", "~\\")):
        name = str(context.home / name[2:])
    path = Path(name)
    if path.is_absolute():
        candidates = [path]
    elif path.name != name:
        raise SecretUnavailable(
            f"the path of the program {name} is relative",
            hint="write a bare name that is on PATH, an absolute path, or one that starts with ~/",
        )
    else:
        candidates = list(on_path(name, context.environ))
    found = [str(candidate) for candidate in candidates if is_program(candidate)]
    usable = next((program for program in found if not is_batch(program)), None)
    if usable is None and found:
        raise SecretUnavailable(
            f"{found[0]} is a batch file, which would run a shell",
            hint="name the .exe that it calls, or an interpreter with the script as an argument",
        )
    if usable is None:
        where = "does not exist, or is no program" if path.is_absolute() else "not found on PATH"
        raise SecretUnavailable(
            f"{name}: {where}",
            hint="install it, or write its absolute path; the working directory is never searched",
        )
    return usable


def on_path(name: str, environ: Mapping[str, str]) -> Iterator[Path]:
    """Yield where a bare name may lie: in the absolute folders of PATH, in their order."""
    endings = [""]
    if sys.platform == "win32" and Path(name).suffix.lower() not in _WINDOWS_ENDINGS:
        endings = [*_WINDOWS_ENDINGS]
    for folder in environ.get("PATH", "").split(os.pathsep):
        # An empty entry, a dot or any other relative one is the working directory or below it.
        if Path(folder).is_absolute():
            yield from (Path(folder, name + ending) for ending in endings)


def is_program(path: Path) -> bool:
    """Say whether a path is a file that may be executed. Looks at the disk."""
    # Path.is_file raises for a name that is too long.
    return os.path.isfile(path) and os.access(path, os.X_OK)  # noqa: PTH113


def is_batch(program: str) -> bool:
    """Say whether Windows would hand a program to cmd.exe."""
    return program.rstrip(". ").lower().endswith(_BATCH)


def _output(argv: Sequence[str], environ: Mapping[str, str], seconds: float) -> bytes:
    """Run a program to its end and return its output, or end it and all that it started."""
    deadline = time.monotonic() + seconds
    process = _started(argv, environ)
    tree = ProcessTree(process)
    try:
        output = _read(process, deadline)
        status = process.wait(max(0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise SecretUnavailable(
            f"{argv[0]} was still running after {seconds:g} s",
            hint="it waits for a person or for the network: run the same command by hand to see",
        ) from None
    finally:
        # Also after Ctrl-C, which a program in a session of its own does not see.
        if process.returncode is None:
            tree.end()
        tree.close()
    if status:
        # Only the status: what it printed may hold the secret.
        ended = f"status {status}" if status > 0 else f"signal {-status}"
        raise SecretUnavailable(
            f"{argv[0]} ended with {ended}", hint="run the same command by hand to see why"
        )
    return output


def _started(argv: Sequence[str], environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a program without a shell, an input, or a terminal on which it could ask."""
    apart: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        apart = {"creationflags": subprocess.CREATE_NO_WINDOW}
    try:
        return subprocess.Popen(  # noqa: S603 - an absolute path, from the user's own file
            argv,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            **apart,
        )
    except OSError as error:
        raise SecretUnavailable(f"cannot start {argv[0]}: {error.strerror}") from None


def _read(process: subprocess.Popen[bytes], deadline: float) -> bytes:
    """Return all that a program prints until it closes its output.

    Raises:
        SecretUnavailable: that is too much.
        subprocess.TimeoutExpired: it is still open at the deadline.
    """
    from threading import Thread

    output = bytearray()

    def read() -> None:
        # Closed by its reader only: closing waits for a read that another thread has begun.
        with cast("IO[bytes]", process.stdout) as pipe:  # it was asked for
            output.extend(pipe.read(_MOST_BYTES + 1))

    thread = Thread(target=read, name="gatepass-command", daemon=True)
    thread.start()
    thread.join(max(0, deadline - time.monotonic()))
    if thread.is_alive():
        raise subprocess.TimeoutExpired(process.args, 0)
    if len(output) > _MOST_BYTES:
        raise SecretUnavailable(f"it printed more than {_MOST_BYTES} bytes, which is no secret")
    return bytes(output)
