"""``Session``: a ``requests.Session`` that knows its server and how to log on there."""

import copy
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from threading import Lock, RLock
from typing import TYPE_CHECKING, Any, Final, Self, Unpack

import requests
from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter

from gatepass._config import load
from gatepass._config.locations import ConfigFile
from gatepass._config.profile import Profile
from gatepass._net.tls import TlsSettings
from gatepass._net.urls import below
from gatepass._session.adapter import PlainSession
from gatepass._session.connections import (
    Connections,
    NotConnected,
    callers_adapters,
    leave_to_parent,
)
from gatepass._session.exceptions import body_consumed, hide_frames
from gatepass._session.guard import Guard, GuardedAdapter
from gatepass._session.headers import plain_headers, secret_headers
from gatepass._session.network import (
    network_of,
    network_of_provider,
    tls_of_scheme,
    warn_if_unverified,
)
from gatepass._session.request_state import (
    is_body_consumed,
    read_redirect,
    redact_failure,
    redact_response,
)
from gatepass._session.resolve import ResolvedSecrets
from gatepass._session.shared_login import (
    OPENING_LOCKS,
    SharedLogin,
    attribute_of,
    login_of_pickles,
    make_login,
    renew_login,
)
from gatepass._session.translate import translate_error
from gatepass._system import log
from gatepass._system.context import RunContext
from gatepass._system.fork import PerProcess
from gatepass._system.terminal import Terminal
from gatepass._value import replace
from gatepass.errors import GatepassError
from gatepass.secrets import Secret, SecretRef

if TYPE_CHECKING:
    from gatepass._session.check import CheckResult
    from gatepass._session.keywords import ProfileKeywords
    from gatepass._session.pickling import PickledState

_FORK_LOCKS: Final = PerProcess(Lock)  # held while a forked process leaves connections


class Session(requests.Session):
    r"""A ``requests.Session`` for one server, logged on.

    Relative URLs lie below the profile's URL. The profile's login, headers and client certificate
    go to that server only, whatever URL or redirect a request follows. ``auth=`` or an
    ``Authorization`` header of the caller replaces the login for that request; a header whose
    value is None sends none at all. ``timeout=(None, None)`` waits without end.

    The constructor takes the server's URL and the way to log on; :meth:`from_profile` takes both
    from a profile. Building a session resolves its secrets and opens no connection.

    One session may be used by several threads, and after a fork. A copy has settings and
    connections of its own, and shares the login. A pickle carries the profile, the headers and the
    other settings of the session, no cookie and no secret; where it is used, the secrets are
    resolved anew, at the first request, without asking anybody. Pickling raises TypeError where a
    secret was given as a value, or only a person could answer.

    Args:
        url: the server, such as ``https://mi.example.com/mi_servicelayer``.
        autologon: log on as the user of this computer's session.
        user_name: log on with name and password.
        password: the password itself, or ``gatepass.ref("env:MI_PASSWORD")``.
        domain: the Windows domain of ``user_name``.
        oidc: log on with OpenID Connect.
        use_stored_token: with ``oidc``: use the stored token, never log in.
        refresh_token: with ``oidc``: start from this token.
        anonymous: do not log on.
        environ: the environment variables; ``os.environ`` when not given.
        interactive: whether a person may be asked; None looks.
        terminal: the way to a person; made from ``environ`` and ``interactive`` when not given.
        keys: other keys of a profile: ``timeout``, ``headers``, ``tls``, ``proxy``, ``retries``,
            ``allow_http``, ``check_path``.

    Raises:
        ProfileError: the arguments are not usable; names every complaint.
        PluginError: no installed package provides the scheme.
        SecretUnavailable: a reference did not answer.
    """

    def __init__(  # noqa: PLR0913 - the keywords that users of the Scripting Toolkit know
        self,
        url: str,
        *,
        autologon: bool = False,
        user_name: str | SecretRef | Secret | None = None,
        password: str | SecretRef | Secret | None = None,
        domain: str | SecretRef | Secret | None = None,
        oidc: bool = False,
        use_stored_token: bool = False,
        refresh_token: str | SecretRef | Secret | None = None,
        anonymous: bool = False,
        environ: Mapping[str, str] | None = None,
        interactive: bool | None = None,
        terminal: Terminal | None = None,
        **keys: "Unpack[ProfileKeywords]",
    ) -> None:
        from gatepass._config import unnamed
        from gatepass._session.keywords import auth_table, check_names, check_url

        # A frame of a traceback must not hold them as text.
        password, refresh_token = (
            Secret(each) if isinstance(each, str) else each for each in (password, refresh_token)
        )
        check_url(url)
        switches = {"autologon": autologon, "oidc": oidc, "anonymous": anonymous}
        login = {"user_name": user_name, "password": password, "domain": domain}
        token = {"use_stored_token": use_stored_token or None, "refresh_token": refresh_token}
        if keys:
            check_names(keys, {*switches, *login, *token})
        auth = auth_table(switches, login, token)
        profile = unnamed.unnamed_profile(url, auth, **keys)
        run = RunContext.of(environ, interactive, terminal)
        machine = unnamed.machine_settings_of_variables(run.environ)
        self._start(replace(profile, machine=machine), run)
        self._open()
        warn_if_unverified(self.profile)

    @classmethod
    def from_profile(
        cls,
        name: str | None = None,
        *,
        config_file: ConfigFile | None = None,
        overrides: Mapping[str, Any] | None = None,
        environ: Mapping[str, str] | None = None,
        interactive: bool | None = None,
        terminal: Terminal | None = None,
    ) -> Self:
        """Build a session from a profile.

        Reads the profile's files and resolves its secrets, which may touch the keyring, files and
        a person. Opens no connection.

        Args:
            name: the profile; None follows ``GATEPASS_PROFILE``, then the default.
            config_file: a file, or several in rising order of precedence, instead of the search.
            overrides: keys of the profile, above files and variables.
            environ: the environment variables; ``os.environ`` when not given.
            interactive: whether a person may be asked; None looks.
            terminal: the way to a person; made from ``environ`` and ``interactive`` by default.

        Raises:
            ProfileError: and its kinds; the profile is not usable.
            PluginError: the scheme belongs to a package that cannot be loaded.
            SecretUnavailable: names every reference that did not answer.
        """
        profile = load.load_profile(
            name, config_file=config_file, overrides=overrides, environ=environ
        )
        session = cls._from_checked(profile, RunContext.of(environ, interactive, terminal))
        warn_if_unverified(profile)
        return session

    @classmethod
    def _from_checked(
        cls, profile: Profile, run: RunContext, login: SharedLogin | None = None
    ) -> Self:
        """Build a session from a profile that is checked already.

        Args:
            profile: the profile.
            run: the surroundings.
            login: the login of another session; None makes one.
        """
        session = cls.__new__(cls)
        session._start(profile, run)  # noqa: SLF001 - as in __init__
        session._open(login)  # noqa: SLF001
        return session

    def _start(self, profile: Profile | None, run: RunContext) -> None:
        """Set the attributes. Cannot fail, and touches nothing outside of the session."""
        super().__init__()
        self._profile = profile
        self._pickled: PickledState | None = None  # where the session came out of a pickle
        self._pickle_id = ""  # the same in all pickles of this session
        self._run = run
        self._plain: PlainSession | None = None
        self._is_open = False
        self._pid = os.getpid()  # whose connections these are
        # requests must not read netrc, nor put REQUESTS_CA_BUNDLE above tls.ca_file.
        self.trust_env = False
        if profile is not None:
            self.verify: bool | str | None = profile.tls.verify
            self.headers.update(plain_headers(profile))
        for prefix in ("https://", "http://"):
            self.mount(prefix, NotConnected())

    def _open(self, login: SharedLogin | None = None) -> None:
        """Resolve the secrets, make the authenticator and the guard, prepare the connections."""
        profile, run = self.profile, self._run
        secrets = login.secrets if login else ResolvedSecrets(profile, run)
        self._network, self._certificate = network_of(profile, run, secrets)
        self._elsewhere = network_of_provider(profile, run, secrets)
        login = login or make_login(profile, run, secrets, self._http)
        headers = secret_headers(profile, secrets)
        secrets.raise_missing()
        renew = partial(renew_login, profile, run, http=self._http)
        self._guard = Guard(profile, login, renew, lambda: self.cookies, headers)
        connections = Connections(self._network, self._certificate)
        if profile.tls.ca_file or self._certificate:
            connections.read_files()
        if tls_of_scheme(profile) != TlsSettings():
            self._http().read_files()
        for prefix, adapter in self.adapters.items():
            if isinstance(adapter, NotConnected):
                self.adapters[prefix] = connections
        self._is_open = True
        log.info("session for %s: logs on by %s", profile.origin, profile.scheme)

    @property
    def profile(self) -> Profile:
        """The profile that the session was built from.

        Raises:
            ProfileError: the session came out of a pickle of another version.
            PluginError: ... and its scheme is not installed here.
        """
        if self._profile is None:
            from gatepass._session.pickling import load_profile_of

            with self._naming_process():
                self._profile = load_profile_of(self._pickled or {}, self._run.environ)
        return self._profile

    def _ensure_open(self) -> None:
        """Open a session that came out of a pickle, at its first use."""
        if self._is_open:
            return
        with self._naming_process(), OPENING_LOCKS.get():
            if not self._is_open:
                _ = self.profile  # raises first where the pickle is of another version
                self._open(login_of_pickles(self._pickle_id, self._make_login_of_pickles))

    @property
    def _login(self) -> SharedLogin:
        """The secrets, what the scheme made of them, and whether the server accepts them."""
        return self._guard.login

    def _make_login_of_pickles(self) -> SharedLogin:
        """Make the login that all sessions out of one pickle share. Asks nobody.

        Another session makes it: a task may close its own while others still use the login.
        """
        first = Session._from_checked(self.profile, RunContext.of(interactive=False))
        warn_if_unverified(self.profile)
        return first._login  # noqa: SLF001 - it is of our own class

    @contextmanager
    def _naming_process(self) -> Iterator[None]:
        """Let the errors of a session that came out of a pickle name the process."""
        try:
            yield
        except GatepassError as error:
            if self._pickled is not None:
                from gatepass._session.pickling import name_process

                name_process(error)
            raise

    def _http(self) -> PlainSession:
        self._notice_fork()
        if self._plain is None:
            self._plain = PlainSession(self.profile.origin, self._network, *self._elsewhere)
        return self._plain

    def prepare_request(self, request: requests.Request) -> PreparedRequest:
        """Prepare a request, below the profile's URL; the login is added when it is sent."""
        self._ensure_open()
        asked = copy.copy(request)
        asked.url = below(self._guard.base, request.url or "")
        # An auth for each request: without one, requests would look into ~/.netrc.
        asked.auth = lambda prepared: self._guard.assign(prepared, request, self)
        # Leave out what is empty: requests takes as long to merge it as the guard for all its work.
        if not asked.params and not self.params:
            asked.params = None
        if not asked.headers and None not in self.headers.values():
            asked.headers = None
        return super().prepare_request(asked)

    def merge_environment_settings(
        self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any
    ) -> Any:
        """Merge the settings of one request with the session's, as requests does."""
        if not self.proxies and not self.trust_env:
            proxies = proxies or None
        merged = super().merge_environment_settings(url, proxies, stream, verify, cert)
        if merged["proxies"] is self.proxies:
            merged["proxies"] = copy.copy(self.proxies)  # what is merged may be changed
        return merged

    def rebuild_auth(self, prepared_request: PreparedRequest, response: Response) -> None:
        """Decide which credentials a redirected request keeps."""
        self._guard.reassign(prepared_request, response)

    def get_redirect_target(self, resp: Response) -> str | None:
        """Return where an answer redirects to; None when it does not. Reads its body, to 1 MiB.

        Raises:
            InvalidURL: to something that is no URL; requests lets a bare ValueError out.
        """
        return read_redirect(resp, super().get_redirect_target(resp))

    def get_adapter(self, url: str) -> BaseAdapter:
        """Return the adapter for a URL, below the guard."""
        self._ensure_open()
        self._notice_fork()
        return GuardedAdapter(self._guard, super().get_adapter(url))

    def send(self, request: PreparedRequest, **kwargs: Any) -> Response:
        """Send a prepared request.

        Raises:
            LoginRefused: the server refuses the profile's login, or did so before.
            Unreachable: and its kinds.
            GatepassError: a redirect wants a stream again, of which nothing is left.
        """
        self._ensure_open()
        try:
            with self._naming_process():
                return self._send(request, kwargs)
        except BaseException as error:  # also a Ctrl-C, and what a body raises
            hide_frames(error)
            raise

    def _send(self, request: PreparedRequest, kwargs: dict[str, Any]) -> Response:
        if is_body_consumed(request):
            raise body_consumed(request)
        try:
            return redact_response(super().send(request, **kwargs))
        except requests.RequestException as error:
            failure = redact_failure(translate_error(error, request))
        raise failure  # outside of the handler: the original may hold credentials

    def check(self) -> "CheckResult":
        """Ask for the profile's ``check_path``, and say what the server confirmed.

        Makes one attempt to log on. Where the login was sent unasked, the same URL is asked once
        more without it: a 401 there is the proof. Raises nothing of what a request raises; the
        result has it as ``error``.
        """
        from gatepass._session.check import check_session, failed_check

        try:
            self._ensure_open()
            return check_session(self, self._guard, self._login.secrets.user)
        except (GatepassError, requests.RequestException) as error:
            failure = error
        return failed_check(self, failure)

    @property
    def refresh_token(self) -> str:
        """The refresh token of this session. Never starts a login.

        Raises:
            LoginRequired: there is none yet.
            GatepassError: the scheme has none.
        """
        with self._naming_process():
            token: str = self._scheme_attribute("refresh_token")
            return token

    def persist_oidc_token(self) -> None:
        """Store the refresh token for later runs; logs in first where that is needed.

        Raises:
            GatepassError: the scheme has none.
        """
        with self._naming_process():
            self._scheme_attribute("persist_oidc_token")()

    def login(self) -> None:
        """Log in now, not at the first request; may need a person.

        A scheme that logs on with each request, or by itself, does so with the next one: also where
        the server, or the proxy, has refused the password before, which is then sent once more.
        """
        with self._naming_process():
            self._ensure_open()
            login = getattr(self._login.authenticator, "login", None)
            if login is not None:
                login()
        self._login.state.reset()
        for network in (self._network, self._elsewhere[0]):
            network.forget_refusals()

    def _scheme_attribute(self, name: str) -> Any:
        self._ensure_open()
        return attribute_of(self._login, self.profile.scheme, name)

    def close(self) -> None:
        """Close all connections; the session may be used again."""
        self._notice_fork()
        super().close()
        if self._plain is not None:
            self._plain.close()

    def __repr__(self) -> str:
        try:
            profile = self.profile
        except (GatepassError, AttributeError):  # the constructor has failed
            return "<gatepass.Session that cannot be opened here>"
        name = f"{profile.name!r} " if profile.name else ""
        return f"<gatepass.Session {name}{profile.url} ({profile.scheme})>"

    def __reduce__(self) -> tuple[Any, ...]:
        from gatepass._session.pickling import dump_profile
        from gatepass._session.settings import dump_settings

        self._pickle_id = self._pickle_id or os.urandom(16).hex()
        state = dump_profile(self.profile, self._pickle_id)
        # Apart from the state, since a hook among the settings may refer to this session.
        settings = dump_settings(self, self.profile, callers_adapters(self.adapters))
        return _open_pickle, (type(self), state), settings

    def __setstate__(self, state: dict[str, Any]) -> None:
        from gatepass._session.pickling import is_of_this_version
        from gatepass._session.settings import load_settings

        # Do not set settings of another version: the first use raises an error that says so.
        if is_of_this_version(self._pickled or {}):
            load_settings(self, state)

    def __copy__(self) -> Self:
        from gatepass._session.settings import copy_setting

        return self._copy_with(copy_setting)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self._copy_with(lambda value: copy.deepcopy(value, memo), memo)

    def _copy_with(
        self, copy_value: Callable[[Any], Any], memo: dict[int, Any] | None = None
    ) -> Self:
        """Return a session with the same login, its own connections, and copies of the settings."""
        self._ensure_open()
        other = self._from_checked(self.profile, self._run, self._login)
        other._pickled = self._pickled  # noqa: SLF001 - it is of our own class
        if memo is not None:
            memo[id(self)] = other  # a hook may refer to this session
        for name in self.__attrs__:
            if name != "adapters":
                setattr(other, name, copy_value(getattr(self, name)))
        for prefix, adapter in callers_adapters(self.adapters).items():
            other.mount(prefix, copy_value(adapter))
        return other

    def _notice_fork(self) -> None:
        """In a forked process, leave the parent's connections alone and begin without any.

        Two processes that write to one connection would mix their requests. The jar of cookies gets
        a new lock: a thread of the parent may have held the old one in the moment of the fork.
        """
        if self._pid == os.getpid():
            return
        with _FORK_LOCKS.get():
            if self._pid != os.getpid():
                plain, self._plain = self._plain, None
                theirs = plain.adapters.values() if plain else ()
                for adapter in (*self.adapters.values(), *theirs):
                    leave_to_parent(adapter)
                vars(self.cookies)["_cookies_lock"] = RLock()
                self._pid = os.getpid()


def _open_pickle(kind: type[Session], state: "PickledState") -> Session:
    """Build a session from a pickle. Touches nothing, and nobody is asked when it is used.

    Pickles name this function, so renaming it makes them unusable.
    """
    session = kind.__new__(kind)
    session._start(None, RunContext.of(interactive=False))  # noqa: SLF001
    session._pickled = state  # noqa: SLF001
    session._pickle_id = state.get("id", "")  # noqa: SLF001
    return session
