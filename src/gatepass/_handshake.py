"""What logins have in common that take several messages over one connection.

A handshake starts from the server's 401 and sends the same request again with a token, until the
server is content (RFC 4559, section 5). Every message must take the connection of the one before,
so the answers are read to their end, and the session lends such a scheme a connection that nobody
else uses. A body goes out with each message, so the session logs a connection on before it sends
one, and a body that can be read only once never takes part.
"""

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from typing import TYPE_CHECKING, Any, Final

from gatepass._challenge import ChallengeError, parse

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

REFUSED: Final = 401


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


def closes(response: "Response") -> bool:
    """Say whether the server closes the connection after this answer."""
    return response.headers.get("Connection", "").strip().lower() == "close"


def again(response: "Response", authorization: str, kwargs: dict[str, Any]) -> "Response":
    """Send the request of an answer again, over the same connection, with this header.

    Args:
        response: the answer; it is read to its end.
        authorization: the value of the Authorization header.
        kwargs: as the hook got them from requests.
    """
    _ = response.content  # only then does the connection serve again
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
