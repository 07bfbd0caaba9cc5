"""What the verbs about logins share: the profile, its vault and a session that may log in."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from gatepass._config.profile import Profile
from gatepass._session.resolve import ResolvedSecrets
from gatepass._session.shared_login import make_authenticator
from gatepass._value import replace
from gatepass.cli._context import Context
from gatepass.errors import GatepassError

if TYPE_CHECKING:
    import requests

    from gatepass._session.session import Session
    from gatepass.auth._oidc.login import OidcLogin

OIDC: Final = "oidc"
ASKING: Final = "asking the identity provider ..."  # after a second


def keeps_tokens(profile: Profile) -> bool:
    """Say whether the login of a profile is kept in the vault."""
    return profile.scheme == OIDC and getattr(profile.auth, "flow", "") != "client_credentials"


def awaited(profile: Profile) -> str:
    """Return the line for a person who waits for a request, which may need a token first."""
    issuer = getattr(profile.auth, "issuer", None) or "the identity provider that it names"
    return f"waiting for {profile.origin}{f' or {issuer}' if profile.scheme == OIDC else ''} ..."


@contextmanager
def session_of(context: Context, profile: Profile, **auth: Any) -> "Iterator[Session]":
    """Build a session, and explain what goes wrong with its requests.

    Args:
        context: the surroundings.
        profile: what it is built from.
        auth: keys of the scheme that differ from the profile's.

    Raises:
        SecretUnavailable: a reference did not answer.
        Unreachable: and its kinds; no answer came.
    """
    from requests import RequestException

    from gatepass._session.network import warn_if_unverified
    from gatepass._session.session import Session

    warn_if_unverified(profile)
    scheme: Any = profile.auth
    profile = replace(profile, auth=replace(scheme, **auth))
    try:
        with Session._from_checked(  # noqa: SLF001 - the profile is read and checked already
            profile, context
        ) as session:
            yield session
    except GatepassError:
        raise
    except RequestException as error:  # such as a damaged answer; its text may be anything
        raise GatepassError(f"the request failed with {type(error).__name__}") from None


@contextmanager
def login_of(context: Context, profile: Profile) -> "Iterator[OidcLogin]":
    """Build the login of a profile, without a session for its server.

    The HTTP client is made when something is to be sent: a token that is stored and still valid
    costs no import of requests.

    Args:
        context: the surroundings.
        profile: a profile of the scheme oidc.

    Raises:
        SecretUnavailable: a reference did not answer.
        Unreachable: and its kinds; no answer came.
    """
    secrets = ResolvedSecrets(profile, context)
    opened: list[requests.Session] = []

    def http() -> "requests.Session":
        if not opened:
            opened.append(_open_plain_session(context, profile, secrets))
        return opened[0]

    try:
        login: Any = make_authenticator(profile, context, secrets, http)
        yield login
    except GatepassError:
        raise
    except OSError as error:
        from requests import RequestException  # derived from OSError; not needed to catch it

        if not isinstance(error, RequestException):
            raise
        raise GatepassError(f"the request failed with {type(error).__name__}") from None
    finally:
        for plain in opened:
            plain.close()


def _open_plain_session(
    context: Context, profile: Profile, secrets: ResolvedSecrets
) -> "requests.Session":
    """Open a session without credentials, for requests to the identity provider."""
    from gatepass._session.adapter import PlainSession
    from gatepass._session.network import network_of, network_of_provider, warn_if_unverified

    server, _ = network_of(profile, context, secrets)
    elsewhere = network_of_provider(profile, context, secrets)
    secrets.raise_missing()
    warn_if_unverified(profile)
    return PlainSession(profile.origin, server, *elsewhere)


def of_the_login(session: "Session", name: str) -> Any:
    """Return what the login of a session offers beside what scripts need."""
    return session._scheme_attribute(name)  # noqa: SLF001 - a script has no use for these
