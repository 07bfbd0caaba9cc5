"""How a profile's login is made, and shared by copies of a session and sessions of one pickle."""

from collections.abc import Callable
from functools import partial
from threading import RLock
from typing import TYPE_CHECKING, Any, Final

from gatepass._session.resolve import ResolvedSecrets
from gatepass._session.vault_config import vault_of
from gatepass._system import plugins
from gatepass._system.context import RunContext
from gatepass._system.fork import PerProcess
from gatepass._value import Value
from gatepass.auth import AuthContext
from gatepass.errors import GatepassError

if TYPE_CHECKING:
    import requests

    from gatepass._config.profile import Profile
    from gatepass._session.login_state import LoginState
    from gatepass.auth import Authenticator

_MOST_LOGINS: Final = 64  # that are kept


class SharedLogin(Value):
    """What sessions share that log on as one.

    Attributes:
        secrets: the resolved secrets.
        authenticator: what the scheme has made of them.
        state: whether the server accepts them.
    """

    secrets: ResolvedSecrets
    authenticator: "Authenticator"
    state: "LoginState"


def make_authenticator(
    profile: "Profile",
    run: RunContext,
    secrets: ResolvedSecrets,
    http: "Callable[[], requests.Session]",
) -> "Authenticator":
    """Let the profile's scheme make its authenticator.

    Args:
        profile: the profile.
        run: the surroundings.
        secrets: resolves the scheme's references.
        http: returns the session without a login, for the scheme's own requests.

    Raises:
        GatepassError: the scheme cannot be used here, or a reference did not answer.
        PluginError: the scheme fails in another way.
    """
    context = AuthContext(
        profile_name=profile.name,
        url=profile.url,
        origin=profile.origin,
        resolve=secrets,
        http=http,
        vault=partial(vault_of, profile.machine, run),
        environ=run.environ,
        clock=run.clock,
        terminal=run.terminal,
        allow_insecure_keyring=profile.machine.allow_insecure_keyring,
        shared=run.shared,
        keeps_logins=run.keeps_logins,
    )

    def make() -> "Authenticator":
        made = profile.auth.authenticator(context)
        if not callable(made):
            raise plugins.plugin_error(plugins.AUTH, profile.scheme, "makes no callable")
        return made

    return plugins.call(
        plugins.AUTH,
        profile.scheme,
        "cannot make its login",
        make,
        holds_secret=secrets.holds_secret,
    )


def make_login(
    profile: "Profile",
    run: RunContext,
    secrets: ResolvedSecrets,
    http: "Callable[[], requests.Session]",
) -> SharedLogin:
    """Make the login of a session. One with a password shares what servers say in this process.

    Args and errors: as for :func:`make_authenticator`.
    """
    from gatepass._session.login_state import LoginState, state_of  # imports requests

    authenticator = make_authenticator(profile, run, secrets, http)
    if secrets.password is None:
        return SharedLogin(secrets, authenticator, LoginState())
    user, password = secrets.password
    state = state_of(run.shared, profile.origin, profile.scheme, user, password)
    return SharedLogin(secrets, authenticator, state)


def renew_login(
    profile: "Profile",
    run: RunContext,
    old: SharedLogin,
    http: "Callable[[], requests.Session]",
) -> SharedLogin | None:
    """Resolve a password once more, asking nobody; None where it is still the same.

    Args:
        profile: the profile.
        run: the surroundings.
        old: the login that the server refuses.
        http: as for :func:`make_authenticator`.
    """
    run = run.without_person()
    try:
        new = make_login(profile, run, ResolvedSecrets(profile, run), http)
    except GatepassError:
        return None
    return None if new.state is old.state else new


OPENING_LOCKS: Final = PerProcess(RLock)  # held while a session out of a pickle is opened
_LOGINS_OF_PICKLES: Final[dict[str, SharedLogin]] = {}


def login_of_pickles(pickle_id: str, make: Callable[[], SharedLogin]) -> SharedLogin:
    """Return the login of all pickles of one session in this process.

    A pool opens one pickle for each task. If each logged on by itself, a wrong password would be
    sent once for each task, until the account is locked.

    Args:
        pickle_id: the same in all pickles of one session.
        make: makes the login, at the first call; raises ``GatepassError`` where that cannot be
            done here.
    """
    if pickle_id not in _LOGINS_OF_PICKLES:
        _LOGINS_OF_PICKLES[pickle_id] = make()
        for oldest in list(_LOGINS_OF_PICKLES)[:-_MOST_LOGINS]:
            del _LOGINS_OF_PICKLES[oldest]
    return _LOGINS_OF_PICKLES[pickle_id]


class _NotOfThisScheme(GatepassError, AttributeError):
    """The scheme has no such attribute; also an AttributeError, as ``hasattr`` expects it."""


def attribute_of(login: SharedLogin, scheme: str, name: str) -> Any:
    """Return an attribute of what the scheme made: those that only ``oidc`` has.

    Raises:
        GatepassError: the scheme has none.
    """
    authenticator = login.authenticator
    if not hasattr(type(authenticator), name):
        raise _NotOfThisScheme(
            f"{name} belongs to the scheme oidc; this session uses {scheme}",
            hint='Session(url, oidc=True), or   scheme = "oidc"   in the profile',
        )
    return getattr(authenticator, name)
