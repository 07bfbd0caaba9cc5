"""How texts, commands and times are shown to a person."""

import re
import sys
import time
from typing import Any, cast


class _Pattern:
    """A regular expression that is compiled when it is first used."""

    def __init__(self, text: str, flags: int) -> None:
        self.pattern = text
        self._flags = flags

    def __getattr__(self, name: str) -> Any:
        value = getattr(re.compile(self.pattern, self._flags), name)
        setattr(self, name, value)
        return value


def pattern(text: str, flags: int = 0) -> "re.Pattern[str]":
    """Return a regular expression for a module, which most starts import and do not use."""
    return cast("re.Pattern[str]", _Pattern(text, flags))


def printable(text: str) -> str:
    """Return a text with control characters escaped, so that it cannot steer a terminal."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def printable_lines(text: str) -> str:
    """Return a text of several lines, each as :func:`printable` makes it."""
    return "\n".join(map(printable, text.split("\n")))


def shortened(text: str, most: int = 200) -> str:
    """Return a text with dots in place of its middle where it is longer than anybody reads."""
    half = most // 2
    return text if len(text) <= most else f"{text[:half]}...{text[-half:]}"


def quoted(*words: str, platform: str = sys.platform) -> str:
    """Write words, such as a command or a path, so that a shell reads back exactly these.

    A folder may be called ``; rm -r ~``. A word that holds control characters is written in the
    form ``$'...'`` of POSIX 2024 (bash, zsh, ksh), since a message shows no such character. On
    Windows the words are quoted for both cmd and PowerShell, as far as these have a form in common:
    ``%NAME%`` in cmd, and ``$`` and a backtick in PowerShell, are read within quotes too.
    """
    if platform == "win32":
        return " ".join(map(_quoted_for_windows, words))
    from shlex import quote

    return " ".join(quote(word) if word.isprintable() else _escaped(word) for word in words)


def operands(*words: str) -> tuple[str, ...]:
    """Return the last words of a command, behind ``--`` where one looks like an option."""
    return ("--", *words) if any(word.startswith("-") for word in words) else words


def local_time(seconds: float) -> str:
    """Return a point in time, in seconds since 1970, as the clock on the wall shows it."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def time_span(seconds: float) -> str:
    """Return a length of time in its two largest units: ``2 d 3 h``, ``12 min``, ``45 s``."""
    minutes, rest = divmod(int(seconds), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min")]
    first = next(number for number, (count, _) in enumerate(parts) if count)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count)


def _quoted_for_windows(word: str) -> str:
    from subprocess import list2cmdline

    text = list2cmdline([word])  # it quotes blanks only, and a shell reads & and ' too
    if text.startswith('"') or re.fullmatch(r"[\w.:/\\=+~-]+", text):
        return text
    at_the_end = "\\" * (len(text) - len(text.rstrip("\\")))
    return f'"{text}{at_the_end}"'


def _escaped(word: str) -> str:
    shown = (
        character
        if character.isprintable() and character not in "\\'"
        else "".join(f"\\{byte:03o}" for byte in character.encode("utf-8", "surrogateescape"))
        for character in word
    )
    return f"$'{''.join(shown)}'"
