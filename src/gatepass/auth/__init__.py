"""Authentication schemes: what a profile's ``auth`` table stands for.

A scheme is a frozen dataclass. Its fields are the keys of ``[auth]`` in TOML, and its one method
makes what requests calls an *auth*: a callable that gets the request before it is sent.

To add a scheme, write the dataclass in a file of its own and name it in the entry-point group
``gatepass.auth``. Fields that hold a secret are of type
:data:`~gatepass.secrets.SecretField`, fields that may be plain or a reference of type
:data:`~gatepass.secrets.TextField`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from gatepass._system.terminal import Terminal
from gatepass._value import Value, field, fields, has_fields
from gatepass.errors import KeyRefused as KeyRefused
from gatepass.secrets import Secret, SecretRef

if TYPE_CHECKING:
    from requests import PreparedRequest, Session

    from gatepass._vault.vault import Vault

    Authenticator = Callable[[PreparedRequest], PreparedRequest]


class Resolver(Protocol):
    """Turns the secret fields of a scheme into secrets, all at once."""

    def __call__(self, **fields: str | SecretRef | Secret | None) -> Mapping[str, Secret]:
        """Resolve each field that is given; see :attr:`AuthContext.resolve`."""


class AuthContext(Value):
    """What a scheme may look at while a session is built, and later.

    Attributes:
        profile_name: the profile's name; empty for a session built without one.
        url: the profile's URL, ending in a slash.
        origin: scheme, host and port of that URL.
        resolve: resolves fields: ``resolve(user_name=self.user_name, password=self.password)``.
            Plain text passes through, None is left out. One ``SecretUnavailable`` names all that
            is missing. Give all fields in one call: the keyring entry of a password is found by
            ``user_name`` and ``domain``. Touches whatever the references name.
        http: returns a ``requests.Session`` without any login; made at the first call. What it
            asks of the profile's origin goes by the profile's ``tls`` and ``proxy``, without the
            client's certificate. What it asks of anyone else goes by the scheme's own ``tls`` and
            ``proxy``, where the scheme has such fields, as ``oidc`` has; else by the system's
            authorities or the environment's bundle, and the environment's proxy. The timeouts
            are the profile's.
        vault: returns the vault, for schemes that keep tokens. It opens at its first use.
        environ: the environment variables.
        clock: the wall clock, in seconds since 1970.
        terminal: the way to a person.
        allow_insecure_keyring: the machine setting of that name.
        shared: what the sessions of this process share; it is never written anywhere.
        keeps_logins: whether a login that a person makes for a named profile is stored.
    """

    profile_name: str
    url: str
    origin: str
    resolve: Resolver
    http: "Callable[[], Session]"
    vault: "Callable[[], Vault]"
    environ: Mapping[str, str] = field(repr=False)  # variables hold passwords
    clock: Callable[[], float]
    terminal: Terminal
    allow_insecure_keyring: bool = False
    shared: dict[Any, Any] = field(default_factory=dict, repr=False)
    keeps_logins: bool = False


class Scheme(Protocol):
    """One way to log on. A frozen dataclass; its fields are the TOML keys of ``[auth]``.

    A scheme may carry three class variables that the session and ``check`` read:
    ``sends_credentials`` (false only for ``anonymous``), ``answers``, the names of the
    WWW-Authenticate schemes that it can answer, in lower case, and ``connection_bound``, true
    where the login takes several messages or belongs to a connection.
    """

    def authenticator(self, context: AuthContext) -> "Authenticator":
        """Return requests' *auth* for the profile's server. Resolves secrets, sends nothing.

        Raises:
            SecretUnavailable: a reference did not answer.
            GatepassError: the scheme cannot be used here; says what to do.
        """


class SchemeBase:
    """What our own schemes share: strict keys and the class variables of :class:`Scheme`.

    Third-party schemes may derive from it too.
    """

    # pydantic reads it when the profile is validated; a dict, so that nothing is imported.
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    sends_credentials: ClassVar[bool] = True
    answers: ClassVar[frozenset[str]] = frozenset()
    connection_bound: ClassVar[bool] = False


def sends_credentials(scheme: object) -> bool:
    """Whether a scheme, or its class, sends credentials; only a plain False says no."""
    return _class_attribute(scheme, "sends_credentials") is not False


def is_connection_bound(scheme: object) -> bool:
    """Whether a scheme's login belongs to a connection; only a plain True says so."""
    return _class_attribute(scheme, "connection_bound") is True


def answers_of(scheme: object) -> frozenset[str]:
    """Return the WWW-Authenticate schemes that a scheme can answer; empty where it does not say."""
    found = _class_attribute(scheme, "answers")
    return found if isinstance(found, frozenset) else frozenset()


def value_of(scheme: object, name: str) -> Any:
    """Return the value of a scheme's field, None where it has no such field."""
    return getattr(scheme, name, None)


def references_in(value: object, name: str) -> Iterator[tuple[str, SecretRef | Secret]]:
    """Yield each reference in a field, also in its tables and lists, with its name.

    Args:
        value: the value of the field.
        name: its name; what is inside it is called ``name.key`` and ``name[0]``.
    """
    inner: Iterable[tuple[str, object]] = ()
    if isinstance(value, SecretRef | Secret):
        yield name, value
    elif isinstance(value, Mapping):
        inner = [(f"{name}.{key}", each) for key, each in value.items()]
    elif isinstance(value, list | tuple):
        inner = [(f"{name}[{number}]", each) for number, each in enumerate(value)]
    elif has_fields(value):
        names = [each.name for each in fields(value)]
        inner = [(f"{name}.{each}", value_of(value, each)) for each in names]
    for path, each in inner:
        yield from references_in(each, path)


def field_of(dotted: str) -> str:
    """Return the name by which messages, sources and the keyring know a field of a profile.

    The fields of ``auth`` go without that word: ``auth.password`` is ``password``. Those of
    ``auth.proxy`` and ``auth.tls`` keep it: without it they would be those of the server's
    ``proxy`` and ``tls``, and share their entries of the keyring.
    """
    field = dotted.removeprefix("auth.")
    return dotted if field.startswith(("proxy.", "tls.")) else field


def _class_attribute(scheme: object, name: str) -> object:
    """A class variable of a scheme."""
    return getattr(scheme if isinstance(scheme, type) else type(scheme), name, None)
