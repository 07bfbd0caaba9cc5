"""``gatepass demo``: logs on to servers on this computer, in each way that there is."""

from collections.abc import Sequence
from textwrap import TextWrapper, shorten
from typing import TYPE_CHECKING

import click

from gatepass.cli import _output
from gatepass.cli._context import Context
from gatepass.cli._options import verb

if TYPE_CHECKING:
    from gatepass.sandbox.demo import Attempt

_FAILED = 1
_WIDTH = 80  # columns, also into a pipe
_LINE = 46  # columns that are left of these for the changed line


@verb("gatepass demo", short_help="Log on to a practice server, in each way that there is.")
@click.option("--ask", is_flag=True, help="Also try the source that asks a person.")
def demo(context: Context, ask: bool) -> int:
    """Log on to practice servers, with each secret source, and each server configuration.

    Then log in once with OpenID Connect, and show what later runs cost.

    Everything happens on this computer, in a temporary folder; nothing is left behind.
    """
    import tomli_w

    from gatepass.sandbox.demo import practice

    with practice(environ=context.environ, terminal=context.terminal, ask=ask) as run:
        _output.data("Logins at practice servers on this computer. Each changes one line of:\n")
        for line in tomli_w.dumps({"profiles": {"env": run.base_profile}}).splitlines():
            _output.data(f"    {line}" if line else "")
        _output.data()
        attempts = list(run.attempts())
        oidc = list(run.oidc_attempts())
    _show_attempts(attempts)
    _show_oidc(oidc)
    return _show_verdict([*attempts, *oidc])


def _show_attempts(attempts: "Sequence[Attempt]") -> None:
    rows = [
        (
            shorten(attempt.name, _LINE, placeholder=" ..."),
            attempt.mode,
            _result(attempt),
            str(attempt.requests),
        )
        for attempt in attempts
    ]
    _output.table(("CHANGED LINE", "SERVER", "RESULT", "REQUESTS"), rows)
    _show_reasons(attempts)


def _show_oidc(attempts: "Sequence[Attempt]") -> None:
    _output.data('scheme = "oidc": a login in a browser, then sessions without a person:\n')
    rows = [
        (each.name, _result(each), str(each.requests), str(each.provider_requests))
        for each in attempts
    ]
    _output.table(("SESSION", "RESULT", "TO THE SERVER", "TO THE PROVIDER"), rows)
    _show_reasons(attempts)


def _result(attempt: "Attempt") -> str:
    if attempt.skipped:
        return "skipped"
    if attempt.not_offered:
        return "not offered"
    if attempt.failed:
        return f"failed ({attempt.status or '-'})"
    return f"{attempt.status} {attempt.user}"


def _show_reasons(attempts: "Sequence[Attempt]") -> None:
    """Say why a login was skipped or failed, below the table; then an empty line."""
    # Commands and paths stay in one piece, so that they can be copied.
    wrapper = TextWrapper(
        _WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
    for attempt in attempts:
        if attempt.skipped or attempt.failed:
            name = shorten(attempt.name, _LINE, placeholder=" ...")
            why = f"{name}, {attempt.mode}: {attempt.skipped or attempt.problem}"
            _output.data(wrapper.fill(f"{why}; {attempt.hint}" if attempt.hint else why))
    _output.data()


def _show_verdict(attempts: "Sequence[Attempt]") -> int:
    """Count the logins, name the next step, and return the exit code."""
    failed = sum(attempt.failed for attempt in attempts)
    skipped = sum(bool(attempt.skipped) for attempt in attempts)
    not_offered = sum(bool(attempt.not_offered) for attempt in attempts)
    tried = len(attempts) - skipped - not_offered
    counts = f"{tried - failed} of {tried} logins succeeded"
    others = f"{skipped} skipped, {not_offered} not offered by that server"
    _output.data(f"{'problem' if failed else 'ok'}: {counts}; {others}")
    _output.data("next:\n    gatepass init NAME --url URL    # a profile for your own server")
    return _FAILED if failed else 0
