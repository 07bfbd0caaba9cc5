"""The pytest plug-in: a server, an identity provider, and profiles that lead to them.

pytest loads it in each of its runs, by the entry point ``gatepass``. So it imports nothing that
pytest has not imported itself; the fixtures import what they need when they are used.
"""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from gatepass.sandbox import IdentityProvider, Server
    from gatepass.testing._profiles import Profiles

USERS: Final = {"alice": "sesame"}


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marks, for ``--strict-markers``."""
    config.addinivalue_line(
        "markers",
        "gatepass_server(**arguments): how the fixture gatepass_server is made; arguments of "
        "gatepass.sandbox.Server",
    )
    config.addinivalue_line(
        "markers",
        "gatepass_idp(**arguments): how the fixture gatepass_idp is made; arguments of "
        "gatepass.sandbox.IdentityProvider",
    )


@pytest.fixture
def gatepass_server(request: pytest.FixtureRequest) -> "Iterator[Server]":
    """A server on this machine that stands in for a Granta Service Layer, in standalone mode.

    It lets in alice with the password sesame. ``@pytest.mark.gatepass_server(mode="windows")``
    makes another one, and so does ``@pytest.mark.parametrize("gatepass_server", ["standalone",
    "mixed", "windows"], indirect=True)``; the arguments are those of
    :class:`gatepass.sandbox.Server`. A server of mode ``oidc`` takes the tokens of
    ``gatepass_idp``.
    """
    arguments = {"users": USERS, **_arguments(request)}
    if arguments.get("mode") == "oidc" and "provider" not in arguments:
        arguments["provider"] = request.getfixturevalue("gatepass_idp")
    from gatepass.sandbox import Server

    with Server(**arguments) as server:
        yield server


@pytest.fixture
def gatepass_idp(request: pytest.FixtureRequest) -> "Iterator[IdentityProvider]":
    """An OpenID provider on this machine, with the user alice.

    ``@pytest.mark.gatepass_idp(access_token_seconds=1)`` makes another one; the arguments are
    those of :class:`gatepass.sandbox.IdentityProvider`.
    """
    arguments = {"users": USERS, **_arguments(request)}
    from gatepass.sandbox import IdentityProvider

    with IdentityProvider(**arguments) as provider:
        yield provider


@pytest.fixture
def gatepass_profiles(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> "Iterator[Profiles]":
    """The profiles of this test, and nothing of the person who runs it.

    ``gatepass_profiles.replace("prod", gatepass_server)`` lets the name mean that server. A
    profile that was not replaced does not exist; own files, ``GATEPASS_*`` variables, the keyring,
    trusted files and stored logins are not seen, and nobody is asked. It all comes back at the end
    of the test.
    """
    from gatepass.testing._profiles import isolated

    with isolated(tmp_path_factory.mktemp("gatepass"), request.config.rootpath) as profiles:
        yield profiles


def _arguments(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What the test says about a fixture: by the mark of its name, or by a parameter."""
    mark = request.node.get_closest_marker(request.fixturename)
    given = getattr(request, "param", {})
    parameter = {"mode": given} if isinstance(given, str) else given
    return {**(mark.kwargs if mark else {}), **parameter}


def pytest_runtest_setup() -> None:
    """Let no test know which passwords a server has refused in another one."""
    context = sys.modules.get("gatepass._system.context")
    if context is not None:
        context.SHARED.clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Say which test uses a profile that it has not replaced."""
    try:
        return (yield)
    except Exception as error:
        if "gatepass_profiles" in getattr(item, "fixturenames", ()):
            _explain(item, error)
        raise


def _explain(item: pytest.Item, error: Exception) -> None:
    from gatepass.errors import ProfileNotFound

    if isinstance(error, ProfileNotFound):
        error.add_note(
            f"{item.nodeid} sees only the profiles that it has replaced; "
            "add   gatepass_profiles.replace(NAME, gatepass_server)   to it"
        )
