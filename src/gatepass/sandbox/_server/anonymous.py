"""Mode ``open``: everybody may come in, nobody is asked."""

from gatepass.sandbox._server.login import Conversation, Login, LoginContext, Verdict


class _Open:
    """Admits every request; what it brings along is not looked at."""

    def conversation(self) -> Conversation:
        return self

    def judge(self, authorization: str | None) -> Verdict:  # noqa: ARG002 - the contract
        return Verdict(admitted=True)


def open_to_all(context: LoginContext) -> Login:  # noqa: ARG001 - the contract
    """Return the login of mode ``open``."""
    return _Open()
