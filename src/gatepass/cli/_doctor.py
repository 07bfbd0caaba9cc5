"""The check of a machine: what would fail here, and what to do about it.

It changes nothing, asks no person, opens no connection to a server of a profile and runs no program
of a profile. A vault in a redis is asked. Each part looks at one thing, in a thread of its own with
a deadline: a keyring, a ticket cache or a folder on the network may hang for ever, and the other
findings must be shown all the same.

What is a problem depends on the profiles: a missing keyring is none where no profile asks for one.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

from gatepass._system.deadline import DeadlineExceeded, run_with_deadline
from gatepass._system.findings import Finding
from gatepass.cli import _doctor_files, _doctor_machine
from gatepass.cli._context import Context
from gatepass.cli._doctor_context import DoctorContext
from gatepass.cli._redaction import Redactor

T = TypeVar("T")

Look = Callable[[DoctorContext], Iterable[Finding]]

_SECONDS: Final = 20.0  # for a folder on the network
_SECONDS_FOR_LOCKS: Final = 60.0  # it starts a process, and has deadlines of its own

# What is looked at, and the seconds that it has. The keyring's own deadline of 5 s comes first.
PARTS: Final[tuple[tuple[str, float, Look], ...]] = (
    ("versions", _SECONDS, _doctor_machine.versions),
    ("extras", _SECONDS, _doctor_machine.extras),
    ("plug-ins", _SECONDS, _doctor_machine.plug_ins),
    ("person", _SECONDS, _doctor_machine.person),
    ("keyring", _SECONDS, _doctor_machine.keyring),
    ("kerberos", _SECONDS, _doctor_machine.kerberos),
    ("certificates", _SECONDS, _doctor_machine.certificates),
    ("proxy", _SECONDS, _doctor_machine.proxies),
    ("files", _SECONDS, _doctor_files.files),
    ("profiles", _SECONDS, _doctor_files.profiles),
    ("permissions", _SECONDS, _doctor_files.permissions),
    ("trust", _SECONDS, _doctor_files.trust),
    ("vault", _SECONDS_FOR_LOCKS, _doctor_files.vault),
)


def diagnose_machine(
    context: Context,
    config_files: tuple[str, ...],
    *,
    redacted: bool,
    parts: Iterable[tuple[str, float, Look]] = PARTS,
) -> Iterator[Finding]:
    """Check this machine, and yield each finding when its part is done.

    Args:
        context: the surroundings.
        config_files: the values of ``--config-file``.
        redacted: whether to leave out every name.
        parts: what to look at.
    """
    redactor = Redactor.of_this_machine(
        redacted=redacted, home=context.locations.home, environ=context.environ
    )
    doctors = _in_time(lambda: [DoctorContext.of(context, config_files, redactor)], _SECONDS)
    if isinstance(doctors, str):
        yield Finding("problem", "files", f"the files of profiles {doctors}", _HANGS)
        doctors = [DoctorContext(context, redactor)]
    for subject, seconds, look in parts:
        found = _in_time(lambda look=look: list(look(doctors[0])), seconds)  # type: ignore[misc]
        if isinstance(found, str):
            found = [Finding("problem", subject, f"this check {found}", _HANGS)]
        yield from map(redactor.redact, found)


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
