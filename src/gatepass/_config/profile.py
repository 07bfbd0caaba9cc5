"""The values: a checked profile, the keys that it may hold, and the machine settings.

``_config.validate`` builds them; everything above reads them. They hold references, no secrets.
"""

import typing
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final

from gatepass._config.fields import RunField, fields_of
from gatepass._config.layer import KeyLocation
from gatepass._config.redis_vault import RedisVault
from gatepass._config.toml import Key
from gatepass._net.proxy import Proxy
from gatepass._net.tls import TlsSettings
from gatepass._net.urls import is_absolute, is_plain_http, origin_of, url_problem
from gatepass._system.text import pattern
from gatepass._value import Value, field, fields
from gatepass.auth import Scheme, references_in, sends_credentials, value_of
from gatepass.errors import Problem, ProfileError
from gatepass.secrets import NameField, Secret, SecretField, SecretRef

if TYPE_CHECKING:
    from gatepass._config.merge import MergedProfile

_LONGEST: Final = 1_000_000_000  # seconds; more than any socket takes
_MOST_RETRIES: Final = 20


class _Rule:
    """An annotation whose function checks a value: after pydantic, and where there is none."""

    message: ClassVar[str]

    @classmethod
    def check(cls, value: Any) -> Any:
        """Return the value in its normal form; raise ``ValueError`` where it has none."""
        raise NotImplementedError

    @classmethod
    def _types(cls) -> Any:
        """Return pydantic's schema of what may be written."""
        raise NotImplementedError

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: object, _handler: object) -> Any:
        from pydantic_core import core_schema

        types = core_schema.custom_error_schema(
            cls._types(), custom_error_type="rule", custom_error_message=cls.message
        )
        return core_schema.no_info_after_validator_function(cls.check, types)


class _Timeout(_Rule):
    """A timeout: one number or two, in seconds."""

    message = "should be seconds: one positive number, or [connect, read]"

    @classmethod
    def check(cls, value: Any) -> tuple[float, float]:
        pair = value if isinstance(value, list | tuple) else (value, value)
        numbers = [each for each in pair if type(each) in (int, float) and 0 < each < _LONGEST]
        if len(pair) != 2 or len(numbers) != 2:  # noqa: PLR2004 - to connect, and to read
            raise ValueError(cls.message)
        return float(pair[0]), float(pair[1])

    @classmethod
    def _types(cls) -> Any:
        from pydantic_core import core_schema

        seconds = core_schema.float_schema(gt=0, lt=_LONGEST, allow_inf_nan=False)
        pair = core_schema.list_schema(seconds, min_length=2, max_length=2)
        return core_schema.union_schema([seconds, pair])


class _Retries(_Rule):
    """How often a request may be tried again."""

    message = f"should be an integer from 0 to {_MOST_RETRIES}"

    @classmethod
    def check(cls, value: Any) -> int:
        if type(value) is not int or not 0 <= value <= _MOST_RETRIES:
            raise ValueError(cls.message)
        return value

    @classmethod
    def _types(cls) -> Any:
        from pydantic_core import core_schema

        return core_schema.int_schema(ge=0, le=_MOST_RETRIES)


Timeout = typing.Annotated[tuple[float, float], _Timeout()]
Retries = typing.Annotated[int, _Retries()]


class MachineSettings(Value):
    """Settings of the machine, from the user's and the system's file and variables alone.

    Attributes:
        vault: where tokens are kept: a folder, or a redis, as a URL or as a table; None is the
            user's state folder.
        vault_key: a reference to the key that seals them; None is the keyring.
        allow_commands: whether ``{ command = [...] }`` may run from files other than the user's.
        allow_insecure_keyring: whether a keyring that stores plain text may be used.
    """

    vault: str | RedisVault | None = None
    vault_key: SecretField | None = None
    allow_commands: bool = False
    allow_insecure_keyring: bool = False


class ProfileKeys(Value):
    """The keys of ``[profiles.NAME]``; those in ``auth`` are the fields of the scheme.

    Attributes:
        url: the server; http or https, without user, query or fragment.
        auth: how to log on: ``scheme`` and the keys of that scheme.
        extends: a profile of the same group of files whose keys are inherited.
        protected: never selected by default, only by name; inherited unless set.
        description: one line for people.
        check_path: a page below the URL that asks for a login; ``check`` requests it.
        timeout: seconds to connect and to wait for an answer, or one number for both.
        retries: how often a request that can be repeated is tried again.
        headers: sent with each request to the server; a value that is ``env:NAME`` or
            ``file:PATH`` is looked up, and kept secret like a password.
        proxy: the way to the server: a URL, ``"none"``, or a table; by default what the
            environment says.
        tls: certificates of the server, and of the client for it.
        run: variables that ``gatepass run`` sets for a program, each to ``url``, ``user_name``,
            ``password`` or ``token``.
        allow_http: permits credentials over plain http to another machine.
    """

    url: str
    auth: dict[str, Any]
    extends: str | None = None
    protected: bool = False
    description: str = ""
    check_path: str = ""
    timeout: Timeout = (10.0, 60.0)
    retries: Retries = 3
    headers: dict[str, NameField] = field(default_factory=dict)
    proxy: Proxy | None = None
    tls: TlsSettings = field(default_factory=TlsSettings)
    run: dict[str, RunField] = field(default_factory=dict)
    allow_http: bool = False


class Profile(Value):
    """One profile, checked: a server's URL and how to log on. Holds references, no secrets.

    Attributes:
        name: the profile's name; empty for one built without a file.
        url: the server's URL, ending in a slash.
        scheme: the word in ``auth.scheme``.
        auth: the scheme with its keys.
        machine: the machine settings.
        merged: what it was built from, for :func:`explain`; None in a profile from a pickle.

    The others are the keys of ``[profiles.NAME]``, see :class:`ProfileKeys`.
    """

    name: str
    url: str
    scheme: str
    auth: Scheme
    description: str = ""
    protected: bool = False
    extends: str | None = None
    check_path: str = ""
    timeout: tuple[float, float] = (10.0, 60.0)
    retries: int = 3
    headers: Mapping[str, str | SecretRef | Secret] = field(default_factory=dict)
    proxy: Proxy | None = None
    tls: TlsSettings = field(default_factory=TlsSettings)
    run: Mapping[str, RunField] = field(default_factory=dict)
    allow_http: bool = False
    machine: MachineSettings = field(default_factory=MachineSettings)
    merged: "MergedProfile | None" = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        for key, message, hint in refusals(vars(self)):
            raise ProfileError(problems=[Problem("", ".".join(key), message, hint=hint)])

    @property
    def origin(self) -> str:
        """Scheme, host and port of the server, the port only where it is not the usual one."""
        return origin_of(self.url)

    @property
    def key_locations(self) -> Mapping[Key, KeyLocation]:
        """Where each key was written; empty in a profile from a pickle."""
        return self.merged.locations if self.merged else {}

    def __getstate__(self) -> dict[str, Any]:
        # A pickle holds neither the places of keys nor the other profiles of the files.
        return {each.name: getattr(self, each.name) for each in fields(self)} | {"merged": None}

    def place_of(self, *key: str) -> str:
        """Say where a key of the profile was written; empty for a profile without a file.

        Args:
            key: such as ``"auth", "password"``.
        """
        location = self.key_locations.get(key) if self.name else None
        return location.where if location else ""


def references(profile: Profile) -> Iterator[tuple[str, SecretRef | Secret]]:
    """Yield each secret reference of a profile, also those in tables and lists. Reads no secret.

    Args:
        profile: the profile.

    Yields:
        The dotted key, such as ``auth.password``, and the reference.
    """
    yield from references_in(profile.headers, "headers")
    for above, holder in (("auth", profile.auth), ("proxy", profile.proxy), ("tls", profile.tls)):
        if holder is not None:
            for name, value in _values(holder):
                yield from references_in(value, f"{above}.{name}")


def _values(holder: object) -> Iterator[tuple[str, Any]]:
    """Yield the fields of a dataclass with their values; unlike ``asdict`` it copies nothing."""
    for each in fields_of(type(holder)):
        yield each.name, value_of(holder, each.name)


def refusals(keys: Mapping[str, Any]) -> Iterator[tuple[Key, str, str]]:
    """Say what types cannot express: yield the key, what is wrong with its value, and a hint.

    Args:
        keys: the keys of a profile whose types are right, with the scheme as ``auth``, and its
            name as ``scheme``.
    """
    url = keys.get("url")
    if url is not None:
        problem = url_problem(url)
        if problem:
            yield ("url",), problem, ""
        elif is_plain_http(url) and sends_secrets(keys) and not keys.get("allow_http"):
            yield ("url",), _PLAIN_HTTP, _OVER_HTTPS
    yield from _header_refusals(keys.get("headers", {}))
    check_path = keys.get("check_path", "")
    if "://" in check_path or is_absolute(check_path):
        yield ("check_path",), "should be a path below the url", ""
    if keys.get("run"):
        from gatepass._config.run_variables import run_problems

        for name, message, hint in run_problems(keys["run"], keys.get("scheme", ""), keys["auth"]):
            yield ("run", name), message, hint


def _header_refusals(headers: Mapping[str, Any]) -> Iterator[tuple[Key, str, str]]:
    seen: dict[str, str] = {}
    for name, value in headers.items():
        if seen.setdefault(name.lower(), name) != name:
            yield ("headers", name), f"is the same name as {seen[name.lower()]}", "keep one of them"
        if name.lower() in FORBIDDEN_HEADERS:
            yield ("headers", name), _CREDENTIALS, ""
        elif name.lower() in _OF_THE_BODY:
            yield ("headers", name), "not here: each request gets its own", ""
        elif not HEADER_NAME.fullmatch(name):
            yield ("headers", name), "is not the name of a header (RFC 9110, section 5.1)", ""
        elif isinstance(value, str) and not value.isascii():
            yield ("headers", name), _NOT_ASCII, ""
        elif isinstance(value, str) and value[:1].isspace():  # requests refuses it
            yield ("headers", name), "begins with a blank, which no header can", ""


def sends_secrets(keys: Mapping[str, Any]) -> bool:
    """Say whether a profile sends a secret to its server: its login, or a header that is one.

    Args:
        keys: the keys of a profile, with the scheme as ``auth``.
    """
    headers = keys.get("headers", {}).values()
    return sends_credentials(keys.get("auth")) or not all(isinstance(each, str) for each in headers)


FORBIDDEN_HEADERS: Final = frozenset({"authorization", "cookie", "proxy-authorization"})
_OF_THE_BODY: Final = frozenset({"content-length", "transfer-encoding"})  # RFC 9112, section 6
HEADER_NAME: Final = pattern(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # token of RFC 9110, 5.6.2
_CREDENTIALS: Final = "not here: credentials belong into auth and proxy, as references"
_NOT_ASCII: Final = "should be plain ASCII: other characters arrive differently everywhere"
_PLAIN_HTTP: Final = "plain http would send credentials unprotected to another machine"
_OVER_HTTPS: Final = "use https, or set allow_http = true where the network is trusted"
