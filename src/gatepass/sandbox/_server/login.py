"""The modes of the server, and what a way to log on looks like from its side.

A mode is one function that gets a :class:`LoginContext` and returns a :data:`Login`. To add one,
write it in a file of its own, of the same name, and name it in ``MODES``; nothing else changes. A
login that spans requests, such as NTLM, keeps its state in the :class:`ConnectionLogin` of one
connection.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Final, Protocol

from gatepass.sandbox._accounts import Accounts
from gatepass.sandbox.provider import IdentityProvider

# The modules' names, not the functions: a mode is imported only when it is asked for.
MODES: Final = {
    "open": "anonymous",
    "standalone": "basic",
    "mixed": "mixed",
    "windows": "windows",
    "oidc": "oidc",
}


@dataclass(frozen=True, slots=True)
class LoginContext:
    """What a mode may look at.

    Attributes:
        accounts: names, passwords and counters.
        certificate: the server's certificate, PEM; None over plain http.
        channel_binding: whether a login must be bound to the TLS connection (RFC 5929).
        provider: whose access tokens are good; None where no mode asks.
        redirect_uri: where clients of that provider have to listen; None for a free port.
    """

    accounts: Accounts
    certificate: Path | None
    channel_binding: bool = False
    provider: IdentityProvider | None = None
    redirect_uri: str | None = None


@dataclass(frozen=True, slots=True)
class LoginResult:
    """Whether a request may pass.

    Attributes:
        admitted: whether the page is answered; otherwise 401 is.
        user: who is logged on; None in mode ``open``, and where the request is not admitted.
        challenges: values of ``WWW-Authenticate``, one header each; with an answer that is
            admitted too, where a handshake ends with the server's proof (RFC 4559, section 5).
        reason: one sentence for the 401's body.
    """

    admitted: bool
    user: str | None = None
    challenges: tuple[str, ...] = ()
    reason: str = ""


class ConnectionLogin(Protocol):
    """The login on one connection; used by one thread."""

    def authenticate(self, authorization: str | None) -> LoginResult:
        """Authenticate the next request of the connection by its ``Authorization`` header."""


Login = Callable[[], ConnectionLogin]
"""One way to log on, of one run of a server: begins a connection."""


def login_for(mode: str, context: LoginContext) -> Login:
    """Return the login of a mode that ``MODES`` holds. Imports its module."""
    name = MODES[mode]
    module = import_module(f"gatepass.sandbox._server.{name}")
    make: Callable[[LoginContext], Login] = getattr(module, name)
    return make(context)
