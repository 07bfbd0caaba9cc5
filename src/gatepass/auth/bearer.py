"""``scheme = "bearer"``: a fixed token (RFC 6750)."""

from typing import TYPE_CHECKING, ClassVar

from gatepass._system.text import pattern
from gatepass._value import Value
from gatepass.auth import AuthContext, SchemeBase
from gatepass.errors import GatepassError
from gatepass.secrets import SecretField

if TYPE_CHECKING:
    from requests import PreparedRequest

    from gatepass.auth import Authenticator

_TOKEN = pattern(r"[A-Za-z0-9\-._~+/]+=*")  # b64token of RFC 6750, section 2.1


class Bearer(SchemeBase, Value):
    """One token, the same in each request.

    Attributes:
        token: a reference.
    """

    token: SecretField

    answers: ClassVar[frozenset[str]] = frozenset({"bearer"})

    def authenticator(self, context: AuthContext) -> "Authenticator":
        """Resolve the token and return an auth that sets the header.

        Raises:
            SecretUnavailable: the reference did not answer.
            GatepassError: what it answered is not a token; requests would repeat it in its error.
        """
        token = context.resolve(token=self.token)["token"]
        if not _TOKEN.fullmatch(token.reveal()):
            raise GatepassError(
                "the token holds a character that no bearer token has (RFC 6750, section 2.1)",
                hint="look for blanks, quotes, a line break or a leading 'Bearer ' in it",
            )

        def add_header(request: "PreparedRequest") -> "PreparedRequest":
            request.headers["Authorization"] = f"Bearer {token.reveal()}"
            return request

        return add_header
