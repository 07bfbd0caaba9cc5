"""``gatepass doctor``: what would fail on this machine, and what to do about it.

It changes nothing, asks no person, opens no connection to a server of a profile and runs no program
of a profile. A vault in a redis is asked. Each part looks at one thing, in a thread of its own with
a deadline: a keyring or a folder on the network may hang for ever, and the other findings must be
shown all the same.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

import click

from gatepass._system.deadline import DeadlineExceeded, run_with_deadline
from gatepass._system.findings import Finding
from gatepass._value import asdict
from gatepass.cli import _machine, _output
from gatepass.cli._context import Context
from gatepass.cli._machine import Machine, Seen
from gatepass.cli._options import config_file_option, json_option, verb

T = TypeVar("T")

_FAILED: Final = 1
_SECONDS: Final = 20.0  # for a folder on the network; the keyring's own 5 s come first
_SECONDS_FOR_LOCKS: Final = 60.0  # it starts a process, and has deadlines of its own

Look = Callable[[Machine], Iterable[Seen]]

PARTS: Final[tuple[tuple[str, float, Look], ...]] = (
    ("versions", _SECONDS, _machine.versions),
    ("extras", _SECONDS, _machine.extras),
    ("plug-ins", _SECONDS, _machine.plug_ins),
    ("person", _SECONDS, _machine.person),
    ("keyring", _SECONDS, _machine.keyring),
    ("certificates", _SECONDS, _machine.certificates),
    ("proxy", _SECONDS, _machine.proxies),
    ("files", _SECONDS, _machine.files),
    ("permissions", _SECONDS, _machine.folders),
    ("vault", _SECONDS_FOR_LOCKS, _machine.vault),
)


@verb(
    "gatepass doctor",
    "gatepass doctor --redacted",
    short_help="Look at this machine, and say what would fail.",
)
@click.option(
    "--redacted",
    is_flag=True,
    help="Leave out each name of a person, a computer, a server, a profile or a folder; for a bug "
    "report.",
)
@config_file_option
@json_option
def doctor(context: Context, *, redacted: bool, as_json: bool) -> int:
    """Look at this machine, and say what would fail here and what to do about it.

    It looks at versions, extras and plug-ins, the keyring, certificates, proxies, the files of
    profiles and who may write to them, and the vault. It changes nothing, asks no person and no
    server. Exit codes: 0 no problem was found, 1 one was.
    """
    _output.waiting(
        "looking at this machine (what does not answer is given up after 5 to 60 s) ..."
    )
    findings = []
    for finding in examine(Machine(context), redacted=redacted):
        findings.append(finding)
        if not as_json:
            _output.finding(finding)
    problems = sum(finding.verdict == "problem" for finding in findings)
    if as_json:
        _output.json({"ok": not problems, "findings": [asdict(finding) for finding in findings]})
    else:
        _output.data(_output.counted(problems, "problem") if problems else "ok: no problems")
    return _FAILED if problems else 0


def examine(
    machine: Machine, *, redacted: bool, parts: Iterable[tuple[str, float, Look]] = PARTS
) -> Iterator[Finding]:
    """Yield what is found of each part, when the part is done.

    Args:
        machine: the surroundings and the files.
        redacted: whether to leave out every name.
        parts: what to look at: subject, seconds and function.
    """
    for subject, seconds, look in parts:
        found = _in_time(lambda look=look: list(look(machine)), seconds)  # type: ignore[misc]
        if isinstance(found, str):
            found = [Seen("problem", subject, f"this check {found}", hint=_HANGS)]
        yield from (each.finding(redacted=redacted) for each in found)


_HANGS: Final = "look for a drive or a server of this name that does not answer"


def _in_time(work: Callable[[], list[T]], seconds: float) -> list[T] | str:
    """Do the work in a daemon thread; return what it returned, or what became of it.

    An error of one part must not hide the findings of the others. Only its kind is shown: its text
    may hold a secret.
    """
    try:
        return run_with_deadline(work, seconds, "gatepass-doctor")
    except DeadlineExceeded:
        return f"did not end within {seconds:g} s"
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - an extension in Rust panics with one
        return f"failed with {type(error).__name__}"
