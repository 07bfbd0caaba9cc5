"""``Session``: a ``requests.Session`` that knows its server and how to log on there."""

import copy
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from threading import RLock
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit
from uuid import uuid4

import requests
from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.exceptions import InvalidURL
from requests.utils import get_auth_from_url

from gatepass._config import load, unnamed
from gatepass._config.locations import ConfigFile
from gatepass._config.profile import Profile
from gatepass._net.challenge import configuration
from gatepass._net.clock import skew
from gatepass._net.tls import TlsSettings
from gatepass._net.urls import below, origin_of, target
from gatepass._session.adapter import PlainSession, leave
from gatepass._session.connections import Lanes
from gatepass._session.exceptions import body_spent, explained, without_secrets
from gatepass._session.guard import (
    Guard,
    Guarded,
    Login,
    cleaned,
    is_marked,
    is_spent,
    mark,
    mark_spent,
    tell_own_hooks,
    without_own_hooks,
)
from gatepass._session.keywords import auth_table, check_names, check_url
from gatepass._session.pickling import FORM, Parcel, located, packed, settings, settle, unpacked
from gatepass._session.resolve import ResolvedSecrets
from gatepass._session.vault_config import vault_of
from gatepass._system import log, plugins
from gatepass._system.context import RunContext
from gatepass._system.fork import renew_in_children
from gatepass._system.terminal import Terminal
from gatepass._system.text import printable
from gatepass.auth import AuthContext
from gatepass.errors import GatepassError
from gatepass.secrets import Secret, SecretRef

if TYPE_CHECKING:
    from gatepass.auth import Authenticator
from gatepass._session.network import (
    network_of,
    network_of_provider,
    tls_of_scheme,
    warn_if_unverified,
)

_PREFIXES: Final = ("https://", "http://")
_OK_BELOW: Final = 400
_MOST_LOGINS: Final = 64  # of sessions out of pickles, that are kept


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


class _NotOfThisScheme(GatepassError, AttributeError):
    """The scheme has no such ability; also an AttributeError, as ``hasattr`` expects it."""


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

    _secrets: ResolvedSecrets
    _authenticator: "Authenticator"

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
        **keys: Any,
    ) -> None:
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
        session = cls._from_checked(
            profile, environ=environ, interactive=interactive, terminal=terminal
        )
        warn_if_unverified(profile)
        return session

    @classmethod
    def _from_checked(
        cls,
        profile: Profile,
        *,
        environ: Mapping[str, str] | None = None,
        interactive: bool | None = None,
        terminal: Terminal | None = None,
    ) -> Self:
        """Build a session from a profile that is already checked.

        Args:
            profile: the profile.
            environ: the environment variables; ``os.environ`` when not given.
            interactive: whether a person may be asked; None looks.
            terminal: the way to a person; made from ``environ`` and ``interactive`` by default.
        """
        return cls._in_context(profile, RunContext.of(environ, interactive, terminal))

    @classmethod
    def _in_context(
        cls, profile: Profile, run: RunContext, login: "_LoggedOn | None" = None
    ) -> Self:
        session = cls.__new__(cls)
        session._start(profile, run)  # noqa: SLF001 - as in __init__
        session._open(login)  # noqa: SLF001
        return session

    def _start(self, profile: Profile | None, run: RunContext) -> None:
        """Do the half of the constructor that cannot fail, and touches nothing."""
        super().__init__()
        self._profile = profile
        self._parcel: Parcel | None = None  # of a session that came out of a pickle
        self._mark = ""  # the same in all pickles of this session
        self._run = run
        self._plain: PlainSession | None = None
        self._is_open = False
        # No netrc, and no REQUESTS_CA_BUNDLE above tls.ca_file: the network looks itself.
        self.trust_env = False
        if profile is not None:
            self.verify = profile.tls.verify
            self.headers.update(profile.headers)
        for prefix in _PREFIXES:
            self.mount(prefix, _NoLanes())
        renew_in_children(self, Session._renew)

    def _open(self, login: "_LoggedOn | None" = None) -> None:
        """Do the other half: resolve the secrets and make the way to the server."""
        profile = self.profile
        self._secrets = login.secrets if login else ResolvedSecrets(profile, self._run)
        self._network, certificate = network_of(profile, self._run, self._secrets)
        self._elsewhere = network_of_provider(profile, self._run, self._secrets)
        self._authenticator = login.authenticator if login else self._made_authenticator()
        self._secrets.raise_missing()
        self._guard = Guard(profile, self._authenticator, self._secrets)
        if login:
            self._guard.login = login.proof
        lanes = Lanes(self._network, certificate)
        if profile.tls.ca_file or certificate:
            lanes.read_files()
        if tls_of_scheme(profile) != TlsSettings():
            self._http().read_files()
        for prefix, adapter in self.adapters.items():
            if isinstance(adapter, _NoLanes):
                self.adapters[prefix] = lanes
        self._is_open = True
        log.info("session for %s: logs on by %s", profile.origin, profile.scheme)

    def _logged_on(self) -> "_LoggedOn":
        return _LoggedOn(self._secrets, self._authenticator, self._guard.login)

    @property
    def profile(self) -> Profile:
        """The profile that the session was built from.

        Raises:
            ProfileError: the session came out of a pickle of another version.
            PluginError: ... and its scheme is not installed here.
        """
        if self._profile is None:
            with self._located():
                self._profile = unpacked(self._parcel or {}, self._run.environ)
        return self._profile

    def _ready(self) -> None:
        """Open a session that came out of a pickle, at its first use."""
        if self._is_open:
            return
        with self._located(), _OPENED.lock:
            if not self._is_open:
                self._open(_OPENED.login(self.profile, self._mark))

    @contextmanager
    def _located(self) -> Iterator[None]:
        """Let the errors of a session that came out of a pickle name the process."""
        try:
            yield
        except GatepassError as error:
            if self._parcel is not None:
                located(error)
            raise

    def _made_authenticator(self) -> "Authenticator":
        """Let the scheme make its authenticator."""

        def made() -> "Authenticator":
            found = self.profile.auth.authenticator(self._auth_context())
            if not callable(found):
                raise plugins.plugin_error(plugins.AUTH, self.profile.scheme, "makes no callable")
            return found

        return plugins.call(
            plugins.AUTH,
            self.profile.scheme,
            "cannot make its login",
            made,
            holds_secret=self._secrets.tells,
        )

    def _auth_context(self) -> AuthContext:
        return AuthContext(
            profile_name=self.profile.name,
            url=self.profile.url,
            origin=self.profile.origin,
            resolve=self._secrets,
            http=self._http,
            vault=partial(vault_of, self.profile.machine, self._run),
            environ=self._run.environ,
            clock=self._run.clock,
            terminal=self._run.terminal,
            allow_insecure_keyring=self.profile.machine.allow_insecure_keyring,
        )

    def _http(self) -> PlainSession:
        if self._plain is None:
            self._plain = PlainSession(self.profile.origin, self._network, *self._elsewhere)
        return self._plain

    def prepare_request(self, request: requests.Request) -> PreparedRequest:
        """Prepare a request, below the profile's URL; the login is added when it is sent."""
        self._ready()
        asked = copy.copy(request)
        asked.url = below(self._guard.base, request.url or "")
        # An auth for each request: without one, requests would look into ~/.netrc.
        asked.auth = lambda prepared: self._assigned(prepared, request)
        # Merging what is empty takes requests as long as all that the guard adds.
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

    def _assigned(self, prepared: PreparedRequest, request: requests.Request) -> PreparedRequest:
        """Decide whose request this is, now that its URL is final, and apply the caller's auth."""
        given = request.headers or {}
        home = self._guard.is_home(prepared.url)
        userinfo = get_auth_from_url(prepared.url or "")
        own = request.auth or (userinfo if any(userinfo) else None)
        brought = own is not None or _names_authorization(given)
        if not home:
            self._guard.leave_behind(prepared, given)
            if not brought:  # it came from session.headers, which are for home
                prepared.headers.pop("Authorization", None)
        elif not brought:
            own = self.auth or None
            brought = own is not None or "Authorization" in self.headers
        if own is not None:
            prepared.prepare_auth(own)
            tell_own_hooks(prepared)
        mark(prepared, login=home and not brought)
        return prepared

    def rebuild_auth(self, prepared_request: PreparedRequest, response: Response) -> None:
        """Decide what a redirected request may take along.

        The caller's own credentials and their hooks stay with the origin that they were sent to.
        The profile's login belongs to the redirected request while the chain has not left home.
        """
        before = response.request
        mark_spent(prepared_request)
        if target(before.url) != target(prepared_request.url):
            prepared_request.headers.pop("Authorization", None)
            prepared_request.hooks = without_own_hooks(before)
        home = self._guard.is_home(prepared_request.url)
        if not home:
            self._guard.leave_behind(prepared_request, {})
        mark(prepared_request, login=is_marked(before) and home)

    def get_redirect_target(self, resp: Response) -> str | None:
        """Return where an answer redirects to; None when it does not.

        Raises:
            InvalidURL: to something that is no URL; requests lets a bare ValueError out.
        """
        place = super().get_redirect_target(resp)
        try:
            urlsplit(place or "")
        except ValueError:
            resp.close()
            raise InvalidURL(
                f"{origin_of(resp.url)} redirects to a malformed URL", response=resp
            ) from None
        return place

    def get_adapter(self, url: str) -> BaseAdapter:
        """Return the adapter for a URL, below the guard."""
        self._ready()
        return Guarded(self._guard, super().get_adapter(url))

    def send(self, request: PreparedRequest, **kwargs: Any) -> Response:
        """Send a prepared request.

        Raises:
            LoginRefused: the server refuses the profile's login, or did so before.
            Unreachable: and its kinds.
            GatepassError: a redirect wants a stream again, of which nothing is left.
        """
        self._ready()
        with self._located():
            return self._sent(request, kwargs)

    def _sent(self, request: PreparedRequest, kwargs: dict[str, Any]) -> Response:
        if is_spent(request):
            raise body_spent(request)
        failure: requests.RequestException
        try:
            response = super().send(request, **kwargs)
        except requests.RequestException as error:
            failure = explained(error, request)
            if isinstance(failure.request, PreparedRequest):
                failure.request = without_secrets(failure.request)
            if failure.response is not None:
                cleaned(failure.response)
        else:
            return cleaned(response)
        raise failure  # outside of the handler: the original may hold credentials

    def check(self) -> CheckResult:
        """Make one request, to the profile's ``check_path``, and explain the answer.

        Raises:
            LoginRefused: the server refuses the login.
            Unreachable: and its kinds; no answer came.
        """
        start, sent = time.perf_counter(), time.time()
        with self.get(self.profile.check_path, stream=True) as response:
            elapsed, received = time.perf_counter() - start, time.time()
        home = self._guard.is_home(response.request.url)
        mode = configuration(self._guard.challenges)
        return CheckResult(
            ok=home and response.status_code < _OK_BELOW,
            status=response.status_code,
            url=response.url,
            scheme=self.profile.scheme,
            user=self._secrets.user,
            server_configuration=mode,
            elapsed=elapsed,
            sentence=self._sentence(response, home=home),
            clock_skew=skew(response.headers, sent, received) if home else None,
        )

    def _sentence(self, response: Response, *, home: bool) -> str:
        answer = printable(f"{response.status_code} {response.reason or ''}".strip())
        if not home:
            return (
                f"{self.profile.origin} redirects to {origin_of(response.url)}, as a server does "
                "that wants a login in a browser"
            )
        if response.status_code >= _OK_BELOW:
            return f"{response.url} answers {answer}: check url and check_path of the profile"
        who = f" as {self._secrets.user}" if self._secrets.user else ""
        return f"{self.profile.origin} answers {answer} to {self.profile.scheme}{who}"

    @property
    def refresh_token(self) -> str:
        """The refresh token of this session. Never starts a login.

        Raises:
            LoginRequired: there is none yet.
            GatepassError: the scheme has none.
        """
        with self._located():
            token: str = self._ability("refresh_token")
            return token

    def persist_oidc_token(self) -> None:
        """Store the refresh token for later runs; logs in first where that is needed.

        Raises:
            GatepassError: the scheme has none.
        """
        with self._located():
            self._ability("persist_oidc_token")()

    def login(self) -> None:
        """Log in now, not at the first request; may need a person.

        Raises:
            GatepassError: the scheme logs on with each request, or by itself.
        """
        with self._located():
            self._ability("login")()
        self._guard.login.reset()

    def _ability(self, name: str) -> Any:
        self._ready()
        if not hasattr(type(self._authenticator), name):
            raise _NotOfThisScheme(
                f"{name} belongs to the scheme oidc; this session uses {self.profile.scheme}",
                hint='Session(url, oidc=True), or   scheme = "oidc"   in the profile',
            )
        return getattr(self._authenticator, name)

    def close(self) -> None:
        """Close all connections; the session may be used again."""
        super().close()
        if self._plain is not None:
            self._plain.close()

    def __repr__(self) -> str:
        try:
            profile = self.profile
        except GatepassError:
            return "<gatepass.Session that cannot be opened here>"
        name = f"{profile.name!r} " if profile.name else ""
        return f"<gatepass.Session {name}{profile.url} ({profile.scheme})>"

    def __reduce__(self) -> tuple[Any, ...]:
        self._mark = self._mark or uuid4().hex
        parcel = packed(self.profile, self._mark)
        # The settings apart: a hook may lead back to this session.
        return _unpickled, (type(self), parcel), settings(self, self.profile, self._own_adapters())

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Of another form only the parcel is known, and that says so at the first use.
        if (self._parcel or {}).get("form") == FORM:
            settle(self, state)

    def _own_adapters(self) -> dict[str, BaseAdapter]:
        """Return the adapters that the caller has mounted."""
        return {
            prefix: adapter
            for prefix, adapter in self.adapters.items()
            if not isinstance(adapter, Lanes | _NoLanes)
        }

    def __copy__(self) -> Self:
        return self._twin(_copied)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self._twin(lambda value: copy.deepcopy(value, memo), memo)

    def _twin(self, copied: Callable[[Any], Any], memo: dict[int, Any] | None = None) -> Self:
        """Return a session with the same login, its own connections, and copies of the settings."""
        self._ready()
        twin = self._in_context(self.profile, self._run, self._logged_on())
        twin._parcel = self._parcel  # noqa: SLF001 - it is of our own class
        if memo is not None:
            memo[id(self)] = twin  # a hook may lead back to this session
        for name in self.__attrs__:
            if name != "adapters":
                setattr(twin, name, copied(getattr(self, name)))
        for prefix, adapter in self._own_adapters().items():
            twin.mount(prefix, copied(adapter))
        return twin

    def _renew(self) -> None:
        """In a forked process, make connections and locks of its own.

        Two processes on one connection would mix their requests; a lock that another thread held
        during the fork would stay locked for ever.
        """
        plain = self._plain.adapters.values() if self._plain is not None else ()
        self._plain = None
        for adapter in {*self._own_adapters().values(), *plain}:
            if isinstance(adapter, HTTPAdapter):
                with suppress(AttributeError):  # one of the caller's that is none inside
                    leave(adapter)


@dataclass(frozen=True, slots=True)
class _LoggedOn:
    """What sessions share that log on as one.

    Attributes:
        secrets: the secrets.
        authenticator: what the scheme has made of them.
        proof: whether the server takes them.
    """

    secrets: ResolvedSecrets
    authenticator: "Authenticator"
    proof: Login


class _NoLanes(BaseAdapter):
    """Stands where the connections will be, in a session that is not open yet."""

    def close(self) -> None:
        """Do nothing."""


class _Opened:
    """The logins of sessions that came out of pickles, one for each session that was pickled.

    A pool opens one pickle for each task. If each logged on by itself, a wrong password would be
    sent once for each task, until the account is locked.

    Attributes:
        lock: held while a session is opened.
    """

    def __init__(self) -> None:
        self._logins: dict[str, _LoggedOn] = {}
        self.renew()
        renew_in_children(self, _Opened.renew)

    def renew(self) -> None:
        """Make the lock anew."""
        self.lock = RLock()

    def login(self, profile: Profile, mark: str) -> _LoggedOn:
        """Return the login for all pickles of a mark, made at the first question.

        Raises:
            GatepassError: it cannot be made here.
        """
        if mark not in self._logins:
            # A session that nobody else has: a task may close its own while others log on.
            run = RunContext.of(interactive=False)
            first = Session._in_context(profile, run)  # noqa: SLF001
            warn_if_unverified(profile)
            self._logins[mark] = first._logged_on()  # noqa: SLF001
            for oldest in list(self._logins)[:-_MOST_LOGINS]:
                del self._logins[oldest]
        return self._logins[mark]


_OPENED: Final = _Opened()


def _unpickled(kind: type[Session], parcel: Parcel) -> Session:
    """Build a session from a pickle; touches nothing. The name stands in pickles, so it stays."""
    session = kind.__new__(kind)
    # Nobody is asked where a pickle is opened.
    session._start(None, RunContext.of(interactive=False))  # noqa: SLF001
    session._parcel = parcel  # noqa: SLF001
    session._mark = parcel.get("mark", "")  # noqa: SLF001
    return session


def _copied(value: Any) -> Any:
    """A copy of a setting that shares no table or list with it."""
    if isinstance(value, dict):
        return {
            name: list(each) if isinstance(each, list) else each for name, each in value.items()
        }
    own = getattr(value, "copy", None)  # headers and cookies; copy.copy would share their tables
    return own() if callable(own) else copy.copy(value)


def _names_authorization(headers: Mapping[Any, Any]) -> bool:
    names = (name.decode("latin-1") if isinstance(name, bytes) else name for name in headers)
    return any(name.lower() == "authorization" for name in names)
