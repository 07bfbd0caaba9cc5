"""What logins have in common that take several messages over one connection.

A handshake starts from the server's 401 and sends the same request again with a token, until the
server is content (RFC 4559, section 5). Every message must take the connection of the one before,
so the answers are read to their end, and the session lends such a scheme a connection that nobody
else uses. A body goes out with each message, so the session logs a connection on before it sends
one, and a body that can be read only once never takes part.
"""

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from gatepass._net.challenge import ChallengeError, parse
from gatepass.errors import GatepassError

if TYPE_CHECKING:
    from requests import PreparedRequest, RequestException, Response

REFUSED: Final = 401
_HTTP_1_0: Final = 10  # as http.client writes it
_MOST: Final = 1 << 20  # bytes of the page that comes with a 401; real ones have some thousands


def offered_schemes(response: "Response") -> frozenset[str]:
    """Return the schemes that a 401 offers, in lower case; empty for other answers."""
    if response.status_code != REFUSED:
        return frozenset()
    return frozenset(_tokens(response))


def token_of(response: "Response", scheme: str) -> bytes | None:
    """Return the server's token of a handshake; None when the answer holds none.

    Args:
        response: any answer; a successful one may hold the last token.
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
    try:
        challenges = parse(response.headers.get("WWW-Authenticate", ""))
    except ChallengeError:
        return {}
    return {challenge.scheme: challenge.token68 for challenge in reversed(challenges)}


def may_answer(response: "Response") -> bool:
    """Say whether a handshake may start here: it needs a 401, and a body that can be repeated."""
    body = response.request.body
    return response.status_code == REFUSED and (body is None or isinstance(body, bytes | str))


def rewound(request: "PreparedRequest") -> bool:
    """Make a request's body ready to be sent again; say whether it is."""
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
    """Stop pyspnego from writing the tokens of each login into logs of level DEBUG.

    Who has one can try passwords on it in peace. A level that was set for its logger stays.
    """
    import logging

    logger = logging.getLogger("spnego")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)


def closes(response: "Response") -> bool:
    """Say whether the server closes the connection after this answer (RFC 9112, section 9.3)."""
    words = {word.strip().lower() for word in response.headers.get("Connection", "").split(",")}
    old = getattr(response.raw, "version", None) == _HTTP_1_0
    return "close" in words or (old and "keep-alive" not in words)


_STAYS: ContextVar[bool] = ContextVar("gatepass_stays", default=False)


class _Gone(Exception):
    """A login would need another connection. No OSError: urllib3 would wrap it, or try again."""


def stay_here() -> None:
    """Refuse to open a connection while this thread sends the next message of a login.

    A transport calls it before it connects. So nothing that urllib3 does by itself (it opens a
    closed connection anew) lets a message leave over another connection.
    """
    if _STAYS.get():
        raise _Gone


class OneConnection:
    """Sees to it that all messages of a handshake take the same connection.

    Where the server has closed it in between, the next message would go over a new one. There it
    counts as a failed login, although the password is right.
    """

    def __init__(self) -> None:
        self._begun = False
        self._connection: Any = None
        self._socket: Any = None

    def send(self, send: "Callable[[], Response]") -> "Response":
        """Send the next message.

        Args:
            send: sends it and returns the answer.

        Raises:
            requests.ConnectionError: the connection of the message before is lost.
        """
        if self._is_lost():
            raise _broken_off()
        response = self._sent(send)
        connection = getattr(response.raw, "connection", None)
        taken = getattr(connection, "sock", None)
        elsewhere = self._socket is not None and taken is not None and taken is not self._socket
        if elsewhere:  # an adapter that is not ours opened another; what came says nothing
            response.close()
            raise _broken_off()
        self._begun, self._connection, self._socket = True, connection, taken
        return response

    def _sent(self, send: "Callable[[], Response]") -> "Response":
        if not self._begun:  # the first message may take any connection
            return send()
        before = _STAYS.set(True)
        try:
            return send()
        except _Gone:
            raise _broken_off() from None
        finally:
            _STAYS.reset(before)

    def _is_lost(self) -> bool:
        from urllib3.util.connection import is_connection_dropped

        if self._socket is None:
            return False
        lost = self._connection.sock is not self._socket
        return lost or is_connection_dropped(self._connection)


def _broken_off() -> "RequestException":
    from requests import ConnectionError as NoConnection

    return NoConnection(ConnectionResetError("closed in the middle of the login"))


def bound(response: "Response") -> None:
    """Let an answer's content end after 1 MiB, and the connection with it, whoever reads it.

    Without this a server that never stops would be read for ever: an answer in the middle of a
    login must be read to its end, so that its connection serves again.
    """
    whole = response.iter_content

    def bounded(chunk_size: int | None = 1, decode_unicode: bool = False) -> Iterator[Any]:
        left = _MOST
        for chunk in whole(chunk_size, decode_unicode):
            yield chunk[:left]
            left -= len(chunk)
            if left <= 0:
                response.raw.close()
                break

    response.iter_content = bounded  # type: ignore[method-assign]


def drained(response: "Response") -> bool:
    """Read an answer to its end, so that its connection serves again; say whether it does.

    What is read stays as its content.

    Raises:
        requests.RequestException: it ends too early, or cannot be read.
    """
    bound(response)
    return len(response.content or b"") < _MOST


def serve_again(response: "Response") -> None:
    """Read an answer in the middle of a login to its end, so that the next message can follow.

    Raises:
        GatepassError: it has no end. It is closed, and the login has not been tried.
        requests.RequestException: it ends too early, or cannot be read.
    """
    if not drained(response):
        response.close()
        raise GatepassError(
            "the server's answer in the middle of a login is longer than 1 MiB; the login was "
            "broken off",
            hint="ask its administrator, or use another scheme that it offers",
        )


def again(response: "Response", authorization: str, kwargs: dict[str, Any]) -> "Response":
    """Send the request of an answer again, over the same connection, with this header.

    Args:
        response: the answer; it is read to its end.
        authorization: the value of the Authorization header.
        kwargs: as the hook got them from requests.
    """
    drained(response)
    response.close()
    request: PreparedRequest = response.request.copy()
    request.headers["Authorization"] = authorization
    return response.connection.send(request, **kwargs)


def written(word: str, token: bytes) -> str:
    """Return the value of an Authorization header."""
    return f"{word} {b64encode(token).decode('ascii')}"


def certificate_binding(response: "Response") -> bytes | None:
    """Return what binds a login to the TLS connection of an answer (RFC 5929, section 4).

    Must be called before the answer is read. None for plain http.
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
