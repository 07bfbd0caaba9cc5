"""Load one profile: from a name, files, variables and arguments to one checked profile."""

import warnings
from collections.abc import Mapping
from typing import Any

from gatepass._config.layer import Layers
from gatepass._config.layers import read_layers
from gatepass._config.locations import ConfigFile, Locations
from gatepass._config.merge import merge_profile
from gatepass._config.profile import Profile
from gatepass._config.selection import select_name
from gatepass._config.validate import validate_machine_settings, validate_profile
from gatepass.errors import GatepassWarning, UntrustedFile


def load_profile(
    name: str | None = None,
    *,
    config_file: ConfigFile | None = None,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    locations: Locations | None = None,
) -> Profile:
    """Read files and variables, select one profile and check it.

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
        ProfileError: and its kinds; names every problem with its place.
        PluginError: the scheme belongs to a package that cannot be loaded.
    """
    return profile_of(read_layers(config_file, overrides, environ, locations), name)


def profile_of(layers: Layers, name: str | None) -> Profile:
    """Select one profile of the layers and check it; warn of what is odd about the files.

    Raises:
        ProfileError: and its kinds; names every problem with its place.
        PluginError: the scheme belongs to a package that cannot be loaded.
    """
    told = ""
    try:
        selected = select_name(layers, name)
        merged = merge_profile(layers, selected, requested=name)
        return validate_profile(merged, validate_machine_settings(layers))
    except UntrustedFile as error:
        told = error.message
        raise
    finally:
        for notice in layers.notices:
            file, is_untrusted, _ = notice.partition(" is not trusted")
            if not (is_untrusted and told.startswith(file)):  # the error says it
                warnings.warn(notice, GatepassWarning, stacklevel=4)


def profiles(
    *,
    config_file: ConfigFile | None = None,
    environ: Mapping[str, str] | None = None,
    locations: Locations | None = None,
) -> tuple[str, ...]:
    """List the names of all profiles that can be selected, sorted. Reads files only.

    Raises:
        ProfileError: a file is not usable.
    """
    return read_layers(config_file, None, environ, locations).names
