"""``scheme = "basic"``: HTTP Basic (RFC 7617), sent at once with the first request."""

from typing import TYPE_CHECKING, ClassVar

from gatepass._value import Value
from gatepass.auth import AuthContext, SchemeBase
from gatepass.auth._password import basic_header, check_domain, name_and_password
from gatepass.secrets import SecretField, TextField

if TYPE_CHECKING:
    from requests import PreparedRequest

    from gatepass.auth import Authenticator


class Basic(SchemeBase, Value):
    r"""User name and password in each request; safe over https only.

    Attributes:
        user_name: plain or a reference.
        password: a reference.
        domain: plain or a reference; sent as ``DOMAIN\user``.
    """

    user_name: TextField
    password: SecretField
    domain: TextField | None = None

    answers: ClassVar[frozenset[str]] = frozenset({"basic"})

    def __post_init__(self) -> None:
        """Refuse a user name that names a domain beside ``domain``."""
        check_domain(self.user_name, self.domain)

    def authenticator(self, context: AuthContext) -> "Authenticator":
        """Resolve name and password and return an auth that sets the header.

        Raises:
            SecretUnavailable: a reference did not answer.
            GatepassError: the pair cannot be sent by HTTP Basic.
        """
        name, password = name_and_password(context, self.user_name, self.password, self.domain)
        header = basic_header(name, password)

        def add_header(request: "PreparedRequest") -> "PreparedRequest":
            request.headers["Authorization"] = header.reveal()
            return request

        return add_header
