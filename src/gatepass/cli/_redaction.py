"""How the doctor writes names: in full, or for a bug report not at all.

Each name is given to the method of its kind. What others wrote, such as the text of an error, is
left out of a redacted report, since any name may stand in it. In the end the names of the user, the
home folder and the computer are replaced wherever they still are.
"""

import os
import re
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Final

from gatepass._system.findings import Finding
from gatepass._system.text import printable, quoted

# The parts of paths that every machine has, and our own; all others may be names.
_COMMON: Final = frozenset(
    ".config .local appdata application cert.pem certs config etc gatepass gatepass.local.toml "
    "gatepass.toml library local opt pki preferences profiles.toml roaming share ssl state support "
    "tls tmp trust usr var vault xdg".split()
)
_ELIDED: Final = "..."
_SHORTEST: Final = 2  # characters of a name that the net takes out


@dataclass(frozen=True, slots=True)
class Redactor:
    """Writes names and paths, in full or not at all.

    Attributes:
        redacted: whether names are left out.
        home: the user's home folder; None where there is none.
        patterns: a pattern for each kind of name that must not be left, and what is put there.
    """

    redacted: bool
    home: Path | None
    patterns: tuple[tuple[re.Pattern[str], str], ...] = ()

    @classmethod
    def of_this_machine(
        cls, *, redacted: bool, home: Path | None, environ: Mapping[str, str]
    ) -> "Redactor":
        """Return the words for this machine. Asks the system for names, no network."""
        patterns = tuple(_patterns(home, environ)) if redacted else ()
        return cls(redacted, home, patterns)

    def name(self, kind: str, text: str) -> str:
        """Return a name, or its kind in brackets."""
        return f"({kind})" if self.redacted else printable(text)

    def path(self, path: str | os.PathLike[str]) -> str:
        """Return a path, or what of it tells nothing: ``~`` and the folders that all have."""
        if not self.redacted:
            return printable(str(path))
        whole = Path(path)
        for home in _homes(self.home):
            if whole.is_relative_to(home):
                return str(PurePath("~", *_common(whole.relative_to(home).parts)))
        return str(PurePath(whole.anchor, *_common(whole.parts[bool(whole.anchor) :])))

    def pasted(self, path: str | os.PathLike[str]) -> str:
        """Return a path as a word of a command."""
        return quoted(self.path(path) if self.redacted else str(path))

    def said(self, own: str, theirs: str, sep: str = ": ") -> str:
        """Return our words, and behind them those of others, unless any name may stand in them."""
        return own if self.redacted or not theirs else f"{own}{sep}{theirs}"

    def within(self, text: str, paths: Iterable[str | os.PathLike[str]]) -> str:
        """Return a text of ours in which paths stand."""
        if self.redacted:
            for path in sorted({str(path) for path in paths}, key=len, reverse=True):
                if len(path) > 1:
                    text = text.replace(path, self.path(path))
        return text

    def redact(self, finding: Finding) -> Finding:
        """Return a finding without the names that the net knows."""
        parts = {}
        for part in ("message", "hint", "place"):
            text = getattr(finding, part)
            for pattern, instead in self.patterns:
                text = pattern.sub(instead, text)
            parts[part] = text
        return replace(finding, **parts)


def _homes(home: Path | None) -> Iterator[Path]:
    for each in () if home is None else (home, Path(os.path.realpath(home))):
        if each != Path(each.anchor):
            yield each


def _common(parts: Iterable[str]) -> Iterator[str]:
    before = ""
    for part in parts:
        shown = part if part.lower() in _COMMON else _ELIDED
        if not shown == before == _ELIDED:
            yield shown
        before = shown


def _patterns(
    home: Path | None, environ: Mapping[str, str]
) -> Iterator[tuple[re.Pattern[str], str]]:
    folders = sorted(map(str, _homes(home)), key=len, reverse=True)
    if folders:
        yield re.compile("|".join(map(re.escape, folders))), "~"
    kinds = {"user": _users(environ), "computer": _computers(environ)}
    for kind, names in kinds.items():
        ordered = sorted({name for name in names if len(name) >= _SHORTEST}, key=len, reverse=True)
        if ordered:
            alternatives = "|".join(map(re.escape, ordered))
            yield re.compile(rf"(?<!\w)(?:{alternatives})(?!\w)", re.IGNORECASE), f"({kind})"


def _users(environ: Mapping[str, str]) -> Iterator[str]:
    yield from (environ.get(name, "") for name in ("USER", "LOGNAME", "USERNAME", "USERDOMAIN"))
    if sys.platform != "win32":
        import pwd

        try:
            yield pwd.getpwuid(os.getuid()).pw_name
        except KeyError:  # a container without this user
            return


def _computers(environ: Mapping[str, str]) -> Iterator[str]:
    host = socket.gethostname()
    yield from (host, host.partition(".")[0])
    yield from (environ.get(name, "") for name in ("HOSTNAME", "COMPUTERNAME", "USERDNSDOMAIN"))
