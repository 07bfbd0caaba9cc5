"""``gatepass trust``: show what a project's file may do, and trust it."""

import os
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, cast

import click

from gatepass._config import files, layers, locations, permissions
from gatepass._config import trust as _trust
from gatepass._config.abilities import abilities
from gatepass._config.files import FileBytes, UnreadFile
from gatepass._config.layer import MACHINE_KEYS, is_project
from gatepass._config.locations import LOCAL_FILE, PROJECT_FILE
from gatepass._config.trust import TrustStore
from gatepass._system.text import local_time, printable
from gatepass.cli import _output
from gatepass.cli._context import Context
from gatepass.cli._edit import layer_of
from gatepass.cli._options import CONTEXT, example, json_option
from gatepass.errors import NobodyThere, ProfileNotFound

_DECLINED: Final = 1
_SHORT: Final = 12  # digits of a digest, enough to compare by eye


@click.command(
    context_settings=CONTEXT,
    epilog=example("gatepass trust", "gatepass trust --list", "gatepass trust --revoke FILE"),
)
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--list", "as_list", is_flag=True, help="List the files that are trusted.")
@click.option("--revoke", is_flag=True, help="Trust FILE no longer; it need not exist any more.")
@json_option
@click.pass_obj
def trust(
    context: Context, *, file: Path | None, yes: bool, as_list: bool, revoke: bool, as_json: bool
) -> int:
    """Show what a project file may do, and trust it.

    Trusted is exactly the content that is shown. Without FILE: gatepass.toml and
    gatepass.local.toml of the project around you. A file of another user has to be named: that
    admits its owner too.
    """
    if as_list + revoke + yes > 1:
        raise click.UsageError("--list, --revoke and --yes do not go together")
    if as_json and not as_list:
        raise click.UsageError("--json goes with --list")
    if as_list and file:
        raise click.UsageError("--list takes no FILE")
    if revoke and not file:
        raise click.UsageError("--revoke needs a FILE")
    store = _trust.TrustStore(context.locations.state)
    if as_list:
        return _list(store, as_json=as_json)
    if revoke:
        return _revoke(store, cast("Path", file))
    paths = [files.absolute(file)] if file else list(_project_files(context, store))
    return _trust_each(context, store, paths, yes=yes, named=file is not None)


def _list(store: TrustStore, *, as_json: bool) -> int:
    found = store.trusted()
    if as_json:
        _output.json([asdict(each) | {"since": _iso(each.since)} for each in found])
    elif found:
        rows = [
            (each.state, local_time(each.since), each.sha256[:_SHORT], str(each.path))
            for each in found
        ]
        _output.table(("STATE", "SINCE", "SHA-256", "FILE"), rows)
    else:
        _output.say("no file is trusted")
    return 0


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _revoke(store: TrustStore, path: Path) -> int:
    if store.revoke(path):
        _output.tell(f"not trusted any more: {printable(str(path))}")
        return 0
    names = [str(each.path) for each in store.trusted()]
    listed = "\n".join(["trusted are:", *(f"    {printable(name)}" for name in names)])
    raise ProfileNotFound(
        f"{printable(str(path))} is not among the files that are trusted",
        hint=listed if names else "no file is trusted",
    )


def _trust_each(
    context: Context, store: TrustStore, paths: list[Path], *, yes: bool, named: bool
) -> int:
    declined = False
    for path in paths:
        unread = _skipped(context, store, path)
        if unread is not None and not named:
            declined = True  # a file of another user has to be named
            _output.tell(f"not trusted: {printable(str(unread))}")
            continue
        found = _read(context, path)
        if found is None:
            raise ProfileNotFound(
                f"{printable(str(path))}: no such file",
                hint="check the path, or run   gatepass trust   in the project's folder",
            )
        if store.holds(found) and unread is None:
            _output.tell(f"{printable(str(found.path))} is trusted already")
        elif _confirm(context, found, yes=yes):
            store.add(found)
            _output.tell(f"trusted: {printable(str(found.path))}")
        else:
            declined = True
            _output.tell(f"not trusted: {printable(str(found.path))}")
    return _DECLINED if declined else 0


def _is_of_project(context: Context, path: Path) -> bool:
    return is_project(layer_of(path, context.locations))


def _read(context: Context, path: Path) -> FileBytes | None:
    if _is_of_project(context, path):
        return files.read_file(path, most=files.MOST_OF_PROJECT)
    return files.read_file(path)


def _skipped(context: Context, store: TrustStore, path: Path) -> UnreadFile | None:
    """Return a project's file if the search does not read it, even where its content is trusted."""
    if not _is_of_project(context, path):
        return None
    sudo_uid = context.environ.get("SUDO_UID")
    found = _trust.read_project_file(path, store, sudo_uid=sudo_uid)
    return found if isinstance(found, UnreadFile) else None


def _project_files(context: Context, store: TrustStore) -> Iterator[Path]:
    """Yield the files that the search finds, and those of other users that it passes over."""
    anything = found = False
    for folder in locations.project_folders(context.locations):
        for name in (PROJECT_FILE, LOCAL_FILE):
            if os.path.lexists(path := folder / name):
                yield path
                anything = True
                unread = _skipped(context, store, path)
                found |= unread is None or not unread.owner
        if found:
            return
    if not anything:
        raise ProfileNotFound(
            f"there is no {PROJECT_FILE} here, nor in a folder above",
            hint="name the file: gatepass trust FILE",
        )


def _confirm(context: Context, file: FileBytes, *, yes: bool) -> bool:
    """Show what a file may do, and ask a person whether to trust it."""
    tables = layers.parse_layer(file, layer_of(file.path, context.locations)).tables
    owner = permissions.another_owner(file, sudo_uid=context.environ.get("SUDO_UID"))
    shown = printable(str(file.path))
    if owner:
        _output.tell(f"{shown} belongs to another user, {owner}, who can change it")
    _output.tell(f"{shown} may do this:")
    for key in MACHINE_KEYS:
        if key in tables:
            _output.tell(f"  sets the machine setting {key}")
    for line in abilities(tables):
        _output.tell(f"  {line}")
    if yes:
        return True
    reason = context.why_not_ask()
    if reason is not None:
        raise NobodyThere(
            f"nobody can confirm that {printable(str(file.path))} is trusted: {reason}",
            hint="where you have read it before: gatepass trust --yes FILE",
        )
    return click.confirm("trust this file?", default=False, err=True)
