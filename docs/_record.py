"""Draws the terminal sessions that the pages show, from real commands.

    python docs/_record.py

Each session runs before a practice server, in a terminal and a home folder of its own. The names
that the pages use stand in the place of that folder and of the server's address; after that, lines
are folded as the command folds them at that width. A test compares the pictures with a fresh run.
"""  # noqa: INP001 - a script beside the pages

import io
import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import gatepass
from gatepass.cli._wrap import folded
from gatepass.sandbox import Server

STATIC: Final = Path(__file__).resolve().parent / "_static"
COLUMNS: Final = 78  # a phone shows them in letters that can be read, and scrolls a little

_SOURCES: Final = Path(gatepass.__file__).parent.parent
_WIDE: Final = 1000  # columns of the real terminal: nothing is folded before names are put in
_FILE: Final = "~/.config/gatepass/profiles.toml"
_PROFILE: Final = """\
[profiles.prod]
url = "https://mi.example.com/mi_servicelayer"
{more}
[profiles.prod.auth]
scheme = "basic"
user_name = "alice"
{key} = ["env:MI_PASSWORD", "keyring:", "prompt:Password"]
"""


@dataclass(frozen=True)
class Session:
    """What is typed.

    Attributes:
        label: what can be seen, for those who cannot.
        profile: the file of profiles at the beginning.
        commands: one after another.
    """

    label: str
    profile: str
    commands: tuple[str, ...]


SESSIONS: Final[Mapping[str, Session]] = {
    "check": Session(
        "A check passes, and so does a run without a person; then a misspelt key is named with "
        "its line and what was meant.",
        _PROFILE.format(more="", key="password"),
        (
            "gatepass check prod",
            "gatepass check prod --unattended",
            f"sed -i.old s/password/pasword/ {_FILE}",
            "gatepass check prod",
        ),
    ),
    "origin": Session(
        "Each key of a profile with the place where it was written, and what that overrode.",
        _PROFILE.format(more="timeout = [10, 300]\n", key="password"),
        (
            "export GATEPASS_PROFILES__PROD__TIMEOUT=5",
            "gatepass show prod --origin | head -15",
        ),
    ),
}


def pictures() -> Iterator[tuple[Path, str]]:
    """Yield each picture with the text that it should have. Starts servers and programs."""
    for name, session in SESSIONS.items():
        yield STATIC / f"{name}.svg", _drawn(_recorded(session), session.label)


# ---------------------------------------------------------------- the terminal


def _recorded(session: Session) -> list[tuple[bool, str]]:
    """Return the lines, and whether each was typed."""
    lines: list[tuple[bool, str]] = []
    with (
        TemporaryDirectory(prefix="gatepass-record-") as folder,
        Server(mode="standalone", users={"alice": "sesame"}) as server,
    ):
        home, address = Path(folder).resolve(), server.url.removesuffix("/mi_servicelayer/")
        environ = _environ(home)
        file = Path(_FILE.replace("~", str(home)))
        file.parent.mkdir(parents=True)
        file.write_text(session.profile.replace("https://mi.example.com", address), "utf-8")
        file.chmod(0o600)
        for command in session.commands:
            lines.append((True, command))
            name, _, value = command.removeprefix("export ").partition("=")
            if command.startswith("export "):
                environ[name] = value
                continue
            shown = _run(command, environ, home).replace(str(home), "/home/alice")
            for line in shown.replace(address, "https://mi.example.com").splitlines():
                lines += [(False, part) for part in folded(line, COLUMNS)]
    return lines


def _environ(home: Path) -> dict[str, str]:
    """An ordinary terminal, with the command as it is installed and the password in a variable."""
    programs = home / "bin"
    programs.mkdir()
    program = programs / "gatepass"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m gatepass "$@"\n')
    program.chmod(0o755)
    return {
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "MI_PASSWORD": "sesame",
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(_SOURCES),
        "TERM": "xterm-256color",
    }


def _run(command: str, environ: Mapping[str, str], folder: Path) -> str:
    import pexpect

    child = pexpect.spawn(
        "/bin/sh",
        ["-c", command],
        env=dict(environ),
        cwd=str(folder),
        encoding="utf-8",
        dimensions=(40, _WIDE),
        timeout=60,
    )
    child.logfile_read = io.StringIO()
    child.expect(pexpect.EOF)
    child.close()
    return str(child.logfile_read.getvalue())


# ---------------------------------------------------------------- the picture


_VERDICT: Final = re.compile(r"(?:ok|info|error)\b:?")
_CHARACTER: Final = 8.4  # pixels of width, at 14 of height
_LINE: Final = 20
_MARGIN: Final = 16
_TOP: Final = 40
# A dark window with colours of its own reads well on light and on dark pages.
_PICTURE: Final = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" \
role="img" aria-label="{label}">
<title>{label}</title>
<style>
text {{ font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; \
white-space: pre; fill: #d0d7de }}
.typed {{ fill: #ffffff; font-weight: bold }}
.prompt, .ok {{ fill: #7ee787 }}
.info {{ fill: #79c0ff }}
.error {{ fill: #ff7b72 }}
</style>
<rect width="{width}" height="{height}" rx="8" fill="#1c2128" stroke="#57606a"/>
<circle cx="20" cy="18" r="5" fill="#57606a"/>
<circle cx="38" cy="18" r="5" fill="#57606a"/>
<circle cx="56" cy="18" r="5" fill="#57606a"/>
{lines}
</svg>
"""


def _drawn(lines: list[tuple[bool, str]], label: str) -> str:
    rows = []
    for number, (typed, line) in enumerate(lines):
        y = _TOP + _LINE * (number + 1) - 6
        if typed:
            rows.append(_text("$", 0, y, "prompt"))
            rows.append(_text(line, 2, y, "typed"))
        elif line.strip():
            indent = len(line) - len(line.lstrip())
            word = _VERDICT.match(line)
            if word:
                rows.append(_text(word[0], 0, y, word[0].rstrip(":")))
                indent = len(line) - len(line[word.end() :].lstrip())
            rows.append(_text(line[indent:], indent, y))
    return _PICTURE.format(
        width=round(2 * _MARGIN + COLUMNS * _CHARACTER),
        height=_TOP + _LINE * len(lines) + _MARGIN,
        label=escape(label),
        lines="\n".join(rows),
    )


def _text(text: str, column: int, y: int, kind: str = "") -> str:
    """A piece of a line, as wide as its characters are in every font."""
    x, length = _MARGIN + column * _CHARACTER, len(text) * _CHARACTER
    styled = f' class="{kind}"' if kind else ""
    fitted = f'textLength="{length:.1f}" lengthAdjust="spacingAndGlyphs"'
    return f'<text x="{x:.1f}" y="{y}" {fitted}{styled}>{escape(text)}</text>'


def main() -> None:
    """Write every picture that has changed."""
    STATIC.mkdir(exist_ok=True)
    for path, text in pictures():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"wrote {path.relative_to(STATIC.parent.parent)}\n")


if __name__ == "__main__":
    main()
