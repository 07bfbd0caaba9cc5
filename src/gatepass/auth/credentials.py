"""``scheme = "credentials"``: a user name and a password, by the scheme that the server offers."""

from typing import TYPE_CHECKING, Any, ClassVar

from gatepass._system import log
from gatepass._value import Value
from gatepass.auth import AuthContext, SchemeBase
from gatepass.auth._handshake import can_answer, offered_schemes, resend
from gatepass.auth._password import basic_header, check_domain, name_and_password
from gatepass.auth.ntlm import NtlmAuth
from gatepass.secrets import Secret, SecretField, TextField

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

    from gatepass.auth import Authenticator


class Credentials(SchemeBase, Value):
    r"""User name and password, by NTLM where the server offers it, else by HTTP Basic.

    Attributes:
        user_name: plain or a reference.
        password: a reference.
        domain: plain or a reference; sent as ``DOMAIN\user``.
        channel_binding: for NTLM: binds the login to the TLS connection, which servers may demand
            (Extended Protection); false where a balancer in between ends TLS.
    """

    user_name: TextField
    password: SecretField
    domain: TextField | None = None
    channel_binding: bool = True

    answers: ClassVar[frozenset[str]] = frozenset({"basic", "ntlm", "negotiate"})
    connection_bound: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse a user name that names a domain beside ``domain``."""
        check_domain(self.user_name, self.domain)

    def authenticator(self, context: AuthContext) -> "Authenticator":
        """Resolve name and password and return an auth that asks the server first.

        Raises:
            SecretUnavailable: a reference did not answer.
        """
        name, password = name_and_password(context, self.user_name, self.password, self.domain)
        return _CredentialsAuth(name, password, channel_binding=self.channel_binding)


class _CredentialsAuth:
    """Logs on when the server asks, and remembers how for the session.

    The first choice is final: where the server, or a proxy in between, offers only Basic later, the
    password is not sent in clear.
    """

    def __init__(self, name: str, password: Secret, *, channel_binding: bool) -> None:
        self._name = name
        self._password = password
        self._ntlm = NtlmAuth(name, password, channel_binding=channel_binding)
        self._header: Secret | None = None  # of Basic, once that is chosen
        self._chosen: str | None = None

    def __call__(self, request: "PreparedRequest") -> "PreparedRequest":
        if self._header is not None:
            request.headers["Authorization"] = self._header.reveal()
        else:
            request.register_hook("response", self._answer)  # type: ignore[no-untyped-call]
        return request

    def _answer(self, response: "Response", **kwargs: Any) -> "Response":
        """Answer a challenge by sending the request again, with credentials.

        Where the body cannot be sent again the 401 is returned. The choice of the scheme is kept.
        """
        offered = offered_schemes(response)
        if not offered:
            return response
        if self._chosen is None:
            self._chosen = _choose(offered)
            log.debug("scheme chosen: %s", self._chosen or "none")
        if self._chosen == "ntlm":
            return self._ntlm.answer(response, **kwargs)
        if self._chosen != "basic" or "basic" not in offered:
            return response
        self._header = basic_header(self._name, self._password)
        return resend(response, self._header.reveal(), kwargs) if can_answer(response) else response


def _choose(offered: frozenset[str]) -> str | None:
    """Return the scheme to use: NTLM first, which does not send the password.

    A server that offers Negotiate may accept Kerberos only, so NTLM in it is tried last.
    """
    if "ntlm" in offered:
        return "ntlm"
    if "basic" in offered:
        return "basic"
    return "ntlm" if "negotiate" in offered else None
