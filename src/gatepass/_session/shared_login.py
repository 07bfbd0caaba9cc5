"""How a profile's login is made, and shared by copies of a session and sessions of one pickle."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from threading import RLock
from typing import TYPE_CHECKING, Final

from gatepass._session.resolve import ResolvedSecrets
from gatepass._session.vault_config import vault_of
from gatepass._system import plugins
from gatepass._system.context import RunContext
from gatepass._system.fork import renew_in_children
from gatepass.auth import AuthContext

if TYPE_CHECKING:
    import requests

    from gatepass._config.profile import Profile
    from gatepass._session.login_state import LoginState
    from gatepass.auth import Authenticator

_MOST_LOGINS: Final = 64  # that are kept


@dataclass(frozen=True, slots=True)
class SharedLogin:
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


class PickledLogins:
    """The logins of sessions that came out of pickles, one for each session that was pickled.

    A pool opens one pickle for each task. If each logged on by itself, a wrong password would be
    sent once for each task, until the account is locked.

    Attributes:
        lock: held while a session is opened.
    """

    def __init__(self) -> None:
        self._logins: dict[str, SharedLogin] = {}
        self._after_fork()
        renew_in_children(self, PickledLogins._after_fork)

    def _after_fork(self) -> None:
        """Take a new lock: another thread of the parent may have held the old one."""
        self.lock = RLock()

    def get(self, pickle_id: str, make: Callable[[], SharedLogin]) -> SharedLogin:
        """Return the login of all pickles of one session; made at the first call.

        Args:
            pickle_id: the same in all pickles of one session.
            make: makes the login; raises ``GatepassError`` where that cannot be done here.
        """
        if pickle_id not in self._logins:
            self._logins[pickle_id] = make()
            for oldest in list(self._logins)[:-_MOST_LOGINS]:
                del self._logins[oldest]
        return self._logins[pickle_id]


LOGINS_OF_PICKLES: Final = PickledLogins()
