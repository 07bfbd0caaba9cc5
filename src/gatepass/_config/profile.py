"""The values: a checked profile, the keys that it may hold, and the machine settings.

``_config.validate`` builds them; everything above reads them. They hold references, no secrets.
"""

import dataclasses
import functools
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gatepass._config import layer
from gatepass._config.fields import fields_of
from gatepass._config.layer import KeyLocation
from gatepass._config.merge import MergedProfile
from gatepass._config.redis_vault import RedisVault
from gatepass._config.toml import Key
from gatepass._net.proxy import Proxy
from gatepass._net.tls import TlsSettings
from gatepass._net.urls import origin_of
from gatepass.auth import Scheme, references_in, value_of
from gatepass.secrets import Secret, SecretField, SecretRef

_LONGEST: Final = 1_000_000_000  # seconds; more than any socket takes
_MOST_RETRIES: Final = 20


class _Timeout:
    """Tells pydantic that a timeout is one number or two, in seconds."""

    @staticmethod
    def _pair(value: float | list[float]) -> tuple[float, float]:
        connect, read = value if isinstance(value, list) else (value, value)
        return connect, read

    @classmethod
    def check_simple(cls, value: object) -> tuple[float, float]:
        """Check without pydantic; see :mod:`~gatepass._config.fast_types`."""
        pair: list[Any] = value if isinstance(value, list) else [value, value]
        numbers = [each for each in pair if type(each) in (int, float) and 0 < each < _LONGEST]
        if len(pair) != 2 or len(numbers) != 2:  # noqa: PLR2004 - to connect, and to read
            raise ValueError
        return float(pair[0]), float(pair[1])

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: object, _handler: object) -> Any:
        from pydantic_core import core_schema

        seconds = core_schema.float_schema(gt=0, lt=_LONGEST, allow_inf_nan=False)
        pair = core_schema.list_schema(seconds, min_length=2, max_length=2)
        return core_schema.no_info_after_validator_function(
            cls._pair,
            core_schema.custom_error_schema(
                core_schema.union_schema([seconds, pair]),
                custom_error_type="timeout",
                custom_error_message="should be seconds: one positive number, or [connect, read]",
            ),
        )


class _Retries:
    """Tells pydantic how often a request may be tried again."""

    @classmethod
    def check_simple(cls, value: object) -> int:
        """Check without pydantic; see :mod:`~gatepass._config.fast_types`."""
        if type(value) is not int or not 0 <= value <= _MOST_RETRIES:
            raise ValueError
        return value

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: object, _handler: object) -> Any:
        from pydantic_core import core_schema

        return core_schema.custom_error_schema(
            core_schema.int_schema(ge=0, le=_MOST_RETRIES),
            custom_error_type="retries",
            custom_error_message=f"should be an integer from 0 to {_MOST_RETRIES}",
        )


Timeout = typing.Annotated[tuple[float, float], _Timeout()]
Retries = typing.Annotated[int, _Retries()]


@dataclass(frozen=True)
class MachineSettings:
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


@dataclass(frozen=True)
class ProfileKeys:
    """The keys of ``[profiles.NAME]``; those in ``auth`` are the fields of the scheme.

    Attributes:
        url: the server; http or https, without user, query or fragment.
        auth: how to log on: ``scheme`` and the keys of that scheme.
        extends: a profile of the same group of files whose keys are inherited.
        protected: never selected by default, only by name; inherited unless set.
        description: one line for people.
        check_path: what ``check`` requests, below the URL.
        timeout: seconds to connect and to wait for an answer, or one number for both.
        retries: how often a request that can be repeated is tried again.
        headers: sent with each request to the server; no credentials.
        proxy: the way to the server: a URL, ``"none"``, or a table; by default what the
            environment says.
        tls: certificates of the server, and of the client for it.
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
    headers: dict[str, str] = field(default_factory=dict)
    proxy: Proxy | None = None
    tls: TlsSettings = field(default_factory=TlsSettings)
    allow_http: bool = False


@dataclass(frozen=True)
class Profile:
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
    headers: Mapping[str, str] = field(default_factory=dict)
    proxy: Proxy | None = None
    tls: TlsSettings = field(default_factory=TlsSettings)
    allow_http: bool = False
    machine: MachineSettings = field(default_factory=MachineSettings)
    merged: MergedProfile | None = field(default=None, repr=False, compare=False)

    @property
    def origin(self) -> str:
        """Scheme, host and port of the server, the port only where it is not the usual one."""
        return origin_of(self.url)

    @functools.cached_property
    def key_locations(self) -> Mapping[Key, KeyLocation]:
        """Where each key was written; empty in a profile from a pickle."""
        merged = self.merged
        keys = layer.leaves(merged.table) if merged else ()
        return {key: merged.location(key) for key, _ in keys} if merged else {}

    def __getstate__(self) -> dict[str, Any]:
        # A pickle holds neither the places of keys nor the other profiles of the files.
        return {each.name: getattr(self, each.name) for each in dataclasses.fields(self)} | {
            "merged": None
        }

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
    for above, holder in (("auth", profile.auth), ("proxy", profile.proxy), ("tls", profile.tls)):
        if holder is not None:
            for name, value in _values(holder):
                yield from references_in(value, f"{above}.{name}")


def _values(holder: object) -> Iterator[tuple[str, Any]]:
    """Yield the fields of a dataclass with their values; unlike ``asdict`` it copies nothing."""
    for each in fields_of(type(holder)):
        yield each.name, value_of(holder, each.name)
