"""Handshakes: logins that take several messages over one connection (ntlm, autologon).

A handshake starts with the server's 401. The scheme sends the same request again with a token until
the server accepts it (RFC 4559, section 5). Each message must take the same connection as the one
before, so each response is read to its end, and the session lends the scheme a connection that no
other request uses. The session logs a connection on before it sends a body, because the body would
go out with each message; a body that can be read only once is never sent in a handshake.
"""

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterator
from contextlib import suppress
from threading import Event, Timer
from typing import TYPE_CHECKING, Any, Final

from gatepass._net.challenge import challenges_of
from gatepass.errors import CannotLogOn

if TYPE_CHECKING:
    from http.cookiejar import CookieJar

    from requests import PreparedRequest, RequestException, Response

REFUSED: Final = 401
_HTTP_1_0: Final = 10  # as http.client writes it
_MOST: Final = 1 << 20  # bytes of the page that comes with a 401; real ones have some thousands
_SECONDS: Final = 30.0  # in which such a page must come


def offered_schemes(response: "Response") -> frozenset[str]:
    """Return the schemes that a 401 offers, in lower case; empty for other statuses."""
    if response.status_code != REFUSED:
        return frozenset()
    return frozenset(_tokens(response))


def token_of(response: "Response", scheme: str) -> bytes | None:
    """Return the server's token of a handshake; None when the response holds none.

    Args:
        response: any response; a successful one may hold the last token.
        scheme: ``negotiate`` or ``ntlm``.
    """
    token = _tokens(response).get(scheme)
    if token is None:
        return None
    try:
        return b64decode(token, validate=True)
    except Base64Error:
        return None


def _tokens(response: "Response") -> dict[str, str | None]:
    challenges = reversed(challenges_of(response))
    return {challenge.scheme: challenge.token68 for challenge in challenges}


def can_answer(response: "Response") -> bool:
    """Whether a scheme may answer: the response is a 401, and the body can be sent again."""
    body = response.request.body
    return response.status_code == REFUSED and (body is None or isinstance(body, bytes | str))


def rewind(request: "PreparedRequest") -> bool:
    """Move a request's body back to its beginning. Returns whether it can be sent again."""
    if request.body is None or isinstance(request.body, bytes | str):
        return True
    from requests.exceptions import UnrewindableBodyError
    from requests.utils import rewind_body

    try:
        rewind_body(request)
    except UnrewindableBodyError:
        return False
    return True


def keep_tokens_out_of_logs() -> None:
    """Stop pyspnego from logging the tokens of each login at level DEBUG.

    A token lets its reader try passwords offline. A level that the caller has set is kept.
    """
    import logging

    logger = logging.getLogger("spnego")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)


def closes_connection(response: "Response") -> bool:
    """Whether the server closes the connection after this response (RFC 9112, section 9.3)."""
    words = {word.strip().lower() for word in response.headers.get("Connection", "").split(",")}
    old = getattr(response.raw, "version", None) == _HTTP_1_0
    return "close" in words or (old and "keep-alive" not in words)


class ConnectionLost(ConnectionResetError):
    """The server closed the connection in the middle of a login.

    Attributes:
        repeats: ``lost``, or ``proven`` where a message was sent that proves the password, and the
            server may have counted it: whether the request may be sent again, in a new login.
    """

    def __init__(self, repeats: str = "lost") -> None:
        super().__init__("closed in the middle of the login")
        self.repeats = repeats


class Gate:
    """Says whether the connections of a transport may connect anew."""

    def __init__(self) -> None:
        self.is_open = True

    def check(self) -> None:
        """Raise where a later message of a handshake is to be sent.

        urllib3 reopens a closed connection by itself, and the message would go out over it.
        """
        if not self.is_open:
            raise _GateClosed


class _GateClosed(Exception):
    """The next message would need a new connection. No OSError, which urllib3 would translate."""


class Handshake:
    """Sends the messages of one login over one connection; stands in ``response.connection``.

    Where the server has closed the connection, the next message would go out over a new one. The
    server would count that as a failed login, although the password is right.

    Each message goes with the cookies of the answers before it. They also go into the session's jar
    at once, so that they stay where the login fails (RFC 6265, section 3: those of any answer
    count). A Cookie header that the caller wrote is kept as it is.

    Args:
        adapter: what sends.
        first: the request that the server answered by a challenge.
        jar: the session's cookies.
    """

    def __init__(self, adapter: Any, first: "PreparedRequest", jar: "CookieJar") -> None:
        from requests.cookies import RequestsCookieJar, merge_cookies

        self.adapter = adapter
        self._jar = jar
        self._cookies: Any = merge_cookies(RequestsCookieJar(), _cookies_of(first))  # type: ignore[no-untyped-call]
        policy = getattr(jar, "_policy", None)  # of the caller, who may take no cookies
        if policy is not None:
            self._cookies.set_policy(policy)
        self._is_callers = first.headers.get("Cookie") != _cookie_header(self._cookies, first)
        self._has_learnt = False
        self._begun = False
        self._connection: Any = None
        self._socket: Any = None

    def send(self, request: "PreparedRequest", **kwargs: Any) -> "Response":
        """Send the next message, and learn from its answer.

        Raises:
            requests.ConnectionError: the connection of the previous message is lost.
        """
        self.add_cookies(request)
        if self._is_lost():
            raise _connection_lost()
        response = self._send(request, kwargs) if self._begun else self._send_first(request, kwargs)
        connection = getattr(response.raw, "connection", None)
        taken = getattr(connection, "sock", None)
        if self._socket is not None and taken is not None and taken is not self._socket:
            response.close()  # the caller's own adapter opened another connection
            raise _connection_lost(repeats="proven")
        if "Authorization" in request.headers:  # else it was the question
            self._begun, self._connection, self._socket = True, connection, taken
        self.learn(response)
        carrier: Any = self
        response.connection = carrier
        return response

    def _send_first(self, request: "PreparedRequest", kwargs: dict[str, Any]) -> "Response":
        """Send the first message, which may take any connection."""
        response: Response = self.adapter.send(request, **kwargs)
        return response

    def _send(self, request: "PreparedRequest", kwargs: dict[str, Any]) -> "Response":
        """Send a later message, over the same connection."""
        import requests

        gate = getattr(self.adapter, "gate", None) or Gate()
        gate.is_open = False
        try:
            return self._send_first(request, kwargs)
        except _GateClosed:
            lost = _connection_lost()
        except requests.RequestException as error:
            if not getattr(error, "repeats", ""):
                raise
            lost = _connection_lost(repeats="proven")
        finally:
            gate.is_open = True
        raise lost

    def _is_lost(self) -> bool:
        from urllib3.util.connection import is_connection_dropped

        if self._socket is None:
            return False
        lost = self._connection.sock is not self._socket
        return lost or is_connection_dropped(self._connection)

    def close(self) -> None:
        """Close the adapter below."""
        self.adapter.close()

    def learn(self, response: "Response") -> None:
        """Take the cookies of an answer."""
        if "Set-Cookie" in response.headers:
            from requests.cookies import extract_cookies_to_jar

            self._has_learnt = True
            for jar in (self._jar, self._cookies):
                extract_cookies_to_jar(jar, response.request, response.raw)  # type: ignore[no-untyped-call]

    def add_cookies(self, request: "PreparedRequest") -> None:
        """Set the Cookie header of a request, where an answer has set or removed a cookie."""
        if not self._has_learnt or self._is_callers:
            return
        request.__dict__["_cookies"] = self._cookies.copy()
        header = _cookie_header(self._cookies, request)
        request.headers.pop("Cookie", None)
        if header is not None:
            request.headers["Cookie"] = header


def _cookies_of(request: "PreparedRequest") -> "CookieJar | dict[str, str]":
    return request.__dict__.get("_cookies") or {}


def _cookie_header(cookies: "CookieJar", request: "PreparedRequest") -> str | None:
    """Return the Cookie header that a jar gives a request."""
    from requests.cookies import get_cookie_header

    bare = request.copy()
    bare.headers.pop("Cookie", None)
    header: str | None = get_cookie_header(cookies, bare)  # type: ignore[no-untyped-call]
    return header


def _connection_lost(repeats: str = "lost") -> "RequestException":
    from requests import ConnectionError as NoConnection

    return NoConnection(ConnectionLost(repeats))


def limit_content(response: "Response", seconds: float = _SECONDS) -> Callable[[], bool]:
    """Cut a response's content off after 1 MiB or some seconds, and close the connection there.

    A response in the middle of a handshake must be read to its end, so that its connection can be
    used again. Without a limit, a server could send for ever, or a byte now and then.

    Returns:
        Tells whether it was cut off.
    """
    whole, cut = response.iter_content, Event()

    def end() -> None:
        cut.set()
        with suppress(OSError, RuntimeError, ValueError):  # where it has just been read
            response.raw.shutdown()

    def bounded(chunk_size: int | None = 1, decode_unicode: bool = False) -> Iterator[Any]:
        left = _MOST
        timer = Timer(seconds, end)  # no timeout of a socket bounds a whole body
        timer.daemon = True
        timer.start()
        try:
            for chunk in whole(chunk_size, decode_unicode):
                yield chunk[:left]
                left -= len(chunk)
                if left <= 0:
                    cut.set()
                if cut.is_set():
                    break
        except (OSError, ValueError):  # every error of requests is an OSError
            if not cut.is_set():
                raise
        finally:
            timer.cancel()
            if cut.is_set():
                response.raw.close()

    response.iter_content = bounded  # type: ignore[method-assign]
    return cut.is_set


def drain(response: "Response", seconds: float = _SECONDS) -> bool:
    """Read a response to its end. Returns whether its connection can be used again.

    What was read stays the response's content.

    Args:
        response: the response.
        seconds: in which its body must come.

    Raises:
        requests.RequestException: it ends too early, or cannot be read.
    """
    is_cut = limit_content(response, seconds)
    _ = response.content
    return not is_cut()


def drain_for_next_message(response: "Response") -> None:
    """Read a response to its end, so that the next message of the handshake can follow.

    Raises:
        CannotLogOn: it is too long. It is closed, and the password has not been sent.
        requests.RequestException: it ends too early, or cannot be read.
    """
    if not drain(response):
        response.close()
        raise CannotLogOn(
            "the server's answer in the middle of a login is longer than 1 MiB, or takes longer "
            f"than {_SECONDS:g} seconds; the login was broken off",
            hint="ask its administrator, or use another scheme that it offers",
        )


def resend(response: "Response", authorization: str, kwargs: dict[str, Any]) -> "Response":
    """Send the request of a response again, with an Authorization header.

    Args:
        response: the response; it is read to its end.
        authorization: the value of the Authorization header.
        kwargs: as the hook got them from requests.
    """
    drain(response)
    response.close()
    request: PreparedRequest = response.request.copy()
    request.headers["Authorization"] = authorization
    return response.connection.send(request, **kwargs)


def authorization_value(word: str, token: bytes) -> str:
    """Return the value of an Authorization header."""
    return f"{word} {b64encode(token).decode('ascii')}"


def certificate_binding(response: "Response") -> bytes | None:
    """Return the channel binding of a response's TLS connection (RFC 5929, section 4).

    Must be called before the response is read. None for plain http.
    """
    connection = getattr(response.raw, "connection", None)
    get_certificate = getattr(getattr(connection, "sock", None), "getpeercert", None)
    certificate = get_certificate(binary_form=True) if get_certificate else None
    if not certificate:
        return None
    return b"tls-server-end-point:" + _certificate_hash(certificate)


def _certificate_hash(certificate: bytes) -> bytes:
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes

    try:
        algorithm = x509.load_der_x509_certificate(certificate).signature_hash_algorithm
    except UnsupportedAlgorithm:
        algorithm = None
    if algorithm is None or algorithm.name in {"md5", "sha1"}:
        algorithm = hashes.SHA256()  # RFC 5929, section 4.1
    digest = hashes.Hash(algorithm)
    digest.update(certificate)
    return digest.finalize()
