"""``gatepass trust``: show what a project's file may do, and trust it."""

import contextlib
import difflib
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, cast

import click

from gatepass._config import files, layers, locations, permissions, tls_files
from gatepass._config import trust as _trust
from gatepass._config.abilities import abilities, summary
from gatepass._config.files import FileBytes, UnreadFile
from gatepass._config.layer import MACHINE_KEYS, Layer, is_project
from gatepass._config.locations import PROJECT_FILE, PROJECT_FILES
from gatepass._config.trust import TrustStore
from gatepass._system.text import local_time, printable
from gatepass._value import asdict
from gatepass.cli import _output
from gatepass.cli._context import Context
from gatepass.cli._edit import layer_of
from gatepass.cli._options import json_option, verb
from gatepass.errors import GatepassError, NobodyThere, ProfileNotFound

_DECLINED: Final = 1
_SHORT: Final = 12  # digits of a digest, enough to compare by eye


@verb("gatepass trust", "gatepass trust --list", "gatepass trust --revoke FILE")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--list", "as_list", is_flag=True, help="List the files that are trusted.")
@click.option("--revoke", is_flag=True, help="Trust FILE no longer; it need not exist any more.")
@json_option
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
        elif _confirm(context, store, found, yes=yes):
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
        for name in PROJECT_FILES:
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


def _confirm(context: Context, store: TrustStore, file: FileBytes, *, yes: bool) -> bool:
    """Show what a file may do, ask a person whether to trust it, and record a yes."""
    layer = layers.parse_layer(file, layer_of(file.path, context.locations))
    covered = tls_files.digests(layer.tables, file.path.parent)
    told = [f"sets the machine setting {key}" for key in MACHINE_KEYS if key in layer.tables]
    told += abilities(layer.tables)
    owner = permissions.another_owner(file, sudo_uid=context.environ.get("SUDO_UID"))
    shown = printable(str(file.path))
    if owner:
        _output.tell(f"{shown} belongs to another user, {owner}, who can change it")
    _output.tell(f"{shown} may do this:")
    for line in told:
        _output.tell(f"  {line}")
    _tell_changes(store, file, told)
    _output.tell("in short:")
    for line in summary(_with_siblings(layer, file.path)):
        _output.tell(f"  {line}")
    if yes or _agreed(context, file):
        store.add(file, covered, told)
        return True
    return False


def _tell_changes(store: TrustStore, file: FileBytes, told: list[str]) -> None:
    """Show what is not as it was when the file was trusted."""
    changes = store.changes(file)
    if changes is None:
        return
    for path in changes:
        _output.tell(f"changed since you trusted it: {printable(path)}")
    before = store.told(file.path)
    if before is None and not changes:
        _output.tell("it has changed since you trusted it; what it said then is not recorded")
        return
    for line in difflib.unified_diff(before or told, told, lineterm="", n=0):
        if line[:1] in "+-" and line[:3] not in {"+++", "---"}:
            _output.tell(f"changed since you trusted it: {line}")


def _with_siblings(layer: Layer, path: Path) -> list[Layer]:
    """Return the layers of the project's files, which are merged; a broken one is left out."""
    if not is_project(layer.kind):
        return [layer]
    found = []
    for name, kind in PROJECT_FILES.items():
        if kind == layer.kind:
            found.append(layer)
            continue
        with contextlib.suppress(GatepassError):
            other = files.read_file(path.parent / name, most=files.MOST_OF_PROJECT)
            found += [layers.parse_layer(other, kind)] if other is not None else []
    return found


def _agreed(context: Context, file: FileBytes) -> bool:
    reason = context.why_not_ask()
    if reason is not None:
        raise NobodyThere(
            f"nobody can confirm that {printable(str(file.path))} is trusted: {reason}",
            hint="where you have read it before: gatepass trust --yes FILE",
        )
    return click.confirm("trust this file?", default=False, err=True)
