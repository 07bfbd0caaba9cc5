"""``gatepass demo``: the whole way for each secret source, against servers on this computer."""

from collections.abc import Sequence
from textwrap import TextWrapper, shorten
from typing import TYPE_CHECKING

import click

from gatepass.cli import _output
from gatepass.cli._context import Context
from gatepass.cli._options import CONTEXT, example

if TYPE_CHECKING:
    from gatepass.sandbox.demo import Introduction, Pairing, Round, Trial

_FAILED = 1
_WIDTH = 80  # columns, also into a pipe
_REFERENCE = 44  # columns that are left of these for the reference


@click.command(
    context_settings=CONTEXT,
    short_help="Log on to a practice server, in each way that there is.",
    epilog=example("gatepass demo"),
)
@click.option("--ask", is_flag=True, help="Also try the source that asks a person.")
@click.pass_obj
def demo(context: Context, ask: bool) -> int:
    """Log on to a practice server, with each secret source, and each server configuration.

    Then log in once with OpenID Connect, and show what later runs cost.

    Everything happens on this computer, in a temporary folder; nothing is left behind.
    """
    from gatepass.sandbox.demo import Introduction, Pairing, Round, Trial, practice

    with practice(environ=context.environ, terminal=context.terminal, ask=ask) as steps:
        trials: list[Trial] = []
        pairings: list[Pairing] = []
        rounds: list[Round] = []
        for step in steps:
            match step:
                case Introduction():
                    _introduce(step)
                case Trial():
                    trials.append(step)
                case Pairing():
                    pairings.append(step)
                case Round():
                    rounds.append(step)
    _show_sources(trials)
    _show_schemes(pairings)
    _show_rounds(rounds)
    fine = all(trial.ok or trial.skipped for trial in trials)
    fitting = all(pairing.ok or pairing.not_offered for pairing in pairings)
    lasting = all(each.ok or each.skipped for each in rounds)
    return 0 if fine and fitting and lasting else _FAILED


def _introduce(introduction: "Introduction") -> None:
    _output.data(
        f"A server of this exercise listens at {introduction.url}\n\n"
        "The profiles, as in profiles.toml:\n"
    )
    _output.data(_indented(introduction.toml))
    _output.data("The script:\n")
    _output.data(_indented(introduction.python))
    _output.data("What came of it:\n")


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" if line else "\n" for line in text.splitlines())


def _show_sources(trials: "Sequence[Trial]") -> None:
    rows = [
        (
            trial.source,
            "skipped" if trial.skipped else str(trial.status or "-"),
            trial.user or "-",
            str(trial.requests),
            shorten(trial.reference, _REFERENCE, placeholder=" ..."),
        )
        for trial in trials
    ]
    _output.table(("SOURCE", "STATUS", "USER", "REQUESTS", "REFERENCE"), rows)
    _output.data()
    for trial in trials:
        for text in (trial.skipped, trial.problem, trial.hint, trial.note):
            _remark(trial.source, text)


def _show_schemes(pairings: "Sequence[Pairing]") -> None:
    """Draw a column for each configuration of a server."""
    _output.data(
        "\nThe same page with three schemes, at servers in three modes. What is more than\n"
        "one request is the login; the next page takes one again:\n"
    )
    cells = {(pairing.scheme, pairing.mode): _cell(pairing) for pairing in pairings}
    modes = dict.fromkeys(pairing.mode for pairing in pairings)
    schemes = dict.fromkeys(pairing.scheme for pairing in pairings)
    rows = [(scheme, *(cells[scheme, mode] for mode in modes)) for scheme in schemes]
    _output.table(("SCHEME", *(mode.upper() for mode in modes)), rows)
    _output.data()
    for pairing in pairings:
        for text in (pairing.not_offered, pairing.problem, pairing.hint):
            _remark(f"{pairing.scheme}, {pairing.mode}", text)


def _cell(pairing: "Pairing") -> str:
    if not pairing.ok:
        return "no" if pairing.not_offered else f"failed ({pairing.status or '-'})"
    plural = "" if pairing.requests == 1 else "s"
    return f"{pairing.status}, {pairing.requests} request{plural}"


def _show_rounds(rounds: "Sequence[Round]") -> None:
    """Draw a line for each session with OpenID Connect, below what a user writes for it."""
    _output.data(
        "\nOpenID Connect: a person logs in once, and later runs use what is stored. Before\n"
        "the last one the access token has ended:\n"
    )
    for text in dict.fromkeys(text for each in rounds for text in (each.toml, each.python)):
        if text:
            _output.data(_indented(text))
    rows = [
        (
            each.name,
            "skipped" if each.skipped else str(each.status or "-"),
            each.user or "-",
            str(each.requests),
            str(each.provider_requests),
        )
        for each in rounds
    ]
    _output.table(("SESSION", "STATUS", "USER", "TO THE SERVER", "TO THE PROVIDER"), rows)
    _output.data()
    for each in rounds:
        for text in (each.skipped, each.problem, each.hint):
            _remark(each.name, text)


def _remark(about: str, text: str) -> None:
    if text:
        # Commands and paths stay in one piece, so that they can be copied.
        whole = TextWrapper(
            _WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
        )
        _output.data(whole.fill(f"{about}: {text}"))
