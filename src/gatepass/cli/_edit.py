"""Changing a file of profiles without losing a byte of it.

The new text is the old bytes and what is added: byte-order mark, line ends, comments and a
missing final newline stay as they were. It replaces the file in one step, only if nobody else
has changed it meanwhile; permissions and owner stay, and a symbolic link of the user's own stays
a link. A file that was trusted stays trusted: its owner wrote the change.
"""

import os
import stat
from pathlib import Path
from typing import Any, Final

from gatepass._config import abilities, files, layers, tls_files
from gatepass._config.files import FileBytes
from gatepass._config.layer import Layer, is_project
from gatepass._config.locations import LOCAL_FILE, PROJECT_FILE, Locations
from gatepass._config.trust import TrustStore
from gatepass._system.files import PRIVATE, WRITABLE, make_private_folder, replace
from gatepass._system.text import printable
from gatepass._value import Value
from gatepass.errors import GatepassError, ProfileError
from gatepass.secrets import LayerKind

BOM: Final = b"\xef\xbb\xbf"
_IN_GIT: Final = 0o644  # a project's file; the user's own one is nobody else's business
_NOBODY: Final = os.stat_result((0,) * 10)


class FileEdit(Value):
    """A file as it was read, and what it may become.

    Attributes:
        path: as it was named.
        layer: its kind.
        old: as it was read; None when there is none.
    """

    path: Path
    layer: LayerKind
    old: FileBytes | None

    @classmethod
    def of(cls, path: Path, layer: LayerKind) -> "FileEdit":
        """Read the file.

        Raises:
            ProfileError: it is unreadable; or a project's file that is a link, which the project
                may have brought along, to write somewhere else.
        """
        if is_project(layer) and path.is_symlink():
            raise ProfileError(
                f"{printable(str(path))} is a link, and a project may lead anywhere by one",
                hint="replace it by a file, or name the file that it leads to by --file",
            )
        return cls(path, layer, files.read_file(path))

    @property
    def data(self) -> bytes:
        """The old content, in bytes."""
        return self.old.data if self.old else b""

    @property
    def line_end(self) -> str:
        """What ends the lines of the file: that of its first line."""
        first, newline, _ = self.data.partition(b"\n")
        return "\r\n" if newline and first.endswith(b"\r") else "\n"

    def parsed(self, data: bytes) -> Layer:
        """Parse a content of this file, its top level checked.

        Raises:
            ProfileError: every complaint of the top level, or the syntax error.
        """
        return layers.parse_layer(FileBytes(self.path, data, _NOBODY), self.layer)

    def appended(self, block: str) -> bytes:
        """Return the old content with a block of lines added at its end."""
        old = self.data
        gap = ""
        if old.removeprefix(BOM).strip():
            gap = self.line_end if old.endswith(b"\n") else self.line_end * 2
        return old + (gap + block.replace("\n", self.line_end)).encode()

    def with_first_line(self, line: str) -> bytes:
        """Return the old content with a line added before it; a byte-order mark stays first."""
        mark = BOM if self.data.startswith(BOM) else b""
        return mark + (line + self.line_end).encode() + self.data.removeprefix(BOM)

    def replace(self, data: bytes, store: TrustStore) -> bool:
        """Write the new content; return whether the file is trusted now.

        Raises:
            GatepassError: the file has changed meanwhile, or cannot be written.
        """
        new_project = self.old is None and is_project(self.layer)
        author = new_project or (self.old is not None and store.holds(self.old))
        try:
            _write(self, data)
        except OSError as error:
            raise GatepassError(
                f"cannot write {printable(str(self.path))}: {error.strerror}",
                hint=f"{WRITABLE}; or write elsewhere: --file PATH",
            ) from None
        new = files.read_file(self.path)
        if author and new is not None and new.data == data:
            tables = self.parsed(data).tables
            digests = tls_files.digests(tables, new.path.parent)
            store.add(new, digests, abilities.abilities(tables))
        return author


def layer_of(path: Path, locations: Locations) -> LayerKind:
    """Return which kind of file a path is to the search; ``file`` where that would not find it."""
    path = _resolved(path)
    if path == _resolved(locations.user):
        return "user"
    if path in map(_resolved, locations.system):
        return "system"
    names: dict[str, LayerKind] = {PROJECT_FILE: "project", LOCAL_FILE: "local"}
    return names.get(path.name, "file")


def _resolved(path: Path) -> Path:
    return Path(os.path.realpath(path.parent)) / path.name


def with_top_line(data: bytes, key: str, value: str, line_end: str) -> bytes:
    """Return a content in which a key of the top level has another value; the first place is kept.

    The caller proves that it still means the same otherwise.
    """
    import tomli_w

    new = tomli_w.dumps({key: value}).strip().encode() + line_end.encode()
    mark = BOM if data.startswith(BOM) else b""
    lines = data.removeprefix(BOM).splitlines(keepends=True)
    first = len(lines)
    for number, line in reversed(list(enumerate(lines))):
        if line.strip() and not line.lstrip().startswith(b"#"):
            first = number
    for number, line in enumerate(lines):
        if line.lstrip().startswith(b"["):
            break
        if line.partition(b"=")[0].strip() == key.encode():
            lines[number] = new
            return mark + b"".join(lines)
    is_table = first < len(lines) and lines[first].lstrip().startswith(b"[")
    if lines and first == len(lines) and not lines[-1].endswith(b"\n"):
        lines[-1] += line_end.encode()
    lines.insert(first, new + (line_end.encode() if is_table else b""))
    return mark + b"".join(lines)


def same(one: Any, other: Any) -> bool:
    """Compare two parsed TOML values; unlike ``==``, a nan equals itself and 1 is not true."""
    return repr(one) == repr(other)


def _write(edit: FileEdit, data: bytes) -> None:
    """Replace the file; the new one has the permissions and the owner of the old one."""
    target = edit.path if is_project(edit.layer) else Path(os.path.realpath(edit.path))
    owner = None
    if edit.old is not None:
        status = edit.old.status
        mode, owner = stat.S_IMODE(status.st_mode), (status.st_uid, status.st_gid)
    elif edit.layer == "user":
        make_private_folder(target.parent)
        mode = PRIVATE
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        mode = _IN_GIT if edit.layer == "project" else PRIVATE
    replace(target, data, mode=mode, owner=owner, before=lambda: _refuse_changed(edit))


def _refuse_changed(edit: FileEdit) -> None:
    now = files.read_file(edit.path)
    before = edit.old.data if edit.old else None
    if (now.data if now else None) != before:
        raise ProfileError(
            f"{printable(str(edit.path))} was changed by somebody else meanwhile",
            hint="run the command again",
        )
