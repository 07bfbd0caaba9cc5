"""``gatepass run``: start a program with variables that hold the profile's login."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import click
from click.shell_completion import CompletionItem

from gatepass._config.profile import Profile
from gatepass._config.run_variables import is_restricted
from gatepass._session.resolve import ResolvedSecrets, names_of
from gatepass._system import log
from gatepass._system.text import printable, quoted
from gatepass.auth import value_of
from gatepass.cli import _output
from gatepass.cli._context import Context
from gatepass.cli._oidc_session import ASKING, OIDC, login_of
from gatepass.cli._options import (
    CONTEXT,
    config_file_option,
    profile_option,
    store_option,
    verb,
)
from gatepass.errors import GatepassError, ProfileError
from gatepass.secrets import Secret
from gatepass.secrets.command import is_batch, is_program, on_path

_NOT_STARTED: Final = 126  # as shells say it
_NOT_FOUND: Final = 127


def _complete(_ctx: click.Context, _param: click.Parameter, word: str) -> list[CompletionItem]:
    return [CompletionItem(word, type="file")]


@verb(
    "gatepass run -- ./report.sh --month 11",
    "gatepass run -p prod -- python nightly.py",
    context_settings=CONTEXT | {"allow_interspersed_args": False},
    short_help="Start a program with the profile's login in its variables.",
)
@click.argument(
    "command",
    nargs=-1,
    required=True,
    type=click.UNPROCESSED,
    metavar="CMD [ARGS]...",
    shell_complete=_complete,
)
@profile_option
@store_option
@config_file_option
def run(context: Context, /, command: tuple[str, ...]) -> int:
    """Start CMD with the variables that the profile's table run names.

    Only the secrets that it names are looked up, and they stand in no argument. The program gets
    the terminal, the input and the signals; its exit code is that of this command.

    Exit codes: the program's; 127 it is not found, 126 it cannot be started.
    """
    profile = context.profile(context.named)
    _check_variables(profile, context.environ)
    program = _program(command[0], context.environ)
    if program is None:
        _output.error(_not_found(command[0]))
        return _NOT_FOUND
    values = _values(context, profile)
    log.info("profile %s: %s starts with %s", profile.name, program, ", ".join(values))
    _output.finish()
    try:
        return _start(program, command, {**context.environ, **values})
    except OSError as error:
        why = error.strerror or type(error).__name__
    except ValueError:  # its text holds the value
        why = "an argument or a variable holds what the system cannot pass on"
    _output.error(GatepassError(f"cannot start {printable(program)}: {why}"))
    return _NOT_STARTED


# ---------------------------------------------------------------- what it gets


def _check_variables(profile: Profile, environ: Mapping[str, str]) -> None:
    """Refuse what would give the program nothing, or replace a variable for somebody else.

    Raises:
        ProfileError: names the variable, or how to name one.
    """
    if not profile.run:
        raise ProfileError(
            f"profile {profile.name} names no variable for gatepass run",
            hint="name one, and a field:\n"
            f'    [profiles.{profile.name}.run]\n    MI_TOKEN = "token"',
        )
    for name in profile.run:
        layer = profile.key_locations["run", name].layer
        if is_restricted(layer) and environ.get(name):
            raise ProfileError(
                f"{profile.place_of('run', name)}: run.{name} is set already, and only your own "
                "file may replace it",
                hint=f"unset {name}, take another name, or write the profile into your own file",
            )


def _values(context: Context, profile: Profile) -> dict[str, str]:
    """Return the variables with their values. Looks up only the secrets that are named.

    Raises:
        SecretUnavailable: a reference did not answer.
        LoginRequired: a person must log in first.
    """
    wanted = set(profile.run.values())
    found = {"url": Secret(profile.url.rstrip("/"))}
    if "token" in wanted and profile.scheme == OIDC:
        wanted.remove("token")
        with login_of(context, profile) as login, _output.waiting_for(ASKING):
            found["token"] = login.access_token()
    # The keyring's entry of a password is found by the names.
    names = names_of(profile) if "password" in wanted else {}
    fields = {each: value_of(profile.auth, each) for each in wanted - {"url"}}
    secrets = ResolvedSecrets(profile, context)
    found |= secrets.collect("", names | fields)
    secrets.raise_missing()
    return {name: found[field].reveal() for name, field in profile.run.items()}


# ---------------------------------------------------------------- the program


def _program(name: str, environ: Mapping[str, str]) -> str | None:
    """Return the path of a program, found as a shell would; None where there is none."""
    candidates: Iterable[Path] = [Path(name)]
    if Path(name).name == name:
        candidates = on_path(name, environ)
    return next((str(each) for each in candidates if is_program(each)), None)


def _not_found(name: str) -> GatepassError:
    return GatepassError(
        f"{printable(name)}: there is no such program",
        hint="write a name that is on PATH, or the path of a file that may be executed; a shell's "
        f"own words need the shell:   gatepass run -- sh -c {quoted(name)}",
    )


def _start(program: str, argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Become the program; on Windows, where that is not possible, wait for its end."""
    if sys.platform != "win32":
        for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python, and after exec by the program
            signal.signal(ignored, signal.SIG_DFL)
        os.execve(program, list(argv), environ)  # noqa: S606 - no shell is wanted
    if is_batch(program):
        raise OSError(0, "it is a batch file, for which cmd.exe would read the arguments anew")
    return wait_for_end([program, *argv[1:]], environ)


def wait_for_end(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Start a program and return its exit code. Ctrl-C is the program's, which gets it too."""
    process = subprocess.Popen(argv, env=environ)  # noqa: S603 - the user's own command line
    while True:
        try:
            code = process.wait()
        except KeyboardInterrupt:
            continue
        return code - 2**32 if code >= 2**31 else code  # sys.exit takes a C int
