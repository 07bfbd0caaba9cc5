"""``gatepass demo``: the whole way for each secret source, against a server on this computer."""

import click

from gatepass.cli import _output
from gatepass.cli._options import CONTEXT, example
from gatepass.cli._world import World

_FAILED = 1


@click.command(context_settings=CONTEXT, epilog=example("gatepass demo"))
@click.option("--ask", is_flag=True, help="Also try the source that asks a person.")
@click.pass_obj
def demo(world: World, ask: bool) -> int:
    """Log on to a practice server, with each secret source.

    Everything happens on this computer, in a temporary folder; nothing is left behind.
    """
    from gatepass.sandbox.practice import Introduction, Trial, practice

    trials: list[Trial] = []
    with practice(environ=world.environ, terminal=world.terminal, ask=ask) as steps:
        for step in steps:
            if isinstance(step, Introduction):
                _introduce(step.url, step.toml, step.python)
            else:
                trials.append(step)
    header = ("SOURCE", "STATUS", "USER", "REQUESTS", "REFERENCE")
    rows = [
        (
            trial.source,
            "skipped" if trial.skipped else str(trial.status or "-"),
            trial.user or "-",
            str(trial.requests),
            trial.reference,
        )
        for trial in trials
    ]
    _output.table(header, rows)
    _output.data()
    for trial in trials:
        for text in (trial.skipped, trial.problem, trial.hint, trial.note):
            if text:
                _output.data(f"{trial.source}: {text}")
    return 0 if all(trial.ok or trial.skipped for trial in trials) else _FAILED


def _introduce(url: str, toml: str, python: str) -> None:
    _output.data(
        f"A server of this exercise listens at {url}\n\nThe profiles, as in profiles.toml:\n"
    )
    _output.data(_indented(toml))
    _output.data("The script:\n")
    _output.data(_indented(python))
    _output.data("What came of it:\n")


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" if line else "\n" for line in text.splitlines())
