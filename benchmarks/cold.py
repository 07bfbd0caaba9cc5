"""What a script pays for its start, from nothing to a session that can be used.

Each system reads what it would read at home, from a home folder of its own. Nothing leaves this
computer; where a server is asked, it is the sandbox.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from benchmarks import homes
from benchmarks.environments import (
    BARE,
    BOTO3,
    DATABRICKS,
    GOOGLE,
    OAC,
    OPENSTACK,
    OURS,
    Environment,
)
from benchmarks.measure import Script, alternately, row, script, stamp
from benchmarks.oidc import Office, office, run
from gatepass.sandbox import Server

Environments = dict[str, Environment]

# The command as its entry point starts it.
_COMMAND: Final = "import sys; from gatepass.cli import main; sys.exit(main())"


@dataclass(frozen=True)
class World:
    """What the scripts need.

    Attributes:
        folder: for home folders.
        environments: by name; those of peers that are not installed are missing.
        url: a server that takes HTTP Basic.
        unknown: a server that answers 404 to all.
        office: a server and an identity provider.
    """

    folder: Path
    environments: Environments
    url: str
    unknown: str
    office: Office

    def script(
        self,
        name: str,
        environment: str,
        arguments: tuple[str, ...],
        furnish: Callable[[Path], dict[str, str] | None] = lambda _home: None,
        note: str = "",
    ) -> list[Script]:
        """Return a script in a home of its own; nothing when its system is not installed.

        Args:
            name: what the tables call it.
            environment: where its packages are.
            arguments: ``{home}`` stands for its home.
            furnish: writes what it reads there, and may return variables.
            note: what it does, in few words.
        """
        if environment not in self.environments:
            return []
        home = self.folder / name.replace(" ", "-").replace("/", "-")
        home.mkdir()
        environ = {**homes.CREDENTIALS, **(furnish(home) or {})}
        words = tuple(word.replace("{home}", str(home)) for word in arguments)
        return [Script(name, self.environments[environment], words, home, environ, note=note)]


def measured(environments: Environments, rounds: int) -> dict[str, Any]:
    """Return the rows of this part.

    Its groups are compared each on its own: starts, starts that make one request, the same with a
    stored login of OpenID Connect, and commands.
    """
    with world_of(environments) as world:
        groups = {
            "ready": [*floor(world), *ours(world), *_peers(world)],
            "request": _requests(world),
            "oidc": stored_logins(world),
            "command": _commands(world),
        }
        return {
            **stamp(environments, rounds),
            "rows": [
                {"group": group, **row(each, costs[each.name])}
                for group, scripts in groups.items()
                for costs in (alternately(scripts, rounds),)
                for each in scripts
            ],
        }


@contextmanager
def world_of(environments: Environments) -> Iterator[World]:
    """Start the servers, and make a folder for homes."""
    with ExitStack() as stack:
        enter = stack.enter_context
        folder = Path(enter(tempfile.TemporaryDirectory()))
        users = {"alice": homes.PASSWORD}
        url = enter(Server(mode="standalone", users=users)).url.rstrip("/")
        unknown = enter(Server(mode="open")).url.partition("/mi_servicelayer")[0]
        (folder / "oidc").mkdir()
        # ansys-openapi-common starts only once where the provider replaces its tokens: see wire.
        place = enter(office(folder / "oidc", rotation=False))
        yield World(folder, environments, url, unknown, place)


def floor(world: World) -> list[Script]:
    """Return what is compared with: Python alone, and what people write by hand."""

    def furnish(home: Path) -> None:
        homes.with_variables(home, world.url)

    file = "{home}/.config/gatepass/profiles.toml"
    return [
        *world.script("python -c pass", BARE, ("-c", "pass")),
        *world.script(
            "bare", BARE, script("bare_profile", file), furnish, "requests and tomllib, by hand"
        ),
        *world.script(
            "bare, keyring",
            BARE,
            script("bare_keyring", file),
            lambda home: _with_entry(world, BARE, home, world.url),
            "the same, the password from the package keyring",
        ),
    ]


def ours(world: World) -> list[Script]:
    """Return starts of gatepass by password, each in a home of its own."""

    def variables(home: Path) -> None:
        homes.with_variables(home, world.url)

    def keyring(home: Path) -> dict[str, str]:
        return _with_entry(world, OURS, home, "gatepass:" + world.url.rpartition("/")[0])

    start = script("gatepass_profile", "prod")
    return [
        *world.script("gatepass", OURS, start, variables, "user's file, password from a variable"),
        *_layers(world),
        *world.script("gatepass, keyring", OURS, start, keyring, "the password from the keyring"),
    ]


def _layers(world: World) -> list[Script]:
    """A project of two files, which must be trusted first."""
    start = script("gatepass_profile", "prod")
    found = world.script(
        "gatepass, two files", OURS, start, note="a project's file and a local one"
    )
    folder = homes.with_project(found[0].home, world.url)
    found = [replace(each, folder=folder) for each in found]
    for each in found:
        run(replace(each, arguments=("-c", _COMMAND, "trust", "--yes")))
    return found


def _with_entry(world: World, environment: str, home: Path, service: str) -> dict[str, str]:
    """Write a profile whose password is in the keyring, and the entry."""
    homes.with_variables(home, world.url, password="keyring:")  # noqa: S106 - a reference
    environ = homes.file_keyring(home)
    entry = {**environ, "SECRET": homes.PASSWORD}
    arguments = script("keyring_set", service, "alice")
    run(Script("keyring", world.environments[environment], arguments, home, entry))
    return environ


def _peers(world: World) -> list[Script]:
    def no_requests(home: Path) -> None:
        homes.with_databricks(home, world.unknown)

    return [
        *world.script(
            OAC, OAC, script("openapi_common_profile", world.url), note="asks the server twice"
        ),
        *world.script(BOTO3, BOTO3, script("boto3_profile"), homes.with_aws, "a named profile"),
        *world.script(
            GOOGLE,
            GOOGLE,
            script("google_profile"),
            homes.with_service_account,
            "a service account's file",
        ),
        *world.script(
            OPENSTACK, OPENSTACK, script("openstack_profile"), homes.with_clouds, "a named cloud"
        ),
        *world.script(
            DATABRICKS,
            DATABRICKS,
            script("databricks_profile"),
            no_requests,
            "a named profile; asks the server once",
        ),
    ]


def _requests(world: World) -> list[Script]:
    """Starts by password that make one request."""
    file = "{home}/.config/gatepass/profiles.toml"

    def furnish(scheme: str) -> Callable[[Path], None]:
        def write(home: Path) -> None:
            homes.with_variables(home, world.url, scheme=scheme)

        return write

    ours = script("gatepass_profile", "prod", homes.PATH)
    theirs = script("openapi_common_profile", world.url, homes.PATH)
    return [
        *world.script(
            "bare, one request",
            BARE,
            script("bare_profile", file, homes.PATH),
            furnish("basic"),
            "HTTP Basic, sent at once",
        ),
        *world.script(
            "gatepass basic, one request", OURS, ours, furnish("basic"), "HTTP Basic, sent at once"
        ),
        *world.script(
            "gatepass credentials, one request",
            OURS,
            ours,
            furnish("credentials"),
            "asks first what the server takes",
        ),
        *world.script(f"{OAC}, one request", OAC, theirs, note="asks first, and once more"),
    ]


def stored_logins(world: World) -> list[Script]:
    """Starts by OpenID Connect with a stored login that make one request."""
    place, environments = world.office, world.environments
    hand = world.script(
        "bare, a token", BARE, script("bare_bearer", place.url, homes.PATH), note="of a variable"
    )
    token = str(place.provider.issue()["access_token"])
    found = [replace(each, environ={"TOKEN": token}) for each in hand]
    for name, in_keyring in (("file", False), ("keyring", True)):
        client = place.ours(environments, in_keyring=in_keyring)
        place.store(client)
        note = f"stored login, the vault's key from a {name}"
        found.append(replace(client, name=f"gatepass oidc, key in a {name}", note=note))
    if OAC in environments:
        note = "stored login; asks the provider twice, the server twice"
        found.append(replace(place.theirs(environments, "stored"), name=f"{OAC} oidc", note=note))
    return found


def _commands(world: World) -> list[Script]:
    place, environments = world.office, world.environments
    client = place.ours(environments)
    place.store(client)

    def command(*words: str) -> Script:
        arguments = ("-c", _COMMAND, *words)
        return replace(client, name=" ".join(("gatepass", *words)), arguments=arguments)

    def plain(code: str) -> Script:
        return replace(client, name=f"python -c '{code}'", arguments=("-c", code))

    return [
        plain("pass"),
        plain("import click"),
        plain("import requests"),
        command("--version"),
        command("profiles"),
        command("show", "prod"),
        command("token", "prod"),
    ]
