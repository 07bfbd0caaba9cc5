"""The console that a process has: whether a person sees it, and how to read from it."""

import contextlib
import os
import sys
from typing import Final, Protocol

from gatepass.errors import NobodyThere


class Console(Protocol):
    """A screen with a line that can be drawn again, and perhaps a keyboard."""

    @property
    def reads(self) -> bool:
        """Whether somebody can type here."""

    def draw(self, text: str) -> None:
        """Write text as it is, control characters included."""

    def typed(self) -> str:
        """Return what was typed since the last look. Never waits."""

    def close(self) -> None:
        """Give the console back as it was."""


def write_to_stderr(text: str) -> None:
    stream = sys.stderr
    if stream is None:  # a program without a console
        return
    with contextlib.suppress(OSError, ValueError):  # nobody reads it, or it is closed
        stream.write(text)
        stream.flush()


def read_line(label: str) -> str:
    try:
        return input(label)
    except EOFError:
        raise NobodyThere("the input ended before an answer") from None


def read_hidden_answer(label: str) -> str:
    import getpass
    import warnings

    with warnings.catch_warnings():
        # Where echo cannot be switched off, getpass warns and reads visibly: a secret on screen.
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            return getpass.getpass(label)
        except getpass.GetPassWarning:
            raise NobodyThere("the terminal cannot hide what is typed") from None


def kernel_allows_input() -> bool:
    """Whether this is a notebook whose front end answers prompts (ipykernel)."""
    if "ipykernel" not in sys.modules:
        return False
    from IPython import get_ipython

    kernel = getattr(get_ipython(), "kernel", None)
    return bool(getattr(kernel, "_allow_stdin", False))


def is_console_usable() -> bool:
    if sys.platform == "win32":
        return _windows_console_is_seen()
    return _foreground_on_tty()


def find_console(typing: bool) -> Console | None:
    """Open the console: with a keyboard where typing is wanted, else only to look at."""
    if typing and is_console_usable():
        if sys.platform == "win32":
            return _WindowsConsole()
        if sys.platform != "win32":
            with contextlib.suppress(OSError):
                return _PosixConsole()
    stream = sys.stderr
    if stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb":
        return _Screen()
    return None


class _Screen:
    """The terminal behind stderr, without a keyboard."""

    reads: Final = False

    def draw(self, text: str) -> None:
        write_to_stderr(text)

    def typed(self) -> str:
        return ""

    def close(self) -> None:
        """There is nothing to give back."""


if sys.platform != "win32":

    class _PosixConsole:
        """The controlling terminal, without the editing of lines.

        A terminal that edits lines itself keeps at most 1024 characters of one on macOS and 4096 on
        Linux, less than some addresses have. Ctrl-C stays what it is.
        """

        reads: Final = True

        def __init__(self) -> None:
            import codecs
            import termios

            self._tty = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
            self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
            try:
                self._before = termios.tcgetattr(self._tty)
                modes = termios.tcgetattr(self._tty)
                modes[3] &= ~termios.ICANON
                modes[6][termios.VMIN], modes[6][termios.VTIME] = 0, 0
                termios.tcsetattr(self._tty, termios.TCSADRAIN, modes)
            except termios.error as error:
                os.close(self._tty)
                raise OSError(str(error)) from None

        def draw(self, text: str) -> None:
            with contextlib.suppress(OSError):
                os.write(self._tty, text.encode())

        def typed(self) -> str:
            if not self._is_foreground():  # reading would stop the process
                return ""
            data = b""
            with contextlib.suppress(OSError):
                while more := os.read(self._tty, 65536):
                    data += more
            return self._decoder.decode(data)

        def close(self) -> None:
            import termios

            try:
                if self._is_foreground():  # else the shell has its own modes on, and we would stop
                    with contextlib.suppress(termios.error):
                        # What was typed and not read must not run as a command afterwards.
                        termios.tcsetattr(self._tty, termios.TCSAFLUSH, self._before)
            finally:
                os.close(self._tty)

        def _is_foreground(self) -> bool:
            try:
                return os.tcgetpgrp(self._tty) == os.getpgrp()
            except OSError:
                return False


_FIRST_OF_TWO: Final = frozenset({"\x00", "\xe0"})


class _WindowsConsole:
    """The console of Windows, key by key."""

    reads: Final = True

    def __init__(self) -> None:
        self._out = open("CONOUT$", "w", encoding="utf-8")  # noqa: SIM115, PTH123 - a device

    def draw(self, text: str) -> None:
        with contextlib.suppress(OSError):
            self._out.write(text)
            self._out.flush()

    def typed(self) -> str:
        if sys.platform == "win32":
            import msvcrt

            return _keys_of(msvcrt)
        return ""

    def close(self) -> None:
        self._out.close()


class _Keyboard(Protocol):
    """What is used of msvcrt."""

    def kbhit(self) -> bool: ...

    def getwche(self) -> str: ...

    def getwch(self) -> str: ...


def _keys_of(keyboard: _Keyboard) -> str:
    """Return what was typed on a console of Windows since the last look.

    An arrow or function key is two codes, of which the first is also the letter à: only where
    the second is there at once, it is such a key.

    Raises:
        KeyboardInterrupt: Ctrl-C came in between two looks.
    """
    typed = ""
    while keyboard.kbhit():
        key = keyboard.getwche()
        if key == "\x03":
            raise KeyboardInterrupt
        if key in _FIRST_OF_TWO and keyboard.kbhit():
            keyboard.getwch()
        elif key != "\x00":
            typed += key
    return typed


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
