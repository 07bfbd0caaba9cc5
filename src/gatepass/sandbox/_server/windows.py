r"""Mode ``windows``: Negotiate and NTLM, as a Windows server offers them (RFC 4559, MS-NLMP).

pyspnego is the server's side. Negotiate carries NTLM here: the sandbox belongs to no Kerberos
realm. A login is of its connection; ``CORP\alice``, ``alice`` and ``alice@corp.example`` are three
names, compared exactly.
"""

import re
from base64 import b64decode, b64encode
from dataclasses import dataclass
from importlib.util import find_spec, module_from_spec
from os import urandom
from typing import Any, Final

from gatepass.sandbox._accounts import REASONS, Accounts, Outcome
from gatepass.sandbox._server.login import LoginResult

OFFER: Final = ("Negotiate", "NTLM")

_MESSAGE: Final = re.compile(r"(negotiate|ntlm) +([A-Za-z0-9+/]+={0,2})", re.IGNORECASE)


class WindowsLogin:
    """The login on one connection.

    Args:
        accounts: names, passwords and counters.
        offer: what a refusal offers.
        ntlm: see :func:`ntlm_with`.
    """

    def __init__(self, accounts: Accounts, offer: tuple[str, ...], ntlm: Any) -> None:
        self._accounts = accounts
        self._offer = offer
        self._ntlm = ntlm
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
        word = OFFER[0] if message[1].lower() == "negotiate" else OFFER[1]
        if attempt is None or attempt.word != word:
            attempt = _Attempt.begin(word, self._ntlm)
        return self._go_on(attempt, message[2])

    def _go_on(self, attempt: "_Attempt", message: str) -> LoginResult:
        try:
            answer = attempt.context.step(b64decode(message))
        except Exception:  # noqa: BLE001 - a client's odd message brings any error out of pyspnego
            if attempt.acceptor.name is None:
                return self._refuse("the message is not of NTLM, or malformed")
            return self._refuse(REASONS[self._accounts.note(attempt.acceptor.name, right=False)])
        token = (f"{attempt.word} {b64encode(answer).decode()}",) if answer else ()
        if not attempt.context.complete:
            self._attempt = attempt
            return LoginResult(admitted=False, challenges=token, reason="the login goes on")
        return self._log_on(attempt.acceptor.name or "", token)

    def _log_on(self, name: str, token: tuple[str, ...]) -> LoginResult:
        outcome = self._accounts.note(name, right=True)
        if outcome is not Outcome.RIGHT:
            return self._refuse(REASONS[outcome])
        self._user = name
        return LoginResult(admitted=True, user=name, challenges=token)

    def _refuse(self, reason: str) -> LoginResult:
        return LoginResult(admitted=False, challenges=self._offer, reason=reason)


@dataclass(frozen=True)
class _Attempt:
    """One login in progress: the scheme by which it comes, and what reads its messages."""

    word: str
    acceptor: "_Acceptor"
    context: Any

    @classmethod
    def begin(cls, word: str, ntlm: Any) -> "_Attempt":
        acceptor = _Acceptor(ntlm)
        return cls(word, acceptor, _negotiating(acceptor) if word == "Negotiate" else acceptor)


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

    def __init__(self, ntlm: Any) -> None:
        self.name: str | None = None
        self._ntlm = ntlm
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
        domain, user = message.domain_name, message.user_name
        if user:
            self.name = f"{domain}\\{user}" if domain else user


def ntlm_with(accounts: Accounts) -> Any:
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
