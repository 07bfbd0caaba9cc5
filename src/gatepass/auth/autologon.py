"""``scheme = "autologon"``: the logged-on user, by Negotiate (RFC 4559).

SSPI on Windows: Kerberos, or NTLM where Windows falls back to it. GSSAPI elsewhere: Kerberos with
a ticket of ``kinit`` or a keytab.
"""

import re
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import urlsplit

from gatepass._value import Value
from gatepass.auth import AuthContext, SchemeBase, _kerberos, _sspi
from gatepass.auth._handshake import (
    REFUSED,
    authorization_value,
    can_answer,
    certificate_binding,
    drain_for_next_message,
    offered_schemes,
    resend,
    token_of,
)
from gatepass.auth._negotiate import Context, MakeContext
from gatepass.errors import CannotLogOn, GatepassError, KeyRefused

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

    from gatepass.auth import Authenticator

_MOST_MESSAGES: Final = 6  # NTLM within Negotiate takes two
_PRINCIPAL: Final = r"[^\s@]([^@]*[^\s@])?(@[^\s@]+)?"
_SERVICE: Final = r"[\w-]+/\w([\w.:-]*\w)?(@[^\s@]+)?"


class Autologon(SchemeBase, Value):
    """No name and no password: the user of this computer's session logs on at the server.

    Attributes:
        principal: whose Kerberos ticket or keytab entry, such as ``robot@EXAMPLE.COM``; by
            default the first. Not on Windows.
        service: the server's service principal, such as ``HTTP/mi.corp.example.com``, where it
            is not that of the host in ``url``, as behind an alias or a balancer.
        delegate: lets the server act in the user's name at other servers.
        channel_binding: binds the login to the TLS connection, which servers may demand
            (Extended Protection); false where a balancer in between ends TLS.
    """

    principal: str | None = None
    service: str | None = None
    delegate: bool = False
    channel_binding: bool = True

    answers: ClassVar[frozenset[str]] = frozenset({"negotiate"})
    connection_bound: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse a principal that names nobody, and a service that names no host."""
        if self.principal is not None and not re.fullmatch(_PRINCIPAL, self.principal):
            raise KeyRefused("principal", "should be such as robot@EXAMPLE.COM")
        if self.service is not None and not re.fullmatch(_SERVICE, self.service):
            raise KeyRefused("service", "should be such as HTTP/mi.corp.example.com")

    def authenticator(self, context: AuthContext) -> "Authenticator":  # noqa: ARG002 - no secret
        """Return an auth that answers the server's challenge.

        Raises:
            GatepassError: what it needs is not installed, or not for this system.
        """
        library = _sspi if sys.platform == "win32" else _kerberos
        make_context = library.context_maker(
            self.principal, delegate=self.delegate, service=self.service
        )
        return _NegotiateAuth(make_context, channel_binding=self.channel_binding)


class _NegotiateAuth:
    """Answers a Negotiate challenge.

    The first request of a session goes out without a token. Once the server has accepted a Kerberos
    ticket, each later request carries one: that saves a round trip, works with servers that want a
    token for each request, and no request with a body is answered by 401.
    """

    def __init__(self, make_context: MakeContext, *, channel_binding: bool) -> None:
        self._make_context = make_context
        self._channel_binding = channel_binding
        self._at_once = False
        self._binding: bytes | None = None

    def __call__(self, request: "PreparedRequest") -> "PreparedRequest":
        context = None
        if self._at_once:
            binding = self._binding
            context = self._make_context(_host(request), binding)
            token = context.step() or b""
            if _is_ntlm(token):  # NTLM takes more messages than this one
                context = None
            else:
                request.headers["Authorization"] = authorization_value("Negotiate", token)
        request.register_hook("response", partial(self._answer, context))  # type: ignore[no-untyped-call]
        return request

    def _answer(self, context: Context | None, response: "Response", **kwargs: Any) -> "Response":
        if context is not None and response.status_code != REFUSED:
            try:
                _verify(context, response)
            except GatepassError:
                response.close()
                raise
            return response
        binding = certificate_binding(response) if self._channel_binding else None
        if context is not None and binding == self._binding:
            return response  # refused; a second attempt would send the same
        if not can_answer(response) or "negotiate" not in offered_schemes(response):
            return response
        return self._run_handshake(response, binding, kwargs)

    def _run_handshake(
        self, response: "Response", binding: bytes | None, kwargs: dict[str, Any]
    ) -> "Response":
        context = self._make_context(_host(response.request), binding)
        first = message = context.step() or b""
        for _ in range(_MOST_MESSAGES):
            header = authorization_value("Negotiate", message)
            response = resend(response, header, kwargs)
            try:
                if response.status_code != REFUSED:
                    _verify(context, response)
                    self._binding = binding
                    self._at_once = not _is_ntlm(first)
                    return response
                token = token_of(response, "negotiate")
                if token is None or context.complete:
                    return response
                drain_for_next_message(response)
                message = context.step(token) or b""
            except GatepassError:
                response.close()
                raise
        return response


def _verify(context: Context, response: "Response") -> None:
    """Check the server's last token, by which it proves its identity (mutual authentication).

    Raises:
        CannotLogOn: the server answers with success, and without that proof.
    """
    token = token_of(response, "negotiate")
    if token is not None and not context.complete:
        context.step(token)
    if not context.complete and response.ok:
        raise CannotLogOn(
            f"{_host(response.request)} answers, but does not prove that it is the right server "
            "(Kerberos mutual authentication)",
            hint="a balancer or proxy in between may remove the WWW-Authenticate header",
        )


def _is_ntlm(token: bytes) -> bool:
    return b"NTLMSSP\0" in token


def _host(request: "PreparedRequest") -> str:
    return urlsplit(request.url or "").hostname or ""
