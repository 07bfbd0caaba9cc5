"""``gatepass validate``: all that is wrong with profiles, as their files say."""

from collections.abc import Iterable
from functools import partial

from gatepass.cli import _output
from gatepass.cli._context import Context
from gatepass.cli._options import (
    all_option,
    config_file_option,
    json_option,
    name_argument,
    verb,
)
from gatepass.cli._problems import Complaint, Found, all_complaints
from gatepass.errors import ProfileError


@verb("gatepass validate", "gatepass validate --all --json")
@name_argument
@all_option
@config_file_option
@json_option
def validate(context: Context, name: str | None, everything: bool, as_json: bool) -> int:
    """Check one profile, or all, and print every problem.

    With --all the files are checked as a whole too: packages in conflict, names that are one to
    variables, defaults that do not exist. Ends with 2 if there is a problem, also where no profile
    is found.
    """
    read = partial(context.layers, name, everything=everything)
    found = all_complaints(read, name, everything=everything)
    if as_json:
        _output.json([complaint.as_json() for complaint in found.complaints])
    else:
        _show_complaints(found.complaints)
        _output.sentence(_summary(found, everything=everything))
    return ProfileError.exit_code if found.complaints else 0


def _summary(found: Found, *, everything: bool) -> str:
    checked = _output.counted(len(found.checked), "profile") if everything else found.checked[:1]
    where = checked if isinstance(checked, str) else "".join(checked)
    others = f" ({found.others} not checked: --all)" if found.others else ""
    if not found.complaints:
        return f"ok: {where}{others}"
    problems = _output.counted(len(found.complaints), "problem")
    return (f"{problems} in {where}" if found.checked else problems) + others


def _show_complaints(complaints: Iterable[Complaint]) -> None:
    for complaint in complaints:
        _output.problem(complaint.problem)
