"""``gatepass validate``: all that is wrong with profiles, as their files say."""

from collections.abc import Iterable

import click

from gatepass._system.text import quoted
from gatepass.cli import _output
from gatepass.cli._context import Context
from gatepass.cli._options import (
    CONTEXT,
    config_file_option,
    example,
    json_option,
    name_argument,
)
from gatepass.cli._problems import Complaint, all_complaints
from gatepass.errors import ProfileError


@click.command(
    context_settings=CONTEXT,
    epilog=example("gatepass validate", "gatepass validate prod --json"),
)
@name_argument(required=False)
@click.option("--unattended", is_flag=True, hidden=True)
@click.option("--for", "seconds", hidden=True)
@config_file_option
@json_option
@click.pass_obj
def validate(
    context: Context,
    name: str | None,
    unattended: bool,
    seconds: str | None,
    config_files: tuple[str, ...],
    as_json: bool,
) -> int:
    """Check all profiles, or one, and print every problem.

    Ends with 2 if there is one, also where no profile is found.
    """
    if unattended or seconds is not None:
        wanted = quoted("gatepass", "check", *filter(None, [name]), "--unattended")
        raise click.UsageError(
            f"validate reads files only; what a run without a person does tells: {wanted}"
        )
    count, complaints = all_complaints(lambda: context.layers(config_files), name)
    if as_json:
        _output.json([complaint.as_json() for complaint in complaints])
    else:
        _show_complaints(complaints)
        _output.data(_summary(len(complaints), count))
    return ProfileError.exit_code if complaints else 0


def _summary(problems: int, profiles: int) -> str:
    where = _output.counted(profiles, "profile") if profiles else ""
    if not problems:
        return f"ok: {where}"
    return " in ".join(filter(None, (_output.counted(problems, "problem"), where)))


def _show_complaints(complaints: Iterable[Complaint]) -> None:
    for complaint in complaints:
        _output.problem(complaint.problem)
