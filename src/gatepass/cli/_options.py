"""Arguments and options that several commands share, and the completion of names."""

import contextlib
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from gatepass._value import replace
from gatepass.cli._context import Context

if TYPE_CHECKING:
    from gatepass._config.layer import Layers

_FIELD: Final = "gatepass.field"
ONE_WORD_TOO_MANY: Final = "too many arguments; a secret is never given as one"
Command = TypeVar("Command", bound=Callable[..., Any])

_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def example(*lines: str) -> str:
    """Return the end of a help page: examples, one a line."""
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)


def verb(
    *examples: str, make: Callable[..., Any] = click.command, **settings: Any
) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a command of a function, which gets the context and what its options say.

    Args:
        examples: the end of its help page.
        make: ``click.command``, or the method ``command`` of a group.
        settings: for ``make``.
    """
    settings = {"context_settings": CONTEXT, "epilog": example(*examples)} | settings

    def made(function: Callable[..., Any]) -> click.Command:
        command: click.Command = make(**settings)(click.pass_obj(function))
        return command

    return made


def _names(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a profile. Reads files only, and never fails: a shell is waiting."""
    found: tuple[str, ...] = ()
    with contextlib.suppress(Exception):
        context = ctx.find_object(Context) or Context.of_this_process()
        found = context.read().names
    return [CompletionItem(name) for name in found if name.startswith(incomplete)]


def _into_context(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """Keep the value of an option in the context, as its callback."""
    ctx.obj = replace(ctx.obj, **{str(param.name): value})


def _one_name(ctx: click.Context, _param: click.Parameter, name: str | None) -> str | None:
    by_option: str | None = ctx.obj.named
    if name is not None and by_option is not None:
        raise click.UsageError("NAME and --profile say the same: give one of them", ctx)
    if ctx.params.get("everything") and (name or by_option):
        raise click.UsageError("--all takes no NAME", ctx)
    return by_option if name is None else name


profile_option = click.option(
    "-p",
    "--profile",
    "named",
    metavar="NAME",
    is_eager=True,
    expose_value=False,
    callback=_into_context,
    shell_complete=_names,
    help="The profile; the same as NAME.",
)


def name_argument(command: Command) -> Command:
    """Add the argument NAME and the option that says the same; left out, it is the selected one."""
    name = click.argument("name", required=False, callback=_one_name, shell_complete=_names)
    return name(profile_option(command))


def _written_name(ctx: click.Context, _param: click.Parameter, name: str | None) -> str:
    by_option: str | None = ctx.obj.named
    if by_option is None:
        if name is None:
            raise click.UsageError(
                "NAME is missing: what is stored or deleted is never that of a default", ctx
            )
        return name
    if name is not None and not any(each.name == "field" for each in ctx.command.params):
        raise click.UsageError("NAME and --profile say the same: give one of them", ctx)
    ctx.meta[_FIELD] = name
    return by_option


def written_name(command: Command) -> Command:
    """Add NAME where it must be written, because something is deleted or stored for it."""
    name = click.argument("name", required=False, callback=_written_name, shell_complete=_names)
    return name(profile_option(command))


def field_after_name(ctx: click.Context, _param: click.Parameter, field: str) -> str:
    """Return FIELD, which is the first argument where ``-p`` names the profile; a callback."""
    shifted: str | None = ctx.meta.get(_FIELD)
    if shifted is None:
        return field
    if ctx.get_parameter_source("field") is ParameterSource.COMMANDLINE:
        raise click.UsageError(ONE_WORD_TOO_MANY, ctx)  # it may be the secret: not repeated
    return shifted


all_option = click.option(
    "--all", "everything", is_flag=True, is_eager=True, help="All profiles, instead of one."
)


def names_of(layers: "Layers", name: str | None, *, everything: bool) -> tuple[str, ...]:
    """Return the profiles that a command is about: all, or the one that is named or selected."""
    from gatepass._config.selection import select_name

    return layers.all_names if everything else (select_name(layers, name),)


config_file_option = click.option(
    "--config-file",
    "config_files",
    multiple=True,
    metavar="PATH",
    expose_value=False,
    callback=_into_context,
    type=click.Path(),
    help="Read this file instead of searching; repeat it for several, the last one wins.",
)


def _store_nothing(ctx: click.Context, _param: click.Parameter, asked: bool) -> None:
    ctx.obj = replace(ctx.obj, keeps_logins=not asked)


store_option = click.option(
    "--no-store",
    is_flag=True,
    expose_value=False,
    callback=_store_nothing,
    help="Do not store a login that you make for this.",
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
