"""Load one profile: the way from files, variables and arguments on one page."""

import os
from collections.abc import Mapping
from typing import Any

from gatepass._config import layer, merge, selection, variables
from gatepass._config import layers as _settings
from gatepass._config.layer import Layers
from gatepass._config.locations import ConfigFile, Locations
from gatepass._config.merge import MergedProfile
from gatepass._config.profile import MachineSettings, Profile
from gatepass._config.validate import validate_machine_settings, validate_profile
from gatepass.errors import GatepassWarning


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

    layers = read_all_layers(
        config_file=config_file, overrides=overrides, environ=environ, locations=locations
    )
    for notice in layers.notices:
        warnings.warn(notice, GatepassWarning, stacklevel=3)
    return validate_profile(
        selection.select_profile(layers, name), validate_machine_settings(layers)
    )


def read_all_layers(
    *,
    config_file: ConfigFile | None = None,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    locations: Locations | None = None,
) -> Layers:
    """Read all layers of this process, or of the world that is passed in; see :func:`load`."""
    return _settings.read_layers(
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
    return read_all_layers(config_file=config_file, environ=environ, locations=locations).names


def unnamed_profile(url: str, auth: Mapping[str, Any], **keys: Any) -> Profile:
    """Build a profile without a file, through the same gate.

    Args:
        url: the server.
        auth: ``scheme`` and its keys. A ``str`` in a secret field is the secret itself.
        keys: other keys of a profile.

    Raises:
        ProfileError: names every complaint.
    """
    arguments = layer.Layer("argument", "arguments", {"url": url, "auth": dict(auth), **keys})
    part = merge.ProfileLayer(arguments, arguments.tables, ())
    return validate_profile(MergedProfile("", arguments.tables, (part,)), MachineSettings())


def machine_settings_of_variables(environ: Mapping[str, str]) -> MachineSettings:
    """Check the machine settings of who reads no file, such as a session made by keywords.

    Raises:
        ProfileError: as :func:`machine`.
    """
    return validate_machine_settings(variables.layers_of_variables(environ))
