"""Mode ``standalone``: HTTP Basic (RFC 7617), in UTF-8."""

import binascii
from base64 import b64decode
from typing import Final

from gatepass.sandbox._accounts import REASONS, Accounts, Outcome
from gatepass.sandbox._server.login import Login, LoginContext, LoginResult

CHALLENGE: Final = 'Basic realm="gatepass sandbox", charset="UTF-8"'


def credentials(authorization: str | None) -> tuple[str, str] | None:
    """Return user name and password of a Basic header; None when it holds no such pair."""
    scheme, _, encoded = (authorization or "").strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = b64decode(encoded.strip(), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):  # not base64, not ASCII or not UTF-8
        return None
    user, colon, password = text.partition(":")
    return (user, password) if colon else None


class Basic:
    """Name and password with each request; nothing is remembered between them."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    def authenticate(self, authorization: str | None) -> LoginResult:
        """Admit the right pair; answer all else with the challenge."""
        pair = credentials(authorization)
        if pair is None:
            return _refuse("credentials are missing or malformed")
        outcome = self._accounts.check(*pair)
        if outcome is Outcome.RIGHT:
            return LoginResult(admitted=True, user=pair[0])
        return _refuse(REASONS[outcome])


def _refuse(reason: str) -> LoginResult:
    return LoginResult(admitted=False, challenges=(CHALLENGE,), reason=reason)


def basic(context: LoginContext) -> Login:
    """Return the login of mode ``standalone``."""
    login = Basic(context.accounts)
    return lambda: login
