"""``gatepass check``: one request, and what came of it."""

import dataclasses
import textwrap
from typing import Final

import click

from gatepass._findings import Finding
from gatepass._profiles import Profile
from gatepass.cli import _output
from gatepass.cli._logins import OIDC, place_of
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

    Where the scheme keeps tokens, the vault is examined too: whether its locks hold, and, of a
    redis, whether it keeps each write.

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
        findings = _vault_findings(session.profile, world)
    if as_json:
        found = [dataclasses.asdict(finding) for finding in findings]
        _output.json({**dataclasses.asdict(result), "findings": found})
    else:
        _output.data(f"{'ok' if result.ok else 'failed'}: {result.sentence}")
        _output.finish()  # what is said about the vault comes after it, also in a log
        for finding in findings:
            _say(finding)
    return 0 if result.ok else _FAILED


def _vault_findings(profile: Profile, world: World) -> list[Finding]:
    """Examine the vault of a profile whose scheme keeps tokens."""
    if profile.scheme != OIDC:
        return []
    from gatepass.auth import oidc

    if getattr(profile.auth, "flow", "") == "client_credentials":
        return []
    return oidc.vault_findings(place_of(profile, world, world.terminal))


_WORDS: Final = {"ok": "ok", "note": "note", "unknown": "not known", "lack": "warning"}


def _say(finding: Finding) -> None:
    """Print a finding and the next step, no wider than a terminal usually is."""
    head = f"{_WORDS[finding.verdict]}: {finding.subject}: "
    for line in (head + finding.message, *finding.hint.splitlines()):
        indent = "    " if line.startswith("    ") else ""
        _output.say(textwrap.fill(line, 80, subsequent_indent=indent, break_long_words=False))
