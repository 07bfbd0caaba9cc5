"""``gatepass check``: one request, and what came of it."""

import dataclasses

import click

from gatepass.cli import _output
from gatepass.cli._options import (
    CONTEXT,
    config_file_option,
    example,
    json_option,
    name_argument,
)
from gatepass.cli._world import World
from gatepass.errors import GatepassError

_FAILED = 1


@click.command(context_settings=CONTEXT, epilog=example("gatepass check prod"))
@name_argument(required=True)
@config_file_option
@json_option
@click.pass_obj
def check(world: World, name: str, config_files: tuple[str, ...], as_json: bool) -> int:
    """Log on, make one request, and explain the answer.

    Exit codes: 0 the server let you in, 1 it answered something else, 2 the profile is not
    valid, 3 a secret is missing, 4 the login was refused, 5 no answer came.
    """
    from requests import RequestException

    from gatepass._session import Session

    session = Session.from_profile(
        name,
        config_file=list(config_files) or None,
        environ=world.environ,
        terminal=world.terminal,
    )
    with session:
        longest = sum(session.profile.timeout) * (1 + session.profile.retries)
        _output.waiting(f"asking {session.profile.origin} (for at most {longest:g} s) ...")
        try:
            result = session.check()
        except GatepassError:
            raise
        except RequestException as error:  # such as too many redirects; its text may be anything
            raise GatepassError(f"the request failed with {type(error).__name__}") from None
    if as_json:
        _output.json(dataclasses.asdict(result))
    else:
        _output.data(f"{'ok' if result.ok else 'failed'}: {result.sentence}")
    return 0 if result.ok else _FAILED
