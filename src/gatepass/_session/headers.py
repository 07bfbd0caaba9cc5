"""The headers of a profile: those that stand in it, and those that are kept secret."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from requests.utils import default_headers

from gatepass._session.request_state import is_stripped, note_stripped
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


def strip_profile_headers(
    request: "PreparedRequest", profile: "Profile", kept: Mapping[str, Any]
) -> None:
    """Remove the profile's headers from a request to another server.

    Args:
        request: loses them; where requests has a default of that name, it gets the default.
        profile: the profile.
        kept: headers that the caller gave with this very request.
    """
    note_stripped(request)
    own = {name.lower() for name in kept}
    defaults = default_headers()
    for name, value in plain_headers(profile).items():
        if name.lower() not in own and request.headers.get(name) == value:
            del request.headers[name]
            if name in defaults:
                request.headers[name] = defaults[name]


def strip_late(request: "PreparedRequest", profile: "Profile") -> None:
    """Strip a request whose URL was changed after it had been prepared for the profile."""
    if is_stripped(request):
        return
    strip_profile_headers(request, profile, {})
    cookies = request.__dict__.get("_cookies")
    if cookies:
        request.headers.pop("Cookie", None)
        request.prepare_cookies(cookies)
