"""``gatepass check``: one request and what came of it."""

import time
from typing import TYPE_CHECKING, Any

import click

from gatepass._config import merge, selection, validate
from gatepass._config.profile import Profile
from gatepass._net.clock import TOLERATED, skew
from gatepass._session.vault_config import vault_of
from gatepass._system.findings import Finding
from gatepass._system.text import time_span
from gatepass._value import asdict, replace
from gatepass.cli import _output
from gatepass.cli._context import Context
from gatepass.cli._oidc_session import awaited, keeps_tokens
from gatepass.cli._options import (
    config_file_option,
    duration,
    json_option,
    name_argument,
    store_option,
    verb,
)

if TYPE_CHECKING:
    from gatepass._session.check import CheckResult


@verb(
    "gatepass check prod",
    "gatepass check nightly --unattended --for 8h",
    short_help="Log on, make one request, and explain the answer.",
)
@name_argument
@click.option(
    "--unattended",
    is_flag=True,
    help="Do what a run without a person does, such as a scheduled job: in a process without "
    "terminal and desktop.",
)
@click.option(
    "--for",
    "seconds",
    callback=duration,
    metavar="TIME",
    help="With --unattended: tickets and tokens must last that long, or be renewed; such as 8h, "
    "30m or 3600 (seconds).",
)
@click.option("--offline", is_flag=True, help="With --unattended: stop before the network.")
@click.option(
    "--allow-unproven",
    is_flag=True,
    help="Be content with a page that answers without asking for the login.",
)
@store_option
@config_file_option
@json_option
def check(
    context: Context, /, *, name: str | None, unattended: bool, as_json: bool, **how: Any
) -> int:
    """Log on, make one request, and explain the answer.

    Says "ok" only where the server asked for the login and took it. Where the login goes out
    unasked, as with basic, the page is asked once more without it. One that asks nobody proves
    nothing: name another in check_path, or give --allow-unproven.

    Where the scheme keeps tokens, the vault is checked too: whether its locks hold, and, of a
    redis, whether it keeps each write. The server's clock is compared with this computer's.

    Exit codes: 0 the server let you in, 1 it answered something else or nothing was proven, 2 the
    profile is not valid, 3 a secret is missing, 4 the login was refused, 5 no answer came.

    With --unattended it makes one run with nobody there and without a keyring of a desktop, and
    tells what of this shell a job must have too. It asks the server and the identity provider,
    spends one attempt to log on, runs the commands that references name, and may renew a stored
    login. It ends as the run ends; with 3 where the login does not last as long as --for asks.
    """
    if unattended:
        return _check_unattended(context, name, as_json=as_json, **how)
    if how["offline"] or how["seconds"] is not None:
        raise click.UsageError("--for and --offline belong to --unattended")
    return log_on(context, name, allow_unproven=how["allow_unproven"], as_json=as_json)


def log_on(
    context: Context, name: str | None, *, allow_unproven: bool, as_json: bool = False
) -> int:
    """Log on with a profile, make one request, print what came of it, and return the exit code."""
    result, findings = _asked(context, name)
    allowed = allow_unproven and result.is_unproven
    code = 0 if allowed else result.exit_code
    if as_json:
        _output.json(_as_json(result, code, findings))
    if result.error is not None:
        raise result.error
    if not as_json:
        word = "ok" if result.ok else "unproven" if result.is_unproven else "failed"
        _output.sentence(f"{word}: {result.sentence}")
        _output.finish()  # what else is said comes after it, also in a log
        if result.hint and not allowed:
            _output.tell(result.hint)
        for finding in findings:
            _say(finding)
    return code


def _as_json(result: "CheckResult", code: int, findings: list[Finding]) -> dict[str, object]:
    told = asdict(replace(result, ok=code == 0, exit_code=code, error=None))
    del told["error"]
    return {**told, "findings": [asdict(each) for each in findings]}


def _asked(context: Context, name: str | None) -> "tuple[CheckResult, list[Finding]]":
    from gatepass._session.network import warn_if_unverified
    from gatepass._session.session import Session

    profile = context.profile(name)
    warn_if_unverified(profile)
    with Session._from_checked(profile, context) as session:  # noqa: SLF001 - it is checked
        sent = time.time()
        with _output.waiting_for(awaited(profile)):
            result = session.check()
        answer = getattr(result.error, "response", None)  # where the login is refused
        if answer is not None:
            for finding in _clock_findings(skew(answer.headers, sent, time.time())):
                _say(finding)
        vault = _vault_findings(session.profile, context) if result.error is None else []
    return result, [*_clock_findings(result.clock_skew), *vault]


def _clock_findings(ahead: float | None) -> list[Finding]:
    """Say what a difference of the clocks does; nothing where it hurts nobody."""
    if ahead is None or abs(ahead) <= TOLERATED:
        return []
    way = "ahead of" if ahead > 0 else "behind"
    message = (
        f"this computer's clock is {time_span(abs(ahead))} {way} the server's: tokens seem to have "
        "ended or not to have begun, and Kerberos refuses to log on"
    )
    hint = (
        "let the system set it:\n    timedatectl set-ntp true      (Linux)\n"
        "    w32tm /resync                 (Windows)\n"
        "where this clock is right, tell the server's administrator"
    )
    return [Finding("warning", "clock", message, hint)]


def _vault_findings(profile: Profile, context: Context) -> list[Finding]:
    """Check the vault of a profile whose login is kept there."""
    if not keeps_tokens(profile):
        return []
    from gatepass.auth._oidc import status

    return status.diagnose_vault(vault_of(profile.machine, context))


def _say(finding: Finding) -> None:
    """Print a finding and the next step, beside the data."""
    _output.tell(f"{finding.verdict}: {finding.subject}: {finding.message}")
    if finding.hint:
        _output.tell(finding.hint)


# ---------------------------------------------------------------- without a person


def _check_unattended(context: Context, name: str | None, *, as_json: bool, **how: Any) -> int:
    from gatepass.cli._unattended import notes, run_apart

    layers = context.layers(name, everything=False)
    selected = selection.select_name(layers, name)
    profile = validate.validate_profile(
        merge.merge_profile(layers, selected), validate.validate_machine_settings(layers)
    )
    if not how["offline"]:
        _output.tell(
            f"asking {profile.origin} as a run without a person: one attempt to log on; a stored "
            "login may be renewed"
        )
    how["seconds"] = how["seconds"] or 0
    code, found = run_apart(context, selected, **how)
    found += notes(context.environ, layers, profile)
    if as_json:
        _output.json(
            {
                "profile": selected,
                "ok": code == 0,
                "exit_code": code,
                "findings": [asdict(each) for each in found],
            }
        )
        return code
    for finding in found:
        _output.finding(finding)
    problems = sum(each.verdict == "problem" for each in found)
    unsure = sum(each.verdict == "warning" for each in found)
    counts = [
        _output.counted(number, what)
        for number, what in ((problems, "problem"), (unsure, "warning"))
        if number
    ]
    _output.data(", ".join(counts) or f"ok: {selected} runs without a person")
    return code
