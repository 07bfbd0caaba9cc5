"""Profiles without a name or a file, made of arguments: what ``Session(url, ...)`` builds."""

from collections.abc import Mapping
from typing import Any

from gatepass._config.layer import Layer
from gatepass._config.merge import MergedProfile, ProfileLayer
from gatepass._config.profile import MachineSettings, Profile
from gatepass._config.validate import validate_machine_settings, validate_profile
from gatepass._config.variables import layers_of_variables


def unnamed_profile(url: str, auth: Mapping[str, Any], **keys: Any) -> Profile:
    """Build a profile of arguments, and check it as one from a file is checked.

    Args:
        url: the server.
        auth: ``scheme`` and its keys. A ``str`` in a secret field is the secret itself.
        keys: other keys of a profile.

    Raises:
        ProfileError: names every problem.
    """
    arguments = Layer("argument", "arguments", {"url": url, "auth": dict(auth), **keys})
    only = ProfileLayer(arguments, arguments.tables, ())
    return validate_profile(MergedProfile("", arguments.tables, (only,)), MachineSettings())


def machine_settings_of_variables(environ: Mapping[str, str]) -> MachineSettings:
    """Check the machine settings that variables hold. Reads no file.

    Raises:
        ProfileError: as :func:`~gatepass._config.validate.validate_machine_settings`.
    """
    return validate_machine_settings(layers_of_variables(environ))
