"""``scheme = "ntlm"``: NTLM with a user name and a password, on every system (requests-ntlm)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from gatepass._system.findings import Finding
from gatepass.auth import (
    AuthContext,
    SchemeBase,
    UnattendedContext,
    name_and_password,
    unloadable,
)
from gatepass.auth._handshake import (
    REFUSED,
    OneConnection,
    bound,
    closes,
    keep_tokens_out_of_logs,
    may_answer,
    offered_schemes,
    serve_again,
)
from gatepass.errors import GatepassError
from gatepass.secrets import Secret, SecretField, TextField

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

    from gatepass.auth import Authenticator


@dataclass(frozen=True)
class Ntlm(SchemeBase):
    r"""User name and password, never sent in clear; once per connection.

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

    def authenticator(self, context: AuthContext) -> "Authenticator":
        """Resolve name and password and return an auth that answers the server's challenge.

        Raises:
            SecretUnavailable: a reference did not answer.
        """
        name, password = name_and_password(context, self.user_name, self.password, self.domain)
        return NtlmAnswer(name, password, channel_binding=self.channel_binding)

    def unattended(self, context: UnattendedContext) -> Iterable[Finding]:
        """Say which of its references would fail, and whether it can speak NTLM."""
        return (*super().unattended(context), *unloadable("requests_ntlm", "ntlm"))


class _NoNtlmHere(GatepassError):
    """The server cannot take NTLM; it has not seen the password."""

    exit_code = 4


class NtlmAnswer:
    """Answers a challenge by NTLM; the connection is logged on from then on.

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
        """Wait for the server's question."""
        request.register_hook("response", self.answer)  # type: ignore[no-untyped-call]
        return request

    def answer(self, response: "Response", **kwargs: Any) -> "Response":
        """Log on over the connection of a 401 and return the answer to the same request.

        Raises:
            GatepassError: what the server sends is not NTLM.
        """
        if not may_answer(response) or not offered_schemes(response) & {"ntlm", "negotiate"}:
            return response
        import requests
        from requests_ntlm import HttpNtlmAuth

        keep_tokens_out_of_logs()
        auth = HttpNtlmAuth(self._name, self._password.reveal(), send_cbt=self._channel_binding)
        bound(response)
        legs: Any = _Legs(response)
        response.connection = legs
        try:
            final: Response = auth.response_hook(response, **kwargs)
        except (GatepassError, requests.RequestException):
            legs.close()
            raise
        except PermissionError:  # so requests-ntlm says that no message came back
            legs.close()
            raise _NoNtlmHere(
                "the server does not answer NTLM with NTLM, whatever it offers",
                hint="use autologon where it takes Kerberos alone, or ask its administrator",
            ) from None
        except Exception as error:  # noqa: BLE001 - a hostile server brings any error out of it
            legs.close()
            raise GatepassError(
                f"the server's NTLM messages cannot be understood ({type(error).__name__})",
                hint="ask its administrator, or use another scheme that it offers",
            ) from None
        finally:
            response.connection = legs.adapter
        final.connection = legs.adapter
        return final


class _Legs:
    """What requests-ntlm takes for the connection: sends its messages.

    It mends one thing: requests-ntlm 1.3 replaces the Cookie header by the text of the server's
    Set-Cookie, attributes and all, so the session's own cookies would be lost. And it watches
    that both messages take the same connection.
    """

    def __init__(self, response: "Response") -> None:
        self.adapter: Any = response.connection
        self._last: Response | None = None
        self._connection = OneConnection()
        self._cookie = response.request.headers.get("Cookie")

    def send(self, request: "PreparedRequest", **kwargs: Any) -> "Response":
        """Send one message over the connection.

        Raises:
            GatepassError: the server does not keep connections, or its question has no end.
            requests.ConnectionError: it did not keep this one.
        """
        request.headers.pop("Cookie", None)
        if self._cookie is not None:
            request.headers["Cookie"] = self._cookie
        is_first = self._last is None
        response = self._connection.send(lambda: self.adapter.send(request, **kwargs))
        # After the second message, a 401 is the server's verdict, however it treats connections.
        if is_first and response.status_code == REFUSED and closes(response):
            response.close()
            # The second message would go over another connection, and count as a failed login.
            raise _NoNtlmHere(
                "the server closes each connection after one answer, and NTLM logs on connections",
                hint="ask its administrator for keep-alive, or use a scheme such as basic",
            )
        if is_first:
            serve_again(response)
        carrier: Any = self
        response.connection = carrier
        self._last = response
        return response

    def close(self) -> None:
        """Close the last answer; nobody will read it."""
        if self._last is not None:
            self._last.close()
