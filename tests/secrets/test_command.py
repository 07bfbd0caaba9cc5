"""The source `{ command = [...] }`, with real programs."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatepass.errors import SecretUnavailable
from gatepass.secrets import LayerKind
from gatepass.secrets.command import _output, command
from tests.support.peers.environ import clean_environ
from tests.support.peers.waiting import wait_for
from tests.support.secret_context import PYTHONPATH, context

posix = pytest.mark.skipif(sys.platform == "win32", reason="runs programs for /bin/sh")

FOLDERS = os.defpath.split(os.pathsep)  # where sh finds cat and sleep


def python(code: str, *arguments: str) -> str:
    """Return the reference's text for a Python program."""
    return json.dumps([sys.executable, "-c", code, *arguments])


def program(path: Path, script: str) -> Path:
    """Write a program for /bin/sh and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Variables of a user whose PATH holds one folder of their own."""
    return clean_environ(tmp_path) | {"PATH": os.pathsep.join([str(tmp_path / "bin"), *FOLDERS])}


# --- what it answers -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("printed", "secret"),
    [
        (b"hunter2", "hunter2"),
        (b"hunter2\n", "hunter2"),
        (b"hunter2\r\n", "hunter2"),
        (b"hunter2\nuser: bob\n", "hunter2"),
        (b" hunter2 \n", " hunter2 "),
        ("päss-€\n".encode(), "päss-€"),
        (b"\xef\xbb\xbfhunter2\n", "hunter2"),
        (b"", ""),
        (b"\nhunter2", ""),
    ],
)
def test_the_first_line_is_the_secret(environ: dict[str, str], printed: bytes, secret: str) -> None:
    code = f"import sys; sys.stdout.buffer.write({printed!r})"
    assert command(python(code), context(environ=environ)) == secret


def test_the_arguments_arrive_as_they_are_written(environ: dict[str, str]) -> None:
    arguments = ["$HOME", "`id`", "a  b", "; echo x", '"', "%PATH%", "*", "", "€"]
    code = "import json, sys; print(json.dumps(sys.argv[1:]))"
    answer = command(python(code, *arguments), context(environ=environ))
    assert json.loads(answer) == arguments


# Asks for a command in a process of its own: the reference's text, then the variables as JSON.
ASK = """
import json, sys
from gatepass.secrets.command import command
from tests.support.secret_context import context
print(command(sys.argv[1], context(environ=json.loads(sys.argv[2]))))
"""


def test_the_input_is_empty(environ: dict[str, str]) -> None:
    """Also where the script itself reads one."""
    text = python("import sys; print(repr(sys.stdin.read()))")
    done = subprocess.run(
        [sys.executable, "-c", ASK, text, json.dumps(environ)],
        env=environ | {"PYTHONPATH": PYTHONPATH},
        input="for the script",
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert done.stdout.strip() == "''"


def test_the_variables_are_those_of_the_context(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OF_THIS_PROCESS", "x")
    code = "import os; print(os.environ.get('OF_THIS_PROCESS'), os.environ['OF_THE_CONTEXT'])"
    here = context(environ=environ | {"OF_THE_CONTEXT": "y"})
    assert command(python(code), here) == "None y"


@posix
def test_the_program_has_no_terminal_to_ask_on(environ: dict[str, str]) -> None:
    code = "import os; print(os.getsid(0) == os.getpid())"
    assert command(python(code), context(environ=environ)) == "True"


# --- who may name one ----------------------------------------------------------------------


@pytest.mark.parametrize("layer", ["system", "project", "local", "file", "variable"])
def test_only_the_users_own_file_may_run_programs(
    environ: dict[str, str], tmp_path: Path, layer: LayerKind
) -> None:
    mark = tmp_path / "it ran"
    text = python(f"open({str(mark)!r}, 'w'); print('hunter2')")
    with pytest.raises(SecretUnavailable) as caught:
        command(text, context(environ=environ, layer=layer))
    assert not mark.exists()
    assert "your own profiles.toml" in caught.value.hint
    assert "allow_commands = true" in caught.value.hint

    here = context(environ=environ, layer=layer, allow_commands=True)
    assert command(text, here) == "hunter2"


@pytest.mark.parametrize("layer", ["user", "argument"])
def test_the_user_may_run_programs(environ: dict[str, str], layer: LayerKind) -> None:
    here = context(environ=environ, layer=layer)
    assert command(python("print('hunter2')"), here) == "hunter2"


# --- which program -------------------------------------------------------------------------


@posix
def test_a_bare_name_is_found_on_path(environ: dict[str, str], tmp_path: Path) -> None:
    program(tmp_path / "bin" / "tool", 'echo "$0"')
    answer = command('["tool"]', context(environ=environ))
    assert answer == str(tmp_path / "bin" / "tool")


@posix
def test_the_first_folder_of_path_wins(environ: dict[str, str], tmp_path: Path) -> None:
    program(tmp_path / "bin" / "tool", "echo first")
    program(tmp_path / "later" / "tool", "echo second")
    environ["PATH"] += os.pathsep + str(tmp_path / "later")
    assert command('["tool"]', context(environ=environ)) == "first"


@posix
@pytest.mark.parametrize("entry", ["", ".", "here", "./here", "..", "~"])
def test_the_working_directory_is_never_searched(
    environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str
) -> None:
    """Whatever PATH says: an empty entry means the working directory to a shell."""
    for place in ("work", "work/here", "work/~", "."):
        program(tmp_path / place / "tool", "echo planted")
    monkeypatch.chdir(tmp_path / "work")
    for path in (entry, os.pathsep.join([entry, *FOLDERS]), os.pathsep.join([*FOLDERS, entry])):
        with pytest.raises(SecretUnavailable, match="tool: not found on PATH"):
            command('["tool"]', context(environ=environ | {"PATH": path}))


def test_without_path_nothing_is_found(environ: dict[str, str]) -> None:
    del environ["PATH"]
    with pytest.raises(SecretUnavailable, match="python: not found on PATH"):
        command('["python"]', context(environ=environ))


@pytest.mark.parametrize("name", ["./tool", "bin/tool", "../tool", "~other/tool", "tool/", "."])
def test_a_relative_path_is_refused(
    environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    if name != ".":
        program(tmp_path / "work" / name, "echo planted")
    (tmp_path / "work").mkdir(exist_ok=True)
    monkeypatch.chdir(tmp_path / "work")
    here = context(environ=environ, base_dir=tmp_path / "work")
    with pytest.raises(SecretUnavailable, match="is relative") as caught:
        command(json.dumps([name]), here)
    assert "absolute path" in caught.value.hint


@posix
def test_a_tilde_is_the_home_folder_of_the_context(environ: dict[str, str], tmp_path: Path) -> None:
    program(tmp_path / "own" / "tool", "echo hunter2")
    assert command('["~/own/tool"]', context(environ=environ)) == "hunter2"


@pytest.mark.parametrize("ending", [".bat", ".cmd", ".CMD", ".bat. .", ".cmd "])
def test_a_batch_file_is_refused(environ: dict[str, str], tmp_path: Path, ending: str) -> None:
    """Windows hands it to a shell, also behind blanks and dots."""
    if sys.platform == "win32" and ending[-1] in ". ":
        pytest.skip("Windows makes no file of that name, and finds the batch file by it")
    path = program(tmp_path / "bin" / f"tool{ending}", "echo hunter2")
    for name in (str(path), path.name):
        with pytest.raises(SecretUnavailable, match="batch file, which would run a shell"):
            command(json.dumps([name]), context(environ=environ))


@posix
def test_what_is_no_program_is_passed_over(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "bin" / "folder").mkdir(parents=True)
    program(tmp_path / "bin" / "text", "echo hunter2").chmod(0o644)
    for name in ("folder", "text", ".."):
        with pytest.raises(SecretUnavailable, match="not found on PATH"):
            command(json.dumps([name]), context(environ=environ))


def test_a_missing_program_is_named(environ: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(SecretUnavailable, match="nosuch: not found on PATH") as caught:
        command('["nosuch"]', context(environ=environ))
    assert "install it" in caught.value.hint
    with pytest.raises(SecretUnavailable, match="nosuch: does not exist"):
        command(json.dumps([str(tmp_path / "nosuch")]), context(environ=environ))


@posix
def test_what_the_system_cannot_start_is_told(environ: dict[str, str], tmp_path: Path) -> None:
    """And no shell tries it instead."""
    tool = program(tmp_path / "bin" / "tool", "")
    tool.write_text("echo hunter2\n", encoding="utf-8")
    with pytest.raises(SecretUnavailable, match=r"cannot start .*tool: Exec format error"):
        command('["tool"]', context(environ=environ))


# --- what goes wrong -----------------------------------------------------------------------


def test_of_a_failure_only_the_status_is_told(environ: dict[str, str]) -> None:
    code = "import sys; print('hunter2'); sys.stderr.write('hunter2'); sys.exit(3)"
    with pytest.raises(SecretUnavailable, match="ended with status 3") as caught:
        command(python(code), context(environ=environ))
    assert "hunter2" not in str(caught.value)


@posix
def test_a_program_that_was_ended_by_a_signal_is_told(environ: dict[str, str]) -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"
    with pytest.raises(SecretUnavailable, match="ended with signal 15"):
        command(python(code), context(environ=environ))


def test_errors_of_a_program_that_succeeds_go_nowhere(
    environ: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    code = "import sys; sys.stderr.write('x' * 1_000_000); print('hunter2')"
    assert command(python(code), context(environ=environ)) == "hunter2"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("printed", [b"hunter2\xff", "hunter2".encode("utf-16")])
def test_what_is_not_utf_8_is_refused_and_not_repeated(
    environ: dict[str, str], printed: bytes
) -> None:
    code = f"import sys; sys.stdout.buffer.write({printed!r})"
    with pytest.raises(SecretUnavailable, match="not UTF-8") as caught:
        command(python(code), context(environ=environ))
    assert "hunter2" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_as_much_as_a_secret_may_be_is_read(environ: dict[str, str]) -> None:
    assert len(command(python("print('x' * 65536, end='')"), context(environ=environ))) == 65536


@posix
def test_endless_output_is_cut_off_and_its_program_ended(
    environ: dict[str, str], tmp_path: Path
) -> None:
    note = tmp_path / "pid"
    code = f"import os; open({str(note)!r}, 'w').write(str(os.getpid()))\nwhile True: print('x')"
    with pytest.raises(SecretUnavailable, match="more than 65536 bytes"):
        command(python(code), context(environ=environ))
    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text()), 0)


@pytest.fixture
def alive(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A pipe that is at its end when all who opened it have ended: its path and reading end."""
    if sys.platform == "win32":
        pytest.skip("Windows has no named pipes in folders")
    os.mkfifo(tmp_path / "alive")
    reading = os.open(tmp_path / "alive", os.O_RDONLY | os.O_NONBLOCK)
    yield tmp_path / "alive", reading
    os.close(reading)


@pytest.mark.parametrize("output", ["", "exec >/dev/null;"])
def test_a_program_that_takes_too_long_is_ended_with_all_that_it_started(
    environ: dict[str, str], alive: tuple[Path, int], output: str
) -> None:
    """Whether it keeps its output open or not."""
    pipe, reading = alive
    script = f"exec 3>'{pipe}'; {output} echo ready >&3; sleep 1000 & sleep 1000"
    with pytest.raises(SecretUnavailable, match="still running after 1 s"):
        _output(["/bin/sh", "-c", script], environ, 1)

    ended = b""
    while select.select([reading], [], [], 20)[0] and (part := os.read(reading, 100)):
        ended += part
    assert select.select([reading], [], [], 0)[0], "somebody still holds the pipe"


@posix
def test_ctrl_c_ends_the_program(
    environ: dict[str, str], alive: tuple[Path, int], tmp_path: Path
) -> None:
    pipe, reading = alive
    note = tmp_path / "started"
    script = f"exec 3>'{pipe}'; touch '{note}'; sleep 1000"
    text = json.dumps(["/bin/sh", "-c", script])
    process = subprocess.Popen(
        [sys.executable, "-c", ASK, text, json.dumps(environ)],
        env=environ | {"PYTHONPATH": PYTHONPATH},
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    wait_for(note.exists, 20, "the program runs")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert select.select([reading], [], [], 20)[0], "the program still runs"
    assert os.read(reading, 1) == b""
