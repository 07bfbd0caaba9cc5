"""The sandbox's identity provider with faults: for tests of clients that must survive them."""

import socket
import struct
import sys
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache
from http import HTTPStatus
from ssl import SSLContext
from threading import Condition, Lock
from typing import Any, Final, cast

from gatepass.sandbox._provider.endpoints import Endpoint, Endpoints
from gatepass.sandbox._provider.grants import Grant, Grants, TokenGrant
from gatepass.sandbox._provider.http import HttpRequest, ProviderConnection, ProviderListener, page
from gatepass.sandbox._provider.pages import message
from gatepass.sandbox._provider.tokens import Keys, TokenIssuer
from gatepass.sandbox._response import Response
from gatepass.sandbox.provider import IdentityProvider

# Nothing listens there, so that a client that follows gets no response (RFC 6761, section 6.4).
ELSEWHERE: Final = "http://elsewhere.invalid/"
_HUGE: Final = 4 * 1024 * 1024  # bytes
# What Winsock calls LINGER has shorter fields.
_LINGER: Final = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
_PATIENCE: Final = 30.0  # seconds
_DOWN: Final = message("Down for maintenance", "Come back later.")


class Fault(StrEnum):
    """One thing done wrong; ``..._once`` ends after the first time.

    "Before" and "after" at the token endpoint say whether the code or refresh token is used up.
    """

    TOKEN_HTML = "token_html"
    """Before: 200 with a page."""
    TOKEN_REDIRECT = "token_redirect"
    """Before: 307 to another host."""
    TOKEN_ERROR_ONCE = "token_error_once"
    """Before: 500 with a page."""
    TOKEN_EMPTY = "token_empty"
    """After: 200 without a body."""
    TOKEN_HUGE = "token_huge"
    """After: right, and 4 MiB long."""
    TOKEN_ERROR_AFTER_ONCE = "token_error_after_once"
    """After: 500 with a page."""
    TOKEN_RESET_ONCE = "token_reset_once"
    """After: the connection is reset instead of a response."""

    NO_REFRESH_TOKEN = "no_refresh_token"
    """The response holds none; the one before stays good."""
    OTHER_TOKEN_TYPE = "other_token_type"
    """The response says ``token_type`` is ``DPoP``."""
    OTHER_SUB = "other_sub"
    """A refresh answers with the tokens of another user."""
    EXPIRES_IN_ZERO = "expires_in_zero"
    """The response says 0, though servers take the access token for longer."""
    ID_TOKEN_ISS = "id_token_iss"
    """The ID token names another issuer."""


class Faults:
    """The faults that are done now; safe to use from several threads.

    Raises:
        ValueError: there is no such fault.
    """

    def __init__(self, faults: Iterable[str]) -> None:
        self._lock = Lock()
        self.replace(faults)

    def replace(self, faults: Iterable[str]) -> None:
        """Do these from now on, and no others."""
        active = {Fault(fault) for fault in faults}
        with self._lock:
            self._active = active

    def __contains__(self, fault: Fault) -> bool:
        with self._lock:
            return fault in self._active

    def take(self, fault: Fault) -> bool:
        """Say whether to do a fault that is done once, and let no other thread do it."""
        with self._lock:
            active = fault in self._active
            self._active.discard(fault)
            return active


@dataclass(frozen=True, eq=False, kw_only=True)
class FaultyProvider(IdentityProvider):
    """An identity provider whose faults a test chooses while it runs."""

    def inject(self, *faults: str) -> None:
        """Do these faults from now on, and no others.

        Raises:
            ValueError: there is no such fault.
        """
        self._faulty.faults.replace(faults)

    def answer_once(
        self,
        endpoint: str,
        body: bytes = b"",
        *,
        status: int = 200,
        content_type: str = "application/json",
        headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Give exactly this response to the next request at an endpoint; nothing is used up.

        Args:
            endpoint: ``metadata``, ``authorize``, ``token``, ``device``, ``revoke`` or ``jwks``.
            body: what is sent.
            status: HTTP status.
            content_type: of the body.
            headers: further headers.
        """
        self._faulty.plan(endpoint, Response(status, body, content_type, tuple(headers)))

    @contextmanager
    def hold(self) -> "Iterator[HeldResponses]":
        """Hold the responses of the token endpoint back until the block ends.

        The requests themselves are carried out: a refresh token that came is used up.
        """
        listener = cast("_FaultyListener", self._listener)
        with listener.held.holding() as held:
            yield held

    @property
    def _faulty(self) -> "_FaultyEndpoints":
        return cast("_FaultyEndpoints", self._endpoints)

    def _new_keys(self) -> Keys:
        return shared_keys()

    def _new_listener(self) -> ProviderListener:
        return _FaultyListener(self.port, self._tls())

    def _new_endpoints(self, issuer: str, keys: Keys) -> Endpoints:
        plain, faults = super()._new_endpoints(issuer, keys), Faults(())
        issuing = plain.tokens
        return _FaultyEndpoints(
            self,
            issuer,
            plain.accounts,
            _FaultyGrants(self, faults),
            _FaultyTokenIssuer(
                issuing.issuer,
                issuing.keys,
                issuing.clock,
                issuing.access_token_seconds,
                issuing.with_id_token,
                faults,
            ),
            faults,
        )


@cache
def shared_keys() -> Keys:
    """Return the key of all providers of this process; making one takes 60 ms of CPU."""
    return Keys()


class HeldResponses:
    """Holds responses back while a test looks at the moment in between."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._closed = False
        self._waiting = 0

    @contextmanager
    def holding(self) -> Iterator["HeldResponses"]:
        """Hold responses back until the block ends."""
        self._set(closed=True)
        try:
            yield self
        finally:
            self._set(closed=False)

    def wait_for(self, number: int, seconds: float = _PATIENCE) -> None:
        """Wait until so many responses are held back.

        Raises:
            TimeoutError: they did not come within that time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._waiting >= number, seconds):
                raise TimeoutError(f"{self._waiting} of {number} responses wait")

    def release(self) -> None:
        """Send all of them, and hold none back any more."""
        self._set(closed=False)

    def wait(self) -> None:
        """Wait while responses are held back."""
        with self._changed:
            self._waiting += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._closed)
            self._waiting -= 1

    def _set(self, *, closed: bool) -> None:
        with self._changed:
            self._closed = closed
            self._changed.notify_all()


@dataclass(frozen=True)
class _TokenResponse(Response):
    """A response after a token was used up.

    Attributes:
        is_reset: whether the connection is reset instead.
    """

    is_reset: bool = False


def _redirect(target: str, status: int) -> Response:
    return Response(status, headers=(("Location", target), ("Cache-Control", "no-store")))


# ---------------------------------------------------------------- what is answered


class _FaultyGrants(Grants):
    def __init__(self, settings: IdentityProvider, faults: Faults) -> None:
        super().__init__(settings)
        self._faults = faults

    def rotates(self) -> bool:
        return super().rotates() and Fault.NO_REFRESH_TOKEN not in self._faults


@dataclass
class _FaultyTokenIssuer(TokenIssuer):
    faults: Faults

    def response(self, granted: TokenGrant, *, refreshed: bool = False) -> dict[str, object]:
        faults, grant = self.faults, granted.grant
        if refreshed and Fault.OTHER_SUB in faults:
            grant = replace(grant, subject="somebody-else")
        kept = None if Fault.NO_REFRESH_TOKEN in faults else granted.refresh_token
        granted = replace(granted, grant=grant, refresh_token=kept)
        found = super().response(granted, refreshed=refreshed)
        if Fault.OTHER_TOKEN_TYPE in faults:
            found["token_type"] = "DPoP"
        if Fault.EXPIRES_IN_ZERO in faults:
            found["expires_in"] = 0
        return found

    def id_token_claims(self, grant: Grant, access_token: str) -> dict[str, object]:
        claims = super().id_token_claims(grant, access_token)
        if Fault.ID_TOKEN_ISS in self.faults:
            claims["iss"] = self.issuer + "/other"
        return claims


@dataclass(frozen=True)
class _FaultyEndpoints(Endpoints):
    faults: Faults
    _planned: dict[str, deque[Response]] = field(default_factory=lambda: defaultdict(deque))
    _lock: Lock = field(default_factory=Lock)

    def plan(self, endpoint: str, response: Response) -> None:
        """Give that response, once, to the next request there."""
        with self._lock:
            self._planned[endpoint].append(response)

    def _find(self, path: str) -> tuple[tuple[str, ...], Endpoint]:
        methods, respond = super()._find(path)
        name = "metadata" if "/.well-known/" in path else path.rpartition("/")[2]

        def planned_or_real(request: HttpRequest) -> Response:
            with self._lock:
                planned = self._planned[name]
                response = planned.popleft() if planned else None
            return response or respond(request)

        return methods, planned_or_real

    def _token(self, request: HttpRequest) -> Response:
        form = request.form()
        if (response := self._before_the_token()) is not None:
            self.grants.count_request(form.get("grant_type", ""))
            return response
        return self._after_the_token(super()._token(request))

    def _before_the_token(self) -> Response | None:
        """Return the response of a fault that uses nothing up."""
        if Fault.TOKEN_HTML in self.faults:
            return page(_DOWN)
        if Fault.TOKEN_REDIRECT in self.faults:
            return _redirect(ELSEWHERE, HTTPStatus.TEMPORARY_REDIRECT)
        if self.faults.take(Fault.TOKEN_ERROR_ONCE):
            return page(_DOWN, HTTPStatus.INTERNAL_SERVER_ERROR)
        return None

    def _after_the_token(self, response: Response) -> Response:
        if self.faults.take(Fault.TOKEN_ERROR_AFTER_ONCE):
            response = page(_DOWN, HTTPStatus.INTERNAL_SERVER_ERROR)
        elif Fault.TOKEN_EMPTY in self.faults:
            response = Response(HTTPStatus.OK)
        elif Fault.TOKEN_HUGE in self.faults:
            response = replace(response, body=response.body + b" " * _HUGE)
        return _TokenResponse(
            response.status,
            response.body,
            response.content_type,
            response.headers,
            is_reset=self.faults.take(Fault.TOKEN_RESET_ONCE),
        )


# ---------------------------------------------------------------- how it is sent


class _FaultyConnection(ProviderConnection):
    server: "_FaultyListener"

    def send(self, response: Response) -> None:
        if isinstance(response, _TokenResponse):
            self.server.held.wait()
            if response.is_reset:
                self.close_connection = True
                self.server.reset(self.connection)
                return
        super().send(response)


class _FaultyListener(ProviderListener):
    connection_class = _FaultyConnection

    def __init__(self, port: int, tls: SSLContext | None) -> None:
        self.held = HeldResponses()
        self._resets: set[socket.socket] = set()
        super().__init__(port, tls)

    def stop(self) -> None:
        """End also what waits."""
        self.held.release()
        super().stop()

    def reset(self, connection: socket.socket) -> None:
        """Let the connection end with a reset."""
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
        self._resets.add(connection)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection. One to be reset must not send an orderly end first."""
        if request in self._resets:
            self._resets.discard(request)
            self.close_request(request)
        else:
            super().shutdown_request(request)
