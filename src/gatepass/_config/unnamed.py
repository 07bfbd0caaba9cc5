"""Profiles without a name or a file, made of arguments: what ``Session(url, ...)`` builds."""

import typing
from collections.abc import Mapping
from typing import Any, Final

from gatepass._config.fields import classes_in, dataclass_in, is_secret, rule_of, types_of
from gatepass._config.layer import Layer, plain_table
from gatepass._config.merge import MergedProfile, ProfileLayer
from gatepass._config.profile import MachineSettings, Profile, ProfileKeys
from gatepass._config.validate import (
    IS_REDIS,
    absolute_paths,
    validate_machine_settings,
    validate_profile,
    vault_folder,
)
from gatepass._config.variables import layers_of_variables
from gatepass._net.proxy import Proxy
from gatepass._net.urls import normal_url
from gatepass._system import plugins
from gatepass.errors import ProfileError
from gatepass.secrets import Secret, SecretRef

_NOT_DIRECTLY: Final = (LookupError, TypeError, ValueError, AttributeError, ProfileError)


def unnamed_profile(url: str, auth: Mapping[str, Any], **keys: Any) -> Profile:
    """Build a profile of arguments.

    Arguments that are already what the fields hold need no conversion: the constructors judge
    them. All others, and every problem, are left to validation, which imports pydantic.

    Args:
        url: the server.
        auth: ``scheme`` and its keys. A ``str`` in a secret field is the secret itself.
        keys: other keys of a profile.

    Raises:
        ProfileError: names every problem.
    """
    arguments = Layer("argument", "arguments", plain_table({"url": url, "auth": auth, **keys}))
    only = ProfileLayer(arguments, arguments.tables, ())
    merged = MergedProfile("", only.tree(), (only,))
    try:
        return _build_directly(merged)
    except _NOT_DIRECTLY:
        return validate_profile(merged, MachineSettings())


def _build_directly(merged: MergedProfile) -> Profile:
    table = dict(merged.table)
    auth = dict(table.pop("auth"))
    name = auth.pop("scheme")
    if name not in plugins.BUILT_IN[plugins.AUTH]:
        raise LookupError
    kind = plugins.load_scheme(name)
    scheme = kind(**_place_files(_fields(kind, auth)))
    keys = _place_files(_fields(ProfileKeys, table))
    url = normal_url(keys.pop("url"))
    merged.hide_secrets({**keys, "auth": scheme})
    return Profile(name="", url=url, scheme=name, auth=scheme, merged=merged, **keys)


def machine_settings_of_variables(environ: Mapping[str, str]) -> MachineSettings:
    """Check the machine settings that variables hold. Reads no file.

    Raises:
        ProfileError: as :func:`~gatepass._config.validate.validate_machine_settings`.
    """
    layers = layers_of_variables(environ)
    try:
        return _machine_directly({key: value for key, (value, _) in layers.machine.items()})
    except _NOT_DIRECTLY:
        return validate_machine_settings(layers)


def _machine_directly(texts: dict[str, Any]) -> MachineSettings:
    vault, key = texts.pop("vault", None), texts.pop("vault_key", None)
    if texts or (vault and IS_REDIS.match(vault)) or not f"{vault}{key}".isprintable():
        raise TypeError
    return MachineSettings(
        vault=vault_folder(vault, None) if vault else None,
        vault_key=SecretRef.parse(key).with_place("variable", None) if key else None,
    )


def _place_files(values: dict[str, Any]) -> dict[str, Any]:
    tls = values.get("tls")
    return {**values, "tls": absolute_paths(tls, lambda _: None)} if tls is not None else values


def _fields(kind: Any, table: Mapping[str, Any]) -> dict[str, Any]:
    types = types_of(kind)
    return {name: _field(types[name], value) for name, value in table.items()}


def _field(kind: Any, value: Any) -> Any:
    """Return an argument as a field holds it; raise TypeError where it is something else."""
    nested = dataclass_in(kind)
    if nested is Proxy and isinstance(value, str):
        value = {"url": value}
    if nested is not None and isinstance(value, Mapping):
        return nested(**_fields(nested, value))
    if is_secret(kind) and isinstance(value, str):
        return Secret(value)
    rule = rule_of(kind)
    if rule is not None:
        return value if isinstance(value, str) else rule(value)
    if typing.get_origin(kind) is dict and isinstance(value, Mapping):
        _, inner = typing.get_args(kind)
        value = {name: _field(inner, each) for name, each in value.items()}
        fits = all(type(name) is str for name in value)
    else:
        fits = type(value) in classes_in(kind)
    if not fits:
        raise TypeError
    return value
