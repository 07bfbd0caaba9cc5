"""The guard: the profile's credentials go to the profile's server, and nowhere else.

Credentials never stand in a request that a caller, a hook or a redirect can see. When a request
of the profile is about to leave for home, the guard makes a copy, lets the scheme log on with it,
and gives back the answer with the original request. A redirect starts from that original, so
nothing that must not travel can travel.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from threading import RLock
from typing import TYPE_CHECKING, Any, Final, TypeVar

import requests
from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter
from requests.hooks import dispatch_hook
from requests.structures import CaseInsensitiveDict
from requests.utils import check_header_validity

from gatepass._net.challenge import Challenge, offered
from gatepass._net.urls import prepared, target
from gatepass._session.connections import ABROAD, GUEST, PROFILE, Lanes, Line
from gatepass._session.exceptions import SECRET_HEADERS, LoginRefused, without_secrets
from gatepass._session.refused import explain_refusal
from gatepass._system import log, plugins
from gatepass._system.fork import renew_in_children
from gatepass.auth import is_connection_bound
from gatepass.auth._handshake import closes, drained, rewound
from gatepass.errors import GatepassError

if TYPE_CHECKING:
    from gatepass._config.profile import Profile
    from gatepass._session.resolve import ResolvedSecrets
    from gatepass.auth import Authenticator

T = TypeVar("T")

_REFUSED: Final = 401
_PROXY_ASKS: Final = 407
# Answers that come before a server looks at the credentials, or instead of that.
_UNDECIDED: Final = frozenset({_PROXY_ASKS, 408, 421, 425, 429, 431})
_MARK: Final = "_gatepass"
_SPENT: Final = "_gatepass_spent"


def mark(request: PreparedRequest, *, login: bool) -> None:
    """Note on a request whether the profile's login belongs to it while it is at home."""
    request.__dict__[_MARK] = login


def is_marked(request: PreparedRequest) -> bool:
    """Return what :func:`mark` noted; False for a copy, and for a request from elsewhere."""
    return bool(request.__dict__.get(_MARK))


def mark_spent(request: PreparedRequest) -> None:
    """Note on a redirected request whether its body has been read and cannot be read again.

    requests would send what is left of a stream: nothing.
    """
    stream = not isinstance(request.body, bytes | str | None)
    # requests rewinds what has a position, or says that it cannot.
    request.__dict__[_SPENT] = stream and getattr(request, "_body_position", None) is None


def is_spent(request: PreparedRequest) -> bool:
    """Return what :func:`mark_spent` noted."""
    return bool(request.__dict__.get(_SPENT))


class _OwnHook:
    """A hook that the caller's ``auth=`` registered; it may answer one server only."""

    def __init__(self, hook: Any) -> None:
        self._hook = hook

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._hook(*args, **kwargs)

    def __eq__(self, other: object) -> bool:
        # An auth that takes its hook away again looks for the one that it registered.
        return bool(self._hook == (other._hook if isinstance(other, _OwnHook) else other))

    def __hash__(self) -> int:
        return hash(self._hook)


def tell_own_hooks(request: PreparedRequest) -> None:
    """Note that all hooks of a request so far come from the caller's ``auth=``."""
    request.hooks["response"] = [_OwnHook(hook) for hook in request.hooks["response"]]


def without_own_hooks(request: PreparedRequest) -> dict[str, Any]:
    """Return a request's hooks without those of the caller's ``auth=``."""
    hooks = [hook for hook in request.hooks["response"] if not isinstance(hook, _OwnHook)]
    return {**request.hooks, "response": hooks}


class Login:
    """Whether the server takes the profile's credentials: not known yet, proven or refused."""

    def __init__(self) -> None:
        self._proven = False
        self._proofs = 0
        self._refusal: LoginRefused | None = None
        self.renew()
        renew_in_children(self, Login.renew)

    def renew(self) -> None:
        """Take a new lock; in a forked process the old one may be held for ever."""
        # Reentrant: a body may be a generator that uses the same session.
        self._lock = RLock()

    @property
    def proofs(self) -> int:
        """How often the server has accepted the credentials."""
        return self._proofs

    def _is_proven(self, since: int | None) -> bool:
        return self._proven and since != self._proofs

    @contextmanager
    def turn(self, since: int | None = None) -> Iterator[None]:
        """Wait until credentials may be sent; alone, as long as nothing is proven.

        Args:
            since: what :attr:`proofs` was when the request began, where an older proof does not
                count: the password may have changed, and each new connection of many threads
                would be one attempt.

        Raises:
            LoginRefused: the server refused them before.
        """
        lock = self._lock
        alone = not self._is_proven(since) and lock.acquire()
        try:
            if alone and self._is_proven(since):
                lock.release()
                alone = False
            self.raise_refusal()
            yield
        finally:
            if alone:
                lock.release()

    def raise_refusal(self) -> None:
        """Raise when the server has refused the credentials before.

        Raises:
            LoginRefused: a copy of the first refusal.
        """
        if self._refusal is not None:
            raise self._refusal.again()

    def prove(self, status: int) -> None:
        """Note an answer to a request with credentials."""
        if status < 300 or (400 <= status < 500 and status not in _UNDECIDED):  # noqa: PLR2004
            if not self._proven:
                log.info("login accepted; the answer is %s", status)
            self._proven = True
            self._proofs += 1

    def refuse(self, refusal: LoginRefused) -> None:
        """Note a refusal: from now on each :meth:`turn` raises it."""
        self._refusal = refusal

    def reset(self) -> None:
        """Forget the past, after a new login."""
        self._proven = False
        self._refusal = None


class Guard:
    """Sends requests, and decides which of them the profile's login belongs to.

    Attributes:
        base: the profile's URL as requests sends it, ending in a slash.
        login: whether the server takes the credentials.
        challenges: what the server offered when it last asked for a login.
    """

    def __init__(
        self, profile: "Profile", authenticator: "Authenticator", secrets: "ResolvedSecrets"
    ) -> None:
        self.base = prepared(profile.url)
        self.login = Login()
        self.challenges: tuple[Challenge, ...] = ()
        self._profile = profile
        self._authenticator = authenticator
        self._secrets = secrets
        self._home = target(self.base)

    def is_home(self, url: str | None) -> bool:
        """Whether requests connects to the profile's server for a prepared URL."""
        return target(url) == self._home

    def leave_behind(self, request: PreparedRequest, kept: Mapping[str, Any]) -> None:
        """Remove the profile's headers from a request to another server.

        Args:
            request: loses them; where requests has a default of that name, it returns.
            kept: headers that the caller gave with this very request.
        """
        own = {name.lower() for name in kept}
        defaults = requests.utils.default_headers()
        for name, value in self._profile.headers.items():
            if name.lower() not in own and request.headers.get(name) == value:
                del request.headers[name]
                if name in defaults:
                    request.headers[name] = defaults[name]

    def send(self, request: PreparedRequest, adapter: BaseAdapter, **kwargs: Any) -> Response:
        """Send one request over the connections where it belongs.

        Args:
            request: what to send.
            adapter: our own lanes, or an adapter that the caller mounted.
            kwargs: as for an adapter of requests.

        Raises:
            LoginRefused: the server refuses the profile's login, or did so before.
            Unreachable: and its kinds.
        """
        lane = self._lane(request)
        if not isinstance(adapter, Lanes):  # the caller mounted another one
            if lane != PROFILE:
                return adapter.send(request, **kwargs)
            return self._exchange(request, self._logged_on(request), adapter, kwargs)
        if lane != PROFILE:
            return adapter.transports[lane].send(request, **kwargs)
        if not is_connection_bound(self._profile.auth):
            transport = adapter.transports[lane]
            return self._exchange(request, self._logged_on(request), transport, kwargs)
        with adapter.line() as line:
            return self._over_line(request, line, kwargs)

    def _lane(self, request: PreparedRequest) -> str:
        if not self.is_home(request.url):
            return ABROAD
        # A header that was added after the request had been prepared is the caller's own.
        return PROFILE if is_marked(request) and "Authorization" not in request.headers else GUEST

    def _over_line(self, request: PreparedRequest, line: Line, kwargs: dict[str, Any]) -> Response:
        """Send a request over a connection that must be logged on itself.

        Where the server says "not now", it begins anew: the message or ticket that met this answer
        cannot be sent again.
        """
        patience = line.transport.patience(request)
        while True:
            response = self._once_over_line(request, line, kwargs)
            if not patience.grants(response) or not rewound(request):
                return response

    def _once_over_line(
        self, request: PreparedRequest, line: Line, kwargs: dict[str, Any]
    ) -> Response:
        """Send a request over a line, once.

        A body is sent over a connection that is logged on already. Sent into a handshake it
        would go out with each message, or be lost with the first: a stream can be read once.
        """
        sent = self._logged_on(request)
        if request.body is not None and not _carries(sent, request):
            repeatable = isinstance(request.body, bytes | str)
            if not (line.logged_on and repeatable):
                self._prime(request, line, kwargs)
                sent = self._logged_on(request)
        line.logged_on = False
        response = self._exchange(request, sent, line.transport, kwargs)
        line.took(response)
        line.logged_on = not closes(response)
        return response

    def _prime(self, request: PreparedRequest, line: Line, kwargs: dict[str, Any]) -> None:
        """Log the connection on by a request for the same URL without a body."""
        question = request.copy()
        question.method, question.body = "HEAD", None
        question.hooks = {"response": []}
        for name in _OF_A_BODY:
            question.headers.pop(name, None)
        sent = self._logged_on(question)
        answer = self._exchange(question, sent, line.transport, {**kwargs, "stream": False})
        _ = answer.content  # read to the end, so that the connection serves again

    def _exchange(
        self,
        request: PreparedRequest,
        sent: PreparedRequest,
        adapter: BaseAdapter,
        kwargs: dict[str, Any],
    ) -> Response:
        """Send what the scheme prepared, let it answer, and judge the last answer."""
        if _carries(sent, request):
            with self.login.turn():
                response = adapter.send(sent, **kwargs)
                with _closed_if_it_fails(response):
                    return self._answered(request, sent, response, kwargs)
        self.login.raise_refusal()
        proofs = self.login.proofs
        # The scheme sends nothing before the server asks, so nobody needs to wait.
        response = adapter.send(sent, **kwargs)
        turn = self.login.turn(proofs) if response.status_code == _REFUSED else nullcontext()
        with _closed_if_it_fails(response), turn:
            return self._answered(request, sent, response, kwargs)

    def _logged_on(self, request: PreparedRequest) -> PreparedRequest:
        """Return a copy of the request that the scheme has prepared."""
        self.login.raise_refusal()
        sent = request.copy()
        sent.hooks = {"response": []}
        self._ask("cannot log a request on", lambda: sent.prepare_auth(self._authenticator))
        self._check_headers(sent, request)
        return sent

    def _ask(self, failing: str, call: Callable[[], T]) -> T:
        """Call a scheme, which may raise what a request may, and say who failed otherwise."""
        return plugins.call(
            plugins.AUTH,
            self._profile.scheme,
            failing,
            call,
            passing=(requests.RequestException,),
            holds_secret=self._secrets.tells,
        )

    def _check_headers(self, sent: PreparedRequest, request: PreparedRequest) -> None:
        """Refuse headers of a scheme that cannot be sent: the errors below would repeat them."""
        before = _in_lower_case(request.headers)
        for name, value in _in_lower_case(sent.headers).items():
            if before.get(name) != value and not _can_be_sent(name, value):
                written = next(each for each in sent.headers if each.lower() == name)
                raise GatepassError(
                    f"the scheme {self._profile.scheme} made a header {written} that cannot be "
                    "sent",
                    hint="look for a line break or an odd character in its secret",
                )

    def _answered(
        self,
        request: PreparedRequest,
        sent: PreparedRequest,
        response: Response,
        kwargs: dict[str, Any],
    ) -> Response:
        """Let the scheme answer a challenge, then judge the last answer."""
        if response.status_code == _REFUSED:
            self.challenges = offered(response.headers.get("WWW-Authenticate"))
            schemes = ", ".join(dict.fromkeys(each.scheme for each in self.challenges))
            log.debug("401 from %s; it offers: %s", request.url, schemes or "no scheme")
        if response.status_code != _PROXY_ASKS:  # a proxy must not get the server's credentials
            asked = response
            response = self._ask(
                "cannot answer the server", lambda: _dispatched(sent, asked, kwargs)
            )
        carried = _carries(response.request, request)
        for each in (*response.history, response):  # of a handshake; its hooks hold the secret
            each.request = request
        if response.status_code != _REFUSED:
            if carried:
                self.login.prove(response.status_code)
            return response
        refusal = self._refusal(response, carried=carried)
        if carried:
            log.info("login refused by %s", request.url)
            self.login.refuse(refusal)
        raise refusal

    def _refusal(self, response: Response, *, carried: bool = False) -> LoginRefused:
        try:
            drained(response)  # now, while there is a connection
        except requests.RequestException:
            response._content = b""  # noqa: SLF001 - cut off: a refusal all the same
        return explain_refusal(response, self._profile, self._secrets.user, carried=carried)


@contextmanager
def _closed_if_it_fails(response: Response) -> Iterator[None]:
    """Close a response that nobody will read."""
    try:
        yield
    except BaseException:
        response.close()
        raise


class Guarded(BaseAdapter):
    """What requests takes for the adapter of a URL; lives for one request."""

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


# What requests itself may change when a scheme has looked at a request, or an answer came.
_OF_A_BODY: Final = ("Content-Length", "Content-Type", "Content-Encoding", "Transfer-Encoding")
_NOT_OF_A_SCHEME: Final = ("cookie", "content-length", "transfer-encoding")


def _carries(sent: PreparedRequest, request: PreparedRequest) -> bool:
    """Whether a request holds something that the scheme added to the original."""
    if sent.url != request.url or sent.body is not request.body:
        return True
    if sent.headers.get("Authorization") != request.headers.get("Authorization"):
        return True  # what schemes add as a rule; to compare all headers takes longer
    before, after = _in_lower_case(request.headers), _in_lower_case(sent.headers)
    for headers in (before, after):
        for name in _NOT_OF_A_SCHEME:
            headers.pop(name, None)
    return before != after


def _in_lower_case(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Return headers by their names in lower case."""
    if isinstance(headers, CaseInsensitiveDict):  # which knows them: a scheme may make a dict
        return dict(headers.lower_items())
    return {name.lower(): value for name, value in headers.items()}


def _dispatched(sent: PreparedRequest, response: Response, kwargs: dict[str, Any]) -> Response:
    """Let the hooks that a scheme registered answer a response."""
    found: Response = dispatch_hook("response", sent.hooks, response, **kwargs)  # type: ignore[no-untyped-call]
    return found


def _can_be_sent(name: str, value: Any) -> bool:
    try:
        check_header_validity((name, value))
        return isinstance(value, bytes) or bool(value.encode("latin-1"))
    except (ValueError, AttributeError):
        return False


def cleaned(response: Response) -> Response:
    """Replace the requests of an answer and its history by copies without credentials."""
    for each in (*response.history, response):
        each.request = _cleaned(each.request)
        following = each.__dict__.get("_next")
        if following is not None:
            each.__dict__["_next"] = _cleaned(following)
    return response


def _cleaned(request: PreparedRequest) -> PreparedRequest:
    hooks = without_own_hooks(request)
    if hooks == request.hooks and not any(name in request.headers for name in SECRET_HEADERS):
        return request
    bare = without_secrets(request)
    bare.hooks = hooks
    return bare
