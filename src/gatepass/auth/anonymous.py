"""``scheme = "anonymous"``: send nothing."""

from typing import TYPE_CHECKING, ClassVar

from gatepass._value import Value
from gatepass.auth import AuthContext, SchemeBase

if TYPE_CHECKING:
    from requests import PreparedRequest

    from gatepass.auth import Authenticator


def _send_nothing(request: "PreparedRequest") -> "PreparedRequest":
    return request


class Anonymous(SchemeBase, Value):
    """No login. An *auth* all the same: without one, requests looks into ``~/.netrc``."""

    sends_credentials: ClassVar[bool] = False

    def authenticator(self, context: AuthContext) -> "Authenticator":  # noqa: ARG002 - the contract
        """Return an auth that leaves the request as it is."""
        return _send_nothing
