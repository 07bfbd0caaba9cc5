"""PyGranta's clients over a gatepass session.

::

    from ansys.grantami.recordlists import Connection
    from gatepass.integrations.pygranta import connect

    client = connect(Connection, "prod")

Works with each class that derives from ``ansys.openapi.common.ApiClientFactory``, and with that
class itself. Login, guard, refresh, retries, TLS and proxies are those of the session; the
``with_...`` methods of these classes, which log on by themselves, are never called.
"""

import copy
import sys
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Final, Protocol, TypeVar

import requests
from requests import PreparedRequest, Request, Response
from requests.structures import CaseInsensitiveDict

from gatepass._config.locations import ConfigFile
from gatepass._net.urls import below, prepare_url, target
from gatepass._session.session import Session
from gatepass._system.terminal import Terminal
from gatepass.errors import GatepassError, PluginError, ProfileError

Client = TypeVar("Client", covariant=True)  # noqa: PLC0105 - reads better without _co

_COMMON: Final = "ansys-openapi-common"
# The private attributes of ApiClientFactory that we use: the session that its ``with_...`` methods
# set, the flag that they set with it, and the object that derived classes put their headers into.
_SESSION: Final = "_session"
_CONFIGURED: Final = "_configured"
_CONFIGURATION: Final = "_session_configuration"


class Builder(Protocol[Client]):
    """What the Connection classes of PyGranta have in common."""

    def connect(self) -> Client:
        """Return the client."""


def connect(
    connection: Callable[..., Builder[Client]],
    session: Session | str | None = None,
    *,
    config_file: ConfigFile | None = None,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    interactive: bool | None = None,
    terminal: Terminal | None = None,
) -> Client:
    """Return a PyGranta client that uses a gatepass session.

    Makes the requests that the client's own ``connect()`` makes, such as the one for the server's
    version, and none before. With a profile's name it does what
    :meth:`gatepass.Session.from_profile` does, and the session lives as long as the client:
    ``client.rest_client.close()`` closes its connections. A session that is given stays the
    caller's, who may share it between clients.

    Args:
        connection: the class, such as ``ansys.grantami.recordlists.Connection``.
        session: a session, or the name of a profile; None follows ``GATEPASS_PROFILE``, then the
            default.
        config_file: as for :meth:`gatepass.Session.from_profile`; this and the following ones go
            with a profile's name only.
        overrides: likewise.
        environ: likewise.
        interactive: likewise.
        terminal: likewise.

    Raises:
        ProfileError: and its kinds; the profile or an argument is not usable.
        PluginError: the PyGranta package is missing, or does not fit.
        SecretUnavailable: a reference did not answer.
        LoginRefused: the server refuses the login.
        Unreachable: and its kinds.
    """
    _check_class(connection)
    if not isinstance(session, Session | str | None):
        raise ProfileError(
            f"the second argument is a {type(session).__name__}",
            hint="give a gatepass.Session or the name of a profile",
        )
    keys: dict[str, Any] = {
        "config_file": config_file,
        "overrides": overrides,
        "environ": environ,
        "interactive": interactive,
        "terminal": terminal,
    }
    if isinstance(session, Session):
        _refuse_keys(keys)
        return _connect(connection, session)
    own = Session.from_profile(session, **keys)
    try:
        return _connect(connection, own)
    except BaseException:
        own.close()
        raise


def _refuse_keys(keys: Mapping[str, Any]) -> None:
    given = [name for name, value in keys.items() if value is not None]
    if given:
        raise ProfileError(
            f"{', '.join(given)}: too late for a session that exists already",
            hint="give it to Session.from_profile, or give the profile's name here",
        )


def _check_class(connection: object) -> None:
    try:
        from ansys.openapi.common import ApiClientFactory
    except ImportError as error:
        raise PluginError(
            f"{_COMMON} cannot be imported: {error}",
            hint=f"it comes along with each PyGranta client; alone: pip install {_COMMON}",
        ) from None
    if not (isinstance(connection, type) and issubclass(connection, ApiClientFactory)):
        raise PluginError(
            "the first argument is not a class that derives from "
            "ansys.openapi.common.ApiClientFactory",
            hint="give the class itself, such as ansys.grantami.recordlists.Connection",
        )


def _connect(connection: Callable[..., Builder[Client]], session: Session) -> Client:
    # Only the URL, which each such class takes; what else it takes is its own affair.
    builder = connection(session.profile.url.rstrip("/"))
    shared = _hand_over(builder, session)
    earlier = sys.exception()
    try:
        client = builder.connect()
    except Exception as error:
        failure = _gatepass_error_in(error, earlier)
        if failure is None or failure is error:
            raise
    else:
        if getattr(client, "rest_client", shared) is not shared:
            raise _unsupported("its client uses a session of its own")
        return client
    # The client wraps each failure of a request into advice about certificates and log files.
    raise failure


def _hand_over(builder: object, session: Session) -> "_SharedSession":
    """Put a session in the place of the builder's own, whose headers it sends."""
    names = (_SESSION, _CONFIGURED, _CONFIGURATION)
    missing = [name for name in names if not hasattr(builder, name)]
    if missing:
        raise _unsupported(f"{type(builder).__name__} has no {' and no '.join(missing)}")
    headers = getattr(builder, _CONFIGURATION).headers
    # 2.4.1 copies them into the session, before a class adds its own to either.
    for name, value in getattr(builder, _SESSION).headers.items():
        headers.setdefault(name, value)
    shared = _SharedSession(session, headers)
    setattr(builder, _SESSION, shared)
    setattr(builder, _CONFIGURED, True)
    return shared


def _unsupported(why: str) -> PluginError:
    from importlib.metadata import PackageNotFoundError, version

    try:
        installed = version(_COMMON)
    except PackageNotFoundError:
        installed = "(of unknown version)"
    return PluginError(
        f"gatepass does not fit {_COMMON} {installed}: {why}",
        hint=f"it is made for 2.x:   pip install '{_COMMON}<3'",
    )


def _gatepass_error_in(
    error: BaseException | None, earlier: BaseException | None
) -> GatepassError | None:
    """Find an error of gatepass behind another one, but none from before the call."""
    while error is not None and error is not earlier:
        if isinstance(error, GatepassError):
            return error
        error = error.__cause__ or error.__context__
    return None


class _SharedSession(requests.Session):
    """A session as one client uses it: with that client's own headers, otherwise the session.

    So several clients can share one session, and each is known to the server by its own name.

    Args:
        session: does the work.
        headers: sent with each request, below those of the request itself.
    """

    def __init__(self, session: Session, headers: MutableMapping[str, Any]) -> None:
        # Not super().__init__: what requests keeps in a session, the other one has already.
        vars(self).update(_session=session, headers=headers)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # such as __deepcopy__, which would copy the other one alone
            raise AttributeError(name)
        return getattr(vars(self)["_session"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "headers":
            vars(self)[name] = value
        else:
            setattr(self._session, name, value)

    def prepare_request(self, request: Request) -> PreparedRequest:
        """Prepare a request as the session does, with the client's headers below its own."""
        asked = copy.copy(request)
        # Keep values of None: the session then sends no such header.
        asked.headers = CaseInsensitiveDict(self.headers)
        # As with the session's own headers, this one goes to the profile's origin only.
        if "Authorization" in asked.headers and not self._is_profile_origin(request.url or ""):
            del asked.headers["Authorization"]
        asked.headers.update(request.headers or {})
        result: PreparedRequest = self._session.prepare_request(asked)
        return result

    def _is_profile_origin(self, url: str) -> bool:
        base = self._session.profile.url
        return target(prepare_url(below(base, url))) == target(prepare_url(base))

    def merge_environment_settings(self, *args: Any, **kwargs: Any) -> Any:
        """Merge the settings of one request as the session does."""
        return self._session.merge_environment_settings(*args, **kwargs)

    def send(self, request: PreparedRequest, **kwargs: Any) -> Response:
        """Send a prepared request through the session."""
        response: Response = self._session.send(request, **kwargs)
        return response

    def close(self) -> None:
        """Close the session's connections; it may be used again."""
        self._session.close()

    def __repr__(self) -> str:
        return repr(self._session)

    def __reduce__(self) -> tuple[Any, ...]:
        return _SharedSession, (self._session, self.headers)
