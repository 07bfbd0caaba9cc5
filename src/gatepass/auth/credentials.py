"""``scheme = "credentials"``: asks the server once which scheme it takes, then remembers."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from gatepass._challenge import Challenge, Unanswered, offered
from gatepass.auth import AuthContext, SchemeBase, basic_header, logon_name
from gatepass.secrets import Secret, SecretField, TextField

if TYPE_CHECKING:
    from requests import PreparedRequest, Response, Session

    from gatepass.auth import Authenticator

_REFUSED: Final = 401


@dataclass(frozen=True)
class Credentials(SchemeBase):
    r"""User name and password, sent in the way that the server asks for.

    Attributes:
        user_name: plain or a reference.
        password: a reference.
        domain: plain or a reference; sent as ``DOMAIN\user``.
    """

    user_name: TextField
    password: SecretField
    domain: TextField | None = None

    # "ntlm" belongs here as soon as _Asking.choose knows it.
    answers: ClassVar[frozenset[str]] = frozenset({"basic"})

    def authenticator(self, context: AuthContext) -> "Authenticator":
        """Resolve name and password and return an auth that asks first.

        Raises:
            SecretUnavailable: a reference did not answer.
        """
        found = context.resolve(
            user_name=self.user_name, password=self.password, domain=self.domain
        )
        domain = found["domain"].reveal() if "domain" in found else None
        name = logon_name(found["user_name"].reveal(), domain)
        return _Asking(name, found["password"], context.http)


class _Asking:
    """Logs on when the server asks; from then on at once.

    A request without a body is sent as it is, and the server's 401 tells the scheme. A body would
    be lost there, so a request that has one is preceded by a question without.
    """

    def __init__(self, name: str, password: Secret, http: "Callable[[], Session]") -> None:
        self._name = name
        self._password = password
        self._http = http
        self._chosen: Authenticator | None = None

    def __call__(self, request: "PreparedRequest") -> "PreparedRequest":
        if self._chosen is None and request.body is not None:
            self._ask(request)
        if self._chosen is not None:
            return self._chosen(request)
        request.register_hook("response", self._answer)  # type: ignore[no-untyped-call]
        return request

    def choose(self, challenges: Iterable[Challenge]) -> "Authenticator | None":
        """Return the way to log on that fits what the server offers; None when none does."""
        names = {challenge.scheme for challenge in challenges}
        # NTLM belongs here, before Basic: it does not show the password to the server.
        if "basic" in names:
            return self._basic()
        return None

    def _basic(self) -> "Authenticator":
        header = Secret(basic_header(self._name, self._password.reveal()))

        def add_header(request: "PreparedRequest") -> "PreparedRequest":
            request.headers["Authorization"] = header.reveal()
            return request

        return add_header

    def _ask(self, request: "PreparedRequest") -> None:
        """Ask for the same URL without body and credentials; the 401 tells the scheme.

        Raises:
            Unanswered: the server offers nothing that fits.
        """
        response = self._http().get(request.url or "", allow_redirects=False, stream=True)
        with response:
            if response.status_code != _REFUSED:
                return
            self._chosen = self.choose(offered(response.headers.get("WWW-Authenticate")))
            if self._chosen is None:
                raise Unanswered(response)

    def _answer(self, response: "Response", **kwargs: Any) -> "Response":
        """Answer the server's question by sending the request again, with credentials."""
        if response.status_code != _REFUSED:
            return response
        chosen = self.choose(offered(response.headers.get("WWW-Authenticate")))
        if chosen is None:
            return response
        self._chosen = chosen
        request = response.request.copy()
        if request.body is not None and not isinstance(request.body, bytes | str):
            return response  # a stream is spent; the next request logs on at once
        _ = response.content  # read to the end, so that the connection serves again
        response.close()
        return response.connection.send(chosen(request), **kwargs)
