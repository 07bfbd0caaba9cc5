"""The guard: the profile's credentials go to the profile's origin, and nowhere else.

The session asks it for each request. A request that a caller, a hook or a redirect can see never
holds the profile's credentials: the guard copies it, lets the scheme log on with the copy, and
returns the response with the original request. A redirect starts from that original.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from http.cookiejar import CookieJar
from typing import TYPE_CHECKING, Any, Final, TypeVar

import requests
from requests import PreparedRequest, Request, Response
from requests.adapters import BaseAdapter
from requests.hooks import dispatch_hook
from requests.structures import CaseInsensitiveDict
from requests.utils import check_header_validity, get_auth_from_url

from gatepass._net.challenge import Challenge, challenges_of
from gatepass._net.urls import prepare_url, target
from gatepass._session.connections import (
    AUTHENTICATED,
    CALLER_AUTH,
    CROSS_ORIGIN,
    Connections,
    ExclusiveConnection,
)
from gatepass._session.exceptions import LoginRefused
from gatepass._session.login_cookies import LoginConnection
from gatepass._session.login_state import LoginState
from gatepass._session.refused import explain_refusal
from gatepass._session.request_state import (
    Proof,
    is_login_allowed,
    mark_caller_hooks,
    note_body_consumed,
    note_proof,
    proof_of,
    set_login,
    without_caller_hooks,
)
from gatepass._system import log, plugins
from gatepass.auth import is_connection_bound
from gatepass.auth._handshake import closes_connection, drain, rewind
from gatepass.errors import GatepassError

if TYPE_CHECKING:
    from gatepass._config.profile import Profile
    from gatepass._session.resolve import ResolvedSecrets
    from gatepass.auth import Authenticator

T = TypeVar("T")

_REFUSED: Final = 401
_PROXY_ASKS: Final = 407


class Guard:
    """Sends requests, and decides which of them the profile's login is added to.

    Attributes:
        base: the profile's URL as requests sends it, ending in a slash.
        login: whether the server accepts the credentials.
        challenges: what the server offered in its last 401.
    """

    def __init__(
        self,
        profile: "Profile",
        authenticator: "Authenticator",
        secrets: "ResolvedSecrets",
        jar: Callable[[], CookieJar],
    ) -> None:
        self.base = prepare_url(profile.url)
        self.login = LoginState()
        self.challenges: tuple[Challenge, ...] = ()
        self._profile = profile
        self._authenticator = authenticator
        self._secrets = secrets
        self._jar = jar  # returns the session's, which a caller may replace
        self._target = target(self.base)

    def is_profile_origin(self, url: str | None) -> bool:
        """Whether requests connects to the profile's server for a prepared URL."""
        return target(url) == self._target

    # ------------------------------------------------------------ before a request is sent

    def assign(
        self, prepared: PreparedRequest, request: Request, session: requests.Session
    ) -> PreparedRequest:
        """Decide whose credentials a request takes, and apply the caller's.

        Credentials of the caller replace the profile's login. Those that are set on the session go
        to the profile's origin only.

        Args:
            prepared: the request with its final URL; it is changed.
            request: the request as the caller gave it.
            session: the session, with the caller's ``auth`` and ``headers``.
        """
        given = request.headers or {}
        to_profile = self.is_profile_origin(prepared.url)
        userinfo = get_auth_from_url(prepared.url or "")
        own = request.auth or (userinfo if any(userinfo) else None)
        is_callers = own is not None or _names_authorization(given)
        if not to_profile:
            self.strip_profile_headers(prepared, given)
            if not is_callers:  # then it came from session.headers
                prepared.headers.pop("Authorization", None)
        elif not is_callers:
            own = session.auth or None
            is_callers = own is not None or "Authorization" in session.headers
        if own is not None:
            prepared.prepare_auth(own)
            mark_caller_hooks(prepared)
        set_login(prepared, allowed=to_profile and not is_callers)
        return prepared

    def reassign(self, redirected: PreparedRequest, response: Response) -> None:
        """Decide which credentials a redirected request keeps.

        The caller's own credentials, and the hooks of its ``auth=``, are removed where the redirect
        leads to another origin. The profile's login stays allowed as long as all requests of the
        chain went to the profile's origin.
        """
        before = response.request
        note_body_consumed(redirected)
        if target(before.url) != target(redirected.url):
            redirected.headers.pop("Authorization", None)
            redirected.hooks = without_caller_hooks(before)
        to_profile = self.is_profile_origin(redirected.url)
        if not to_profile:
            self.strip_profile_headers(redirected, {})
        set_login(redirected, allowed=is_login_allowed(before) and to_profile)

    def strip_profile_headers(self, request: PreparedRequest, kept: Mapping[str, Any]) -> None:
        """Remove the profile's headers from a request to another server.

        Args:
            request: loses them; where requests has a default of that name, it gets the default.
            kept: headers that the caller gave with this very request.
        """
        own = {name.lower() for name in kept}
        defaults = requests.utils.default_headers()
        for name, value in self._profile.headers.items():
            if name.lower() not in own and request.headers.get(name) == value:
                del request.headers[name]
                if name in defaults:
                    request.headers[name] = defaults[name]

    # ------------------------------------------------------------ sending

    def send(self, request: PreparedRequest, adapter: BaseAdapter, **kwargs: Any) -> Response:
        """Send one request over the connections that are for it.

        Args:
            request: what to send.
            adapter: the session's connections, or an adapter that the caller mounted.
            kwargs: as for an adapter of requests.

        Raises:
            LoginRefused: the server refuses the profile's login, or did so before.
            Unreachable: and its kinds.
        """
        kind = self._kind_of(request)
        if not isinstance(adapter, Connections):  # the caller mounted another one
            if kind != AUTHENTICATED:
                return adapter.send(request, **kwargs)
            return self._exchange(request, self._authenticate(request), adapter, kwargs)
        if kind != AUTHENTICATED:
            return adapter.transports[kind].send(request, **kwargs)
        if not is_connection_bound(self._profile.auth):
            transport = adapter.transports[kind]
            return self._exchange(request, self._authenticate(request), transport, kwargs)
        with adapter.borrow_exclusive() as connection:
            return self._send_exclusively(request, connection, kwargs)

    def _kind_of(self, request: PreparedRequest) -> str:
        """Choose the kind of connections."""
        if not self.is_profile_origin(request.url):
            return CROSS_ORIGIN
        # An Authorization header that was added to the prepared request is the caller's own.
        if is_login_allowed(request) and "Authorization" not in request.headers:
            return AUTHENTICATED
        return CALLER_AUTH

    def _send_exclusively(
        self, request: PreparedRequest, connection: ExclusiveConnection, kwargs: dict[str, Any]
    ) -> Response:
        """Send a request over a connection that is logged on itself.

        Where the server answers "not now", start again with a new handshake: the message or ticket
        that was answered so cannot be sent a second time.
        """
        retries = connection.transport.retry_state(request)
        while True:
            response = self._send_exclusively_once(request, connection, kwargs)
            if not retries.wait_to_retry(response) or not rewind(request):
                return response

    def _send_exclusively_once(
        self, request: PreparedRequest, connection: ExclusiveConnection, kwargs: dict[str, Any]
    ) -> Response:
        """Send a request over an exclusive connection, once.

        Log the connection on before a body is sent. In a handshake the body would be sent with each
        message; a stream would be lost with the first, since it can be read only once.
        """
        sent = self._authenticate(request)
        if request.body is not None and not _has_credentials(sent, request):
            repeatable = isinstance(request.body, bytes | str)
            if not (connection.logged_on and repeatable):
                login = self._prime(request, connection, kwargs)
                sent = self._authenticate(request)
                login.add_to(sent)
        logged_on, connection.logged_on = connection.logged_on, False
        response = self._exchange(request, sent, connection.transport, kwargs)
        if logged_on and proof_of(response) == "not asked":
            note_proof(response, "sent")
        connection.note_response(response)
        connection.logged_on = not closes_connection(response)
        return response

    def _prime(
        self, request: PreparedRequest, connection: ExclusiveConnection, kwargs: dict[str, Any]
    ) -> LoginConnection:
        """Log the connection on by a HEAD request for the same URL, without a body."""
        question = request.copy()
        question.method, question.body = "HEAD", None
        question.hooks = {"response": []}
        for name in _OF_A_BODY:
            question.headers.pop(name, None)
        sent = self._authenticate(question)
        login = LoginConnection(connection.transport, sent, self._jar())
        answer = self._exchange(question, sent, login, {**kwargs, "stream": False})
        _ = answer.content  # read to the end, so that the connection can be used again
        return login

    def _exchange(
        self,
        request: PreparedRequest,
        sent: PreparedRequest,
        adapter: BaseAdapter,
        kwargs: dict[str, Any],
    ) -> Response:
        """Send the copy that the scheme prepared, and let the scheme answer a challenge."""
        if _has_credentials(sent, request):
            with self.login.attempt():
                response = adapter.send(sent, **kwargs)
                with _close_on_error(response):
                    return self._let_scheme_answer(request, sent, response, kwargs)
        self.login.raise_refusal()
        successes = self.login.successes
        # The scheme sends no credentials before the server asks, so no other thread has to wait.
        response = adapter.send(sent, **kwargs)
        refused = response.status_code == _REFUSED
        attempt = self.login.attempt(successes) if refused else nullcontext()
        with _close_on_error(response), attempt:
            return self._let_scheme_answer(request, sent, response, kwargs)

    def _authenticate(self, request: PreparedRequest) -> PreparedRequest:
        """Return a copy of the request that the scheme has prepared."""
        self.login.raise_refusal()
        sent = request.copy()
        sent.hooks = {"response": []}
        self._call_scheme("cannot log a request on", lambda: sent.prepare_auth(self._authenticator))
        self._check_headers(sent, request)
        return sent

    def _call_scheme(self, failing: str, call: Callable[[], T]) -> T:
        """Call a scheme, which may raise what a request may; other errors name the scheme."""
        return plugins.call(
            plugins.AUTH,
            self._profile.scheme,
            failing,
            call,
            passing=(requests.RequestException,),
            holds_secret=self._secrets.holds_secret,
        )

    def _check_headers(self, sent: PreparedRequest, request: PreparedRequest) -> None:
        """Refuse a scheme's header that cannot be sent: http.client's error would repeat it."""
        before = _in_lower_case(request.headers)
        for name, value in _in_lower_case(sent.headers).items():
            if before.get(name) != value and not _can_be_sent(name, value):
                written = next(each for each in sent.headers if each.lower() == name)
                raise GatepassError(
                    f"the scheme {self._profile.scheme} made a header {written} that cannot be "
                    "sent",
                    hint="look for a line break or an odd character in its secret",
                )

    def _let_scheme_answer(
        self,
        request: PreparedRequest,
        sent: PreparedRequest,
        response: Response,
        kwargs: dict[str, Any],
    ) -> Response:
        """Let the scheme answer a challenge, then record what the last response says."""
        was_asked = response.status_code == _REFUSED
        if was_asked:
            self.challenges = challenges_of(response)
            schemes = ", ".join(dict.fromkeys(each.scheme for each in self.challenges))
            log.debug("401 from %s; it offers: %s", request.url, schemes or "no scheme")
            carrier: Any = getattr(response, "connection", None)  # an adapter may not set it
            if not isinstance(carrier, LoginConnection):
                login: Any = LoginConnection(carrier, response.request, self._jar())
                login.learn(response)
                response.connection = login
        if response.status_code != _PROXY_ASKS:  # a proxy must not get the server's credentials
            first = response
            response = self._call_scheme(
                "cannot answer the server", lambda: _run_hooks(sent, first, kwargs)
            )
        carried = _has_credentials(response.request, request)
        # Requests of a handshake hold credentials, and their hooks hold the secret.
        for each in (*response.history, response):
            each.request = request
            connection: Any = getattr(each, "connection", None)
            if isinstance(connection, LoginConnection):
                each.connection = connection.adapter
        if response.status_code != _REFUSED:
            proof: Proof = "asked" if carried and was_asked else "sent" if carried else "not asked"
            note_proof(response, proof)
            if carried:
                self.login.record_success(response.status_code)
            return response
        refusal = self._refusal_of(response, carried=carried)
        if carried:
            log.info("login refused by %s", request.url)
            self.login.record_refusal(refusal)
        raise refusal

    def _refusal_of(self, response: Response, *, carried: bool) -> LoginRefused:
        try:
            drain(response)  # now: the connection serves another request after this one
        except requests.RequestException:
            response._content = b""  # noqa: SLF001 - the page is cut off; it is a refusal anyway
        return explain_refusal(response, self._profile, self._secrets.user, carried=carried)


@contextmanager
def _close_on_error(response: Response) -> Iterator[None]:
    """Close a response that no caller will get."""
    try:
        yield
    except BaseException:
        response.close()
        raise


class GuardedAdapter(BaseAdapter):
    """What a session returns as the adapter for a URL; lives for one request."""

    def __init__(self, guard: Guard, adapter: BaseAdapter) -> None:
        super().__init__()
        self._guard = guard
        self._adapter = adapter

    def send(self, request: PreparedRequest, **kwargs: Any) -> Response:  # type: ignore[override]
        """Send through the guard."""
        return self._guard.send(request, self._adapter, **kwargs)

    def close(self) -> None:
        """Close the adapter below."""
        self._adapter.close()


_OF_A_BODY: Final = ("Content-Length", "Content-Type", "Content-Encoding", "Transfer-Encoding")
# Headers that requests itself may change between the original and the copy.
_NOT_OF_A_SCHEME: Final = ("cookie", "content-length", "transfer-encoding")


def _has_credentials(sent: PreparedRequest, request: PreparedRequest) -> bool:
    """Whether a request holds something that the scheme added to the original."""
    if sent.url != request.url or sent.body is not request.body:
        return True
    if sent.headers.get("Authorization") != request.headers.get("Authorization"):
        return True  # the usual case first: comparing all headers takes longer
    before, after = _in_lower_case(request.headers), _in_lower_case(sent.headers)
    for headers in (before, after):
        for name in _NOT_OF_A_SCHEME:
            headers.pop(name, None)
    return before != after


def _in_lower_case(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Return headers by their names in lower case; a scheme may have put a dict in their place."""
    if isinstance(headers, CaseInsensitiveDict):
        return dict(headers.lower_items())
    return {name.lower(): value for name, value in headers.items()}


def _names_authorization(headers: Mapping[Any, Any]) -> bool:
    names = (name.decode("latin-1") if isinstance(name, bytes) else name for name in headers)
    return any(name.lower() == "authorization" for name in names)


def _run_hooks(sent: PreparedRequest, response: Response, kwargs: dict[str, Any]) -> Response:
    """Run the hooks that the scheme registered; one of them may answer a challenge."""
    found: Response = dispatch_hook("response", sent.hooks, response, **kwargs)  # type: ignore[no-untyped-call]
    return found


def _can_be_sent(name: str, value: Any) -> bool:
    try:
        check_header_validity((name, value))
        return isinstance(value, bytes) or bool(value.encode("latin-1"))
    except (ValueError, AttributeError):
        return False
