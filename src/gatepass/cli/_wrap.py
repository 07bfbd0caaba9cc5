"""Long lines, folded for a person's terminal; what may be pasted stays in one piece.

A line break that is pasted with a command runs half of it. So no break comes into a line that
begins with four spaces (a command, a line of a file), into what stands between three spaces, which
is how messages set off what is to be written, into a command within a sentence, or into quotes.
What is longer than a line in one piece, such as a path, gets a line of its own behind four spaces.
"""

import re
from typing import Final

_PASTED: Final = "    "
_NARROWEST: Final = 30  # columns; below, folding would help nobody
_PIECE: Final = re.compile(
    r"""
    \ {3,}(?=\S)(?:'[^']*'|"[^"]*"|.)+?(?:\ {3,}|$)               # set off by three spaces
  | \ *(?:
      (?:gatepass|python|kinit|pip|sudo|chmod)\                   # a command
      (?:'[^']*'|"[^"]*"|(?!\ {3})[^;,)])*\S*
    | [(\[]*\$?(?:'[^']*'|"[^"]*"|`[^`]*`)(?:'[^']*'|"[^"]*"|\S)*  # in quotes
    | \S+
    )
    """,
    re.VERBOSE,
)


def folded(line: str, columns: int) -> list[str]:
    """Return a line as lines of at most so many columns, as far as that can be.

    Args:
        line: without a line break.
        columns: of the terminal.
    """
    most = columns - 1  # some consoles of Windows go on to the next line by themselves
    if len(line) <= most or columns < _NARROWEST or line.startswith(_PASTED):
        return [line]
    indent = " " * (len(line) - len(line.lstrip()) + 2)
    lines = [""]
    for piece in _PIECE.findall(line):
        longer = lines[-1] + piece if lines[-1] or len(lines) == 1 else indent + piece.lstrip()
        if len(longer.rstrip()) <= most:
            lines[-1] = longer
        elif len(indent + piece.strip()) > most:  # set off, as what may be copied
            lines += [_PASTED + piece.strip(), ""]
        else:
            lines.append(indent + piece.lstrip())
    return [each.rstrip() for each in lines if each.strip()]
