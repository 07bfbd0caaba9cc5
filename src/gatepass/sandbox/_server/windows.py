r"""Mode ``windows``: Negotiate and NTLM, as a Windows server offers them (RFC 4559, MS-NLMP).

pyspnego is the server's side. Negotiate carries NTLM here: the sandbox belongs to no Kerberos
realm. A login is of its connection; ``CORP\alice``, ``alice`` and ``alice@corp.example`` are three
names, compared exactly.
"""

import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from hashlib import md5
from importlib.util import find_spec, module_from_spec
from os import urandom
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from gatepass.sandbox._accounts import REASONS, Accounts, Outcome
from gatepass.sandbox._server.login import Login, LoginContext, LoginResult

OFFER: Final = ("Negotiate", "NTLM")

_MESSAGE: Final = re.compile(r"(negotiate|ntlm) +([A-Za-z0-9+/]+={0,2})", re.IGNORECASE)
_WORDS: Final[Mapping[str, str]] = MappingProxyType({word.lower(): word for word in OFFER})


class _UnboundError(Exception):
    """The login is not bound to this TLS connection."""


class _Connection:
    """The login on one connection."""

    def __init__(
        self, accounts: Accounts, offer: tuple[str, ...], ntlm: Any, binding: bytes | None
    ) -> None:
        self._accounts = accounts
        self._offer = offer
        self._ntlm = ntlm
        self._binding = binding
        self._user: str | None = None
        self._attempt: _Attempt | None = None

    def authenticate(self, authorization: str | None) -> LoginResult:
        """Go one message on with the login, or admit who is logged on already.

        The messages of a login follow each other: any other request in between ends it. One that
        brings credentials of its own is authenticated by these, also where a user is logged on.
        """
        attempt, self._attempt = self._attempt, None
        if authorization is None and self._user is not None:
            return LoginResult(admitted=True, user=self._user)
        message = _MESSAGE.fullmatch((authorization or "").strip())
        if message is None:
            return self._refuse("credentials are missing or malformed")
        self._user = None
        word = _WORDS[message[1].lower()]
        if attempt is None or attempt.word != word:
            attempt = _Attempt(word, self._ntlm, self._binding)
        return self._go_on(attempt, message[2])

    def _go_on(self, attempt: "_Attempt", message: str) -> LoginResult:
        try:
            answer = attempt.step(b64decode(message))
        except _UnboundError:
            return self._refuse("the login is not bound to this TLS connection (channel binding)")
        except Exception:  # noqa: BLE001 - a client's odd message brings any error out of pyspnego
            if attempt.name is None:
                return self._refuse("the message is not of NTLM, or malformed")
            return self._refuse(REASONS[self._accounts.note(attempt.name, right=False)])
        token = (f"{attempt.word} {b64encode(answer).decode()}",) if answer else ()
        if not attempt.complete:
            self._attempt = attempt
            return LoginResult(admitted=False, challenges=token, reason="the login goes on")
        return self._log_on(attempt.name or "", token)

    def _log_on(self, name: str, token: tuple[str, ...]) -> LoginResult:
        outcome = self._accounts.note(name, right=True)
        if outcome is not Outcome.RIGHT:
            return self._refuse(REASONS[outcome])
        self._user = name
        return LoginResult(admitted=True, user=name, challenges=token)

    def _refuse(self, reason: str) -> LoginResult:
        return LoginResult(admitted=False, challenges=self._offer, reason=reason)


class _Attempt:
    """One login in progress.

    Attributes:
        word: the scheme by which it comes.
    """

    def __init__(self, word: str, ntlm: Any, binding: bytes | None) -> None:
        self.word = word
        self._acceptor = _Acceptor(ntlm, binding)
        self._context: Any = self._acceptor
        if word == "Negotiate":
            self._context = _negotiating(self._acceptor)

    @property
    def name(self) -> str | None:
        """The user name; None before the client has sent it."""
        return self._acceptor.name

    @property
    def complete(self) -> bool:
        """Whether the password is right."""
        return bool(self._context.complete)

    def step(self, token: bytes) -> bytes | None:
        """Take the client's message, return ours.

        Raises:
            _UnboundError: the login is not bound to this TLS connection.
            Exception: the password is wrong, or the message is malformed.
        """
        answer: bytes | None = self._context.step(token)
        return answer


def _negotiating(acceptor: "_Acceptor") -> Any:
    """Wrap the acceptor of NTLM in SPNEGO (RFC 4178); a client may also send NTLM as it is."""
    import spnego
    from spnego._context import GSSMech

    return spnego.server(
        protocol="negotiate",
        options=spnego.NegotiateOptions.use_negotiate,
        _negotiate_contexts={GSSMech.ntlm: acceptor},
    )


class _Acceptor:
    """pyspnego's acceptor of NTLM, with a closer look at the last message.

    Attributes:
        name: the user name, as in that message.
    """

    def __init__(self, ntlm: Any, binding: bytes | None) -> None:
        self.name: str | None = None
        self._ntlm = ntlm
        self._binding = binding
        self._context = ntlm.NTLMProxy(usage="accept")
        self._asked = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def step(self, in_token: bytes | None = None, **_: Any) -> bytes | None:
        """Take a message of NTLM; with the second one the context is complete."""
        if self._asked:
            self._look_at(in_token or b"")
        self._asked = True
        answer: bytes | None = self._context.step(in_token)
        return answer

    def _look_at(self, token: bytes) -> None:
        message = self._ntlm.Authenticate.unpack(token)
        bound = self._bound_to(message.nt_challenge_response or b"")
        # pyspnego itself lets two kinds pass: NTLMv1, which cannot be bound, and a binding of
        # zeros, which Windows sends for none.
        if self._binding is not None and not hmac.compare_digest(bound, self._binding):
            raise _UnboundError
        domain, user = message.domain_name, message.user_name
        if user:
            self.name = f"{domain}\\{user}" if domain else user

    def _bound_to(self, response: bytes) -> bytes:
        if len(response) <= 24:  # noqa: PLR2004 - the length of NTLMv1's (MS-NLMP, 2.2.2.6)
            return b""
        pairs = self._ntlm.NTClientChallengeV2.unpack(response[16:]).av_pairs
        bound: bytes = pairs.get(self._ntlm.AvId.channel_bindings, b"")
        return bound


def _ntlm_with(accounts: Accounts) -> Any:
    """Return a copy of pyspnego's module for NTLM that asks the accounts.

    Its acceptor takes the passwords from the file that the variable NTLM_USER_FILE names, and
    knows no other way (0.12). Neither the environment nor the disk is ours, so a copy of the
    module gets another look-up; the module that the clients of this process use stays as it is.
    """
    spec = find_spec("spnego._ntlm")
    if spec is None or spec.loader is None:
        raise ImportError("pyspnego has no module _ntlm: the sandbox does not know this version")
    ntlm: Any = module_from_spec(spec)
    spec.loader.exec_module(ntlm)

    def look_up(
        _: str, domain: str | None = None, user: str | None = None
    ) -> tuple[str | None, str | None, bytes, bytes]:
        password = accounts.password(f"{domain}\\{user}" if domain else user or "")
        # An unknown name gets a hash to which no password is known. The first is the hash of LAN
        # Manager, older than NTLM, which cannot be used to log on.
        known = ntlm.ntowfv1(password) if password is not None else urandom(16)
        return domain, user, urandom(16), known

    ntlm._get_credential_file = lambda: "accounts"  # noqa: SLF001 - see above
    ntlm._get_credential = look_up  # noqa: SLF001
    return ntlm


def _binding_hash(certificate: Path) -> bytes:
    """Return what NTLM holds of a binding: the MD5 of the structure around it (MS-NLMP, 2.2.2.1).

    What is bound to is the hash of the certificate by the algorithm of its signature (RFC 5929,
    section 4.1).
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from spnego.channel_bindings import GssChannelBindings

    own = x509.load_pem_x509_certificate(certificate.read_bytes())
    algorithm = own.signature_hash_algorithm
    if algorithm is None or algorithm.name in {"md5", "sha1"}:
        algorithm = hashes.SHA256()
    data = b"tls-server-end-point:" + own.fingerprint(algorithm)
    packed = GssChannelBindings(application_data=data).pack()
    return md5(packed, usedforsecurity=False).digest()


def windows(context: LoginContext, offer: tuple[str, ...] = OFFER) -> Login:
    """Return the login of mode ``windows``.

    Args:
        context: accounts, and the certificate where logins must be bound to it.
        offer: what a refusal offers.
    """
    ntlm, binding = _ntlm_with(context.accounts), None
    if context.channel_binding and context.certificate is not None:
        binding = _binding_hash(context.certificate)
    return lambda: _Connection(context.accounts, offer, ntlm, binding)
