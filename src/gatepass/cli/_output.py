"""The only printer.

The rules of the command line's looks:

* Data goes to stdout, all else to stderr: ``gatepass ... > file`` holds data and nothing else.
* ``--json`` where there is data, always plain ASCII, so that it survives every pipe.
* Tables are drawn by rich when a person looks at a terminal, or as a block of lines for each row
  where it is too narrow, and are plain aligned text otherwise; no style with ``NO_COLOR`` or
  ``TERM=dumb``, and never into a pipe.
* An error is ``error: what is wrong``, then the next step; a warning ``warning: ...``, once each.
* Errors, warnings and hints are folded at the width of a person's terminal, never in what may be
  pasted; into a pipe each stays one line.
* Into a pipe or a file go UTF-8 (PEP 686), whatever the code page, unless PYTHONIOENCODING names
  another encoding.
* Foreign text cannot steer the terminal: what is not printable is shown as an escape.
* A fault of our own is told by its kind and its places alone; its text may hold a secret.
"""

import codecs
import contextlib
import json as _json
import os
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from traceback import walk_tb
from typing import Any, Final, TextIO

from gatepass._system.findings import Finding
from gatepass._system.text import printable, printable_lines
from gatepass.cli._wrap import folded
from gatepass.errors import GatepassError, GatepassWarning, Problem

_PATIENCE: Final = 1.0  # seconds without a word
_SET_IN: Final = "    "
_MARGIN: Final = 8  # columns before a finding
_BROKEN_PIPE: Final = 141  # 128 + SIGPIPE, what a shell reports of any program that it ended


def prepare() -> None:
    """Make the streams print every character somehow, and pipes and files UTF-8.

    On Windows they would be in the code page of the system: a TOML file that ``show`` writes would
    not be one.
    """
    named = os.environ.get("PYTHONIOENCODING", "").partition(":")[0]
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            encoding = None if named or _person_looks_at(stream) else "utf-8"
            reconfigure(encoding=encoding, errors="backslashreplace")


class CannotPrint(Exception):
    """What is to be printed cannot be written, as on a full disk; says why."""


def finish() -> None:
    """Write out what is still held back, so that a broken pipe shows here and not at the exit.

    Raises:
        BrokenPipeError: nobody reads any more.
        CannotPrint: it cannot be written.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with _printing():
                stream.flush()


@contextlib.contextmanager
def _printing() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise CannotPrint(error.strerror or "") from None


def _print(line: str, stream: TextIO | None) -> None:
    with _printing():
        print(line, file=stream)


def give_up(error: CannotPrint) -> int:
    """Say what could not be written, if that can be said; return the exit code for that."""
    with contextlib.suppress(CannotPrint, OSError):
        say(f"error: the output cannot be written: {error}")
        finish()
    abandon()
    return 1


def abandon() -> int:
    """Give up on a pipe that nobody reads any more; return the exit code for that."""
    for stream in (sys.stdout, sys.stderr):
        # Python flushes at its exit once more, and would complain.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
    return _BROKEN_PIPE


# ---------------------------------------------------------------- data


def data(text: str = "") -> None:
    """Print lines of data."""
    for line in text.split("\n"):
        _print(printable(line), sys.stdout)


def script(text: str) -> None:
    """Print a program as it is, tabs included."""
    _print(text.removesuffix("\n"), sys.stdout)


def sentence(text: str) -> None:
    """Print a sentence that is data, folded at the width of a person's terminal."""
    _print_folded(text, sys.stdout)


def below(text: str) -> None:
    """Print a line that belongs to the sentence above it, set in by four blanks; folded too."""
    columns = _columns(sys.stdout)
    clean = printable(text.expandtabs(4))
    for part in folded(clean, columns - len(_SET_IN)) if columns else [clean]:
        _print(_SET_IN + part, sys.stdout)


def toml(text: str) -> None:
    r"""Print a TOML text; what is not printable becomes ``\u....``, which TOML reads back."""
    for line in text.rstrip("\n").split("\n"):
        _print(toml_escaped(line), sys.stdout)


def toml_escaped(line: str) -> str:
    r"""Return a line of TOML with ``\u....`` for each character that is not printable."""
    return "".join(c if c.isprintable() else _escaped(ord(c)) for c in line)


def _escaped(number: int) -> str:
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"  # noqa: PLR2004 - TOML's


def json(value: Any) -> None:
    """Print a value as JSON."""
    _print(_json.dumps(value, indent=2, default=str), sys.stdout)


def body(pieces: Iterable[bytes]) -> None:
    """Print bytes as they are; on a terminal as text, in which nothing can steer it."""
    stream = sys.stdout
    if stream is None:
        return
    if not _person_looks_at(stream):
        stream.flush()
        for piece in pieces:  # what fails there is of the network
            with _printing():
                stream.buffer.write(piece)
                stream.buffer.flush()
        return
    decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
    end = ""
    for text in chain(map(decode, pieces), [decode(b"", True)]):
        shown = printable_lines(text.expandtabs(8).replace("\r\n", "\n"))
        with _printing():
            stream.write(shown)
        end = shown[-1:] or end
    if end != "\n":
        _print("", stream)


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    narrow: Callable[[Sequence[str]], Sequence[str]] | None = None,
) -> None:
    """Print rows below their headings.

    Args:
        header: the headings.
        rows: the cells.
        narrow: shortens a row, also the headings, for a terminal that is too narrow.
    """
    clean = [[printable(cell) for cell in row] for row in rows]
    if _person_looks_at(sys.stdout):
        columns = _columns(sys.stdout)
        if narrow and columns and _width(header, clean) > columns:
            header, clean = narrow(header), [[*narrow(row)] for row in clean]
        if columns and _width(header, clean) > columns:
            _print_records(header, clean, columns)
        else:
            _draw(header, clean)
        return
    everything = [[*header], *clean] if any(header) else clean
    widths = [max(len(row[column]) for row in everything) for column in range(len(header))]
    line = "  ".join(f"{{:<{width}}}" for width in widths).format
    _print("\n".join(line(*row).rstrip() for row in everything), sys.stdout)


def _width(header: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """How wide a table is when nothing in it is folded."""
    from rich.cells import cell_len

    widths = (max(map(cell_len, column)) for column in zip(header, *rows, strict=True))
    return sum(widths) + 2 * (len(header) - 1)


def _print_records(header: Sequence[str], rows: Sequence[Sequence[str]], columns: int) -> None:
    """Print each row as lines of its own, where the terminal is too narrow for a table.

    What is too long for a line stands below its heading, in one piece, behind four spaces.
    """
    first = next(number for number, heading in enumerate(header) if heading or number)
    width = max(map(len, header))
    for number, row in enumerate(rows):
        if number:
            _print("", sys.stdout)
        for line in folded(" ".join(filter(None, row[: first + 1])), columns):
            _print_heading(line)
        for heading, cell in zip(header[first + 1 :], row[first + 1 :], strict=True):
            if cell:
                _print_field(f"  {heading:<{width}}  ", cell, columns)


def _print_heading(line: str) -> None:
    from rich.console import Console
    from rich.text import Text

    Console(file=sys.stdout, highlight=False).print(Text(line, _heading_style()), soft_wrap=True)


def _heading_style() -> str:
    return "" if os.environ.get("NO_COLOR") else "bold"  # rich drops only the colours


def _print_field(label: str, cell: str, columns: int) -> None:
    room = columns - 1 - len(label)
    lines = textwrap.wrap(cell, max(room, 1), break_long_words=False, break_on_hyphens=False)
    if max(map(len, lines)) > room:
        _print(label.rstrip(), sys.stdout)
        label = "    "
        most = max(columns - 1 - len(label), 1)
        lines = textwrap.wrap(cell, most, break_long_words=False, break_on_hyphens=False)
    for line in lines:
        _print(label + line, sys.stdout)
        label = " " * len(label)


def _draw(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawing = Table(
        box=None, pad_edge=False, header_style=_heading_style(), show_header=any(header)
    )
    for heading in header:
        drawing.add_column(heading, overflow="fold")
    for row in rows:
        drawing.add_row(*map(Text, row))
    Console(file=sys.stdout, highlight=False).print(drawing)


def _person_looks_at(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


# ---------------------------------------------------------------- all else


def say(text: str = "") -> None:
    """Print lines for the person, as they are."""
    if sys.stderr is None:  # print would take stdout instead
        return
    for line in text.split("\n"):
        _print(printable(line.expandtabs(4)), sys.stderr)


def tell(text: str) -> None:
    """Print a message for the person: sentences, folded at the width of the terminal."""
    _print_folded(text, sys.stderr)


def _print_folded(text: str, stream: TextIO | None) -> None:
    if stream is None:
        return
    columns = _columns(stream)
    for line in text.split("\n"):
        clean = printable(line.expandtabs(4))
        for part in folded(clean, columns) if columns else [clean]:
            _print(part, stream)


def _columns(stream: TextIO) -> int:
    """How wide the terminal is that a person looks at; 0 where nobody does."""
    if not _person_looks_at(stream):
        return 0
    wish = os.environ.get("COLUMNS", "")
    if wish.isascii() and wish.isdigit():
        return int(wish)
    try:
        return os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return 0


def waiting(text: str) -> None:
    """Tell a person, if one looks, what is waited for and for how long."""
    if _person_looks_at(sys.stderr):
        tell(text)


@contextlib.contextmanager
def waiting_for(text: str, *, after: float = _PATIENCE) -> Iterator[None]:
    """Tell a person what is waited for, and for how long, if the block takes a moment.

    Args:
        text: what is waited for.
        after: seconds.
    """
    from threading import Timer

    timer = Timer(after, waiting, [text])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def error(failure: GatepassError) -> None:
    """Print what is wrong, and the next step."""
    tell(f"error: {failure.message or type(failure).__name__}")
    if failure.hint:
        tell(failure.hint)


def problem(complaint: Problem) -> None:
    """Print one complaint as data, with the line of the file and the next step."""
    _print_folded(str(complaint), sys.stdout)


def counted(count: int, what: str) -> str:
    """Return a number with its noun: ``1 problem``, ``2 problems``."""
    return f"{count} {what}{'s' * (count != 1)}"


def finding(found: Finding) -> None:
    """Print one finding as data: how it weighs, what was seen, and the next step below."""
    place = f"{found.place}: " if found.place else ""
    margin = f"{found.verdict:<{_MARGIN - 1}} "
    hint = found.hint.split("\n") if found.hint else []
    columns = _columns(sys.stdout)
    message = f"{found.subject}: {place}{found.message}".split("\n")
    for text in (*message, *hint):
        clean = printable(text.strip().expandtabs(4))
        pasted = text.startswith("    ")
        for part in folded(clean, columns - _MARGIN) if columns and not pasted else [clean]:
            _print(margin + part.strip(), sys.stdout)
            margin = " " * _MARGIN


@contextlib.contextmanager
def shown_warnings() -> Iterator[None]:
    """Print our warnings as lines on stderr, once each, while the block lasts."""
    told: set[str] = set()
    python_shows = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if not issubclass(category, GatepassWarning):
            python_shows(message, category, *place, **more)
        elif str(message) not in told:
            told.add(str(message))
            tell(f"warning: {message}")

    with warnings.catch_warnings():
        warnings.simplefilter("always", GatepassWarning)
        warnings.showwarning = show
        yield


def bug(failure: BaseException) -> None:
    """Print a fault of our own: its kind and where it happened, never its text or any value."""
    say("error: this is a bug in gatepass, please report it with the lines below")
    seen: set[int] = set()
    link: BaseException | None = failure
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        say(f"{type(link).__module__}.{type(link).__qualname__}")
        for frame, line in walk_tb(link.__traceback__):
            say(f"  {Path(frame.f_code.co_filename)}:{line} {frame.f_code.co_name}")
        link = link.__cause__ or link.__context__
