"""The headers of a profile: those that stand in it, and those that are kept secret."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from gatepass.errors import GatepassError
from gatepass.secrets import Secret

if TYPE_CHECKING:
    from requests import PreparedRequest

    from gatepass._config.profile import Profile
    from gatepass._session.resolve import ResolvedSecrets


def plain_headers(profile: "Profile") -> dict[str, str]:
    """Return the headers whose values stand in the profile."""
    return {name: value for name, value in profile.headers.items() if isinstance(value, str)}


def secret_headers(profile: "Profile", secrets: "ResolvedSecrets") -> dict[str, Secret]:
    """Return the headers that came by reference; what is missing is told by ``secrets``.

    Raises:
        GatepassError: a value cannot be sent; does not repeat it.
    """
    given = {name: value for name, value in profile.headers.items() if not isinstance(value, str)}
    found = secrets.collect("headers.", given)
    for name, secret in found.items():
        if not (secret.reveal().isascii() and secret.reveal().isprintable()):
            raise GatepassError(
                f"the value of the header {name} ({given[name]}) cannot be sent",
                hint="look for a line break or an odd character in it",
            )
    return found


def with_secret_headers(
    request: "PreparedRequest", headers: Mapping[str, Secret]
) -> "PreparedRequest":
    """Return a copy of a request with secret headers, except those that the caller gave itself."""
    sent = request.copy()
    for name, secret in headers.items():
        if name not in request.headers:
            sent.headers[name] = secret.reveal()
    return sent
