"""Layers → Profile: the gate.

Everything that a profile may hold is a field of a dataclass here or of a scheme; the gate checks
a merged table against those fields, one by one, with pydantic. It knows no key of its own, so a
stranger's scheme gets the same strictness as ours. All complaints of a profile come at once, each
with its file, line and column. No secret is read, no connection opened.
"""

import dataclasses
import functools
import os
import re
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from gatepass._config import layers as _settings
from gatepass._config import trust
from gatepass._config.fast_types import NOT_EVIDENT, evident
from gatepass._config.layers import ConfigFile, Layers, Locations, Origin, Source, Taken
from gatepass._config.redis_vault import RedisAddress, RedisVault
from gatepass._config.toml import Key
from gatepass._net.proxy import Proxy
from gatepass._net.tls import Tls
from gatepass._system import plugins
from gatepass.auth import KeyRefused, Scheme, field_of, references_in, sends_credentials, value_of
from gatepass.errors import GatepassWarning, Problem, ProfileError
from gatepass.secrets import Secret, SecretField, SecretRef, TextField

if typing.TYPE_CHECKING:
    from gatepass._config.explain import Explanation, Fields, Sort

_LONGEST: Final = 1_000_000_000  # seconds; more than any socket takes
_MOST_RETRIES: Final = 20


class _Timeout:
    """Tells pydantic that a timeout is one number or two, in seconds."""

    @staticmethod
    def _pair(value: float | list[float]) -> tuple[float, float]:
        connect, read = value if isinstance(value, list) else (value, value)
        return connect, read

    @classmethod
    def at_first_sight(cls, value: object) -> tuple[float, float]:
        """Take what is plainly seconds; see ``_evident``."""
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
    def at_first_sight(cls, value: object) -> int:
        """Take what is plainly such a number; see ``_evident``."""
        if type(value) is not int or not 0 <= value <= _MOST_RETRIES:
            raise ValueError
        return value

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: object, _handler: object) -> Any:
        from pydantic_core import core_schema

        return core_schema.custom_error_schema(
            core_schema.int_schema(ge=0, le=_MOST_RETRIES),
            custom_error_type="retries",
            custom_error_message=f"should be a whole number from 0 to {_MOST_RETRIES}",
        )


Timeout = typing.Annotated[tuple[float, float], _Timeout()]
Retries = typing.Annotated[int, _Retries()]


@dataclass(frozen=True)
class Machine:
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
    """The keys of ``[profiles.NAME]``, apart from ``auth``: the table that the gate knows.

    Attributes:
        url: the server; http or https, without user, query or fragment.
        auth: how to log on: ``scheme`` and the keys of that scheme.
        extends: a profile of the same group of files whose keys are taken over.
        protected: never chosen by default, only by name; inherited unless set.
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
    tls: Tls = field(default_factory=Tls)
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
        written: what it was made from, for :func:`explain`; None where that did not come along.

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
    tls: Tls = field(default_factory=Tls)
    allow_http: bool = False
    machine: Machine = field(default_factory=Machine)
    written: Taken | None = field(default=None, repr=False, compare=False)

    @property
    def origin(self) -> str:
        """Scheme, host and port of the server, the port only where it is not the usual one."""
        return origin_of(self.url)

    @functools.cached_property
    def origins(self) -> Mapping[Key, Origin]:
        """Where each key was written; empty where that did not come along."""
        taken = self.written
        keys = _settings.leaves(taken.table) if taken else ()
        return {key: taken.origin(key) for key, _ in keys} if taken else {}

    def __getstate__(self) -> dict[str, Any]:
        # The files that it came from stay here: a pickle holds neither places nor other profiles.
        return {each.name: getattr(self, each.name) for each in dataclasses.fields(self)} | {
            "written": None
        }

    def place_of(self, *key: str) -> str:
        """Say where a key of the profile was written; empty for a profile without a file.

        Args:
            key: such as ``"auth", "password"``.
        """
        origin = self.origins.get(key) if self.name else None
        return origin.where if origin else ""


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


def load_profile(
    name: str | None = None,
    *,
    config_file: ConfigFile | None = None,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    locations: Locations | None = None,
) -> Profile:
    """Read files and variables, choose one profile and check it.

    Reads files; no secret, no network. Odd but harmless things (a skipped file, a variable that
    matches nothing) are :class:`~gatepass.errors.GatepassWarning`.

    Args:
        name: the profile; None follows ``GATEPASS_PROFILE``, then the default.
        config_file: a file, or several in rising order of precedence, instead of the search.
        overrides: keys of the profile, above files and variables. A ``str`` in a secret field is
            the secret itself here; a reference is ``gatepass.ref("env:X")``.
        environ: the environment variables; ``os.environ`` when not given.
        locations: where files are looked for; this process's when not given.

    Raises:
        ProfileError: and its kinds; names every complaint with its place.
        PluginError: the scheme belongs to a package that cannot be loaded.
    """
    import warnings

    layers = read_layers(
        config_file=config_file, overrides=overrides, environ=environ, locations=locations
    )
    for notice in layers.notices:
        warnings.warn(notice, GatepassWarning, stacklevel=3)
    return check(_settings.choose(layers, name), machine(layers))


def read_layers(
    *,
    config_file: ConfigFile | None = None,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    locations: Locations | None = None,
) -> Layers:
    """Read all layers of this process, or of the world that is passed in; see :func:`load`."""
    return _settings.read(
        config_file=config_file,
        overrides=overrides,
        environ=os.environ if environ is None else environ,
        locations=locations or Locations.of_this_process(),
    )


def profiles(
    *,
    config_file: ConfigFile | None = None,
    environ: Mapping[str, str] | None = None,
    locations: Locations | None = None,
) -> tuple[str, ...]:
    """List the names of all profiles that can be chosen, sorted. Reads files only.

    Raises:
        ProfileError: a file is not usable.
    """
    return read_layers(config_file=config_file, environ=environ, locations=locations).names


def unnamed(url: str, auth: Mapping[str, Any], **keys: Any) -> Profile:
    """Build a profile without a file, through the same gate.

    Args:
        url: the server.
        auth: ``scheme`` and its keys. A ``str`` in a secret field is the secret itself.
        keys: other keys of a profile.

    Raises:
        ProfileError: names every complaint.
    """
    arguments = _settings.Source("argument", "arguments", {"url": url, "auth": dict(auth), **keys})
    part = _settings.Contribution(arguments, arguments.tables, ())
    return check(Taken("", arguments.tables, (part,)), Machine())


def machine_of_variables(environ: Mapping[str, str]) -> Machine:
    """Check the machine settings of who reads no file, such as a session made by keywords.

    Raises:
        ProfileError: as :func:`machine`.
    """
    return machine(_settings.of_variables(environ))


def machine(layers: Layers) -> Machine:
    """Check the machine settings.

    Raises:
        ProfileError: a wrong type, or a literal where a reference belongs.
    """
    complaints: list[Problem] = []
    table = {key: value for key, (value, _) in layers.machine.items() if "." not in key}
    vault = table.get("vault")
    if isinstance(vault, str) and _REDIS.match(vault):
        table["vault"] = {"url": vault}

    def origin(key: Key) -> Origin:
        whole = layers.machine[key[0]][1]
        part = layers.machine.get(".".join(key))
        return part[1] if part else Origin(whole.source, key if whole.source.text else key[:1])

    gate = _Gate(origin, complaints)
    complaints += gate.control_characters(table, ())
    values = gate.fields(Machine, table, ())
    if isinstance(values.get("vault"), RedisVault):
        values["vault"] = _checked_vault(gate, values["vault"])
    elif values.get("vault"):
        values["vault"] = _checked_folder(gate, values["vault"])
    if complaints:
        raise ProfileError(problems=complaints)
    return Machine(**values)


def check(taken: Taken, machine: Machine) -> Profile:
    """Check one profile's merged table.

    Raises:
        ProfileError: every complaint, in the order of places.
        PluginError: the scheme's package cannot be loaded.
    """
    complaints = list(taken.problems)
    gate = _Gate(taken.origin, complaints)
    complaints += gate.control_characters(taken.table, ())
    named = any(part.above for part in taken.contributions)
    if named and not _settings.NAME.fullmatch(taken.name):
        complaints.append(gate.complaint((), _settings.BAD_NAME))
    table = dict(taken.table)
    if taken.problems:
        table.setdefault("auth", {"scheme": "anonymous"})  # its absence was complained about
    keys = gate.fields(ProfileKeys, table, ())
    scheme, auth = gate.scheme(keys.pop("auth", None))
    if auth is not None:
        sorts = _sorts(type(auth), ("auth",))
        secrets = [key for key, sort in sorts.items() if sort == "secret"]
        complaints += _settings.secrets_of_another_issuer(taken.contributions, secrets)
    if "url" in keys:
        keys["url"] = gate.url(keys["url"], auth, allow_http=keys.get("allow_http", False))
    _check_rest(gate, keys)
    if complaints or auth is None:
        raise ProfileError(problems=_in_order(complaints))
    return Profile(
        name=taken.name,
        scheme=scheme,
        auth=auth,
        machine=machine,
        written=taken,
        **keys,
    )


def _in_order(complaints: list[Problem]) -> list[Problem]:
    def position(problem: Problem) -> tuple[str, int, int]:
        file, line, column = [*problem.place.rsplit(":", 2), "0", "0"][:3]
        return (file, int(line), int(column)) if line.isdigit() else (problem.place, 0, 0)

    return sorted(dict.fromkeys(complaints), key=position)


# ---------------------------------------------------------------- what may stand where


def _sorts(kind: Any, above: Key = (), within: tuple[Any, ...] = ()) -> dict[Key, "Sort"]:
    """What each field of a dataclass holds, and of those in it; of one in itself, once."""
    found: dict[Key, Sort] = {}
    for name, hint in hints(kind).items():
        key, nested = (*above, name), dataclass_in(hint)
        found[key] = _sort(hint)
        if nested is not None and nested not in within:
            found |= _sorts(nested, key, (*within, kind))
    return found


def _sort(hint: Any) -> "Sort":
    if _is_secret(hint):
        return "secret"
    if _is_text(hint):
        return "text"
    choices = typing.get_args(hint) or (hint,)
    free = dict in {typing.get_origin(each) or each for each in (hint, *choices)}
    return "table" if free else "plain"


def explain(profile: Profile) -> "Explanation":
    """Say for each key of a profile where it was written, what that overrode, and why.

    Also why it is this profile, where the machine settings come from, and which files were looked
    for. Reads no secret and no file; looks whether project files exist, where ``config_file`` had
    replaced the search.

    Args:
        profile: the profile; one that came out of a pickle knows its values only.
    """
    from gatepass._config import explain as _provenance

    machine = _provenance.Fields(_sorts(Machine), functools.partial(_checked, profile.machine))
    return _provenance._explain_merged(  # noqa: SLF001
        profile.name, profile.written, fields_of(profile), machine, _of_others(profile)
    )


def fields_of(profile: Profile) -> "Fields":
    """Return what may stand in a profile with its scheme, and the values that do."""
    from gatepass._config import explain as _provenance

    return _provenance.Fields(_sorts_of(profile), functools.partial(_checked, profile))


def _sorts_of(profile: Profile) -> dict[Key, "Sort"]:
    found = _sorts(ProfileKeys)
    del found["auth",]  # its keys are those of the scheme, and no others
    return found | {("auth", "scheme"): "plain"} | _sorts(type(profile.auth), ("auth",))


def _of_others(profile: Profile) -> dict[Key, "Sort"]:
    """The same for keys that may have been meant for another scheme of ours.

    What any of the schemes keeps a secret in counts as such.
    """
    found = _sorts_of(profile)
    for name in plugins.BUILT_IN[plugins.AUTH]:
        for key, sort in _sorts(plugins.load(plugins.AUTH, name), ("auth",)).items():
            if sort == "secret" or key not in found:
                found[key] = sort
    return found


def _checked(holder: object, key: Key) -> Any:
    """The value of a key after the gate; None where it has another shape there."""
    if key == ("auth", "scheme"):
        key = ("scheme",)
    value: Any = holder
    for name in key:
        value = value.get(name) if isinstance(value, Mapping) else value_of(value, name)
    return value


def _values(holder: object) -> Iterator[tuple[str, Any]]:
    """The fields of a dataclass with their values, unlike ``asdict`` without copying them."""
    for each in keys(type(holder)):
        yield each.name, value_of(holder, each.name)


def keys(kind: Any) -> "tuple[dataclasses.Field[Any], ...]":
    """Return the fields of a dataclass that a table can fill."""
    return tuple(each for each in dataclasses.fields(kind) if each.init)


def hints(kind: Any) -> dict[str, Any]:
    """Return the types of a dataclass's fields, with their annotations."""
    resolved = typing.get_type_hints(kind, include_extras=True)
    return {each.name: resolved[each.name] for each in keys(kind)}


@functools.cache
def _adapter(kind: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


class _Gate:
    """Checks tables against dataclasses and collects complaints."""

    def __init__(self, origin: Callable[[Key], Origin], complaints: list[Problem]) -> None:
        self._origin = origin
        self._complaints = complaints

    def complaint(self, key: Key, message: str, *, hint: str = "") -> Problem:
        """Return a complaint about a key, with the place where it was written."""
        origin = self._origin(key)
        # The key that is named may be missing: the place is then the table around it.
        return origin.problem(message, hint=hint, key=(*origin.above, *key))

    def base_dir(self, key: Key) -> Path | None:
        """Return where a relative path that a key holds starts."""
        return self._origin(key).source.base_dir

    def say(self, key: Key, message: str, *, hint: str = "") -> None:
        """Add a complaint."""
        self._complaints.append(self.complaint(key, message, hint=hint))

    def fields(self, kind: Any, table: Mapping[str, Any], above: Key) -> dict[str, Any]:
        """Check a table against the fields of a dataclass; return those that are right."""
        types = hints(kind)
        for name in table:
            if name not in types:
                hint = _other_table(above, name)
                self.say((*above, name), _settings.unknown(name, types, "key"), hint=hint)
        for each in keys(kind):
            if each.name not in table and is_required(each):
                key = (*above, each.name)
                self.say(key, "missing", hint=_HOW_WRITTEN.get(key, ""))
        values = {}
        for name in types:
            if name in table:
                found = self._value(types[name], table[name], (*above, name))
                if found is not _BAD:
                    values[name] = found
        return values

    def _value(self, kind: Any, value: Any, key: Key) -> Any:
        nested = dataclass_in(kind)
        if nested is not None and isinstance(value, str) and str in typing.get_args(kind):
            kind = str  # not the table that may stand here too; so pydantic need not decide
        elif nested is not None:
            return self._nested(nested, value, key)
        origin = self._origin(key)
        if origin.source.layer == "argument" and isinstance(value, str) and _is_secret(kind):
            return Secret(value)
        if origin.source.layer == "argument" and isinstance(value, str) and _is_text(kind):
            return value  # what Python says is meant literally
        checked = self._by_pydantic(kind, value, key, lenient=origin.source.layer == "variable")
        return checked if origin.source.layer == "argument" else _with_place(checked, origin.source)

    def _nested(self, kind: Any, value: Any, key: Key) -> Any:
        if isinstance(value, kind):
            return value
        if kind is Proxy and isinstance(value, str):
            value = {"url": value}
        if not isinstance(value, Mapping):
            or_text = kind is Proxy
            self.say(key, "should be a text or a table" if or_text else "should be a table")
            return _BAD
        before = len(self._complaints)
        values = self.fields(kind, value, key)
        return kind(**values) if len(self._complaints) == before else _BAD

    def _by_pydantic(self, kind: Any, value: Any, key: Key, *, lenient: bool) -> Any:
        plain = evident(kind, value)
        if plain is not NOT_EVIDENT:
            return plain
        from pydantic import ValidationError

        adapter = _adapter(kind)
        try:
            if lenient and isinstance(value, str):
                return adapter.validate_strings(value)
            return adapter.validate_python(value, strict=True)
        except ValidationError as error:
            details = error.errors(include_input=False, include_context=False, include_url=False)
        messages = dict.fromkeys(_plain_words(each["msg"]) for each in details)
        hint = self._move_hint(kind, value, key) or _HOW_WRITTEN.get(key, "")
        self.say(key, " or ".join(messages), hint=hint)
        return _BAD

    def _move_hint(self, kind: Any, value: Any, key: Key) -> str:
        """How a literal secret moves out of a file, without repeating it."""
        origin = self._origin(key)
        if not (_is_secret(kind) and isinstance(value, str) and len(origin.key) > 1):
            return ""
        name = origin.key[1] if _settings.NAME.fullmatch(origin.key[1]) else "NAME"
        return (
            f"if this is the secret itself: take it out, run   gatepass secret set {name} "
            f"{field_of('.'.join(key))}\n"
            f'and write   {key[-1]} = "keyring:"'
        )

    def scheme(self, auth: Any) -> tuple[str, Scheme | None]:
        """Find the scheme that an ``auth`` table names, and check its keys."""
        if not isinstance(auth, Mapping):
            return "", None  # complained about before
        name = auth.get("scheme")
        if not isinstance(name, str):
            listed = ", ".join(plugins.names(plugins.AUTH))
            self.say(("auth", "scheme"), f"missing or not a text; one of {listed}")
            return "", None
        if not plugins.is_known(plugins.AUTH, name):
            known = plugins.names(plugins.AUTH)
            self.say(("auth", "scheme"), _settings.unknown(name, known, "scheme"))
            return name, None
        kind = plugins.scheme(name)
        table = {key: value for key, value in auth.items() if key != "scheme"}
        before = len(self._complaints)

        def checked() -> Scheme | None:
            values = self.fields(kind, table, ("auth",))
            _check_way(self, values, ("auth",))
            made = self._made(kind, values) if len(self._complaints) == before else None
            if made is not None and type(made) is not kind:  # whose keys were never checked
                raise plugins.broken(plugins.AUTH, name, "makes something else of itself")
            return made

        return name, plugins.ask(plugins.AUTH, name, "cannot check its keys", checked)

    def _made(self, kind: Any, values: dict[str, Any]) -> Scheme | None:
        """Build a scheme, which may have rules of its own about its keys."""
        try:
            made = kind(**values)
        except (TypeError, ValueError) as error:
            secrets = [each.reveal() for each in values.values() if isinstance(each, Secret)]
            key: Key = ("auth",)
            told, hint = str(error), ""
            if isinstance(error, KeyRefused) and error.key in values:
                key, told, hint = ("auth", error.key), error.message, error.hint
            if any(secret in f"{told}\n{hint}" for secret in secrets):
                told, hint = "a value is refused by the scheme", ""
            self.say(key, told, hint=hint)
            return None
        return typing.cast("Scheme", made)

    def url(self, url: str, auth: Scheme | None, *, allow_http: bool) -> str:
        """Check a profile's URL; return it in its normal form, ending in a slash."""
        problem = url_problem(url)
        if problem:
            self.say(("url",), problem)
            return url
        parts = urlsplit(url)
        plain = parts.scheme.lower() == "http" and not is_loopback(parts.hostname or "")
        sends = auth is not None and sends_credentials(auth)
        if plain and sends and not allow_http:
            self.say(
                ("url",),
                "plain http would send credentials unprotected to another machine",
                hint="use https, or set allow_http = true where the network is trusted",
            )
        path = parts.path if parts.path.endswith("/") else f"{parts.path}/"
        return urlunsplit((parts.scheme.lower(), parts.netloc.lower(), path, "", ""))

    def control_characters(self, table: Mapping[str, Any], above: Key) -> Iterator[Problem]:
        r"""Find values that hold a control character, as ``"CORP\bob"`` does."""
        for name, value in table.items():
            key = (*above, str(name))
            if isinstance(value, Mapping):
                yield from self.control_characters(value, key)
                continue
            if isinstance(value, str) and self._origin(key).source.layer == "argument":
                continue  # a secret given in Python may hold anything; its scheme decides
            if any(_CONTROL.search(text) for text in _texts(value)):
                in_file = bool(self._origin(key).source.text)
                hint = _SINGLE_QUOTES if in_file else "look for a line break or a tab in it"
                yield self.complaint(key, "holds a control character", hint=hint)


def _texts(value: Any) -> Iterator[str]:
    """The texts in a value, also in its lists and tables."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | Mapping):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(each)


def _with_place(value: Any, source: Source) -> Any:
    """A checked value whose references, also those in it, know where they were written."""
    if isinstance(value, SecretRef):
        return value.placed(source.layer, source.base_dir)
    if isinstance(value, dict):
        return {name: _with_place(each, source) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_with_place(each, source) for each in value)
    return value


# What a profile cannot do without, and how it is written.
_HOW_WRITTEN: Final[Mapping[Key, str]] = {
    ("url",): 'write   url = "https://mi.example.com/mi_servicelayer"',
    ("auth",): 'write   auth = { scheme = "credentials", ... }   or a table [profiles.NAME.auth]',
}
_OF_LOGINS: Final = ("scheme", "user_name", "password", "domain", "token")


def _other_table(above: Key, name: str) -> str:
    """Say in which table a key of a profile belongs that stands in a wrong one; empty if none."""
    if not above and name in _settings.MACHINE_KEYS:
        return "a machine setting: write it into your own file, above its first table"
    if not above and name in _OF_LOGINS:
        return "a key of auth: write it below [profiles.NAME.auth]"
    if not above and name in hints(Tls):
        return "a key of tls: write it below [profiles.NAME.tls]"
    if above == ("auth",) and name in hints(ProfileKeys):
        return "a key of the profile itself: write it above [profiles.NAME.auth]"
    return ""


class _Bad:
    """The value of a field that was complained about."""


_BAD: Final = _Bad()
_SINGLE_QUOTES: Final = (
    r"in double quotes \b, \t, \f ... are such characters; write it in single quotes: 'DOMAIN\bob'"
)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\x80-\x9f]")
FORBIDDEN_HEADERS: Final = frozenset({"authorization", "cookie", "proxy-authorization"})
HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # token of RFC 9110, 5.6.2


def is_required(each: "dataclasses.Field[Any]") -> bool:
    """Whether a field of a dataclass must be given."""
    return each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING


def dataclass_in(kind: Any) -> Any:
    """Return the dataclass that a field holds, also as ``X | None``; None when it holds none."""
    choices = typing.get_args(kind) or (kind,)
    found = [each for each in choices if dataclasses.is_dataclass(each) and each is not SecretRef]
    return found[0] if found else None


def _is_secret(kind: Any) -> bool:
    return bool({SecretField, SecretRef} & {kind, *typing.get_args(kind)})


def _is_text(kind: Any) -> bool:
    return TextField in {kind, *typing.get_args(kind)}


def _plain_words(message: str) -> str:
    message = message.removeprefix("Value error, ").replace("Input should be", "should be")
    message = message.replace("a valid boolean", "true or false").replace("a valid ", "a ")
    return message.replace("a dictionary", "a table")


def url_problem(url: str) -> str:
    """Say what is wrong with a server's URL; empty when nothing is. Never repeats it."""
    if not url.isprintable() or any(character in url for character in ' \\<>"{}|^`'):
        return "holds a character that no URL may hold"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return _MALFORMED
    if parts.scheme.lower() not in {"http", "https"} or not parts.hostname:
        return "should be a URL such as https://mi.example.com/mi_servicelayer"
    if "@" in parts.netloc:
        return "holds a user name or password; they belong into auth, as references"
    if "?" in url or "#" in url:
        return "should end before any ? or #"
    return "" if port != 0 and _PLACE.fullmatch(parts.netloc) else _MALFORMED


_MALFORMED: Final = "is not a URL: its host or port is malformed"
_PLACE: Final = re.compile(r"([\w.-]+|\[[0-9a-fA-F:.]+\])(:[0-9]*)?")


def is_loopback(host: str) -> bool:
    """Whether a host is this computer, by its name alone."""
    import ipaddress

    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def origin_of(url: str) -> str:
    """Return the origin of a URL (RFC 6454): scheme, host and port, in lower case."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    scheme = parts.scheme.lower()
    usual = {"http": 80, "https": 443}.get(scheme)
    port = "" if parts.port in {None, usual} else f":{parts.port}"
    return f"{scheme}://{host}{port}"


def _check_rest(gate: _Gate, keys: dict[str, Any]) -> None:
    """The rules that no type can say, about keys that have their right types."""
    for name, value in keys.get("headers", {}).items():
        key = ("headers", name)
        if name.lower() in FORBIDDEN_HEADERS:
            gate.say(key, "not here: credentials belong into auth and proxy, as references")
        elif not HEADER_NAME.fullmatch(name):
            gate.say(key, "is not the name of a header (RFC 9110, section 5.1)")
        elif not value.isascii():
            gate.say(key, "should be plain ASCII: other characters arrive differently everywhere")
    _check_way(gate, keys, ())
    check_path = keys.get("check_path", "")
    if "://" in check_path or check_path.startswith("//"):
        gate.say(("check_path",), "should be a path below the url")


def _check_way(gate: _Gate, values: dict[str, Any], above: Key) -> None:
    """The rules of ``proxy`` and ``tls``, of the profile or of its scheme."""
    proxy, tls = values.get("proxy"), values.get("tls")
    if isinstance(proxy, Proxy):
        _check_proxy(gate, proxy, (*above, "proxy"))
    if isinstance(tls, Tls):
        values["tls"] = _placed(gate, tls, (*above, "tls"))


def _check_proxy(gate: _Gate, proxy: Proxy, key: Key) -> None:
    if proxy.url == "none":
        return
    problem = url_problem(proxy.url)
    if problem:
        gate.say((*key, "url"), problem.replace("auth, as", "user_name and password, as"))
    if (proxy.user_name is None) != (proxy.password is None):
        gate.say(key, "user_name and password belong together")


_REDIS: Final = re.compile(r"rediss?:", re.IGNORECASE)


_OTHERS_HOME: Final = re.compile("~[^/]")


def _checked_folder(gate: _Gate, vault: str) -> str:
    """The rules of ``vault`` as a folder, whose path becomes absolute."""
    if "://" in vault:
        gate.say(("vault",), "should be a folder, or rediss://HOST:PORT/DB")
    if _OTHERS_HOME.match(vault):
        hint = "write ~/... for your own, or the whole path of the folder"
        gate.say(("vault",), "the home folder of another is not looked up", hint=hint)
    folder = os.path.expanduser(vault)  # noqa: PTH111 - Path.expanduser raises
    if folder == "~" or folder.startswith("~/"):
        gate.say(("vault",), "~ means no folder here", hint="set HOME, or write the whole path")
    return str(trust.absolute(Path(gate.base_dir(("vault",)) or "", folder)))


def _checked_vault(gate: _Gate, vault: RedisVault) -> RedisVault:
    """The rules of the table ``vault``; its paths become absolute. Never repeats the URL."""
    address = RedisAddress.of(vault.url)
    if address is None:
        inside = "@" in vault.url
        gate.say(
            ("vault", "url"),
            "holds a user name or password" if inside else "should be rediss://HOST:PORT/DB",
            hint="they belong beside it, as references:   vault = { url = "
            '"rediss://HOST:PORT/DB", user_name = "NAME", password = "env:REDIS_PASSWORD" }'
            if inside
            else "",
        )
        return vault
    if not address.tls and not is_loopback(address.host) and not vault.allow_plain:
        gate.say(
            ("vault", "url"),
            "redis:// would send the password unprotected to another machine",
            hint="use rediss://, or set allow_plain = true where the network is trusted",
        )
    if vault.user_name is not None and vault.password is None:
        gate.say(("vault", "user_name"), "needs password too")
    return _placed(gate, vault, ("vault",))


_Paths = typing.TypeVar("_Paths", Tls, RedisVault)


def _placed(gate: _Gate, tls: _Paths, above: Key) -> _Paths:
    """The same with absolute paths: relative ones start at the file that holds them."""
    if tls.client_key and not tls.client_cert:
        gate.say((*above, "client_key"), "needs client_cert too")
    absolute: dict[str, Any] = {}
    for name in ("ca_file", "client_cert", "client_key"):
        value = getattr(tls, name)
        if value:
            base = gate.base_dir((*above, name))
            # Path.expanduser raises where nobody is called like that; the file may be.
            there = os.path.expanduser(value)  # noqa: PTH111
            absolute[name] = str(trust.absolute(Path(base or "", there)))
    return dataclasses.replace(tls, **absolute)
