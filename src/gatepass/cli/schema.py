"""``gatepass schema``: let editors know the keys of a profile file."""

import json
from pathlib import Path
from typing import Final

import click

from gatepass import _schema, _trust
from gatepass.cli import _output
from gatepass.cli._edit import BOM, Draft, layer_of, same
from gatepass.cli._options import CONTEXT, example
from gatepass.cli._world import World
from gatepass.errors import GatepassError, ProfileNotFound

_SCHEMA_FILE: Final = "gatepass.schema.json"
_LINE: Final = f"#:schema ./{_SCHEMA_FILE}"


@click.command(context_settings=CONTEXT, epilog=example("gatepass schema gatepass.toml"))
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--print", "to_stdout", is_flag=True, help="Print the schema and write nothing.")
@click.pass_obj
def schema(world: World, file: Path | None, to_stdout: bool) -> None:
    """Teach your editor the keys of a file of profiles.

    Writes the JSON Schema beside the file, and into the file the line by which editors find it.
    Without FILE: your own profiles.toml. The schema knows the schemes that are installed here.
    """
    document = _schema.document()
    if to_stdout:
        _output.json(document)
        return
    path = file.absolute() if file else world.locations.user
    draft = Draft.of(path, layer_of(path, world.locations))
    if draft.old is None:
        raise ProfileNotFound(f"{path}: no such file", hint="make it with: gatepass init")
    with_line = _with_line(draft)
    _write(path.parent / _SCHEMA_FILE, json.dumps(document, indent=2) + "\n")
    if with_line != draft.data:
        draft.replace(with_line, _trust.TrustStore(world.locations.state))
        _output.say(f"wrote the line {_LINE} into {path}")


def _with_line(draft: Draft) -> bytes:
    """Return the file's content with the line that editors read; as it is where it has one."""
    old = draft.parsed(draft.data).tables
    for line in draft.data.removeprefix(BOM).splitlines():
        if line.strip().startswith(b"#:schema"):
            return draft.data
        if line.strip() and not line.lstrip().startswith(b"#"):
            break
    new = draft.with_first_line(_LINE)
    if not same(draft.parsed(new).tables, old):
        raise GatepassError(f"{draft.path} would not mean the same with another line")
    return new


def _write(path: Path, text: str) -> None:
    found = _trust.read(path)
    if found is not None and found.data == text.encode():
        _output.say(f"{path} is up to date")
        return
    try:
        _trust.write_atomically(path, text.encode(), mode=0o644)
    except OSError as error:
        raise GatepassError(f"cannot write {path}: {error.strerror}") from None
    _output.say(f"wrote {path}")
