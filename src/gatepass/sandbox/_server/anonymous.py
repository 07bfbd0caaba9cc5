"""Mode ``open``: every request is admitted."""

from gatepass.sandbox._server.login import Login, LoginContext, LoginResult


class _Open:
    """Admits every request; what it brings along is not looked at."""

    def authenticate(self, authorization: str | None) -> LoginResult:  # noqa: ARG002 - the contract
        return LoginResult(admitted=True)


def anonymous(context: LoginContext) -> Login:  # noqa: ARG001 - the contract
    """Return the login of mode ``open``."""
    return _Open
