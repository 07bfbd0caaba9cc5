"""Mode ``mixed``: Negotiate and NTLM, and HTTP Basic for those who know neither."""

from dataclasses import replace
from typing import Final

from gatepass.sandbox._server.basic import CHALLENGE, Basic
from gatepass.sandbox._server.login import Conversation, Login, LoginContext, Verdict
from gatepass.sandbox._server.record import scheme_name
from gatepass.sandbox._server.windows import OFFER, Windows

_ALL: Final = (*OFFER, CHALLENGE)


class _Mixed:
    """Lets the client choose."""

    def __init__(self, context: LoginContext) -> None:
        self._windows = Windows(context, _ALL)
        self._basic = Basic(context.accounts)

    def conversation(self) -> Conversation:
        return _Either(self._windows.conversation(), self._basic)


class _Either:
    """One connection: Basic is judged by itself, all else by the login of the connection."""

    def __init__(self, windows: Conversation, basic: Basic) -> None:
        self._windows = windows
        self._basic = basic

    def judge(self, authorization: str | None) -> Verdict:
        if scheme_name(authorization) != "basic":
            return self._windows.judge(authorization)
        verdict = self._basic.judge(authorization)
        return verdict if verdict.admitted else replace(verdict, challenges=_ALL)


def mixed(context: LoginContext) -> Login:
    """Return the login of mode ``mixed``."""
    return _Mixed(context)
