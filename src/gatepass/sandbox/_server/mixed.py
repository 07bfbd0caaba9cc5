"""Mode ``mixed``: Negotiate and NTLM, and HTTP Basic for those who know neither."""

from dataclasses import replace
from typing import Final

from gatepass.sandbox._server.basic import CHALLENGE, Basic
from gatepass.sandbox._server.login import ConnectionLogin, Login, LoginContext, LoginResult
from gatepass.sandbox._server.record import scheme_name
from gatepass.sandbox._server.windows import OFFER, Windows

_ALL: Final = (*OFFER, CHALLENGE)


class _Mixed:
    """Lets the client choose."""

    def __init__(self, context: LoginContext) -> None:
        self._windows = Windows(context, _ALL)
        self._basic = Basic(context.accounts)

    def new_connection_login(self) -> ConnectionLogin:
        return _Either(self._windows.new_connection_login(), self._basic)


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
    """Return the login of mode ``mixed``."""
    return _Mixed(context)
