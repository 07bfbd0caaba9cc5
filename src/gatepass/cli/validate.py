"""``gatepass validate``: all that is wrong with profiles, or would be in a run without a person."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Final

import click

from gatepass._config import selection
from gatepass._config.validate import validate_machine_settings
from gatepass._system.findings import Finding
from gatepass.cli import _output
from gatepass.cli._context import Context
from gatepass.cli._options import (
    CONTEXT,
    config_file_option,
    duration,
    example,
    json_option,
    name_argument,
)
from gatepass.cli._problems import Complaint, all_complaints, complaints_of
from gatepass.errors import ProfileError, SecretUnavailable

_PREDICTED: Final = SecretUnavailable.exit_code


@dataclass(frozen=True, slots=True)
class _Told:
    """A finding and whose it is.

    Attributes:
        profile: the profile's name; empty for what belongs to none.
        finding: the finding.
    """

    profile: str
    finding: Finding

    def as_json(self) -> dict[str, str]:
        """Return the form that ``--unattended --json`` prints."""
        return {"profile": self.profile, **asdict(self.finding)}

    def show(self) -> None:
        """Print it for a person, in the order of an error: place, key, message, hint."""
        found = self.finding
        parts = (found.verdict, found.place, self.profile, found.subject, found.message)
        head, *rest = ": ".join(filter(None, parts)).split("\n")
        _output.sentence(head)
        for line in (*rest, *_lines(found.hint)):
            _output.below(line)


def _lines(text: str) -> list[str]:
    return text.split("\n") if text else []


@click.command(
    context_settings=CONTEXT,
    epilog=example(
        "gatepass validate",
        "gatepass validate prod --json",
        "gatepass validate nightly --unattended --for 8h",
    ),
)
@name_argument(required=False)
@click.option(
    "--unattended",
    is_flag=True,
    help="Also predict what would fail in a run without a person, such as a scheduled job; end "
    "with 3 if anything would.",
)
@click.option(
    "--for",
    "seconds",
    callback=duration,
    metavar="TIME",
    help="With --unattended: what is there now must last that long; such as 8h, 30m or 3600 "
    "(seconds).",
)
@config_file_option
@json_option
@click.pass_obj
def validate(
    context: Context,
    name: str | None,
    unattended: bool,
    seconds: float | None,
    config_files: tuple[str, ...],
    as_json: bool,
) -> int:
    """Check all profiles, or one, and print every problem.

    Ends with 2 if there is one, also where no profile is found.

    With --unattended it looks at variables, files, tickets and stored logins too. It asks no
    person and no server of a profile, runs no program, and changes nothing.
    """
    if seconds is not None and not unattended:
        raise click.UsageError("--for belongs to --unattended")
    count, complaints = all_complaints(lambda: context.layers(config_files), name)
    if unattended:
        with _output.waiting_for("looking at what is there (a keyring for at most 5 s) ..."):
            told = _predicted(context, name, config_files, seconds or 0) if count else []
        return _show_findings(count, complaints, told, as_json=as_json)
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


# ---------------------------------------------------------------- without a person


def _predicted(
    context: Context, name: str | None, config_files: tuple[str, ...], seconds: float
) -> list[_Told]:
    """Predict each profile that is valid; the others have their complaints."""
    from gatepass.cli._unattended import findings

    layers = context.read(config_files)
    try:
        machine = validate_machine_settings(layers)
    except ProfileError:
        return []
    told = []
    for each in layers.names if name is None else (selection.select_name(layers, name),):
        profile, _ = complaints_of(layers, each, machine)
        if profile is not None:
            found = findings(context, layers, profile, seconds)
            told += [_Told(each, finding) for finding in found]
    return told


def _show_findings(
    count: int, complaints: list[Complaint], told: list[_Told], *, as_json: bool
) -> int:
    """Print complaints and findings, and return the exit code: complaints weigh more."""
    verdicts = Counter(each.finding.verdict for each in told)
    if as_json:
        _output.json([each.as_json() for each in [*map(_as_problem, complaints), *told]])
    else:
        _show_complaints(complaints)
        for each in told:
            if each.finding.verdict != "ok":
                each.show()
        warnings = verdicts["warning"]
        tail = f", {_output.counted(warnings, 'warning')}" if warnings else ""
        _output.data(_summary(len(complaints) + verdicts["problem"], count) + tail)
    if complaints:
        return ProfileError.exit_code
    return _PREDICTED if verdicts["problem"] else 0


def _as_problem(complaint: Complaint) -> _Told:
    problem = complaint.problem
    finding = Finding("problem", problem.key, problem.message, problem.hint, problem.place)
    return _Told(complaint.profile, finding)
