"""Mode ``mixed``: Negotiate and NTLM, and HTTP Basic for those who know neither."""

from dataclasses import replace
from typing import Final

from gatepass.sandbox._server.basic import CHALLENGE, Basic
from gatepass.sandbox._server.login import ConnectionLogin, Login, LoginContext, LoginResult
from gatepass.sandbox._server.record import scheme_name
from gatepass.sandbox._server.windows import OFFER, windows

_ALL: Final = (*OFFER, CHALLENGE)


class _Either:
    """One connection: Basic is judged by itself, all else by the login of the connection."""

    def __init__(self, windows: ConnectionLogin, basic: Basic) -> None:
        self._windows = windows
        self._basic = basic

    def authenticate(self, authorization: str | None) -> LoginResult:
        if scheme_name(authorization) != "basic":
            return self._windows.authenticate(authorization)
        result = self._basic.authenticate(authorization)
        return result if result.admitted else replace(result, challenges=_ALL)


def mixed(context: LoginContext) -> Login:
    """Return the login of mode ``mixed``, in which the client chooses."""
    begin, basic = windows(context, _ALL), Basic(context.accounts)
    return lambda: _Either(begin(), basic)
