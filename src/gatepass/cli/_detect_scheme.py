"""What a server's answer to a request without credentials tells of the logins that it takes."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urljoin, urlsplit

from gatepass._net.challenge import Challenge, challenges_of, describe
from gatepass._value import Value, replace
from gatepass.cli import _output
from gatepass.cli._context import Context
from gatepass.errors import GatepassError

if TYPE_CHECKING:
    from gatepass._session.session import Session

_REFUSED: Final = 401
_SECONDS: Final = (10, 20)  # to connect, and for the answer
# What a challenge of the scheme Bearer tells where a login is: Granta's, and RFC 9728's.
_LEADS_TO_A_LOGIN: Final = frozenset({"authority", "resource_metadata"})


# Pages of a Granta MI service layer that ask for a login.
PAGES: Final = ("Health/v2.svc", "proxy/v1.svc/mi")


class Learnt(Value):
    """What can be said of a server.

    Attributes:
        saw: one sentence.
        schemes: those that fit, the best one first; empty where that cannot be told.
        issuer: the identity provider that the server names; empty where it names none.
        unknown_authority: the server's certificate is of an authority that is not known here.
        check_path: a page below the URL that asks for a login, where the URL itself asks nobody.
    """

    saw: str
    schemes: tuple[str, ...] = ()
    issuer: str = ""
    unknown_authority: bool = False
    check_path: str = ""

    @property
    def asks_nobody(self) -> bool:
        """Whether the page was served to anybody."""
        return self.schemes == ("anonymous",)


def learn(context: Context, keys: Mapping[str, Any], pages: Sequence[str] = PAGES) -> Learnt:
    """Ask a server once, without credentials, and tell the person so.

    Where the URL itself asks for no login, the pages are asked too, up to the first that does.
    Connects over TLS as a session would; follows no redirect, reads no body, and never fails.

    Args:
        context: the surroundings.
        keys: ``url``, checked, and how to connect: ``tls``, ``proxy``, ``allow_http``.
        pages: below the URL.
    """
    from requests import RequestException

    from gatepass._session.exceptions import TLSFailed
    from gatepass._session.session import Session

    url = keys["url"]
    _output.tell(
        f"asking {url} which login it takes: one request without credentials, for at most "
        f"{sum(_SECONDS)} s (--offline leaves it out)"
    )
    try:
        with Session(
            **keys,
            anonymous=True,
            environ=context.environ,
            terminal=context.terminal,
            timeout=list(_SECONDS),
            retries=0,
        ) as session:
            first = _ask(session, "")
            if first.asks_nobody and pages:
                _output.tell(f"it asks nobody there, so once more for {' and '.join(pages)}")
                with suppress(GatepassError, RequestException):  # the first answer stays
                    found = (_ask(session, page) for page in pages)
                    asking = (each for each in found if each.schemes and not each.asks_nobody)
                    return next(asking, first)
            return first
    except GatepassError as error:
        unknown = isinstance(error, TLSFailed) and "unknown authority" in error.message
        way = "name the authority's file: --ca-file PEM" if unknown else error.hint
        told = f"it could not be asked: {error.message}"
        return Learnt(f"{told}\n{way}" if way else told, unknown_authority=unknown)
    except (RequestException, ValueError) as error:  # its text may be anything
        return Learnt(f"it could not be asked: the request failed with {type(error).__name__}")


def _ask(session: "Session", page: str) -> Learnt:
    """Ask for a page below the profile's URL, without credentials."""
    url = urljoin(session.profile.url, page)
    # Not by the session's own way, which would explain a refusal.
    with session._http().get(url, allow_redirects=False, stream=True) as response:  # noqa: SLF001
        target = urljoin(url, response.headers.get("Location", ""))
        learnt = judged(
            response.status_code,
            challenges_of(response),
            target,
            url=url,
            tickets=_can_use_tickets(),
        )
    return replace(learnt, check_path=page, saw=f"{page}: {learnt.saw}") if page else learnt


def is_unknown_authority(context: Context, url: str) -> bool:
    """Ask a provider once, as anybody may; say whether its authority is not known here."""
    return learn(context, {"url": url}, ()).unknown_authority


def _can_use_tickets() -> bool:
    return sys.platform == "win32" or find_spec("gssapi") is not None


def judged(
    status: int,
    challenges: Sequence[Challenge],
    target: str,
    *,
    url: str,
    tickets: bool,
) -> Learnt:
    """Say what an answer tells.

    Args:
        status: the HTTP status.
        challenges: what WWW-Authenticate offers.
        target: where a redirect leads.
        url: what was asked for.
        tickets: whether autologon works on this computer.
    """
    if status == _REFUSED and challenges:
        return _of_challenges(challenges, url, tickets=tickets)
    if status < 300:  # noqa: PLR2004 - success
        return Learnt(f"it answers {status}, and asks for no login", ("anonymous",))
    if status < 400:  # noqa: PLR2004 - a redirect
        host = urlsplit(target).hostname or "another place"
        return Learnt(f"it answers {status} and redirects to {host}, which tells no scheme")
    return Learnt(f"it answers {status}, which tells no scheme; is the URL right?")


def _of_challenges(challenges: Sequence[Challenge], url: str, *, tickets: bool) -> Learnt:
    names = {challenge.scheme for challenge in challenges}
    passwords = bool({"ntlm", "basic"} & names)
    leads = any(
        challenge.scheme == "bearer" and _LEADS_TO_A_LOGIN & set(challenge.params)
        for challenge in challenges
    )
    fitting = (
        ("autologon", "negotiate" in names and tickets),
        ("credentials", passwords),
        ("autologon", "negotiate" in names and not tickets),
        ("oidc", leads),
        ("bearer", "bearer" in names),
    )
    saw = f"it answers 401 and offers {describe(challenges, url)}"
    if "negotiate" in names:
        saw += (
            "\nautologon logs on as you, by Windows or a Kerberos ticket and without a password; "
            "credentials by a user name and a password"
        )
    issuer = next(
        (each.params["authority"] for each in challenges if "authority" in each.params), ""
    )
    return Learnt(saw, tuple(scheme for scheme, fits in fitting if fits), issuer)
