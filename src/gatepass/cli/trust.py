"""``gatepass trust``: let a project's file take part, after looking at it."""

from collections.abc import Iterator
from pathlib import Path

import click

from gatepass import _settings, _trust
from gatepass._settings import LOCAL_FILE, MACHINE_KEYS, PROJECT_FILE, Locations
from gatepass._trust import FileBytes
from gatepass.cli import _output
from gatepass.cli._edit import layer_of
from gatepass.cli._options import CONTEXT, example
from gatepass.cli._world import World
from gatepass.errors import NobodyThere, ProfileNotFound

_DECLINED = 1


@click.command(
    context_settings=CONTEXT, epilog=example("gatepass trust", "gatepass trust gatepass.toml")
)
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def trust(world: World, file: Path | None, yes: bool) -> int:
    """Show what a project file may do, and trust it.

    Trusted is exactly the content that is shown. Without FILE: gatepass.toml and
    gatepass.local.toml of the project around you.
    """
    paths = [file.absolute()] if file else list(_project_files(world.locations))
    store = _trust.TrustStore(world.locations.state)
    declined = False
    for path in paths:
        found = _trust.read(path)
        if found is None:
            raise ProfileNotFound(f"{path}: no such file")
        if store.holds(found):
            _output.say(f"{found.path} is trusted already")
        elif _agreed(world, found, yes=yes):
            store.add(found)
            _output.say(f"trusted: {found.path}")
        else:
            declined = True
            _output.say(f"not trusted: {found.path}")
    return _DECLINED if declined else 0


def _project_files(locations: Locations) -> Iterator[Path]:
    folder = _settings.project_folder(locations)
    if folder is None:
        raise ProfileNotFound(
            f"there is no {PROJECT_FILE} here, nor in a folder above",
            hint="name the file: gatepass trust FILE",
        )
    for name in (PROJECT_FILE, LOCAL_FILE):
        if (folder / name).is_file():
            yield folder / name


def _agreed(world: World, file: FileBytes, *, yes: bool) -> bool:
    """Show what a file may do, and have it confirmed."""
    tables = _settings.parse(file, layer_of(file.path, world.locations)).tables
    _output.say(f"{file.path} may do this:")
    for key in MACHINE_KEYS:
        if key in tables:
            _output.say(f"  sets the machine setting {key}")
    for line in _trust.abilities(tables):
        _output.say(f"  {line}")
    if yes:
        return True
    reason = world.why_not_ask()
    if reason is not None:
        raise NobodyThere(
            f"nobody can confirm that {file.path} is trusted: {reason}",
            hint="where you have read it before: gatepass trust --yes FILE",
        )
    return click.confirm("trust this file?", default=False, err=True)
