"""``scheme = "ntlm"``: NTLM with a user name and a password, on every system (requests-ntlm)."""

from typing import TYPE_CHECKING, Any, ClassVar

from gatepass._value import Value
from gatepass.auth import AuthContext, SchemeBase
from gatepass.auth._handshake import (
    REFUSED,
    can_answer,
    closes_connection,
    drain_for_next_message,
    keep_tokens_out_of_logs,
    limit_content,
    offered_schemes,
)
from gatepass.auth._password import check_domain, name_and_password
from gatepass.errors import CannotLogOn, GatepassError
from gatepass.secrets import Secret, SecretField, TextField

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

    from gatepass.auth import Authenticator


class Ntlm(SchemeBase, Value):
    r"""User name and password, never sent in clear; each connection is logged on once.

    Attributes:
        user_name: plain or a reference; also ``user@domain``.
        password: a reference.
        domain: plain or a reference; sent as ``DOMAIN\user``.
        channel_binding: binds the login to the TLS connection, which servers may demand
            (Extended Protection); false where a balancer in between ends TLS.
    """

    user_name: TextField
    password: SecretField
    domain: TextField | None = None
    channel_binding: bool = True

    answers: ClassVar[frozenset[str]] = frozenset({"ntlm", "negotiate"})
    connection_bound: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse a user name that names a domain beside ``domain``."""
        check_domain(self.user_name, self.domain)

    def authenticator(self, context: AuthContext) -> "Authenticator":
        """Resolve name and password and return an auth that answers the server's challenge.

        Raises:
            SecretUnavailable: a reference did not answer.
        """
        name, password = name_and_password(context, self.user_name, self.password, self.domain)
        return NtlmAuth(name, password, channel_binding=self.channel_binding)


class NtlmAuth:
    """Answers a challenge by NTLM, which logs the connection on.

    Args:
        name: who logs on.
        password: the password.
        channel_binding: whether to bind the login to the TLS connection.
    """

    def __init__(self, name: str, password: Secret, *, channel_binding: bool) -> None:
        self._name = name
        self._password = password
        self._channel_binding = channel_binding

    def __call__(self, request: "PreparedRequest") -> "PreparedRequest":
        """Register the hook that answers the server's challenge."""
        request.register_hook("response", self.answer)  # type: ignore[no-untyped-call]
        return request

    def answer(self, response: "Response", **kwargs: Any) -> "Response":
        """Log on over the connection of a 401 and return the response to the same request.

        Raises:
            GatepassError: what the server sends is not NTLM.
        """
        if not can_answer(response) or not offered_schemes(response) & {"ntlm", "negotiate"}:
            return response
        import requests
        from requests_ntlm import HttpNtlmAuth

        keep_tokens_out_of_logs()
        auth = HttpNtlmAuth(self._name, self._password.reveal(), send_cbt=self._channel_binding)
        limit_content(response)
        connection: Any = _NtlmConnection(response)
        response.connection = connection
        try:
            final: Response = auth.response_hook(response, **kwargs)
        except (GatepassError, requests.RequestException):
            connection.close()
            raise
        except PermissionError:  # requests-ntlm raises it where the server sent no NTLM message
            connection.close()
            raise CannotLogOn(
                "the server does not answer NTLM with NTLM, whatever it offers",
                hint="use autologon where it takes Kerberos alone, or ask its administrator",
            ) from None
        except Exception as error:  # noqa: BLE001 - a hostile server's messages can raise any error
            connection.close()
            raise CannotLogOn(
                f"the server's NTLM messages cannot be understood ({type(error).__name__})",
                hint="ask its administrator, or use another scheme that it offers",
            ) from None
        finally:
            response.connection = connection.adapter
        final.connection = connection.adapter
        return final


class _NtlmConnection:
    """Sends the messages of requests-ntlm, which takes it for the response's connection.

    Both messages must take the same connection. And the session's Cookie header is restored:
    requests-ntlm 1.3 replaces it by the text of the server's Set-Cookie, attributes included.
    """

    def __init__(self, response: "Response") -> None:
        self.adapter: Any = response.connection
        self._last: Response | None = None
        self._cookie = response.request.headers.get("Cookie")

    def send(self, request: "PreparedRequest", **kwargs: Any) -> "Response":
        """Send one message over the connection.

        Raises:
            GatepassError: the server closes each connection, or its response is too long.
            requests.ConnectionError: the connection is lost.
        """
        request.headers.pop("Cookie", None)
        if self._cookie is not None:
            request.headers["Cookie"] = self._cookie
        is_first = self._last is None
        response: Response = self.adapter.send(request, **kwargs)
        # A 401 after the second message is the server's decision; closing it changes nothing.
        if is_first and response.status_code == REFUSED and closes_connection(response):
            response.close()
            # The second message would take another connection and count as a failed login.
            raise CannotLogOn(
                "the server closes each connection after one answer, and NTLM logs on connections",
                hint="a proxy in between may speak HTTP/1.0 to it: ask its administrator for "
                "keep-alive, or use a scheme such as basic",
            )
        if is_first:
            drain_for_next_message(response)
        carrier: Any = self
        response.connection = carrier
        self._last = response
        return response

    def close(self) -> None:
        """Close the last response, which no caller gets."""
        if self._last is not None:
            self._last.close()
