"""``Session``: a ``requests.Session`` that knows its server and how to log on there."""

import copy
import os
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self
from urllib.parse import urlsplit

import requests
from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter
from requests.exceptions import InvalidURL
from requests.utils import get_auth_from_url

from gatepass import _profiles
from gatepass._address import below, target
from gatepass._challenge import configuration
from gatepass._failures import body_spent, explained, without_secrets
from gatepass._guard import (
    Guard,
    Guarded,
    cleaned,
    is_marked,
    is_spent,
    mark,
    mark_spent,
    tell_own_hooks,
    without_own_hooks,
)
from gatepass._keywords import auth_table, check_url
from gatepass._lanes import Lanes
from gatepass._pickling import portable, restored
from gatepass._profiles import Profile, origin_of
from gatepass._settings import ConfigFile
from gatepass._terminal import Terminal
from gatepass._tls import ClientCertificate, trusted
from gatepass._transport import Network
from gatepass._trust import printable
from gatepass._unlocked import Found, Unlocked, vault_place
from gatepass.auth import AuthContext, basic_header
from gatepass.errors import GatepassError, GatepassWarning
from gatepass.secrets import Secret, SecretRef

_PREFIXES: Final = ("https://", "http://")
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
    """

    ok: bool
    status: int
    url: str
    scheme: str
    user: str | None
    server_configuration: str | None
    elapsed: float
    sentence: str


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

    One session may be used by several threads, and after a fork. A copy or a pickle of it carries
    the profile and no connection; a pickle carries no secret either, and no header, cookie or
    other setting that was made on the session, ``max_redirects`` apart.

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

    profile: Profile

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
        auth = auth_table(
            {"autologon": autologon, "oidc": oidc, "anonymous": anonymous},
            {"user_name": user_name, "password": password, "domain": domain},
            {"use_stored_token": use_stored_token or None, "refresh_token": refresh_token},
        )
        self._open(_profiles.unnamed(url, auth, **keys), environ, interactive, terminal)
        _warn_if_unverified(self.profile)

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
        profile = _profiles.load(
            name, config_file=config_file, overrides=overrides, environ=environ
        )
        session = cls._from_checked(
            profile, environ=environ, interactive=interactive, terminal=terminal
        )
        _warn_if_unverified(profile)
        return session

    @classmethod
    def _from_checked(
        cls,
        profile: Profile,
        *,
        environ: Mapping[str, str] | None = None,
        interactive: bool | None = None,
        terminal: Terminal | None = None,
        found: Found | None = None,
    ) -> Self:
        """Build a session from a profile that is already checked."""
        session = cls.__new__(cls)
        session._open(  # noqa: SLF001 - the second half of its constructor
            profile, environ, interactive, terminal, found
        )
        return session

    def _open(
        self,
        profile: Profile,
        environ: Mapping[str, str] | None,
        interactive: bool | None,
        terminal: Terminal | None,
        found: Found | None = None,
    ) -> None:
        super().__init__()
        self.profile = profile
        self._environ = os.environ if environ is None else environ
        self._interactive = interactive
        self._terminal = terminal or Terminal(self._environ, interactive=interactive)
        self._unlocked = Unlocked(profile, self._environ, self._terminal, found)
        self._network, certificate = _network(profile, self._environ, self._unlocked)
        self._plain: requests.Session | None = None
        self._authenticator = profile.auth.authenticator(self._context())
        self._unlocked.raise_missing()
        self._guard = Guard(profile, self._authenticator, self._unlocked)
        self._process = os.getpid()
        # No netrc, and no REQUESTS_CA_BUNDLE above tls.ca_file: the network looks itself.
        self.trust_env = False
        self.verify = profile.tls.verify
        self.headers.update(profile.headers)
        lanes = Lanes(self._network, certificate)
        if profile.tls.ca_file or certificate:
            lanes.read_files()
        for prefix in _PREFIXES:
            self.mount(prefix, lanes)

    def _context(self) -> AuthContext:
        return AuthContext(
            profile_name=self.profile.name,
            url=self.profile.url,
            origin=self.profile.origin,
            resolve=self._unlocked,
            http=self._http,
            vault=vault_place(self.profile, self._environ, self._terminal, time.time),
            environ=self._environ,
            clock=time.time,
            terminal=self._terminal,
        )

    def _http(self) -> requests.Session:
        self._renew_after_fork()
        if self._plain is None:
            self._plain = self._network.plain_session()
        return self._plain

    def prepare_request(self, request: requests.Request) -> PreparedRequest:
        """Prepare a request, below the profile's URL; the login is added when it is sent."""
        asked = copy.copy(request)
        asked.url = below(self._guard.base, request.url or "")
        # An auth for each request: without one, requests would look into ~/.netrc.
        asked.auth = lambda prepared: self._assigned(prepared, request)
        return super().prepare_request(asked)

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
        return Guarded(self._guard, super().get_adapter(url))

    def send(self, request: PreparedRequest, **kwargs: Any) -> Response:
        """Send a prepared request.

        Raises:
            LoginRefused: the server refuses the profile's login, or did so before.
            Unreachable: and its kinds.
            GatepassError: a redirect wants a stream again, of which nothing is left.
        """
        self._renew_after_fork()
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
        start = time.perf_counter()
        with self.get(self.profile.check_path, stream=True) as response:
            elapsed = time.perf_counter() - start
        home = self._guard.is_home(response.request.url)
        mode = configuration(self._guard.challenges)
        return CheckResult(
            ok=home and response.status_code < _OK_BELOW,
            status=response.status_code,
            url=response.url,
            scheme=self.profile.scheme,
            user=self._unlocked.user,
            server_configuration=mode,
            elapsed=elapsed,
            sentence=self._sentence(response, home=home),
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
        who = f" as {self._unlocked.user}" if self._unlocked.user else ""
        return f"{self.profile.origin} answers {answer} to {self.profile.scheme}{who}"

    @property
    def refresh_token(self) -> str:
        """The refresh token of this session. Never starts a login.

        Raises:
            LoginRequired: there is none yet.
            GatepassError: the scheme has none.
        """
        token: str = self._ability("refresh_token")
        return token

    def persist_oidc_token(self) -> None:
        """Store the refresh token for later runs; logs in first where that is needed.

        Raises:
            GatepassError: the scheme has none.
        """
        self._ability("persist_oidc_token")()

    def login(self) -> None:
        """Log in now, not at the first request; may need a person.

        Raises:
            GatepassError: the scheme logs on with each request, or by itself.
        """
        self._ability("login")()
        self._guard.login.reset()

    def _ability(self, name: str) -> Any:
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
        name = f"{self.profile.name!r} " if self.profile.name else ""
        return f"<gatepass.Session {name}{self.profile.url} ({self.profile.scheme})>"

    def __reduce__(self) -> tuple[Any, ...]:
        state = {
            "profile": portable(self.profile),
            # Without a person's word, nobody is asked where the pickle is opened.
            "interactive": self._interactive is True,
            "max_redirects": self.max_redirects,
        }
        return _unpickled, (type(self), state)

    def __copy__(self) -> Self:
        return self._twin(copy.copy)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self._twin(lambda value: copy.deepcopy(value, memo))

    def _twin(self, copied: Callable[[Any], Any]) -> Self:
        """Return a session with the same secrets and settings, and its own connections."""
        twin = self._from_checked(
            self.profile,
            environ=self._environ,
            interactive=self._interactive,
            terminal=self._terminal,
            found=self._unlocked.found,
        )
        for name in requests.Session.__attrs__:
            if name != "adapters":
                setattr(twin, name, copied(getattr(self, name)))
        return twin

    def _renew_after_fork(self) -> None:
        """In a forked process, make connections and locks of its own.

        Two processes on one connection would mix their requests; a lock that another thread held
        during the fork would stay locked for ever. The old connections are not closed: that
        would need their locks.
        """
        if self._process == os.getpid():
            return
        for prefix, adapter in self.adapters.items():
            if isinstance(adapter, Lanes):
                self.adapters[prefix] = adapter.renewed()
        self._plain = None
        self._guard.login.renew()
        self._process = os.getpid()


def _unpickled(kind: type[Session], state: dict[str, Any]) -> Session:
    """Build a session from a pickle; resolves the references anew."""
    profile = restored(state["profile"])
    session = kind._from_checked(  # noqa: SLF001 - pickle calls functions, not methods
        profile, interactive=state["interactive"]
    )
    session.max_redirects = state["max_redirects"]
    _warn_if_unverified(profile)
    return session


def _network(
    profile: Profile, environ: Mapping[str, str], unlocked: Unlocked
) -> tuple[Network, ClientCertificate | None]:
    """Resolve the secrets of proxy and client key, and describe the way to the server."""
    proxy, tls = profile.proxy, profile.tls
    header = None
    if proxy is not None:
        fields = {"user_name": proxy.user_name, "password": proxy.password}
        found = unlocked.collect("proxy.", fields)
        if len(found) == len(fields):
            pair = (found["user_name"].reveal(), found["password"].reveal())
            header = Secret(basic_header(*pair))
    key = unlocked.collect("tls.", {"client_key_password": tls.client_key_password})
    certificate = None
    if tls.client_cert:
        password = key.get("client_key_password")
        certificate = ClientCertificate(tls.client_cert, tls.client_key, password)
    network = Network(
        environ=environ,
        timeout=profile.timeout,
        retries=profile.retries,
        trust=trusted(tls.ca_file, environ),
        verify=tls.verify,
        proxy=proxy,
        proxy_header=header,
        # Permitted without allow_http because it never leaves this computer: so it must not.
        stays_here=getattr(profile.auth, "sends_credentials", True) and not profile.allow_http,
    )
    return network, certificate


def _names_authorization(headers: Mapping[Any, Any]) -> bool:
    names = (name.decode("latin-1") if isinstance(name, bytes) else name for name in headers)
    return any(name.lower() == "authorization" for name in names)


def _warn_if_unverified(profile: Profile) -> None:
    if not profile.tls.verify:
        warnings.warn(
            f"tls.verify = false: nothing proves that {profile.origin} is the right server",
            GatepassWarning,
            stacklevel=3,
        )
