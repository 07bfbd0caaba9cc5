"""``Session.check``: one request, and what its response says of the login."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gatepass._net.challenge import server_mode
from gatepass._net.clock import skew
from gatepass._net.urls import origin_of
from gatepass._system.text import printable

if TYPE_CHECKING:
    from requests import Response

    from gatepass._config.profile import Profile
    from gatepass._session.guard import Guard
    from gatepass._session.session import Session

_OK_BELOW: Final = 400


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What :meth:`Session.check` found out.

    Attributes:
        ok: whether the server answered with success.
        status: the HTTP status.
        url: where the answer came from, after redirects.
        scheme: the profile's authentication scheme.
        user: who logged on; None when the scheme does not tell.
        server_configuration: ``Windows``, ``mixed``, ``standalone`` or ``OIDC``, where the server
            told it by a challenge; else None.
        elapsed: seconds until the answer.
        sentence: all that in one sentence.
        clock_skew: by how many seconds this computer's clock is ahead of the server's; negative
            where it is behind, None where the answer does not tell.
    """

    ok: bool
    status: int
    url: str
    scheme: str
    user: str | None
    server_configuration: str | None
    elapsed: float
    sentence: str
    clock_skew: float | None = None


def check_session(session: "Session", guard: "Guard", user: str | None) -> CheckResult:
    """Request the profile's ``check_path`` and explain the response.

    Args:
        session: sends the request.
        guard: the guard of the session.
        user: who logs on; None when the scheme does not tell.
    """
    profile = session.profile
    start, sent = time.perf_counter(), time.time()
    with session.get(profile.check_path, stream=True) as response:
        elapsed, received = time.perf_counter() - start, time.time()
    from_origin = guard.is_profile_origin(response.request.url)
    return CheckResult(
        ok=from_origin and response.status_code < _OK_BELOW,
        status=response.status_code,
        url=response.url,
        scheme=profile.scheme,
        user=user,
        server_configuration=server_mode(guard.challenges),
        elapsed=elapsed,
        sentence=_sentence_of(response, profile, user, from_origin=from_origin),
        clock_skew=skew(response.headers, sent, received) if from_origin else None,
    )


def _sentence_of(
    response: "Response", profile: "Profile", user: str | None, *, from_origin: bool
) -> str:
    """Explain a response in one sentence; ``from_origin``: it came from the profile's server."""
    if not from_origin:
        return (
            f"{profile.origin} redirects to {origin_of(response.url)}, as a server does "
            "that wants a login in a browser"
        )
    answer = printable(f"{response.status_code} {response.reason or ''}".strip())
    if response.status_code >= _OK_BELOW:
        return f"{response.url} answers {answer}: check url and check_path of the profile"
    who = f" as {user}" if user else ""
    return f"{profile.origin} answers {answer} to {profile.scheme}{who}"
