"""Is anyone there, and how are they asked? Tried in real terminals, and without one."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Event

import pytest

from gatepass._system.terminal import Terminal
from gatepass.errors import NobodyThere
from tests.support.peers.environ import clean_environ
from tests.support.peers.terminal import terminal, without_terminal
from tests.support.peers.waiting import wait_for
from tests.support.secret_context import PYTHONPATH

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")

ANSWER = "hunter2 päss-€"

# Never prints the answer itself, so that the screen shows only what the terminal echoed.
ASK = f"""
from gatepass._system.terminal import Terminal
from gatepass.errors import NobodyThere
try:
    answer = Terminal().ask_secret("Word")
    print("RIGHT" if answer == {ANSWER!a} else "WRONG" + str(len(answer)), flush=True)
except NobodyThere as error:
    print("NOBODY", error.message, flush=True)
except KeyboardInterrupt:
    print("STOPPED", flush=True)
"""
WHY_NOT_ASK = "from gatepass._system.terminal import Terminal; print(Terminal().why_not_ask())"
WHY_NOT_BROWSE = (
    "from gatepass._system.terminal import Terminal; print(Terminal().why_not_browse())"
)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Variables of an ordinary shell."""
    return clean_environ(tmp_path, PYTHONPATH=PYTHONPATH)


def python(code: str) -> list[str]:
    """Return the command that runs some Python code."""
    return [sys.executable, "-c", code]


# --- asking --------------------------------------------------------------------------------


@posix
def test_a_person_is_asked_and_the_answer_is_hidden(environ: dict[str, str]) -> None:
    with terminal(python(ASK), environ) as child:
        child.expect_exact("Word: ")
        assert child.waitnoecho()
        child.sendline(ANSWER)
        child.expect_exact("RIGHT")
        assert "hunter2" not in child.logfile_read.getvalue()


@posix
def test_a_piped_input_is_left_alone_and_the_terminal_is_asked(environ: dict[str, str]) -> None:
    code = ASK + "import sys; print('THEN', sys.stdin.read())"
    with terminal(
        ["/bin/sh", "-c", 'echo piped | "$0" -c "$1"', sys.executable, code], environ
    ) as (child):
        child.expect_exact("Word: ")
        assert child.waitnoecho()
        child.sendline(ANSWER)
        child.expect_exact("RIGHT")
        child.expect_exact("THEN piped")


@posix
def test_a_redirected_output_does_not_get_the_question(
    environ: dict[str, str], tmp_path: Path
) -> None:
    argv = ["/bin/sh", "-c", '"$0" -c "$1" >out 2>err; cat out', sys.executable, ASK]
    with terminal(argv, environ, cwd=tmp_path) as child:
        child.expect_exact("Word: ")
        assert child.waitnoecho()
        child.sendline(ANSWER)
        child.expect_exact("RIGHT")
    assert (tmp_path / "out").read_text(encoding="utf-8") == "RIGHT\n"
    assert (tmp_path / "err").read_text(encoding="utf-8") == ""


@posix
def test_streams_may_be_none(environ: dict[str, str], tmp_path: Path) -> None:
    """As in a program without a console, here before a terminal all the same."""
    code = (
        "import sys; sys.stdin = sys.stdout = sys.stderr = None\n"
        "from gatepass._system.terminal import Terminal\n"
        "answer = Terminal().ask_secret('Word')\n"
        f"open('right', 'w').write(str(answer == {ANSWER!a}))"
    )
    with terminal(python(code), environ, cwd=tmp_path) as child:
        child.expect_exact("Word: ")
        assert child.waitnoecho()
        child.sendline(ANSWER)
        child.wait()
    assert (tmp_path / "right").read_text(encoding="utf-8") == "True"


@posix
def test_ctrl_c_at_the_question_is_ctrl_c(environ: dict[str, str]) -> None:
    with terminal(python(ASK), environ) as child:
        child.expect_exact("Word: ")
        assert child.waitnoecho()
        child.sendintr()
        child.expect_exact("STOPPED")


@posix
def test_the_end_of_the_input_is_no_answer(environ: dict[str, str]) -> None:
    with terminal(python(ASK), environ) as child:
        child.expect_exact("Word: ")
        assert child.waitnoecho()
        child.sendeof()
        child.expect_exact("NOBODY the input ended before an answer")


# --- nobody there --------------------------------------------------------------------------


@posix
def test_without_a_terminal_the_refusal_comes_at_once(environ: dict[str, str]) -> None:
    """Also where an answer waits on the piped input."""
    done = without_terminal(python(ASK), environ, stdin=f"{ANSWER}\n")
    assert "NOBODY it needs a person, and there is no terminal to ask on" in done.stdout
    assert "GATEPASS_NO_INPUT=0" in done.stdout
    assert "Word" not in done.stdout + done.stderr


@posix
def test_a_background_job_is_refused_and_not_stopped(environ: dict[str, str]) -> None:
    """Reading from the terminal would stop it by SIGTTIN until somebody runs `fg`."""
    code = (
        "import subprocess, sys\n"
        f"argv = [sys.executable, '-c', {ASK!r}]\n"
        "done = subprocess.run(argv, process_group=0, capture_output=True, text=True)\n"
        "print(done.stdout)"
    )
    with terminal(python(code), environ) as child:
        child.expect_exact("NOBODY it needs a person, and there is no terminal to ask on")


@posix
@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"CI": "true"}, "CI is set"),
        ({"GATEPASS_NO_INPUT": "1"}, "GATEPASS_NO_INPUT forbids asking"),
    ],
)
def test_a_variable_forbids_asking_even_before_a_terminal(
    environ: dict[str, str], variables: dict[str, str], reason: str
) -> None:
    with terminal(python(ASK), environ | variables) as child:
        child.expect_exact(f"NOBODY it needs a person, and {reason}")


@posix
def test_a_terminal_in_ci_is_asked_when_the_switch_says_so(environ: dict[str, str]) -> None:
    with terminal(python(ASK), environ | {"CI": "true", "GATEPASS_NO_INPUT": "0"}) as child:
        child.expect_exact("Word: ")
        assert child.waitnoecho()
        child.sendline(ANSWER)
        child.expect_exact("RIGHT")


@posix
@pytest.mark.parametrize("before", ["", "import sys; sys.stdin = sys.stderr = None\n"])
def test_an_answer_that_would_be_seen_is_not_read(environ: dict[str, str], before: str) -> None:
    """Told to ask where echo cannot be switched off: refused, and nothing is read."""
    done = without_terminal(
        python(before + ASK), environ | {"GATEPASS_NO_INPUT": "0"}, stdin=f"{ANSWER}\n"
    )
    assert done.stdout == "NOBODY the terminal cannot hide what is typed\n"


# --- the order of the answers --------------------------------------------------------------


@pytest.mark.parametrize("yes", ["1", "true", "YES", " on ", "2", "whatever"])
def test_no_input_is_any_word_but_no(yes: str) -> None:
    environ = {"GATEPASS_NO_INPUT": yes}
    assert Terminal(environ).why_not_ask() == "GATEPASS_NO_INPUT forbids asking"


@pytest.mark.parametrize("no", ["0", "false", "NO", " off "])
def test_no_input_0_overrides_ci(no: str) -> None:
    assert Terminal({"CI": "true", "GATEPASS_NO_INPUT": no}).why_not_ask() is None


@pytest.mark.parametrize("true", ["true", "1", "yes", "GitHub"])
def test_a_true_ci_forbids_asking_and_names_the_switch(true: str) -> None:
    reason = Terminal({"CI": true, "GATEPASS_NO_INPUT": ""}).why_not_ask()
    assert reason == "CI is set (GATEPASS_NO_INPUT=0 allows asking)"


@posix
@pytest.mark.parametrize("false", ["", "false", "0", " No "])
def test_a_false_ci_says_nothing(environ: dict[str, str], false: str) -> None:
    done = without_terminal(python(WHY_NOT_ASK), environ | {"CI": false})
    assert done.stdout.startswith("there is no terminal")


def test_the_argument_overrides_every_variable() -> None:
    forbidden = {"CI": "true", "GATEPASS_NO_INPUT": "1"}
    assert Terminal(forbidden, interactive=True).why_not_ask() is None
    allowed = {"GATEPASS_NO_INPUT": "0"}
    reason = "interactive=False forbids asking"
    assert Terminal(allowed, interactive=False).why_not_ask() == reason


def test_who_may_not_ask_does_not_read() -> None:
    def refuse(label: str) -> str:
        raise AssertionError(label)

    silent = Terminal({}, interactive=False, read_hidden=refuse)
    with pytest.raises(NobodyThere, match="interactive=False forbids asking") as caught:
        silent.ask_secret("Word")
    assert "ends in prompt:" in caught.value.hint


# --- browsers and notebooks ----------------------------------------------------------------


@posix
def test_who_is_asked_also_sees_a_browser(environ: dict[str, str]) -> None:
    with terminal(python(WHY_NOT_BROWSE), environ) as child:
        child.expect_exact("None")


@posix
@pytest.mark.parametrize("variable", ["PYCHARM_HOSTED", "SPYDER_ARGS", "VSCODE_PID"])
def test_before_a_development_environment_a_browser_is_seen(
    environ: dict[str, str], variable: str
) -> None:
    """Its console is no terminal: nothing can be asked there, but somebody looks at it."""
    inside = environ | {variable: "1"}
    assert without_terminal(python(WHY_NOT_BROWSE), inside).stdout == "None\n"
    assert "no terminal" in without_terminal(python(WHY_NOT_ASK), inside).stdout
    assert "no terminal" in without_terminal(python(WHY_NOT_BROWSE), environ).stdout


def test_what_forbids_asking_forbids_a_browser() -> None:
    """Also before a development environment."""
    ide = {"PYCHARM_HOSTED": "1"}
    reason = "interactive=False forbids asking"
    assert Terminal(ide, interactive=False).why_not_browse() == reason
    assert "CI is set" in str(Terminal(ide | {"CI": "1"}).why_not_browse())
    assert Terminal({}, interactive=True).why_not_browse() is None


@posix
@pytest.mark.parametrize(("allowed", "answer"), [("True", "None"), ("False", "there is no")])
def test_a_notebook_is_asked_when_its_front_end_answers(
    environ: dict[str, str], tmp_path: Path, allowed: str, answer: str
) -> None:
    """The modules of a kernel are written here; what they say is what ipykernel 6 says."""
    (tmp_path / "ipykernel.py").touch()
    (tmp_path / "IPython.py").write_text(
        "from types import SimpleNamespace as N\n"
        f"def get_ipython(): return N(kernel=N(_allow_stdin={allowed}))\n",
        encoding="utf-8",
    )
    environ["PYTHONPATH"] = str(tmp_path) + os.pathsep + environ["PYTHONPATH"]
    assert without_terminal(python(WHY_NOT_ASK), environ).stdout.startswith("there is no")
    in_kernel = without_terminal(python("import ipykernel\n" + WHY_NOT_ASK), environ)
    assert in_kernel.stdout.startswith(answer)


# --- telling -------------------------------------------------------------------------------


def test_a_person_is_told_on_stderr_even_where_nobody_may_be_asked(
    environ: dict[str, str],
) -> None:
    code = "from gatepass._system.terminal import Terminal; Terminal().tell('open this\\nand that')"
    done = without_terminal(python(code), environ | {"CI": "true"})
    assert (done.stdout, done.stderr) == ("", "open this\nand that\n")


def test_what_is_told_cannot_steer_the_terminal() -> None:
    written: list[str] = []
    Terminal({}, write=written.append).tell("a\x1b[2J\r\u202eb\nc ä €")
    assert written == ["a\\x1b[2J\\r\\u202eb\nc ä €\n"]


@pytest.mark.parametrize("stream", ["None", "open(os.devnull)", "closed"])
def test_where_nothing_can_be_told_nothing_breaks(environ: dict[str, str], stream: str) -> None:
    code = (
        "import os, sys\n"
        "closed = open(os.devnull, 'w'); closed.close()\n"
        f"sys.stderr = {stream}\n"
        "from gatepass._system.terminal import Terminal\n"
        "Terminal().tell('x'); print('fine')"
    )
    assert without_terminal(python(code), environ).stdout == "fine\n"


# --- opening a browser ---------------------------------------------------------------------


def test_a_browser_gets_the_address() -> None:
    opened: SimpleQueue[str] = SimpleQueue()
    person = Terminal({}, interactive=True, open_url=opened.put)
    assert person.open_browser("https://idp.example/a?b=c") is None
    assert opened.get(timeout=20) == "https://idp.example/a?b=c"


def test_a_browser_that_blocks_or_breaks_is_not_waited_for() -> None:
    release, entered = Event(), Event()

    def hang(_: str) -> None:
        entered.set()
        release.wait(20)
        raise OSError

    person = Terminal({}, interactive=True, open_url=hang)
    assert person.open_browser("https://idp.example/") is None
    assert entered.wait(20)
    assert not release.is_set()
    release.set()


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "javascript:alert(1)", "-remote", "", "HTTPS:x", "C:\\evil.exe"]
)
def test_only_web_addresses_are_opened(url: str) -> None:
    opened: list[str] = []
    person = Terminal({}, interactive=True, open_url=opened.append)
    assert person.open_browser(url) == "it is not a web address"
    assert opened == []


def test_where_nobody_sees_it_no_browser_is_opened() -> None:
    opened: list[str] = []
    person = Terminal({"CI": "1"}, open_url=opened.append)
    assert "CI is set" in str(person.open_browser("https://idp.example/"))
    assert opened == []


def test_without_a_display_no_text_browser_takes_the_terminal_away() -> None:
    linux = Terminal({}, interactive=True, platform="linux")
    reason = linux.open_browser("https://idp.example/")
    assert reason == "no browser is known here (no display, and BROWSER is not set)"


@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_over_ssh_windows_and_macos_open_no_browser(platform: str) -> None:
    ssh = {"SSH_CONNECTION": "192.0.2.7 50022 192.0.2.1 22"}
    remote = Terminal(ssh, interactive=True, platform=platform)
    assert remote.why_no_browser() == remote.open_browser("https://idp.example/")
    assert "over SSH nobody sees a browser" in str(remote.why_no_browser())


@pytest.mark.parametrize("platform", ["win32", "darwin"])
@pytest.mark.parametrize("environ", [{}, {"SSH_CONNECTION": "a 1 b 22", "BROWSER": "helper"}])
def test_elsewhere_windows_and_macos_can_open_a_browser(
    platform: str, environ: dict[str, str]
) -> None:
    assert Terminal(environ, interactive=True, platform=platform).why_no_browser() is None


@posix
def test_the_variable_browser_counts_and_what_it_prints_stays_out_of_our_data(
    environ: dict[str, str], tmp_path: Path
) -> None:
    """One that runs in the foreground: webbrowser waits for it, we do not."""
    browser, address = tmp_path / "browser", tmp_path / "address"
    browser.write_text(
        f'#!/bin/sh\necho noise; echo noise >&2\nprintf %s "$1" >{address}.new\n'
        f"mv {address}.new {address}\n",
        encoding="utf-8",
    )
    browser.chmod(0o755)
    code = (
        "import time; from pathlib import Path; from gatepass._system.terminal import Terminal\n"
        "print(Terminal(interactive=True).open_browser('https://idp.example/?a=b&c=d'))\n"
        f"while not Path({str(address)!r}).exists(): time.sleep(0.01)"
    )
    done = without_terminal(python(code), environ | {"BROWSER": str(browser)})
    assert (done.stdout, done.stderr) == ("None\n", "")
    wait_for(address.exists, 20, "the browser")
    assert address.read_text(encoding="utf-8") == "https://idp.example/?a=b&c=d"


# --- the line that waits -------------------------------------------------------------------


class Typist:
    """A console on which somebody types a piece at each look."""

    reads = True

    def __init__(self, *pieces: str) -> None:
        self.pieces = list(pieces)
        self.drawn: list[str] = []
        self.closed = False

    def draw(self, text: str) -> None:
        self.drawn.append(text)

    def typed(self) -> str:
        return self.pieces.pop(0) if self.pieces else ""

    def close(self) -> None:
        self.closed = True


def before(console: Typist) -> Terminal:
    return Terminal({}, interactive=True, open_console=lambda _: console)


def test_the_line_is_drawn_over_and_taken_away() -> None:
    console = Typist()
    with before(console).waiting(typing=True) as line:
        line.show("10 left")
        line.show("10 left")
        line.show("9 left")
    assert console.drawn == ["\r10 left", "\r9 left \b", "\r      \r"]
    assert console.closed


@pytest.mark.parametrize(
    ("pieces", "answer"),
    [
        (["abc\n"], "abc"),
        (["a", "b", "c\r"], "abc"),
        (["ax\x7fbyy\b\bc\n"], "abc"),
        (["\x7f\x7fabc\n"], "abc"),
        (["  abc \n"], "abc"),
        (["\n"], ""),
        (["abc"], None),
    ],
)
def test_what_is_typed_is_a_line_when_it_ends(pieces: Sequence[str], answer: str | None) -> None:
    console = Typist(*pieces)
    with before(console).waiting(typing=True) as line:
        answers = [line.answer() for _ in pieces]
    assert answers[-1] == answer
    assert not any(answers[:-1])


def test_who_is_typing_is_not_drawn_over() -> None:
    console = Typist("https://")
    with before(console).waiting(typing=True) as line:
        line.show("10 left")
        line.answer()
        line.show("9 left")
        assert console.drawn == ["\r10 left"]
        console.pieces.append("x\n")
        assert line.answer() == "https://x"
        line.show("8 left")
    assert console.drawn[1] == "\r8 left"


def test_the_line_goes_away_with_the_block_whatever_happens() -> None:
    console = Typist()
    with suppress(ZeroDivisionError), before(console).waiting(typing=True) as line:
        line.show("10 left\x1b[2J")
        _ = 1 // 0
    assert console.drawn[0] == "\r10 left\\x1b[2J"
    assert console.closed


def test_who_may_not_be_asked_gets_no_keyboard() -> None:
    wanted: list[bool] = []
    silent = Terminal({"CI": "1"}, open_console=wanted.append)
    with silent.waiting(typing=True) as line:
        assert not line.takes_answers
        line.show("nobody looks")
        assert line.answer() is None
    assert wanted == [False]


@posix
def test_no_line_is_drawn_into_a_pipe(environ: dict[str, str]) -> None:
    code = (
        "from gatepass._system.terminal import Terminal\n"
        "with Terminal(interactive=True).waiting(typing=True) as line: line.show('10 left')"
    )
    done = without_terminal(python(code), environ)
    assert (done.stdout, done.stderr) == ("", "")


ASK_LINE = """
from gatepass._system.terminal import Terminal
from gatepass.errors import NobodyThere
try:
    print("GOT", ascii(Terminal().ask_line("Address")), flush=True)
except NobodyThere as error:
    print("NOBODY", error.message, flush=True)
except KeyboardInterrupt:
    print("STOPPED", flush=True)
print("THEN", input("Name? "), flush=True)
"""


@posix
def test_a_line_is_asked_for_on_the_terminal_and_seen(environ: dict[str, str]) -> None:
    """Also where the output is redirected; the keys for editing work, afterwards too."""
    argv = ["/bin/sh", "-c", '"$0" -c "$1" 2>/dev/null', sys.executable, ASK_LINE]
    with terminal(argv, environ) as child:
        child.expect_exact("Address: ")
        child.send("päss-€x\x7f\r")
        child.expect_exact("GOT 'p\\xe4ss-\\u20ac'")
        child.send("Mary\r")
        child.expect_exact("THEN Mary")


@posix
def test_ctrl_c_at_a_line_is_ctrl_c_and_what_was_typed_is_not_left_over(
    environ: dict[str, str],
) -> None:
    with terminal(python(ASK_LINE), environ) as child:
        child.expect_exact("Address: ")
        child.send("rm -rf x")
        child.expect_exact("rm -rf x")
        child.sendintr()
        child.expect_exact("STOPPED")
        child.send("Mary\r")
        child.expect_exact("THEN Mary")


@posix
def test_without_a_terminal_no_line_is_asked_for(environ: dict[str, str]) -> None:
    code = ASK_LINE.replace('input("Name? ")', "1")
    for variables in ({}, {"GATEPASS_NO_INPUT": "0"}):
        done = without_terminal(python(code), environ | variables, stdin="x\n")
        assert "NOBODY it needs a person, and there is no terminal to ask on" in done.stdout
