"""What the verbs about logins share: the profile, its vault and a session that may log in."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from gatepass import _profiles, _settings
from gatepass._profiles import Profile
from gatepass._terminal import Terminal
from gatepass._unlocked import vault_place
from gatepass.auth import VaultPlace
from gatepass.cli._world import World
from gatepass.errors import GatepassError

if TYPE_CHECKING:
    from gatepass._session import Session

OIDC: Final = "oidc"


def profile_of(world: World, name: str, config_files: tuple[str, ...]) -> Profile:
    """Return a profile, checked. Reads no secret.

    Raises:
        ProfileError: there is none of that name, or it is not usable.
    """
    layers = world.layers(config_files)
    taken = _settings.take(layers, _settings.select(layers, name))
    return _profiles.check(taken, _profiles.machine(layers))


def place_of(profile: Profile, world: World, terminal: Terminal) -> VaultPlace:
    """Return where the tokens of a profile are kept. Touches nothing."""
    return vault_place(profile, world.environ, terminal, time.time)


@contextmanager
def session_of(world: World, profile: Profile, **auth: Any) -> "Iterator[Session]":
    """Build a session, and explain what goes wrong with its requests.

    Args:
        world: the surroundings.
        profile: what it is built from.
        auth: keys of the scheme that differ from the profile's.

    Raises:
        SecretUnavailable: a reference did not answer.
        Unreachable: and its kinds; no answer came.
    """
    from requests import RequestException

    from gatepass._session import Session

    scheme: Any = profile.auth
    profile = replace(profile, auth=replace(scheme, **auth))
    try:
        with Session._from_checked(  # noqa: SLF001 - the profile is read and checked already
            profile, environ=world.environ, terminal=world.terminal
        ) as session:
            yield session
    except GatepassError:
        raise
    except RequestException as error:  # such as a damaged answer; its text may be anything
        raise GatepassError(f"the request failed with {type(error).__name__}") from None


def of_the_login(session: "Session", name: str) -> Any:
    """Return what the login of a session offers beside what scripts need."""
    return session._ability(name)  # noqa: SLF001 - a script has no use for these


def moment(seconds: float) -> str:
    """Return a point in time, in seconds since 1970, as the clock on the wall shows it."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
