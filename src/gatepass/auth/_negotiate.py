"""The Negotiate context of a login: what SSPI and GSSAPI have in common."""

from collections.abc import Callable
from typing import Final, Protocol, TypeVar

from gatepass.errors import CannotLogOn, GatepassError

_T = TypeVar("_T")
TranslateError = Callable[[Exception, str], GatepassError]
"""An error of the library and the service → our error, with a next step."""

NAME_HINT: Final = (
    "use the name under which the server is known to Kerberos in the url, or write it as   "
    'service = "HTTP/NAME"   into auth, or ask the administrator for a service principal of '
    "that name"
)


class KdcUnreachable(GatepassError):
    """No domain controller answers."""

    exit_code = 5


class Context(Protocol):
    """A login in progress, in the names on which pyspnego and gssapi agree."""

    @property
    def complete(self) -> bool:
        """Whether both sides are authenticated."""

    def step(self, token: bytes | None = None) -> bytes | None:
        """Take the server's message and return the next one."""


class MakeContext(Protocol):
    """Starts a login at a host; ``binding`` ties it to a TLS connection."""

    def __call__(self, host: str, binding: bytes | None) -> Context:
        """Return the context of the login."""


class TranslatedContext:
    """A context that raises errors of gatepass in place of the library's."""

    def __init__(
        self, context: Context, kind: type[Exception], service: str, translate: TranslateError
    ) -> None:
        self._context = context
        self._kind = kind
        self._service = service
        self._translate = translate

    @property
    def complete(self) -> bool:
        """Whether both sides are authenticated. May raise the errors of the step before."""
        return self._translated(lambda: self._context.complete)

    def step(self, token: bytes | None = None) -> bytes | None:
        """Take the server's message and return the next one.

        Raises:
            LoginRequired: there is no ticket, or it has expired.
            GatepassError: anything else that the library says.
        """
        return self._translated(lambda: self._context.step(token))

    def _translated(self, action: Callable[[], _T]) -> _T:
        failure: GatepassError
        try:
            return action()
        except self._kind as error:
            failure = self._translate(error, self._service)
        except Exception as error:  # noqa: BLE001 - a hostile server's messages can raise any error
            failure = CannotLogOn(
                f"the Negotiate messages of {self._service} cannot be understood "
                f"({type(error).__name__})"
            )
        raise failure
