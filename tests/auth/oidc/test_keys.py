"""Who gets a client's secret: the issuer that the profile names, and nobody that a server names."""

from collections.abc import Iterator
from typing import Any

import pytest

from gatepass._config.load import load_profile
from gatepass._config.locations import Locations
from gatepass._config.profile import Profile
from gatepass.errors import ProfileError
from gatepass.sandbox.provider import IdentityProvider
from tests.stories.test_named_by_servers import CLIENT, FLOWS, SECRET, person, talk
from tests.support.echo import Answer, Echo, echo, refused

pytestmark = pytest.mark.filterwarnings("ignore:the identity provider gave no refresh token")


@pytest.fixture
def providers() -> Iterator[tuple[IdentityProvider, IdentityProvider]]:
    """Two that know the client and its secret: ours, and the one that the server names."""
    keys: dict[str, Any] = {
        "users": {"alice": "pw"},
        "clients": {CLIENT: SECRET},
        "auto_login": "alice",
        "device_interval": 0.0,
    }
    with IdentityProvider(**keys) as ours, IdentityProvider(**keys) as theirs:
        yield ours, theirs


@pytest.fixture
def api(providers: tuple[IdentityProvider, IdentityProvider]) -> Iterator[Echo]:
    """A server that names the second provider to whoever brings no token."""
    challenge = (
        f'Bearer authority="{providers[1].issuer}", clientid="{CLIENT}", '
        'redirecturi="http://127.0.0.1/callback", scope="openid"'
    )
    with echo(lambda seen: Answer() if seen.authorization else refused(challenge)) as running:
        yield running


def written(
    locations: Locations,
    url: str,
    flow: str,
    more: str = "",
    *,
    secret: str = 'client_secret = "env:SECRET"\n',
    overrides: dict[str, Any] | None = None,
) -> Profile:
    """Load a profile with the client's secret from the user's file."""
    locations.user.parent.mkdir(parents=True, exist_ok=True)
    locations.user.write_text(
        f'[profiles.p]\nurl = "{url}"\n[profiles.p.auth]\nscheme = "oidc"\nflow = "{flow}"\n'
        f'{secret}client_id = "{CLIENT}"\n{more}'
    )
    return load_profile("p", locations=locations, environ={}, overrides=overrides)


@pytest.mark.parametrize("flow", FLOWS)
def test_a_clients_secret_goes_to_no_provider_that_only_the_server_names(
    flow: str,
    locations: Locations,
    api: Echo,
    providers: tuple[IdentityProvider, IdentityProvider],
) -> None:
    with pytest.raises(ProfileError, match="client_secret: needs issuer") as caught:
        talk(written(locations, api.url, flow), person(providers[1]), {"SECRET": SECRET})

    (problem,) = caught.value.problems
    assert problem.place == f"{locations.user}:6:1"
    assert "issuer = " in problem.hint
    assert providers[1].requests == ()
    assert api.seen == []


@pytest.mark.parametrize("auth", [{}, {"issuer": ""}, {"issuer": None}])
def test_nor_does_one_that_is_given_in_python(
    auth: dict[str, Any],
    locations: Locations,
    api: Echo,
    providers: tuple[IdentityProvider, IdentityProvider],
) -> None:
    """Not without an issuer, and not where Python clears the written one."""
    issuer = f'issuer = "{providers[0].issuer}"' if auth else ""
    overrides = {"auth": {"client_secret": SECRET, **auth}}

    with pytest.raises(ProfileError, match=r"overrides: auth\.client_secret: needs") as caught:
        written(locations, api.url, "browser", issuer, secret="", overrides=overrides)

    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("flow", FLOWS)
def test_a_clients_secret_goes_to_the_written_issuer_whatever_the_server_names(
    flow: str,
    locations: Locations,
    api: Echo,
    providers: tuple[IdentityProvider, IdentityProvider],
) -> None:
    ours, theirs = providers
    profile = written(locations, api.url, flow, f'issuer = "{ours.issuer}"')

    assert talk(profile, person(ours), {"SECRET": SECRET}).ok

    assert "basic" in [request.client_secret_by for request in ours.requests]
    assert theirs.requests == ()
