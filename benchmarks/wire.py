"""How often a script asks the server and the identity provider until its first useful answer."""

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import homes
from benchmarks.environments import BARE, OAC, OURS, Environment
from benchmarks.measure import Failed, Script, script, stamp
from benchmarks.oidc import HOUR, Office, browser, office, run
from gatepass.sandbox import Server

Environments = dict[str, Environment]


@dataclass(frozen=True)
class Case:
    """One start of a script with OpenID Connect.

    Attributes:
        state: what was there before.
        prepare: makes the home and returns the script.
        runs: how often it starts; the last start is counted.
        rotation: whether the provider replaces refresh tokens.
    """

    state: str
    prepare: Callable[[Office, Environments], Script]
    runs: int = 1
    rotation: bool = True


def _never(place: Office, environments: Environments) -> Script:
    client = place.ours(environments)
    return replace(client, environ={**client.environ, **browser()})


def _good(place: Office, environments: Environments) -> Script:
    client = place.ours(environments)
    place.store(client)
    return client


def _ended(place: Office, environments: Environments) -> Script:
    client = place.ours(environments)
    place.store(client, seconds_ago=HOUR)
    return client


def _their_login(place: Office, environments: Environments) -> Script:
    client = place.theirs(environments, "login")
    return replace(client, environ={**client.environ, **browser()})


def _their_token(place: Office, environments: Environments) -> Script:
    return place.theirs(environments, "stored")


_CASES = (
    Case("nobody has logged in; a browser is there", _never),
    Case("nobody has logged in; a browser is there", _their_login),
    Case("login stored, access token ended", _ended),
    Case("login stored, access token good", _good),
    Case("login stored, second start", _ended, runs=2),
    Case("login stored, first start", _their_token),
    Case(
        "login stored, second start; the provider keeps its tokens", _their_token, 2, rotation=False
    ),
    Case("login stored, second start; the provider replaces its tokens", _their_token, 2),
)


def measured(environments: Environments) -> dict[str, Any]:
    """Return the rows of this part. Counts need no rounds."""
    rows = [_by_password(environments, each) for each in (BARE, OURS, OAC) if each in environments]
    for case in _CASES:
        theirs = case.prepare in {_their_login, _their_token}
        if not theirs or OAC in environments:
            rows.append(_by_oidc(case, environments))
    return {**stamp(environments, 1), "rows": rows}


def _by_oidc(case: Case, environments: Environments) -> dict[str, Any]:
    with (
        tempfile.TemporaryDirectory() as folder,
        office(Path(folder), rotation=case.rotation) as place,
    ):
        client = case.prepare(place, environments)
        for _ in range(case.runs - 1):
            run(client)
        before = len(place.server.requests), len(place.provider.requests)
        outcome = _outcome(client)
        return {
            "name": client.name,
            "state": case.state,
            "server": [each.status for each in place.server.requests[before[0] :]],
            "provider": _counted([each.path for each in place.provider.requests[before[1] :]]),
            "outcome": outcome,
        }


def _by_password(environments: Environments, name: str) -> dict[str, Any]:
    """Count the requests of a login with a password, at a server that takes HTTP Basic."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Server(mode="standalone", users={"alice": homes.PASSWORD}) as server,
    ):
        url = server.url.rstrip("/")
        path = homes.with_variables(Path(folder), url)
        arguments = {
            BARE: script("bare_profile", str(path), homes.PATH),
            OURS: script("gatepass_profile", "prod", homes.PATH),
            OAC: script("openapi_common_profile", url, homes.PATH),
        }
        python = environments[name]
        client = Script(name, python, arguments[name], Path(folder), homes.CREDENTIALS)
        outcome = _outcome(client)
        return {
            "name": name,
            "state": "user name and password",
            "server": [each.status for each in server.requests],
            "provider": {},
            "outcome": outcome,
        }


def _outcome(client: Script) -> str:
    try:
        run(client)
    except Failed as error:
        return error.kind
    return "ok"


def _counted(paths: Sequence[str]) -> dict[str, int]:
    """Count the requests to the provider by the last part of their path."""
    return dict(Counter(path.rpartition("/")[2] for path in paths))
