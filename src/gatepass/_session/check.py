"""``Session.check``: what the server says of the login, told only as far as it was seen.

A login is proven where the server asked for it and then answered something else, or where the same
URL is refused without it. So at most two requests are made, and never two attempts to log on.
"""

import time
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import requests
from requests import Request, RequestException, Response, TooManyRedirects

from gatepass._net.challenge import challenges_of, server_mode
from gatepass._net.clock import skew
from gatepass._net.login_page import describe_login_page
from gatepass._net.urls import origin_of, without_userinfo
from gatepass._session.connections import Connections
from gatepass._session.login_state import UNDECIDED
from gatepass._session.refused import explain_status
from gatepass._session.request_state import proof_of
from gatepass._system.text import printable
from gatepass._value import Value
from gatepass.auth import sends_credentials
from gatepass.errors import GatepassError

if TYPE_CHECKING:
    from gatepass._config.profile import Profile
    from gatepass._session.guard import Guard
    from gatepass._session.session import Session

_REDIRECTS_FROM: Final = 300
_OK_BELOW: Final = 400
_REFUSED: Final = 401
# Answers of a front end that did not look at the login: too large a header, no server behind it.
_OF_A_FRONT_END: Final = UNDECIDED | {400, *range(494, 498), *range(502, 505), *range(521, 525)}
_ASKING_PAGE: Final = (
    'name a page that asks for a login:   check_path = "..."   in the profile\n'
    "(--allow-unproven is content with this)"
)
_BROWSER_HINT: Final = (
    "people log in there in a browser; name a page in check_path that a program can ask, or use "
    "a scheme that this server takes, such as oidc"
)


class CheckResult(Value):
    """What :meth:`Session.check` found out.

    Attributes:
        ok: whether the server let the profile in: it answered with success, and the login was
            proven, or the profile has none (``anonymous``).
        proven: whether the server took the login, whatever the page answered.
        status: the HTTP status; None when no answer came.
        url: where the answer came from, after redirects.
        scheme: the profile's authentication scheme.
        user: who logged on; None when that was not proven, or the scheme does not tell.
        server_configuration: ``Windows``, ``mixed``, ``standalone`` or ``OIDC``, where a Granta
            MI server told it by a challenge; else None.
        elapsed: seconds until the answer.
        sentence: all that in one sentence.
        hint: the next step; empty when there is none.
        exit_code: what ``gatepass check`` ends with.
        clock_skew: by how many seconds this computer's clock is ahead of the server's; negative
            where it is behind, None where the answer does not tell.
        error: what a request would have raised; None when an answer came.
    """

    ok: bool
    proven: bool
    status: int | None
    url: str
    scheme: str
    user: str | None
    server_configuration: str | None
    elapsed: float
    sentence: str
    hint: str = ""
    exit_code: int = 0
    clock_skew: float | None = None
    error: GatepassError | None = None

    @property
    def is_unproven(self) -> bool:
        """Whether the page was served, and only the proof of the login is missing."""
        served = self.status is not None and self.status < _OK_BELOW
        return served and self.error is None and not self.ok


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
        seen = _Seen(session, guard, response)
        sentence, hint = seen.explanation(user)
    ok = seen.from_origin and response.status_code < _OK_BELOW and seen.is_sure
    return CheckResult(
        ok=ok,
        proven=seen.proven,
        status=response.status_code,
        url=response.url,
        scheme=profile.scheme,
        user=user if seen.proven else None,
        server_configuration=server_mode(guard.challenges or seen.challenges, response.url),
        elapsed=elapsed,
        sentence=sentence,
        hint=hint,
        exit_code=0 if ok else GatepassError.exit_code,
        clock_skew=skew(response.headers, sent, received) if seen.from_origin else None,
    )


def failed_check(session: "Session", error: GatepassError | RequestException) -> CheckResult:
    """Return the result for an error that was raised instead of an answer."""
    if isinstance(error, TooManyRedirects):
        error = GatepassError(
            "the server redirects in a circle, as one does that waits for a cookie or a login in a "
            "browser",
            hint=_BROWSER_HINT,
        )
    elif not isinstance(error, GatepassError):  # its text may be anything
        error = GatepassError(f"the request failed with {type(error).__name__}")
    try:
        profile = session.profile
    except GatepassError:
        url = scheme = ""  # a pickle of another version
    else:
        url, scheme = f"{profile.url}{profile.check_path}", profile.scheme
    response: Response | None = getattr(error, "response", None)
    return CheckResult(
        ok=False,
        proven=False,
        status=None if response is None else response.status_code,
        url=url if response is None else response.url,
        scheme=scheme,
        user=None,
        server_configuration=None
        if response is None
        else server_mode(challenges_of(response), response.url),
        elapsed=0.0,
        sentence=error.message,
        hint=error.hint,
        exit_code=error.exit_code,
        error=error.with_traceback(None),  # its frames would live as long as the result
    )


class _Seen:
    """What was seen of the login in a response, and without a login, where that is needed.

    Attributes:
        from_origin: whether the response came from the profile's server.
        proven: whether the server took the login.
        challenges: what the server offers to a request without login.
    """

    def __init__(self, session: "Session", guard: "Guard", response: Response) -> None:
        self._session = session
        self._response = response
        self._asked = f"{guard.base}{session.profile.check_path.removeprefix('/')}"
        self.from_origin = guard.is_profile_origin(response.request.url)
        self._anonymous = not sends_credentials(session.profile.auth)
        self._without: Response | None = None
        chain = [each for each in (*response.history, response) if not _is_of_front_end(each)]
        self._proofs = {proof_of(each) for each in chain}
        if proof_of(response) == "sent" and response in chain and "asked" not in self._proofs:
            self._without = _ask_without_login(session, response)
        refused = self._without is not None and self._without.status_code == _REFUSED
        self.challenges = challenges_of(self._without) if self._without is not None else ()
        self.proven = not self._anonymous and (refused or "asked" in self._proofs)

    @property
    def is_sure(self) -> bool:
        """Whether there is nothing left to prove."""
        return self.proven or self._anonymous

    def explanation(self, user: str | None) -> tuple[str, str]:
        """Return one sentence, and the next step.

        Args:
            user: who logs on; None when the scheme does not tell.
        """
        profile, response = self._session.profile, self._response
        if not self.from_origin:
            return _redirected_away(profile, self._asked, response.url)
        status, page = response.status_code, _shown(response.url)
        reason = f" {printable(response.reason)}" if response.reason else ""
        answers = f"answers {status}{reason}"
        if status >= _OK_BELOW:
            hint = explain_status(response, profile.scheme, logged_on=self.proven)
            if not self.proven:
                return f"{page} {answers}", hint
            who = f"as {user}" if user else f"by {profile.scheme}"
            return f"logged on {who}, but the page {answers} ({page})", hint
        if self.proven:
            who = f" as {user}" if user else ""
            return f"{profile.origin} {answers} to {profile.scheme}{who}", ""
        login_page = describe_login_page(response, self._asked)
        if self._anonymous:
            note = f"; {login_page}" if login_page else ""
            return f"{profile.origin} {answers} to {profile.scheme}{note}", ""
        told = f"{page} answers {status}{self._way(login_page)}; nothing was proven of the login"
        return told, _BROWSER_HINT if login_page else _ASKING_PAGE

    def _way(self, login_page: str) -> str:
        """Say how the page was served, where that proves nothing."""
        if login_page:
            return f", but {login_page}"
        if None in self._proofs:
            return " to the credentials of the caller"
        if "sent" in self._proofs and self._without is None:
            return " to the login, and nothing without it"
        if self._without is not None and self._without.status_code >= _REDIRECTS_FROM:
            return f" to the login, and {self._without.status_code} instead of 401 without it"
        return " without asking for a login"


def _is_of_front_end(response: Response) -> bool:
    return response.status_code in _OF_A_FRONT_END


def _ask_without_login(session: "Session", response: Response) -> Response | None:
    """Ask the URL of a response once more, without login and cookies; None when none came.

    Over connections of its own: those of the session may be logged on.
    """
    request = session.prepare_request(Request("GET", response.url, {"Authorization": None}))
    request.headers.pop("Cookie", None)
    adapter = requests.Session.get_adapter(session, response.url)
    own = adapter.without_login() if isinstance(adapter, Connections) else None
    settings = session.merge_environment_settings(response.url, {}, True, None, None)
    try:
        with (own or adapter).send(request, timeout=None, **settings) as answer:
            return answer
    except RequestException:
        return None
    finally:
        if own is not None:
            own.close()


def _shown(url: str) -> str:
    """Return a URL as it may be shown: a query may hold a ticket."""
    return printable(without_userinfo(url).partition("?")[0].partition("#")[0])


def _redirected_away(profile: "Profile", asked: str, target: str) -> tuple[str, str]:
    """Explain a redirect to another origin: the server's other name, or a login elsewhere."""
    there = printable(origin_of(target))
    message = f"{profile.origin} redirects to {there}"
    before, after = urlsplit(asked), urlsplit(target)
    same_page = after.path.rstrip("/") == before.path.rstrip("/")
    if same_page and _is_same_host(before.hostname or "", after.hostname or ""):
        place = there + urlsplit(profile.url).path.rstrip("/")
        return f"{message}, its other name; no login goes there", f'write   url = "{place}"'
    return f"{message}, as a server does that wants a login in a browser", _BROWSER_HINT


def _is_same_host(one: str, other: str) -> bool:
    """Whether one host's name is the other's, with or without domain or ``www``."""
    short, full = sorted((one.lower().removeprefix("www."), other.lower()), key=len)
    full = full.removeprefix("www.")
    return short == full or full.startswith(f"{short}.")
