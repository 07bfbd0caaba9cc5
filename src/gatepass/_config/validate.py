"""Check a merged table and build the profile from it, or name every problem at once.

Each key is compared with the fields of a dataclass, each value with the field's type, so a scheme
of another package is checked as strictly as ours. Reads no secret and opens no connection.
"""

import os
import re
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from gatepass._config import files, judge, merge, suggest, tls_files
from gatepass._config.fields import (
    dataclass_in,
    fields_of,
    is_secret,
    is_secret_or_text,
    sorts_of,
    types_of,
)
from gatepass._config.layer import (
    BAD_NAME,
    MACHINE_KEYS,
    PROFILE_NAME,
    KeyLocation,
    Layer,
    Layers,
    is_project,
)
from gatepass._config.merge import MergedProfile
from gatepass._config.profile import MachineSettings, Profile, ProfileKeys, refusals
from gatepass._config.redis_vault import SHOULD_BE, STANDS_ALONE, RedisVault
from gatepass._config.toml import Key
from gatepass._config.type_errors import is_taken_for_reference, messages_of
from gatepass._config.variables import list_in_text
from gatepass._net.proxy import Proxy
from gatepass._net.tls import SYSTEM, TlsSettings
from gatepass._net.urls import normal_url
from gatepass._system import log, plugins
from gatepass._system.text import pattern
from gatepass._value import replace
from gatepass.auth import Scheme, field_of
from gatepass.errors import KeyRefused, Problem, ProfileError
from gatepass.secrets import Secret, SecretRef


def validate_machine_settings(layers: Layers) -> MachineSettings:
    """Check the machine settings.

    Raises:
        ProfileError: a wrong type, or a literal where a reference belongs.
    """
    problems: list[Problem] = []
    table = {key: value for key, (value, _) in layers.machine.items() if "." not in key}
    vault = table.get("vault")
    if isinstance(vault, str) and IS_REDIS.match(vault):
        table["vault"] = {"url": vault}

    def location(key: Key) -> KeyLocation:
        whole = layers.machine[key[0]][1]
        part = layers.machine.get(".".join(key))
        return part[1] if part else KeyLocation(whole.layer, key if whole.layer.text else key[:1])

    validator = _Validator(location, problems)
    problems += validator.find_control_characters(table, ())
    values = validator.check_fields(MachineSettings, table, ())
    if isinstance(values.get("vault"), RedisVault):
        values["vault"] = validator.with_absolute_paths(values["vault"], ("vault",))
    elif values.get("vault"):
        values["vault"] = validator.accept(
            ("vault",), lambda: vault_folder(values["vault"], validator.base_dir(("vault",)))
        )
    if problems:
        raise ProfileError(problems=_in_order(problems))
    return MachineSettings(**values)


def validate_profile(merged: MergedProfile, machine: MachineSettings) -> Profile:
    """Check one profile's merged table.

    Raises:
        ProfileError: every problem, in the order of places.
        PluginError: the scheme's package cannot be loaded.
    """
    problems = list(merged.problems)
    validator = _Validator(merged.location, problems, merged.name)
    problems += validator.find_control_characters(merged.table, ())
    named = any(part.above for part in merged.profile_layers)
    if named and not PROFILE_NAME.fullmatch(merged.name):
        problems.append(validator.problem((), BAD_NAME))
    table = dict(merged.table)
    if merged.problems:
        table.setdefault("auth", {"scheme": "anonymous"})  # merging reported why it has none
    keys = validator.check_fields(ProfileKeys, table, ())
    scheme, auth = validator.check_scheme(keys.pop("auth", None))
    if auth is not None:
        sorts = sorts_of(type(auth), ("auth",))
        secrets = [key for key, sort in sorts.items() if sort == "secret"]
        problems += merge.secrets_of_another_issuer(merged.profile_layers, secrets)
    for key, message, hint in refusals({**keys, "scheme": scheme, "auth": auth or _NO_SCHEME}):
        validator.add_problem(key, message, hint=hint)
    if "run" in keys:
        validator.refuse_variables_of_others(keys["run"])
    validator.place_files(keys, ())
    if problems or auth is None:
        raise ProfileError(problems=_in_order(problems))
    keys["url"] = normal_url(keys["url"])
    merged.hide_secrets({**keys, "auth": auth})
    name = merged.name or "without a name"
    log.debug("profile %s: checked; scheme %s, %s", name, scheme, keys["url"])
    return Profile(
        name=merged.name,
        scheme=scheme,
        auth=auth,
        machine=machine,
        merged=merged,
        **keys,
    )


MISSING: Final = "missing"


def _in_order(problems: list[Problem]) -> list[Problem]:
    """Sort problems by their places; what is missing comes last, since a typo may be the cause."""

    def position(problem: Problem) -> tuple[bool, str, int, int]:
        last = problem.message.startswith(MISSING)
        file, line, column = [*problem.place.rsplit(":", 2), "0", "0"][:3]
        in_file = (file, int(line), int(column)) if line.isdigit() else (problem.place, 0, 0)
        return last, *in_file

    return sorted(dict.fromkeys(problems), key=position)


_Paths = typing.TypeVar("_Paths", TlsSettings, RedisVault)


def absolute_paths(settings: _Paths, base_dir: Callable[[str], Path | None]) -> _Paths:
    """Return settings with absolute paths.

    Args:
        settings: with paths as they were written.
        base_dir: returns the folder in which the path of a key starts; None is the working
            directory.
    """

    def place(name: str, path: str) -> str:
        # Path.expanduser raises where no user has that name; a file may have it.
        there = os.path.expanduser(path)  # noqa: PTH111
        return str(files.absolute(Path(base_dir(name) or "", there)))

    absolute: dict[str, Any] = {}
    for name in ("ca_file", "client_cert", "client_key"):
        value = getattr(settings, name)
        if isinstance(value, list):
            absolute[name] = [each if each == SYSTEM else place(name, each) for each in value]
        elif value:
            absolute[name] = place(name, value)
    return replace(settings, **absolute)


_HOME_OF_ANOTHER: Final = pattern("~[^/]")


def vault_folder(vault: str, base_dir: Path | None) -> str:
    """Return the absolute path of the folder ``vault``.

    Raises:
        KeyRefused: it is no folder, or nobody knows which.
    """
    if "://" in vault:
        message = SHOULD_BE.replace("be ", "be a folder, ", 1)
        raise KeyRefused("", message, hint=STANDS_ALONE)
    if _HOME_OF_ANOTHER.match(vault):
        hint = "write ~/... for your own, or the whole path of the folder"
        raise KeyRefused("", "the home folder of another is not looked up", hint=hint)
    folder = os.path.expanduser(vault)  # noqa: PTH111 - Path.expanduser raises
    if folder == "~" or folder.startswith("~/"):
        raise KeyRefused("", "~ means no folder here", hint="set HOME, or write the whole path")
    return str(files.absolute(Path(base_dir or "", folder)))


IS_REDIS: Final = pattern(r"rediss?:|unix:", re.IGNORECASE)


class _Validator:
    """Checks tables against dataclasses and collects problems.

    Args:
        location: returns where a key was written.
        problems: the list to which problems are added.
        profile: the name of the profile, for the names of its variables.
    """

    def __init__(
        self, location: Callable[[Key], KeyLocation], problems: list[Problem], profile: str = "NAME"
    ) -> None:
        self._profile = profile
        self._location = location
        self._problems = problems

    def problem(self, key: Key, message: str, *, hint: str = "") -> Problem:
        """Return a problem with a key, at the place where it was written."""
        location = self._location(key)
        # The key that is named may be missing: the place is then the table around it.
        return location.problem(message, hint=hint, key=(*location.above, *key))

    def base_dir(self, key: Key) -> Path | None:
        """Return the folder in which a relative path starts that a key holds."""
        return self._location(key).layer.base_dir

    def add_problem(self, key: Key, message: str, *, hint: str = "") -> None:
        """Add a problem with a key, at the place where it was written."""
        self._problems.append(self.problem(key, message, hint=hint))

    def check_fields(self, kind: Any, table: Mapping[str, Any], above: Key) -> dict[str, Any]:
        """Check a table against the fields of a dataclass; return the values that are valid."""
        types = types_of(kind)
        unknown = [name for name in table if name not in types]
        # Of a key that is told to be misspelt, "missing" would say the same once more.
        meant = {suggest.nearest(name, sorted(types)) for name in unknown}
        for name in table:
            if name in unknown:
                hint = _right_table(above, name)
                self.add_problem(
                    (*above, name), suggest.unknown_name(name, types, "key"), hint=hint
                )
        for each in fields_of(kind):
            if each.name not in table and each.required and each.name not in meant:
                key = (*above, each.name)
                self.add_problem(key, MISSING, hint=_HOW_WRITTEN.get(key, ""))
        values = {}
        for name in types:
            if name in table:
                found = self._check_value(types[name], table[name], (*above, name))
                if found is not _INVALID:
                    values[name] = found
        return values

    def _check_value(self, kind: Any, value: Any, key: Key) -> Any:
        nested = dataclass_in(kind)
        if nested is not None and isinstance(value, str) and str in typing.get_args(kind):
            kind = str  # and not the table that may stand here too
        elif nested is not None:
            return self._check_table(nested, value, key)
        location = self._location(key)
        if location.layer.kind == "argument" and isinstance(value, str) and is_secret(kind):
            return Secret(value)
        if location.layer.kind == "argument" and isinstance(value, str) and is_secret_or_text(kind):
            return value  # a string given in Python is the value itself, never a reference
        checked = self._check_type(kind, value, key, lenient=location.layer.kind == "variable")
        if location.layer.kind == "argument":
            return checked
        self._refuse_references(kind, checked, key)
        if isinstance(checked, dict):
            names = {name: self._location((*key, name)).layer for name in checked}
            return {name: _with_layer(each, names[name]) for name, each in checked.items()}
        return _with_layer(checked, location.layer)

    def _refuse_references(self, kind: Any, checked: Any, key: Key) -> None:
        """Refuse what was meant to be replaced, in a key that takes its value as it stands."""
        if key in {("description",), ("auth",)}:  # the keys of auth are looked at one by one
            return
        if isinstance(checked, dict):
            for name, inner in checked.items():
                self._refuse_references(kind, inner, (*key, name))
        elif any(map(is_taken_for_reference, _strings_in(checked))):
            location = self._location(key)
            variable = location.layer.variables.get(location.key)
            names = [key[0]] if key[0] in MACHINE_KEYS else ["profiles", self._profile, *key]
            way = "GATEPASS_" + "__".join(names).upper().replace("-", "_")
            hint = f"write the value itself, or set   {way}"
            if is_secret_or_text(kind):
                hint = f'write   {key[-1]} = "env:NAME"'
            elif variable:
                hint = "put the value itself into the variable, as a shell does with $NAME"
            self.add_problem(key, "is taken as it stands, and no variable is put in", hint=hint)

    def _check_table(self, kind: Any, value: Any, key: Key) -> Any:
        if isinstance(value, kind):
            return value
        if kind is Proxy and isinstance(value, str):
            value = {"url": value}
        if not isinstance(value, Mapping):
            wanted = "a string or a table" if kind is Proxy else "a table"
            what = {"msg": f"should be {wanted}", "loc": ()}
            for at, message in messages_of(dict, value, key, [what]):
                self.add_problem(at, message)
            return _INVALID
        before = len(self._problems)
        values = self.check_fields(kind, value, key)
        if len(self._problems) > before:
            return _INVALID
        return self.accept(key, lambda: kind(**values))

    def accept(self, key: Key, make: Callable[[], Any]) -> Any:
        """Return what a constructor or rule makes; what it refuses becomes a problem."""
        try:
            return make()
        except KeyRefused as refused:
            for each in (refused, *refused.others):
                self.add_problem(
                    (*key, each.key) if each.key else key, each.message, hint=each.hint
                )
            return _INVALID

    def place_files(self, values: dict[str, Any], above: Key) -> None:
        """Make the paths in ``tls`` absolute, of the profile or of its scheme."""
        if isinstance(values.get("tls"), TlsSettings):
            values["tls"] = self.with_absolute_paths(values["tls"], (*above, "tls"))

    def refuse_variables_of_others(self, run: Mapping[str, str]) -> None:
        """Refuse variables that only the user's own file may set for ``gatepass run``."""
        from gatepass._config.run_variables import is_refused_in_project, is_restricted

        for name in run:
            key = ("run", name)
            if is_restricted(self._location(key).layer) and is_refused_in_project(name):
                message = "is a variable that only your own file may set: programs may read it"
                hint = "take a name of your own, such as MI_TOKEN: capitals, digits and _"
                self.add_problem(key, message, hint=hint)

    def with_absolute_paths(self, settings: _Paths, above: Key) -> _Paths:
        """Make paths absolute: a relative one starts in the folder of the file that holds it."""
        for name in tls_files.KEYS:
            layer = self._location((*above, name)).layer
            folder = layer.base_dir if is_project(layer.kind) else None
            paths = tls_files.tls_files({"tls": {name: getattr(settings, name)}}) if folder else ()
            for path in filter(tls_files.is_below, paths):
                if folder and tls_files.leads_out(folder / path, folder):
                    hint = "write the path of the file itself, where it is meant"
                    self.add_problem((*above, name), tls_files.LEADS_OUT, hint=hint)
        return absolute_paths(settings, lambda name: self.base_dir((*above, name)))

    def _check_type(self, kind: Any, value: Any, key: Key, *, lenient: bool) -> Any:
        adapter = judge.adapter(kind)
        from pydantic import ValidationError

        if lenient and isinstance(value, str):
            value = list_in_text(kind, value)
        try:
            if lenient and isinstance(value, str):
                return adapter.validate_strings(value)
            return adapter.validate_python(value, strict=True)
        except ValidationError as error:
            details = error.errors(include_input=False, include_context=False, include_url=False)
        hint = self._how_to_move(kind, value, key) or _HOW_WRITTEN.get(key, "")
        for at, message in messages_of(kind, value, key, details):
            self.add_problem(at, message, hint=hint)
        return _INVALID

    def _how_to_move(self, kind: Any, value: Any, key: Key) -> str:
        """Say how to move a literal secret out of a file, without repeating it."""
        location = self._location(key)
        if not (is_secret(kind) and isinstance(value, str) and len(location.key) > 1):
            return ""
        name = location.key[1] if PROFILE_NAME.fullmatch(location.key[1]) else "NAME"
        return (
            f"if this is the secret itself: take it out, run   gatepass secret set {name} "
            f"{field_of('.'.join(key))}\n"
            f'and write   {key[-1]} = "keyring:"'
        )

    def check_scheme(self, auth: Any) -> tuple[str, Scheme | None]:
        """Find the scheme that an ``auth`` table names, and check its keys."""
        if not isinstance(auth, Mapping):
            return "", None  # check_fields has reported it
        name = auth.get("scheme")
        if not isinstance(name, str):
            for key in auth:  # the keys of no scheme are known; this one can be told
                if suggest.nearest(str(key), ["scheme"]) and key != "scheme":
                    self.add_problem(("auth", key), suggest.unknown_name(key, ["scheme"], "key"))
                    return "", None
            listed = ", ".join(plugins.names(plugins.AUTH))
            what = "should be a string" if "scheme" in auth else MISSING
            self.add_problem(("auth", "scheme"), f"{what}; one of {listed}")
            return "", None
        if not plugins.is_known(plugins.AUTH, name):
            known = plugins.names(plugins.AUTH)
            self.add_problem(("auth", "scheme"), suggest.unknown_name(name, known, "scheme"))
            return name, None
        kind = plugins.load_scheme(name)
        table = {key: value for key, value in auth.items() if key != "scheme"}
        before = len(self._problems)

        def checked() -> Scheme | None:
            values = self.check_fields(kind, table, ("auth",))
            self.place_files(values, ("auth",))
            return self._build_scheme(kind, values) if len(self._problems) == before else None

        return name, plugins.call(plugins.AUTH, name, "cannot check its keys", checked)

    def _build_scheme(self, kind: Any, values: dict[str, Any]) -> Scheme | None:
        """Build a scheme; what its own rules refuse becomes a problem."""
        try:
            made = kind(**values)
        except (TypeError, ValueError) as error:
            secrets = [each.reveal() for each in values.values() if isinstance(each, Secret)]
            for each in (error, *(error.others if isinstance(error, KeyRefused) else ())):
                key: Key = ("auth",)
                message, hint = str(each), ""
                if isinstance(each, KeyRefused) and each.key in values:
                    key, message, hint = ("auth", each.key), each.message, each.hint
                if any(secret in f"{message}\n{hint}" for secret in secrets):
                    message, hint = "a value is refused by the scheme", ""
                self.add_problem(key, message, hint=hint)
            return None
        return typing.cast("Scheme", made)

    def find_control_characters(self, table: Mapping[str, Any], above: Key) -> Iterator[Problem]:
        r"""Find values that hold a control character, as ``"CORP\bob"`` does."""
        for name, value in table.items():
            key = (*above, str(name))
            if isinstance(value, Mapping):
                yield from self.find_control_characters(value, key)
                continue
            if isinstance(value, str) and self._location(key).layer.kind == "argument":
                continue  # given in Python; the scheme decides what a secret may hold
            if any(_CONTROL.search(text) for text in _strings_in(value)):
                in_file = bool(self._location(key).layer.text)
                hint = _SINGLE_QUOTES if in_file else "look for a line break or a tab in it"
                yield self.problem(key, "holds a control character", hint=hint)


def _strings_in(value: Any) -> Iterator[str]:
    """Yield the strings in a value, also those in its lists and tables."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | Mapping):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _strings_in(each)


def _with_layer(value: Any, layer: Layer) -> Any:
    """Return a checked value whose references, also those in it, carry their layer."""
    if isinstance(value, SecretRef):
        return value.with_place(layer.kind, layer.base_dir)
    if isinstance(value, dict):
        return {name: _with_layer(each, layer) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_with_layer(each, layer) for each in value)
    return value


# How a key is written that each profile needs.
_HOW_WRITTEN: Final[Mapping[Key, str]] = {
    ("url",): 'write   url = "https://mi.example.com/mi_servicelayer"',
    ("auth",): 'write   auth = { scheme = "credentials", ... }   or a table [profiles.NAME.auth]',
    ("run",): 'name a field, not its value:   [profiles.NAME.run]   MI_TOKEN = "token"',
}
_OF_LOGINS: Final = ("scheme", "user_name", "password", "domain", "token")


def _right_table(above: Key, name: str) -> str:
    """Say into which table a misplaced key belongs; empty where it belongs into none."""
    if not above and name in MACHINE_KEYS:
        return "a machine setting: write it into your own file, above its first table"
    if not above and name in _OF_LOGINS:
        return "a key of auth: write it below [profiles.NAME.auth]"
    if not above and name in types_of(TlsSettings):
        return "a key of tls: write it below [profiles.NAME.tls]"
    if above == ("auth",) and name in types_of(ProfileKeys):
        return "a key of the profile itself: write it above [profiles.NAME.auth]"
    return ""


class _Invalid:
    """Stands for the value of a field that has a problem."""


_INVALID: Final = _Invalid()
_SINGLE_QUOTES: Final = (
    r"in double quotes \b, \t, \f ... are such characters; write it in single quotes: 'DOMAIN\bob'"
)
_CONTROL: Final = pattern(r"[\x00-\x1f\x7f\x80-\x9f]")


class _NoScheme:
    """Stands for a scheme that has a problem: what else is wrong does not depend on it."""

    sends_credentials = False


_NO_SCHEME: Final = _NoScheme()
