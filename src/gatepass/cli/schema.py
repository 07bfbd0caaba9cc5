"""``gatepass schema``: write the JSON Schema by which editors know the keys of a file."""

import json
from pathlib import Path
from typing import Final

import click

from gatepass._config import files, trust
from gatepass._config.judge import without_plugins
from gatepass._config.layer import is_own
from gatepass._config.locations import Locations
from gatepass._system.files import replace
from gatepass._system.text import printable
from gatepass.cli import _output
from gatepass.cli._context import Context
from gatepass.cli._edit import BOM, FileEdit, layer_of, same
from gatepass.cli._options import verb
from gatepass.errors import GatepassError, ProfileNotFound
from gatepass.secrets import LayerKind

_WHOLE: Final = "gatepass.schema.json"
_PART: Final = "gatepass.part.schema.json"


def _line(schema_file: str) -> str:
    return f"#:schema ./{schema_file}"


@verb("gatepass schema gatepass.toml", "gatepass schema gatepass.local.toml")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option(
    "--part",
    is_flag=True,
    help="Let profiles leave out what another file brings; gatepass.local.toml always may.",
)
@click.option("--print", "to_stdout", is_flag=True, help="Print the schema and write nothing.")
def schema(context: Context, file: Path | None, part: bool, to_stdout: bool) -> None:
    """Teach your editor the keys of a file of profiles.

    Writes the JSON Schema beside the file, and into the file the line by which editors find it.
    Without FILE: your own profiles.toml. The schema knows the schemes that are installed here.
    """
    path = files.absolute(file) if file else context.locations.user
    layer = layer_of(path, context.locations)
    part = part or _is_part(layer, context.locations)
    with without_plugins():
        from gatepass._config import json_schema  # imports pydantic

        document = json_schema.document(machine=is_own(layer), whole=not part)
    if to_stdout:
        _output.json(document)
        return
    edit = FileEdit.of(path, layer)
    if edit.old is None:
        raise ProfileNotFound(
            f"{printable(str(path))}: no such file", hint="make it with: gatepass init"
        )
    schema_file = _PART if part else _WHOLE
    with_line = _with_line(edit, _line(schema_file))
    _write(path.parent / schema_file, json.dumps(document, indent=2) + "\n")
    if with_line != edit.data:
        edit.replace(with_line, trust.TrustStore(context.locations.state))
        _output.tell(f"wrote the line {_line(schema_file)} into {printable(str(path))}")


def _is_part(layer: LayerKind, locations: Locations) -> bool:
    """Whether a file lies above another, whose profiles it may only add to."""
    return layer == "local" or (layer == "user" and any(map(Path.exists, locations.system)))


def _with_line(edit: FileEdit, line: str) -> bytes:
    """Return the file's content with the line that editors read.

    A line that somebody else wrote stays; one of ours for another kind of file is replaced.
    """
    old = edit.parsed(edit.data).tables
    ours = {_line(each).encode() for each in (_WHOLE, _PART)}
    for found in edit.data.removeprefix(BOM).splitlines():
        if found.strip() in ours:
            return edit.data.replace(found.strip(), line.encode(), 1)
        if found.strip().startswith(b"#:schema"):
            return edit.data
        if found.strip() and not found.lstrip().startswith(b"#"):
            break
    new = edit.with_first_line(line)
    if not same(edit.parsed(new).tables, old):
        raise GatepassError(
            f"{printable(str(edit.path))} would not mean the same with another line"
        )
    return new


def _write(path: Path, text: str) -> None:
    found = files.read_file(path)
    if found is not None and found.data == text.encode():
        _output.tell(f"{printable(str(path))} is up to date")
        return
    try:
        replace(path, text.encode(), mode=0o644)
    except OSError as error:
        raise GatepassError(f"cannot write {printable(str(path))}: {error.strerror}") from None
    _output.tell(f"wrote {printable(str(path))}")
