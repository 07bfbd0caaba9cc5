"""The only place that talks to a person, and that knows whether one is there.

Two questions are answered here. *May I ask?* needs somebody who can type an answer; *may I open a
browser?* needs somebody who sees the screen. A batch job must get a "no" at once: a prompt that
nobody sees hangs until the job is killed (``getpass`` opens ``/dev/tty`` and waits for ever).

The order of the answers: ``interactive=`` in Python, then ``GATEPASS_NO_INPUT`` (1 or 0), then a
true ``CI``, then a look at the console or the notebook.

Telling is another matter than asking: what a person should know goes to stderr even where nobody
may be asked, and is in the log then.
"""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from gatepass._system.console import (
    Console,
    find_console,
    is_console_usable,
    kernel_allows_input,
    read_hidden_answer,
    read_line,
    write_to_stderr,
)
from gatepass._system.text import printable, printable_lines
from gatepass.errors import NobodyThere

_FALSE: Final = frozenset({"0", "false", "no", "off"})

# Consoles of development environments: no tty, but somebody sits before the screen.
_IDE_VARIABLES: Final = ("PYCHARM_HOSTED", "SPYDER_ARGS", "SPY_EXTERNAL_INTERPRETER", "VSCODE_PID")

# Where one of these is set, a Linux or BSD machine can show a browser. Without them webbrowser
# would start a text browser, which takes the terminal away.
_BROWSER_VARIABLES: Final = ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME")

# Kernels have it from the server of the notebook, and so have the programs that a cell starts.
_OF_A_KERNEL: Final = "JPY_PARENT_PID"

_LOOK: Final = 0.2  # seconds between two looks for typed text


class Terminal:
    """The way to a person.

    Args:
        environ: the environment variables; ``os.environ`` when not given.
        interactive: True or False decides; None looks.
        refusal: the reason that is told where False has decided.
        read_hidden: how a hidden answer is read, label → text; ``getpass`` when not given.
        write: where a person is told things; ``sys.stderr`` when not given.
        open_url: how a browser is opened; may block and lie; ``webbrowser`` in a process of its
            own when not given.
        open_console: whether typing is wanted → the console; None where there is none.
        platform: the operating system, as ``sys.platform`` names it.
    """

    def __init__(
        self,
        environ: Mapping[str, str] | None = None,
        *,
        interactive: bool | None = None,
        refusal: str = "interactive=False forbids asking",
        read_hidden: Callable[[str], str] | None = None,
        write: Callable[[str], None] | None = None,
        open_url: Callable[[str], object] | None = None,
        open_console: Callable[[bool], Console | None] | None = None,
        platform: str = sys.platform,
    ) -> None:
        self._environ = os.environ if environ is None else environ
        self._interactive = interactive
        self._refusal = refusal
        self._read_hidden = read_hidden or read_hidden_answer
        self._write = write or write_to_stderr
        self._open_url = open_url
        self._open_console = open_console or find_console
        self._platform = platform

    def why_not_ask(self) -> str | None:
        """Return None when a person can answer a prompt, else the reason. Never waits."""
        told, reason = self._told()
        if told:
            return reason
        if self._started_by_a_cell():
            return (
                "a cell of a notebook has started this program, and what it asks there nobody can "
                "answer (GATEPASS_NO_INPUT=0 asks all the same)"
            )
        if kernel_allows_input() or is_console_usable():
            return None
        return (
            "there is no terminal to ask on (no console, or the process is in the background; "
            "GATEPASS_NO_INPUT=0 asks all the same)"
        )

    def why_not_browse(self) -> str | None:
        """Return None when a browser window would be seen by a person, else the reason."""
        reason = self.why_not_ask()
        told, _ = self._told()
        if reason is None or told:
            return reason
        seen = any(name in self._environ for name in _IDE_VARIABLES)
        return None if seen or (self._started_by_a_cell() and is_console_usable()) else reason

    def _started_by_a_cell(self) -> bool:
        """Whether a kernel has started us: IPython gives `!program` a terminal without a keyboard.

        What it shows is seen, but nobody can type into it.
        """
        return _OF_A_KERNEL in self._environ and "ipykernel" not in sys.modules

    def ask_secret(self, label: str) -> str:
        """Ask a person for a secret, with hidden input, and return it. Waits for the answer.

        Raises:
            NobodyThere: nobody can answer, or the input ended before an answer.
        """
        reason = self.why_not_ask()
        if reason is not None:
            raise NobodyThere(
                f"it needs a person, and {reason}",
                hint="for a run without a person use env:NAME, file:PATH or keyring: instead, or "
                "a list of references that ends in prompt:",
            )
        try:
            return self._read_hidden(f"{label}: ")
        except EOFError:
            raise NobodyThere("the input ended before an answer") from None
        except NotImplementedError:  # of ipykernel, where it was told to ask all the same
            raise NobodyThere("what runs this notebook cannot ask") from None

    def tell(self, text: str) -> None:
        """Tell a person something, on stderr. Asks nothing, and nobody need be there.

        What is not printable is shown as an escape, so that foreign text cannot steer a terminal.
        """
        self._write(printable_lines(text) + "\n")

    def open_browser(self, url: str) -> str | None:
        """Open a browser window, in the background.

        Whether a page really appears cannot be known; tell the person the address as well.

        Args:
            url: only http and https.

        Returns:
            None when it was begun, else the reason why not.
        """
        from threading import Thread

        reason = self.why_not_browse() or self._no_browser(url)
        if reason is None:
            action = self._open_url or (lambda url: _open_apart(url, self._environ))
            Thread(
                target=_quietly, args=(action, url), name="gatepass-browser", daemon=True
            ).start()
        return reason

    def why_no_browser(self) -> str | None:
        """Return None when :meth:`open_browser` can be tried, else the reason. Opens nothing."""
        return self.why_not_browse() or self._no_browser("https://")

    def _no_browser(self, url: str) -> str | None:
        if not url.startswith(("https://", "http://")):
            return "it is not a web address"
        if self._open_url is not None:
            return None
        if self._platform in {"win32", "darwin"}:
            # It would open on the screen of that computer, if it has one, and not of the person's.
            if self._environ.get("SSH_CONNECTION") and not self._environ.get("BROWSER"):
                return "over SSH nobody sees a browser of this computer (BROWSER is not set)"
            return None
        if any(self._environ.get(name) for name in _BROWSER_VARIABLES):
            return None
        return "no browser is known here (no display, and BROWSER is not set)"

    @contextlib.contextmanager
    def waiting(self, *, typing: bool) -> "Iterator[Waiting]":
        """Show what is waited for on one line that changes, while the block lasts.

        Nothing is shown where no person looks at a terminal.

        Args:
            typing: whether an answer may be typed on that line; nothing is read where no person
                may be asked.
        """
        console = self._open_console(typing and self.why_not_ask() is None)
        line = Waiting(console)
        try:
            yield line
        finally:
            if console is not None:
                line.clear()
                console.close()

    def ask_line(self, label: str) -> str:
        """Ask a person for a line that may be seen, and return it stripped. Waits for it.

        Raises:
            NobodyThere: nobody can answer, or the input ended before an answer.
        """
        reason = self.why_not_ask()
        if reason is not None:
            raise NobodyThere(f"it needs a person, and {reason}")
        if kernel_allows_input():
            return read_line(f"{label}: ").strip()
        with self.waiting(typing=True) as line:
            if not line.takes_answers:
                raise NobodyThere("it needs a person, and there is no terminal to ask on")
            line.show(f"{label}: ")
            while (answer := line.answer()) is None:
                time.sleep(_LOOK)
        return answer

    def _told(self) -> tuple[bool, str | None]:
        """What was said beforehand: (whether, the reason when it is a no)."""
        if self._interactive is not None:
            return True, None if self._interactive else self._refusal
        no_input = self._environ.get("GATEPASS_NO_INPUT", "").strip().lower()
        if no_input in _FALSE:
            return True, None
        if no_input:
            return True, "GATEPASS_NO_INPUT forbids asking"
        ci = self._environ.get("CI", "").strip().lower()
        if ci and ci not in _FALSE:
            return True, "CI is set (GATEPASS_NO_INPUT=0 allows asking)"
        return False, None


class Waiting:
    """One line of a terminal: what is waited for, and what a person types meanwhile."""

    def __init__(self, console: Console | None) -> None:
        self._console = console
        self._text = ""
        self._shown = ""

    @property
    def takes_answers(self) -> bool:
        """Whether somebody can type here."""
        return self._console is not None and self._console.reads

    def show(self, text: str) -> None:
        """Draw the line, unless a person is typing on it."""
        text = printable(text)
        if self._console is not None and not self._text and text != self._shown:
            # Blanks, not an escape sequence: those do not work on every console of Windows.
            rest = max(len(self._shown) - len(text), 0)
            self._console.draw("\r" + text + " " * rest + "\b" * rest)
            self._shown = text

    def clear(self) -> None:
        """Take the line away, so that something else can be told."""
        if self._console is not None and self._shown:
            self._console.draw("\r" + " " * len(self._shown) + "\r")
            self._shown = ""

    def answer(self) -> str | None:
        """Return a line that was typed, stripped; None while there is none. Never waits."""
        if self._console is None:
            return None
        for key in self._console.typed():
            if key in "\r\n":
                answer, self._text, self._shown = self._text.strip(), "", ""
                return answer
            self._text = self._text[:-1] if key in "\b\x7f" else self._text + key
        return None


def _quietly(action: Callable[[str], object], url: str) -> None:
    with contextlib.suppress(Exception):  # the person has the address, whatever this does
        action(url)


def _open_apart(url: str, environ: Mapping[str, str]) -> None:
    """Open a browser from a process of its own, and wait for that process.

    What a browser prints does not get among our data, Ctrl-C does not end it, and one that runs
    in the foreground holds up nobody but the thread that this is called in.
    """
    import subprocess
    from pathlib import Path

    python = sys.executable or ""
    if not Path(python).name.lower().startswith(("python", "pypy")):
        # Some other program that has Python inside: it must not be started once more.
        import webbrowser

        webbrowser.open(url)
        return
    # The address goes in through a pipe: a list of processes shows arguments to everybody.
    code = "import sys, webbrowser; webbrowser.open(sys.stdin.read())"
    apart: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        apart = {"creationflags": subprocess.CREATE_NO_WINDOW}
    subprocess.run(  # noqa: S603 - our own interpreter
        [python, "-I", "-c", code],
        env=dict(environ),
        input=url,
        encoding="utf-8",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
        **apart,
    )
