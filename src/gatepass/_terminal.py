"""The only place that talks to a person, and that knows whether one is there.

Two questions are answered here. *May I ask?* needs somebody who can type an answer; *may I open a
browser?* needs somebody who sees the screen. A batch job must get a "no" at once: a prompt that
nobody sees hangs until the job is killed (``getpass`` opens ``/dev/tty`` and waits for ever).

The order of the answers: ``interactive=`` in Python, then ``GATEPASS_NO_INPUT`` (1 or 0), then a
true ``CI``, then a look at the console or the notebook.
"""

import os
import sys
from collections.abc import Callable, Mapping
from typing import Final

from gatepass.errors import NobodyThere

_FALSE: Final = frozenset({"0", "false", "no", "off"})

# Consoles of development environments: no tty, but somebody sits before the screen.
_IDE_VARIABLES: Final = ("PYCHARM_HOSTED", "SPYDER_ARGS", "SPY_EXTERNAL_INTERPRETER", "VSCODE_PID")


class Terminal:
    """The way to a person.

    Args:
        environ: the environment variables; ``os.environ`` when not given.
        interactive: True or False decides; None looks.
        read_hidden: how a hidden answer is read, label → text; ``getpass`` when not given.
    """

    def __init__(
        self,
        environ: Mapping[str, str] | None = None,
        *,
        interactive: bool | None = None,
        read_hidden: Callable[[str], str] | None = None,
    ) -> None:
        self._environ = os.environ if environ is None else environ
        self._interactive = interactive
        self._read_hidden = read_hidden or _getpass

    def why_not_ask(self) -> str | None:
        """Return None when a person can answer a prompt, else the reason. Never waits."""
        told, reason = self._told()
        if told:
            return reason
        if _kernel_allows_input() or _console_is_ours():
            return None
        return (
            "there is no terminal to ask on (no console, or the process is in the background; "
            "GATEPASS_NO_INPUT=0 asks all the same)"
        )

    def why_not_browse(self) -> str | None:
        """Return None when a browser window would be seen by a person, else the reason."""
        reason = self.why_not_ask()
        told, _ = self._told()
        if reason is None or told or not any(name in self._environ for name in _IDE_VARIABLES):
            return reason
        return None

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

    def _told(self) -> tuple[bool, str | None]:
        """What was said beforehand: (whether, the reason when it is a no)."""
        if self._interactive is not None:
            return True, None if self._interactive else "interactive=False forbids asking"
        no_input = self._environ.get("GATEPASS_NO_INPUT", "").strip().lower()
        if no_input in _FALSE:
            return True, None
        if no_input:
            return True, "GATEPASS_NO_INPUT forbids asking"
        ci = self._environ.get("CI", "").strip().lower()
        if ci and ci not in _FALSE:
            return True, "CI is set (GATEPASS_NO_INPUT=0 allows asking)"
        return False, None


def _getpass(label: str) -> str:
    import getpass
    import warnings

    with warnings.catch_warnings():
        # Where echo cannot be switched off, getpass warns and reads visibly: a secret on screen.
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            return getpass.getpass(label)
        except getpass.GetPassWarning:
            raise NobodyThere("the terminal cannot hide what is typed") from None


def _kernel_allows_input() -> bool:
    """Whether this is a notebook whose front end answers prompts (ipykernel)."""
    if "ipykernel" not in sys.modules:
        return False
    from IPython import get_ipython

    kernel = getattr(get_ipython(), "kernel", None)
    return bool(getattr(kernel, "_allow_stdin", False))


def _console_is_ours() -> bool:
    if sys.platform == "win32":
        return _windows_console_is_seen()
    return _foreground_on_tty()


def _foreground_on_tty() -> bool:
    """Whether the process has a controlling terminal and is in its foreground group.

    A background job that reads from the terminal is stopped by SIGTTIN: to its user it hangs.
    """
    if sys.platform == "win32":
        return False
    try:
        tty = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(tty) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(tty)


def _windows_console_is_seen() -> bool:
    """Whether there is a console that a person can see and type into.

    ``isatty`` is not enough: NUL is a character device, and a task of the Task Scheduler has a
    console on a window station that nobody sees. A console over SSH has such a station too, but
    somebody types into it.
    """
    if sys.platform != "win32":
        return False
    import ctypes
    import msvcrt

    try:
        with open("CONIN$", "r+b", buffering=0) as console:  # noqa: PTH123 - a device, not a path
            mode = ctypes.c_ulong()
            handle = ctypes.c_void_p(msvcrt.get_osfhandle(console.fileno()))
            if not ctypes.windll.kernel32.GetConsoleMode(handle, ctypes.byref(mode)):
                return False
    except OSError:
        return False
    return "SSH_CONNECTION" in os.environ or _window_station_is_visible()


def _window_station_is_visible() -> bool:
    if sys.platform != "win32":
        return False
    import ctypes
    from ctypes import wintypes

    class Flags(ctypes.Structure):
        _fields_ = (
            ("inherit", wintypes.BOOL),
            ("reserved", wintypes.BOOL),
            ("flags", wintypes.DWORD),
        )

    user32 = ctypes.windll.user32
    user32.GetProcessWindowStation.restype = ctypes.c_void_p
    flags = Flags()
    needed = wintypes.DWORD()
    answered = user32.GetUserObjectInformationW(
        ctypes.c_void_p(user32.GetProcessWindowStation()),
        1,  # UOI_FLAGS
        ctypes.byref(flags),
        ctypes.sizeof(flags),
        ctypes.byref(needed),
    )
    return bool(answered and flags.flags & 1)  # WSF_VISIBLE
