"""The guard: the profile's credentials go to the profile's origin, and nowhere else.

The session asks it for each request. A request that a caller, a hook or a redirect can see never
holds the profile's credentials: the guard copies it, lets the scheme log on with the copy, and
returns the response with the original request. A redirect starts from that original.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from http.cookiejar import CookieJar
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, TypeVar

import requests
from requests import PreparedRequest, Request, Response
from requests.adapters import BaseAdapter
from requests.hooks import dispatch_hook
from requests.utils import get_auth_from_url

from gatepass._net.challenge import Challenge, challenges_of
from gatepass._net.urls import is_http_on_loopback, prepare_url, target
from gatepass._session.connections import (
    AUTHENTICATED,
    CALLER_AUTH,
    CROSS_ORIGIN,
    Connections,
    ExclusiveConnection,
)
from gatepass._session.exceptions import LoginRefused, SchemeNotOffered, Unreachable
from gatepass._session.headers import (
    plain_headers,
    strip_late,
    strip_profile_headers,
    with_secret_headers,
)
from gatepass._session.login_state import Page, is_accepted
from gatepass._session.refused import Outlook, explain_refusal, lacks_scope, warn_of_another_server
from gatepass._session.request_state import (
    as_head,
    check_headers,
    close_on_error,
    drain_or_close,
    has_credentials,
    is_login_allowed,
    mark_caller_hooks,
    names_authorization,
    note_body_consumed,
    note_proof,
    proof_of,
    set_login,
    without_caller_hooks,
)
from gatepass._session.retries import RetryState, can_rewind
from gatepass._session.shared_login import SharedLogin
from gatepass._session.translate import translate_error
from gatepass._system import log, plugins
from gatepass._system.fork import PerProcess
from gatepass.auth import is_connection_bound, sends_credentials
from gatepass.auth._handshake import Handshake, rewind
from gatepass.errors import CannotLogOn, GatepassError
from gatepass.secrets import Secret

if TYPE_CHECKING:
    from gatepass._config.profile import Profile

T = TypeVar("T")

_REFUSED: Final = 401
_PROXY_ASKS: Final = 407


class Guard:
    """Sends requests, and decides which of them the profile's login is added to.

    Attributes:
        base: the profile's URL as requests sends it, ending in a slash.
        login: the secrets, what the scheme made of them, and whether the server accepts them.
        challenges: what the server offered in its last 401.
    """

    def __init__(
        self,
        profile: "Profile",
        login: SharedLogin,
        renew: Callable[[SharedLogin], SharedLogin | None],
        jar: Callable[[], CookieJar],
        headers: Mapping[str, Secret],
    ) -> None:
        self.base = prepare_url(profile.url)
        self.login = login
        self.challenges: tuple[Challenge, ...] = ()
        self._profile = profile
        self._secret_headers = headers  # on copies alone: nobody sees them on a request
        self._renew = renew
        self._given_up: SharedLogin | None = None
        self._renewal_locks = PerProcess(Lock)
        self._jar = jar  # returns the session's, which a caller may replace
        self._target = target(self.base)
        self._is_built_in = profile.scheme in plugins.BUILT_IN[plugins.AUTH]
        # Plain http to loopback is allowed without allow_http, so it must not leave by a proxy.
        sends = sends_credentials(profile.auth) or bool(headers)
        self._stays_here = sends and not profile.allow_http and is_http_on_loopback(self.base)

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
        is_callers = own is not None or names_authorization(given)
        if not to_profile:
            strip_profile_headers(prepared, self._profile, given)
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
            strip_profile_headers(redirected, self._profile, {})
        set_login(redirected, allowed=is_login_allowed(before) and to_profile)

    # ------------------------------------------------------------ sending

    def send(self, request: PreparedRequest, adapter: BaseAdapter, **kwargs: Any) -> Response:
        """Send one request over the connections that are for it, and again where that helps.

        Args:
            request: what to send.
            adapter: the session's connections, or an adapter that the caller mounted.
            kwargs: as for an adapter of requests.

        Raises:
            LoginRefused: the server refuses the profile's login, or did so before.
            Unreachable: and its kinds.
        """
        kind = self._kind_of(request)
        if kind != AUTHENTICATED:
            to = adapter.transports[kind] if isinstance(adapter, Connections) else adapter
            return self._send_without_login(kind, request, to, kwargs)
        if self._stays_here:
            kwargs["proxies"] = {}
        is_ours = isinstance(adapter, Connections)  # the caller's own adapter repeats by itself
        retries = RetryState(self._profile.retries if is_ours else 0, request, self._jar())
        while True:
            login = self.login
            failure: requests.RequestException
            try:
                response = self._send_once(request, adapter, kwargs)
                if not retries.wait_after_response(response):
                    return response
            except requests.RequestException as error:
                failure = translate_error(error, request)
                if isinstance(failure, Unreachable) and failure.repeats == "proven":
                    failure.repeats = "idempotent" if login.state.has_succeeded else ""
                if not (retries.wait_after(failure) or self._is_renewed(login, request)):
                    break
        raise failure  # outside of the handler: the original may hold credentials

    def _send_without_login(
        self, kind: str, request: PreparedRequest, to: BaseAdapter, kwargs: dict[str, Any]
    ) -> Response:
        """Send a request that the profile's login is not for."""
        if kind == CALLER_AUTH and self._secret_headers:
            return self._send_for_caller(request, to, kwargs)
        if kind == CROSS_ORIGIN:
            strip_late(request, self._profile)
        response = to.send(request, **kwargs)
        if kind == CROSS_ORIGIN and response.status_code == _REFUSED:
            warn_of_another_server(request, self._profile)
        return response

    def _send_for_caller(
        self, request: PreparedRequest, to: BaseAdapter, kwargs: dict[str, Any]
    ) -> Response:
        """Send a request with the caller's credentials and the profile's secret headers."""
        if self._stays_here:
            kwargs["proxies"] = {}
        try:
            response = to.send(with_secret_headers(request, self._secret_headers), **kwargs)
        except requests.RequestException as error:
            error.request = request
            raise
        response.request = request
        return response

    def _kind_of(self, request: PreparedRequest) -> str:
        """Choose the kind of connections."""
        if not self.is_profile_origin(request.url):
            return CROSS_ORIGIN
        # An Authorization header that was added to the prepared request is the caller's own.
        if is_login_allowed(request) and "Authorization" not in request.headers:
            return AUTHENTICATED
        return CALLER_AUTH

    def _borrow(
        self, adapter: BaseAdapter, *, fresh: bool = False
    ) -> AbstractContextManager[BaseAdapter]:
        """Return what to send over: an exclusive connection where the login belongs to one.

        Args:
            adapter: the session's connections, or the caller's adapter.
            fresh: whether it must be one that is not logged on.
        """
        if not isinstance(adapter, Connections):
            return nullcontext(adapter)
        if is_connection_bound(self._profile.auth):
            return adapter.borrow_exclusive(fresh=fresh)
        return nullcontext(adapter.transports[AUTHENTICATED])

    def _send_once(
        self, request: PreparedRequest, adapter: BaseAdapter, kwargs: dict[str, Any]
    ) -> Response:
        """Log on and send a request, without repeating it.

        An exclusive connection is logged on before a body is sent. In a handshake the body would be
        sent with each message; a stream would be lost with the first, since it can be read only
        once.
        """
        with self._borrow(adapter) as way:
            sent = self._authenticate(request)
            if not isinstance(way, ExclusiveConnection):
                return self._exchange(request, sent, way, kwargs, adapter)
            is_repeatable = isinstance(request.body, bytes | str | None)
            if (
                request.body is not None
                and not (way.logged_on and is_repeatable)
                and not self._holds_login(sent, request)
            ):
                handshake = self._prime(request, way, kwargs, adapter)
                sent = self._authenticate(request)
                handshake.add_cookies(sent)
            logged_on, way.logged_on = way.logged_on, False
            response = self._exchange(request, sent, way, kwargs, adapter)
            if logged_on and proof_of(response) == "not asked":
                note_proof(response, "sent")
            way.note_response(response)
            return response

    def _prime(
        self,
        request: PreparedRequest,
        way: ExclusiveConnection,
        kwargs: dict[str, Any],
        adapter: BaseAdapter,
    ) -> Handshake:
        """Log the connection on by a HEAD request for the same URL, without a body."""
        question = as_head(request)
        sent = self._authenticate(question)
        handshake = Handshake(way, sent, self._jar())
        try:
            answer = self._exchange(question, sent, handshake, {**kwargs, "stream": False}, adapter)
        except Unreachable as error:
            if error.repeats == "idempotent":
                error.repeats = "lost"  # nothing of the request itself was sent
            raise
        _ = answer.content  # read to the end, so that the connection can be used again
        return handshake

    def _exchange(
        self,
        request: PreparedRequest,
        sent: PreparedRequest,
        way: Any,
        kwargs: dict[str, Any],
        adapter: BaseAdapter,
    ) -> Response:
        """Send the copy that the scheme prepared, let the scheme answer a challenge, and judge."""
        state = self.login.state
        successes, decisions = state.successes, state.decisions
        carried = self._holds_login(sent, request)
        with ExitStack() as turn:
            if carried:
                asks_there = partial(self._asks_for_login, adapter, kwargs, request.url or "")
                turn.enter_context(state.attempt(asks=asks_there))
            # Else no credentials go out before the server asks, and no other thread has to wait.
            first = way.send(sent, **kwargs)
            turn.enter_context(close_on_error(first))
            asks = first.status_code == _REFUSED
            if asks and not carried:
                turn.enter_context(state.attempt(successes))
            response = self._answer_challenge(sent, first, kwargs)
            carried = self._holds_login(response.request, request)
            # Requests of a handshake hold credentials, and their hooks hold the secret.
            for each in (*response.history, response):
                each.request = request
                connection: Any = getattr(each, "connection", None)
                if isinstance(connection, Handshake):
                    each.connection = connection.adapter
            if response.status_code != _REFUSED:
                note_proof(response, "not asked" if not carried else "asked" if asks else "sent")
                if carried:
                    page = Page(request.url or "", asks=asks)
                    state.record_success(response.status_code, page)
                return response
            explain = self._refusal_of(response, carried=carried)
            if not carried or lacks_scope(self.challenges):
                raise explain(False)
            log.info("login refused by %s", request.url)
            url = request.url if request.method == "GET" else None
            is_answered = partial(self._is_answered, adapter, kwargs)
            raise state.record_refusal(explain, decisions, url, is_answered)

    def _question(self, url: str) -> PreparedRequest:
        """Return a GET for a page, without a login."""
        question = PreparedRequest()
        headers = {**requests.utils.default_headers(), **plain_headers(self._profile)}
        question.prepare("GET", url, headers, cookies=self._jar(), hooks={"response": []})
        return question

    def _asks_for_login(
        self, adapter: BaseAdapter, kwargs: dict[str, Any], url: str, page: Page | None
    ) -> bool | None:
        """Whether a page asks for a login, or a URL; see :meth:`LoginState.attempt`."""
        question = self._question(page.url if page else url)
        try:
            with (
                self._borrow(adapter, fresh=True) as way,
                way.send(
                    with_secret_headers(question, self._secret_headers),
                    **{**kwargs, "stream": True},
                ) as answer,
            ):
                return answer.status_code == _REFUSED
        except (requests.RequestException, GatepassError):
            return None

    def _is_answered(self, adapter: BaseAdapter, kwargs: dict[str, Any], page: Page) -> bool | None:
        """Ask once more for a page that was answered; see :meth:`LoginState.record_refusal`."""
        page.asks = page.asks or self._asks_for_login(adapter, kwargs, "", page) is True
        if not page.asks:
            return None
        question, kwargs = self._question(page.url), {**kwargs, "stream": True}
        try:
            with self._borrow(adapter, fresh=True) as way:
                sent = self._authenticate(question)
                with self._answer_challenge(sent, way.send(sent, **kwargs), kwargs) as answer:
                    status = answer.status_code
                    carried = self._holds_login(answer.request, question)
        except (requests.RequestException, GatepassError):
            return None
        if not carried or not (status == _REFUSED or is_accepted(status)):
            return None
        return status != _REFUSED

    def _authenticate(self, request: PreparedRequest) -> PreparedRequest:
        """Return a copy of the request that the scheme has prepared."""
        refusal = self.login.state.refusal
        if refusal is not None and refusal.response is not None:
            raise self._refusal_of(refusal.response, carried=True)(True)
        sent = with_secret_headers(request, self._secret_headers)
        sent.hooks = {"response": []}
        if is_connection_bound(self._profile.auth):
            # The first message is refused, and a server closes the connection of a request that
            # waits with its body.
            sent.headers.pop("Expect", None)
        authenticator = self.login.authenticator
        self._call_scheme("cannot log a request on", lambda: sent.prepare_auth(authenticator))
        known = with_secret_headers(request, self._secret_headers)
        check_headers(sent, known, self._profile.scheme, only_login=self._is_built_in)
        return sent

    def _call_scheme(self, failing: str, call: Callable[[], T]) -> T:
        """Call a scheme, which may raise what a request may; other errors name the scheme."""
        return plugins.call(
            plugins.AUTH,
            self._profile.scheme,
            failing,
            call,
            passing=(requests.RequestException,),
            holds_secret=self.login.secrets.holds_secret,
        )

    def _holds_login(self, sent: PreparedRequest, request: PreparedRequest) -> bool:
        """Whether a request holds something that the scheme added to the original."""
        if self._is_built_in:  # those add this header and nothing else
            return "Authorization" in sent.headers
        return has_credentials(sent, with_secret_headers(request, self._secret_headers))

    def _answer_challenge(
        self, sent: PreparedRequest, response: Response, kwargs: dict[str, Any]
    ) -> Response:
        """Let the scheme answer a challenge."""
        if response.status_code == _REFUSED:
            self.challenges = challenges_of(response)
            schemes = ", ".join(dict.fromkeys(each.scheme for each in self.challenges))
            log.debug("401 from %s; it offers: %s", response.url, schemes or "no scheme")
            carrier: Any = getattr(response, "connection", None)  # an adapter may not set it
            if not isinstance(carrier, Handshake):
                handshake: Any = Handshake(carrier, response.request, self._jar())
                handshake.learn(response)
                response.connection = handshake
        if response.status_code == _PROXY_ASKS:  # a proxy must not get the server's credentials
            return response
        try:
            return self._call_scheme(
                "cannot answer the server", lambda: _run_hooks(sent, response, kwargs)
            )
        except CannotLogOn as error:
            refusal = SchemeNotOffered(error.message, hint=error.hint, response=response)
        raise refusal

    def _refusal_of(self, response: Response, *, carried: bool) -> Callable[[bool], LoginRefused]:
        """Read a refusal; return what makes the error, where the login is not sent again or is."""
        drain_or_close(response)  # now: the connection serves another request after this one
        login = self.login

        def explain(final: bool) -> LoginRefused:
            outlook: Outlook = "goes on"
            if final:
                outlook = "ends process" if login.state.is_shared else "ends session"
            return explain_refusal(
                response, self._profile, login.secrets.user, carried=carried, outlook=outlook
            )

        return explain

    def _is_renewed(self, used: SharedLogin, request: PreparedRequest) -> bool:
        """Whether to send a request again, by a login that has taken the place of a refused one.

        Where the server refuses a password that it took before, its reference is resolved once
        more.
        """
        if not (used.state.has_changed and can_rewind(request) and rewind(request)):
            return False
        with self._renewal_locks.get():
            if self.login is used and self._given_up is not used:
                self._given_up = used
                self.login = self._renew(used) or used
            return self.login is not used


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


def _run_hooks(sent: PreparedRequest, response: Response, kwargs: dict[str, Any]) -> Response:
    """Run the hooks that the scheme registered; one of them may answer a challenge."""
    found: Response = dispatch_hook("response", sent.hooks, response, **kwargs)  # type: ignore[no-untyped-call]
    return found
