"""The command ``gatepass``: a shell around the library.

One file per group of verbs, one short function per verb, loaded when it is asked for. A verb
returns its exit code, or None for 0; :func:`main` is the only exit.

Exit codes: 0 ok · 1 failed check · 2 usage or invalid profile · 3 secret or login missing ·
4 refused by server · 5 unreachable · 70 our bug · 130 Ctrl-C.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final, NoReturn

import click

from gatepass._system import log
from gatepass._version import __version__
from gatepass.cli import _output
from gatepass.cli._context import Context
from gatepass.cli._options import CONTEXT, example
from gatepass.errors import GatepassError

_BUG: Final = 70  # EX_SOFTWARE of sysexits.h
_INTERRUPTED: Final = 130  # 128 + SIGINT
_COMPLETE: Final = "_GATEPASS_COMPLETE"

# Verb → its file, in the order of the help page; where they are not the same, below.
_VERBS: Final = {
    word: word
    for word in (
        "init login check request token run show profiles validate status logout secret trust "
        "doctor sandbox demo schema completion"
    ).split()
} | {"run": "run_program", "show": "profiles", "logout": "login"}


class _Lazy(click.Group):
    """A group whose commands are imported when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the verbs in the order of the help page."""
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a verb; None when there is none of that name."""
        module = _VERBS.get(cmd_name)
        if module is None:
            return None
        command: click.Command = getattr(import_module(f"gatepass.cli.{module}"), cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb that the arguments begin with, or guess which one was meant."""
        word = args[0]
        if word not in _VERBS and not word.startswith("-") and not ctx.resilient_parsing:
            from difflib import get_close_matches

            near = get_close_matches(word, _VERBS, n=1)
            guess = f"; did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"there is no command {word!r}{guess}", ctx)
        return super().resolve_command(ctx, args)


def _print_version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    _output.data(f"gatepass {__version__}")
    ctx.exit()


def _show_log(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        log.show_on_stderr("debug")
        ctx.call_on_close(log.hide)


@click.command(
    cls=_Lazy,
    context_settings=CONTEXT,
    epilog=example("gatepass init", "gatepass check prod"),
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version and exit.",
)
@click.option(
    "-v",
    "--verbose",
    is_flag=True,
    expose_value=False,
    callback=_show_log,
    help="Show on stderr what is done, step by step; so does GATEPASS_LOG=debug.",
)
def _gatepass() -> None:
    """A profile name in, an authenticated session out."""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run a command line and exit with its code.

    Args:
        argv: the arguments; those of this process when not given.
    """
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def run(argv: Sequence[str], context: Context | None = None) -> int:
    """Run a command line and return its exit code: the one boundary where errors end.

    Args:
        argv: the arguments, without the program's name.
        context: the surroundings; this process's when not given.
    """
    _output.prepare()
    try:
        with _output.shown_warnings():
            code = _outcome(argv, context or Context.of_this_process())
        _output.finish()
    except BrokenPipeError:
        return _output.abandon()
    except _output.CannotPrint as error:
        return _output.give_up(error)
    return code


def _outcome(argv: Sequence[str], context: Context) -> int:
    try:
        return _invoke(list(argv), context)
    except GatepassError as error:
        _output.error(error)
        return error.exit_code
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        _usage(error)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        _output.say("\nstopped")
        return _INTERRUPTED
    except (BrokenPipeError, _output.CannotPrint):
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, its text may hold a secret
        _output.bug(error)
        return _BUG


def _invoke(argv: list[str], context: Context) -> int:
    instruction = context.environ.get(_COMPLETE)
    if instruction:
        from click.shell_completion import shell_complete

        return shell_complete(_gatepass, {"obj": context}, "gatepass", _COMPLETE, instruction)
    with _gatepass.make_context("gatepass", argv, obj=context) as ctx:
        code: Any = _gatepass.invoke(ctx)
    return code or 0


def _usage(error: click.ClickException) -> None:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        _output.say(error.format_message())
        return
    _output.tell(f"error: {error.format_message()}")
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    if ctx is not None:
        _output.say(f"{ctx.get_usage()}\nmore about it: {ctx.command_path} --help")
