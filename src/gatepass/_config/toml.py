"""Turn the bytes of a file into tables, and find line and column of a key or a syntax error.

``tomllib`` gives positions for syntax errors only. The positions of keys are found by tree-sitter,
which is imported when there is a problem to report, or for ``--origin``.

An excerpt of a file never shows a value: a malformed line may hold a password.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gatepass._config import toml_bounds
from gatepass._config.files import FileBytes
from gatepass._system.text import pattern, printable
from gatepass._value import Value
from gatepass.errors import Problem, ProfileError

if TYPE_CHECKING:
    import tomllib

    from tree_sitter import Node

Key = tuple[str, ...]

_MARK: Final = b"\xef\xbb\xbf"  # the byte-order mark, which Notepad writes
_TABLES: Final = frozenset({"table", "table_array_element"})
_KEYS: Final = frozenset({"bare_key", "quoted_key", "dotted_key"})


class Place(Value):
    """A position in a text.

    Attributes:
        line: counted from 1.
        column: in characters, counted from 1.
        excerpt: the line up to its ``=`` with a caret below the key, indented; may be empty.
    """

    line: int
    column: int
    excerpt: str = ""


class Places:
    """The positions of all keys of one TOML text, found when one is first asked for."""

    def __init__(self, data: bytes) -> None:
        self._text = data.removeprefix(_MARK).replace(b"\r\n", b"\n")
        self._index: dict[Key, Place] | None = None

    def of(self, key: Key) -> Place | None:
        """Return the position of a key, else that of the nearest table around it."""
        if self._index is None:
            self._index = dict(reversed(list(_walk(self._text))))  # the first mention wins
        for length in range(len(key), 0, -1):
            place = self._index.get(key[:length])
            if place is not None:
                return place
        return None


def _walk(text: bytes) -> Iterator[tuple[Key, Place]]:
    import tree_sitter
    import tree_sitter_toml

    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_toml.language()))
    lines = text.split(b"\n")
    for node in parser.parse(text).root_node.children:
        if node.type in _TABLES:
            yield from _table(node, lines)
        elif node.type == "pair":
            yield from _pair(node, (), lines)


def _table(node: "Node", lines: list[bytes]) -> Iterator[tuple[Key, Place]]:
    header: Key = ()
    for child in node.children:
        if child.type in _KEYS:
            for name, part in _parts(child):
                header = (*header, name)
                yield header, _place(part, lines, table=True)
        elif child.type == "pair":
            yield from _pair(child, header, lines)


def _pair(node: "Node", above: Key, lines: list[bytes]) -> Iterator[tuple[Key, Place]]:
    key = above
    for child in node.children:
        if child.type in _KEYS:
            for name, part in _parts(child):
                key = (*key, name)
                yield key, _place(part, lines)
        elif child.type == "inline_table":
            for inner in child.children:
                if inner.type == "pair":
                    yield from _pair(inner, key, lines)


def _parts(node: "Node") -> Iterator[tuple[str, "Node"]]:
    """Yield the names that a (dotted) key is made of, with their nodes."""
    if node.type == "dotted_key":
        for child in node.children:
            yield from _parts(child)
    elif node.type in _KEYS:
        import tomllib

        written = (node.text or b"").decode(errors="replace")
        quoted = node.type == "quoted_key"
        yield (next(iter(tomllib.loads(f"{written}=0"))) if quoted else written), node


def _place(node: "Node", lines: list[bytes], *, table: bool = False) -> Place:
    row, start = node.start_point
    line = lines[row]
    before = line[:start].decode(errors="replace")
    name = (node.text or b"").decode(errors="replace")
    if table:
        shown, lead = line.rstrip(b"\r").decode(errors="replace").split("#")[0].rstrip(), before
    elif before.strip(" \t") == "" or _DOTTED.fullmatch(before):
        shown, lead = f"{before}{name} =", before
    else:  # inside an inline table: what stands before may be a value
        shown, lead = f"... {name} =", "... "
    shown, lead = _clean(shown), _clean(lead)
    caret = "".join("\t" if character == "\t" else " " for character in lead) + "^"
    return Place(row + 1, len(before) + 1, f"    {shown}\n    {caret}")


def _clean(line: str) -> str:
    return "\t".join(map(printable, line.split("\t")))


_DOTTED: Final = pattern(r"\s*(?:[A-Za-z0-9_-]+\s*\.\s*)*")
_POSITION: Final = pattern(r" \(at (?:line (\d+), column (\d+)|end of document)\)")

# Keys whose line may be quoted after a syntax error. Any other text before a "=" might be a
# secret that was pasted into the file (base64 ends in "=").
_SAFE_KEYS: Final = frozenset(
    "default_profile root url auth extends protected description check_path timeout retries "
    "headers proxy tls run allow_http scheme user_name password domain token principal service "
    "issuer client_id client_secret client_auth client_assertion metadata_url scopes audience flow "
    "account redirect_uri refresh_token token_params "
    "use_stored_token login_timeout extra_params ca_file verify client_cert client_key "
    "client_key_password vault vault_key allow_plain allow_commands allow_insecure_keyring".split()
)
_LINE_HEAD: Final = pattern(r"\s*(?:\[+[A-Za-z0-9_.\- ]*\]*|([A-Za-z0-9_.\-]+)\s*=)")


def syntax_error(text: str, error: "tomllib.TOMLDecodeError") -> tuple[str, Place]:
    """Return what is wrong with a TOML text, and where.

    The message is tomllib's, without its position (which is only text on Python 3.11 to 3.13).
    """
    message = str(error)
    match = _POSITION.search(message)
    lines = text.split("\n")
    if match is None or match[1] is None:
        return _POSITION.sub("", message), Place(len(lines), len(lines[-1]) + 1)
    line, column = int(match[1]), int(match[2])
    return _POSITION.sub("", message), Place(line, column, _safe_excerpt(lines, line, column))


def _safe_excerpt(lines: list[str], line: int, column: int) -> str:
    above = "\n".join(lines[: line - 1])
    inside_a_string = above.count('"""') % 2 or above.count("'''") % 2
    text = lines[line - 1] if line <= len(lines) else ""
    head = _LINE_HEAD.match(text)
    if inside_a_string or head is None:
        return ""
    if head[1] is not None and head[1].rpartition(".")[2] not in _SAFE_KEYS:
        return ""
    shown = head[0].rstrip()
    return f"    {shown}\n    {' ' * min(column - 1, len(shown) + 1)}^"


Table = dict[str, Any]


def parse_toml(file: FileBytes, *, strict: bool) -> Table:
    """Return the tables of a file.

    Args:
        file: the file as read.
        strict: whether tables that are nested too deeply are refused.

    Raises:
        ProfileError: not UTF-8, out of bounds, not TOML, or nested too deeply.
    """
    import tomllib

    text = _decode(file)
    _refuse_excess(file.path, text)
    try:
        tables = tomllib.loads(text)
        if strict:
            _refuse_depth(tables)
    except tomllib.TOMLDecodeError as error:
        message, place = syntax_error(text, error)
        position = f"{file.path}:{place.line}:{place.column}"
        words = f"{message}{_LINE_ENDS}" if _ends_line(text, place) else message
        in_line = text.split("\n")[place.line - 1][: place.column]
        if r"'\n'" in message and r"\"" in in_line:  # "C:\" ends no string
            words = _BACKSLASH
        hint = next(hint for part, hint in _NEXT_STEPS if part in words)
        raise ProfileError(
            problems=[Problem(printable(position), "", message, place.excerpt, hint)]
        ) from None
    except RecursionError:
        problem = Problem(printable(str(file.path)), "", "nested too deeply", hint=_THREE_LEVELS)
        raise ProfileError(problems=[problem]) from None
    return tables


def out_of_bounds(file: FileBytes) -> str:
    """Say which bound a file exceeds, and where; empty where it keeps all, or is not UTF-8."""
    try:
        text = _decode(file)
    except ProfileError:
        return ""
    found = toml_bounds.excess(text)
    return f"{found.message} in line {_position(text, found.offset)[0]}" if found else ""


def _refuse_excess(path: Path, text: str) -> None:
    found = toml_bounds.excess(text)
    if found is not None:
        line, column = _position(text, found.offset)
        message, hint = found.message, "correct the number"
        if found.of_levels:
            message, hint = f"{message}: nested too deeply", _THREE_LEVELS
        raise ProfileError(
            problems=[Problem(printable(f"{path}:{line}:{column}"), "", message, hint=hint)]
        )


def _position(text: str, offset: int) -> tuple[int, int]:
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


_THREE_LEVELS: Final = (
    "take out the keys of many parts, or tables in tables: a profile needs three levels"
)
_BACKSLASH: Final = "a backslash before the last quote"
_WINDOWS: Final = r"write DOMAIN\user and Windows paths in single quotes: 'C:\Users\me'"
_NOT_CLOSED: Final = "the string is not closed: its last quote is missing"
_ONE_LINE: Final = "keep { ... } in one line, or write a table of its own: [profiles.NAME.auth]"
_LINE_ENDS: Final = " (where the line ends)"
# Words of tomllib's messages → the next step; the first that fits.
_NEXT_STEPS: Final = (
    (_BACKSLASH, _WINDOWS),
    ("Invalid hex value", _WINDOWS),
    ("Escaped character", _WINDOWS),
    (r"Illegal character '\n'", _NOT_CLOSED),
    ('Expected "\'"', _NOT_CLOSED),
    ("\\", _WINDOWS),
    ("Invalid value", 'write a string in straight quotes:   url = "https://mi.example.com"'),
    (f"key part{_LINE_ENDS}", _ONE_LINE),
    ("Unclosed inline table", _ONE_LINE),
    ("Expected '=' after a key", "a line is   key = value   or   [profiles.NAME]   or   # words"),
    ("twice", "merge the two tables, or give one of them another name"),
    ("Cannot overwrite", "each key may stand once: remove one of them"),
    ("", "correct the file there; how TOML is written: https://toml.io"),
)


_DEEPEST: Final = 100  # levels; the functions that read a table recurse for each


def _refuse_depth(tables: Table) -> None:
    """Raise RecursionError for deep tables: tomllib reads a key of any number of parts."""
    level: list[Any] = [tables]
    for _ in range(_DEEPEST):
        inner = (each.values() if isinstance(each, dict) else each for each in level)
        level = [value for each in inner for value in each if isinstance(value, dict | list)]
        if not level:
            return
    raise RecursionError


def _ends_line(text: str, place: Place) -> bool:
    line = text.split("\n")[place.line - 1]
    return not line[place.column - 1 :].strip()


def _decode(file: FileBytes) -> str:
    data = file.data.removeprefix(_MARK)
    try:
        return data.decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        good = data[: error.start].decode().split("\n")
        utf16 = data[:2] in {b"\xff\xfe", b"\xfe\xff"}
        raise ProfileError(
            problems=[
                Problem(
                    printable(f"{file.path}:{len(good)}:{len(good[-1]) + 1}"),
                    "",
                    "not UTF-8" + (" but UTF-16, as PowerShell writes by default" * utf16),
                    hint="save the file as UTF-8",
                )
            ]
        ) from None
