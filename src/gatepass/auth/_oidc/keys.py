"""The keys of ``[auth]`` for the scheme ``oidc``, and what must hold between them."""

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Final, Literal, Self

from gatepass._net.proxy import Proxy
from gatepass._net.tls import TlsSettings
from gatepass._system.text import pattern
from gatepass._value import Value, field, replace
from gatepass._vault.records import Identity
from gatepass.auth import KeyRefused, Resolver, SchemeBase
from gatepass.auth._oidc.endpoint import endpoint_problem, issuer_problem, redirect_problem
from gatepass.errors import GatepassError
from gatepass.secrets import NameField, Secret, SecretField, SecretRef

CLIENT_ID: Final = pattern(r"[\x20-\x7e]{1,512}")  # RFC 6749, appendix A.1
SCOPE: Final = pattern(r"[\x21\x23-\x5b\x5d-\x7e]{1,512}")  # RFC 6749, appendix A.4

_OF_CLIENTS: Final = ("client_secret", "client_assertion", "client_key")
# What gatepass sets itself, by the key whose parameters stand beside it.
_RESERVED: Final = {
    key: frozenset(f"client_assertion client_assertion_type {names}".split())
    for key, names in {
        "extra_params": "client_id client_secret code_challenge code_challenge_method nonce "
        "redirect_uri response_mode response_type scope state",
        "token_params": "client_id client_secret code code_verifier device_code grant_type "
        "redirect_uri refresh_token scope",
    }.items()
}
_PROBLEMS_OF: Final[dict[str, Callable[[str], tuple[str, str]]]] = {
    "issuer": issuer_problem,
    "metadata_url": lambda url: (endpoint_problem(url), ""),
    "redirect_uri": redirect_problem,
    "client_id": lambda name: (
        ""
        if CLIENT_ID.fullmatch(name) and name.strip() and not name.startswith("<")
        else "should be 1 to 512 plain ASCII characters, and no placeholder",
        "",
    ),
    "audience": lambda name: ("" if name.strip() else "is empty", "leave the key out"),
}
CONTROL: Final = pattern(r"[\x00-\x1f\x7f]")


class OidcKeys(SchemeBase, Value):
    """A login at an identity provider: in a browser, on another device, or by a client's secret.

    A stored token is used whenever there is one.

    Attributes:
        issuer: the identity provider; learnt from the server where it is not written.
        metadata_url: where the provider's metadata lies, if not below ``issuer``.
        client_id: our name there, or a reference to it; learnt from the server where it is not
            written.
        client_secret: a reference; for confidential clients; needs ``issuer``, where it is sent.
        client_auth: ``basic`` or ``post``: how the secret is sent; found out by default.
        client_assertion: a reference to a token that is sent instead of a secret, as platforms give
            one to their workloads; read anew for each request; needs ``issuer``.
        client_key: a reference to a private key in PEM that signs such tokens
            (``private_key_jwt``); needs ``issuer``.
        scopes: what to ask for; by default what the server names, else openid offline_access.
        audience: which API the token is for, or a reference to that.
        redirect_uri: the loopback address that is registered for the client; any port by default.
        flow: ``browser``, ``device`` or ``client_credentials``.
        account: tells several people or roles at one server apart.
        refresh_token: a reference to a token from elsewhere, used when none is stored; needs
            ``issuer``, where it is sent.
        use_stored_token: never log in; a stored token or nothing.
        login_timeout: seconds that a person has for a login.
        extra_params: further parameters of the login's address.
        token_params: further parameters of each token request, such as ``resource``.
        tls: certificates of the identity provider, and of the client for it; by default the
            system's authorities. The profile's ``tls`` is for the server alone, and for a provider
            at the same scheme, host and port.
        proxy: the way to the identity provider: a URL, ``"none"``, or a table; by default what the
            environment says. The profile's ``proxy`` is for the server alone.
    """

    issuer: str | None = None
    metadata_url: str | None = None
    client_id: NameField | None = None
    client_secret: SecretField | None = None
    client_auth: Literal["basic", "post"] | None = None
    client_assertion: SecretField | None = None
    client_key: SecretField | None = None
    scopes: list[str] | None = None
    audience: NameField | None = None
    redirect_uri: str | None = None
    flow: Literal["browser", "device", "client_credentials"] = "browser"
    account: str = ""
    refresh_token: SecretField | None = None
    use_stored_token: bool = False
    login_timeout: float = 300
    extra_params: dict[str, str] = field(default_factory=dict)
    token_params: dict[str, str] = field(default_factory=dict)
    tls: TlsSettings = field(default_factory=TlsSettings)
    proxy: Proxy | None = None

    answers: ClassVar[frozenset[str]] = frozenset({"bearer"})

    def __post_init__(self) -> None:
        problems = [
            *self._problems_of_values(),
            *self._problems_of_parameters(),
            *self._problems_of_client(),
            *self._problems_of_flow(),
        ]
        if problems:
            raise KeyRefused.all_of(problems)

    def _problems_of_values(self) -> Iterator[KeyRefused]:
        """Find values that no provider can take, each by itself."""
        for key, problem_of in _PROBLEMS_OF.items():
            value = getattr(self, key)
            problem, hint = problem_of(value) if isinstance(value, str) else ("", "")
            if problem:
                yield KeyRefused(key, problem, hint=hint)
        for scope in self.scopes or ():
            if not SCOPE.fullmatch(scope):
                hint = "write each scope as an entry of its own: plain ASCII, without blanks"
                yield KeyRefused("scopes", f"no provider knows the scope {scope!r}", hint=hint)
        if not 0 < self.login_timeout < 86_400:  # noqa: PLR2004 - a day
            yield KeyRefused("login_timeout", "should be seconds: a positive number below 86400")

    def _problems_of_parameters(self) -> Iterator[KeyRefused]:
        """Find parameters that would contradict those that each request holds."""
        for key, reserved in _RESERVED.items():
            params = getattr(self, key)
            for name in params:
                if not name or name != name.strip():
                    yield KeyRefused(key, "holds a parameter without a name, or with blanks around")
                elif name in reserved:
                    own = "scopes" if name == "scope" else name
                    is_key = own in self.__value_fields__
                    hint = f"it is a key of auth:   {own} = ..." if is_key else "take it out"
                    yield KeyRefused(key, f"cannot set {name}, which gatepass sets", hint=hint)
            if self.audience and "audience" in params:
                yield KeyRefused(key, "sets audience, and so does the key audience")

    def _problems_of_client(self) -> Iterator[KeyRefused]:
        """Find proofs of a client that nobody could take, or that anybody could ask for."""
        proofs = [key for key in _OF_CLIENTS if getattr(self, key) is not None]
        for key in proofs[1:]:
            hint = "keep the one that the provider has registered"
            yield KeyRefused(key, f"goes not together with {proofs[0]}", hint=hint)
        if self.client_auth and "client_secret" not in proofs:
            yield KeyRefused("client_auth", "says how client_secret is sent, and there is none")
        for key in ("client_secret", "refresh_token"):
            secret = getattr(self, key)
            if isinstance(secret, Secret) and CONTROL.search(secret.reveal()):
                yield KeyRefused(key, "holds a control character, such as a line break")
        # Without an issuer, the server says where these are sent, or an attacker in its place. A
        # token given in Python is the exception that the Scripting Toolkit's users need: see
        # LoginFlow.read_given_token.
        if isinstance(self.refresh_token, SecretRef):
            proofs.append("refresh_token")
        for key in [] if self.issuer else proofs:
            yield KeyRefused(
                key,
                "needs issuer, the identity provider that gave it; otherwise the server could name "
                "another one to send it to",
                hint='write   issuer = "https://..."   beside it',
            )
        if self.metadata_url is not None and not self.issuer:
            yield KeyRefused("metadata_url", "needs issuer, the name that the metadata must hold")

    def _problems_of_flow(self) -> Iterator[KeyRefused]:
        """Find keys that contradict ``flow``."""
        if self.flow != "client_credentials":
            return
        if not (self.client_id and any(getattr(self, key) for key in _OF_CLIENTS)):
            yield KeyRefused(
                "flow",
                "client_credentials needs issuer, client_id and client_secret (or client_assertion "
                "or client_key)",
            )
        nobody = "and with client_credentials the client logs in for itself, at each need"
        if self.use_stored_token:
            yield KeyRefused("use_stored_token", f"uses a login that is stored, {nobody}")
        if self.refresh_token is not None:
            yield KeyRefused("refresh_token", f"is of a person's login, {nobody}")
        if self.extra_params:
            yield KeyRefused(
                "extra_params",
                f"go into the address of a login, {nobody}",
                hint="write   token_params = { ... }   , which goes into the token request",
            )

    def with_names(self, resolve: Resolver) -> Self:
        """Return the keys with ``client_id`` and ``audience`` as texts. Reads variables and files.

        Raises:
            SecretUnavailable: a reference did not answer.
            GatepassError: what it names can be no such text.
        """
        names = {"client_id": self.client_id, "audience": self.audience}
        if not any(isinstance(each, SecretRef) for each in names.values()):
            return self
        found: dict[str, Any] = {name: secret.reveal() for name, secret in resolve(**names).items()}
        try:
            return replace(self, **found)
        except KeyRefused as error:
            raise GatepassError(str(error), hint=error.hint) from None

    def identity(self, origin: str) -> Identity:
        """Return whose token this is, as the profile says it; see :meth:`with_names`."""
        return Identity(
            origin,
            self.account,
            self.issuer,
            text_of(self.client_id),
            text_of(self.audience),
            tuple(sorted(self.scopes or ())),
        )


def text_of(name: str | SecretRef | Secret | None) -> str | None:
    """Return a name that :meth:`OidcKeys.with_names` has looked up."""
    if isinstance(name, SecretRef):
        raise TypeError("a reference is no name")
    return name.reveal() if isinstance(name, Secret) else name
