"""Arguments and options that several commands share, and the completion of names."""

import contextlib
import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click
from click.shell_completion import CompletionItem

from gatepass.cli._context import Context

Command = TypeVar("Command", bound=Callable[..., Any])

_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def example(*lines: str) -> str:
    """Return the end of a help page: examples, one a line."""
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)


def _names(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a profile. Reads files only, and never fails: a shell is waiting."""
    found: tuple[str, ...] = ()
    with contextlib.suppress(Exception):
        context = ctx.obj if isinstance(ctx.obj, Context) else Context.of_this_process()
        found = context.read(ctx.params.get("config_files") or ()).names
    return [CompletionItem(name) for name in found if name.startswith(incomplete)]


def name_argument(*, required: bool) -> Callable[[Command], Command]:
    """Add the argument NAME."""
    return click.argument("name", required=required, shell_complete=_names)


config_file_option = click.option(
    "--config-file",
    "config_files",
    multiple=True,
    metavar="PATH",
    type=click.Path(),
    help="Read this file instead of searching; repeat it for several, the last one wins.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def seconds_of(text: str) -> float | None:
    """Return the seconds of a length of time such as ``8h``, ``30m`` or ``3600``, or None."""
    found = re.fullmatch(r"([0-9]{1,9})([smhd]?)", text)
    return float(int(found[1]) * _UNITS[found[2]]) if found else None


def duration(_ctx: click.Context, _param: click.Parameter, text: str | None) -> float | None:
    """Read the value of an option that is a length of time, as its callback."""
    seconds = None if text is None else seconds_of(text)
    if text is not None and seconds is None:
        raise click.BadParameter(f"{text!r} is not a time such as 8h, 30m or 3600 (seconds)")
    return seconds
