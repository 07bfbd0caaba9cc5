"""Load one profile: from a name, files, variables and arguments to one checked profile."""

import os
import warnings
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from gatepass._config.compiled import Entry
from gatepass._config.locations import ConfigFile, Locations
from gatepass._config.profile import Profile
from gatepass._config.search import Found, find_files
from gatepass.errors import GatepassWarning, UntrustedFile

if TYPE_CHECKING:
    from gatepass._config.layer import Layers
    from gatepass._config.merge import MergedProfile


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
    environ = os.environ if environ is None else environ
    found = find_files(config_file, environ, locations or Locations.of_this_process())
    entry = None if overrides else Entry.of(found, name, environ)
    ours = {each: environ[each] for each in environ if each.startswith("GATEPASS_")}
    kept = entry.read(lambda: _merge(_layers(found, None, ours), name)) if entry else None
    if kept is not None:
        profile, notices = kept
        _warn(notices)
        return profile
    layers = _layers(found, overrides, environ)
    profile = profile_of(layers, name, stacklevel=4)
    if entry is not None:
        entry.write(profile, layers.notices)
    return profile


def profile_of(layers: "Layers", name: str | None, *, stacklevel: int = 3) -> Profile:
    """Select one profile of the layers and check it; warn of what is odd about the files.

    Raises:
        ProfileError: and its kinds; names every problem with its place.
        PluginError: the scheme belongs to a package that cannot be loaded.
    """
    from gatepass._config import validate

    told = ""
    try:
        merged = _merge(layers, name)
        return validate.validate_profile(merged, validate.validate_machine_settings(layers))
    except UntrustedFile as error:
        told = error.message
        raise
    finally:
        _warn(layers.notices_beside(told), stacklevel + 1)


def _warn(notices: Iterable[str], stacklevel: int = 4) -> None:
    for notice in notices:
        warnings.warn(notice, GatepassWarning, stacklevel=stacklevel)


# What is imported here is needed where a profile has to be merged: most starts read one that was
# checked before.


def _layers(
    found: Found, overrides: Mapping[str, Any] | None, environ: Mapping[str, str]
) -> "Layers":
    from gatepass._config.layers import layers_of

    return layers_of(found, overrides, environ)


def _merge(layers: "Layers", name: str | None) -> "MergedProfile":
    from gatepass._config import merge, selection

    return merge.merge_profile(layers, selection.select_name(layers, name), requested=name)


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
    from gatepass._config.layers import read_layers

    return read_layers(config_file, None, environ, locations).names
