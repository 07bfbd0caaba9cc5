"""What a pickle of a session holds of its profile: the checked profile, with references.

The process that opens a pickle knows neither the profile's file nor whether it is trusted, so the
pickle carries the checked profile. Each reference keeps the kind of layer that it was written in,
which decides whether a command may run. The profile is not validated again: a person who can change
a pickle can run any code in the process that opens it.

Opening a pickle reads nothing and raises nothing. Pools open what they are sent outside of the
task: an error there ends the worker, and ``multiprocessing.Pool`` then waits for ever. So the
profile is a pickle in the pickle, loaded at the first use, where errors reach the task.
"""

import os
import pickle
import socket
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from gatepass._config import variables
from gatepass._config.profile import MachineSettings, Profile, references
from gatepass._config.unnamed import machine_settings_of_variables
from gatepass._system import plugins
from gatepass._value import replace
from gatepass._version import __version__
from gatepass.auth import field_of, references_in
from gatepass.errors import (
    GatepassError,
    LoginRequired,
    ProfileError,
    SecretUnavailable,
    VaultError,
)
from gatepass.secrets import Secret, SecretRef

PickledState = dict[str, Any]  # a dict, since any version can open it

WORKER_HINT: Final = (
    "this session came out of a pickle, and looks for its secrets in the process that uses it"
)


def name_process(error: GatepassError) -> None:
    """Put this process's name before an error's message, which may be read in another process.

    Where a secret or a login is missing, the hint also says in which process it is looked for.
    """
    here = f"process {os.getpid()} on {socket.gethostname()}"
    if error.message.startswith(here):
        return
    error.message = f"{here}: {error.message}"
    error.args = (error.message,)
    if isinstance(error, SecretUnavailable | LoginRequired | VaultError):
        error.hint = "\n".join(filter(None, (error.hint, WORKER_HINT)))


def dump_profile(profile: Profile, pickle_id: str) -> PickledState:
    """Return a profile as another process can use it, on this machine or another.

    Args:
        profile: what the session was built from.
        pickle_id: the same for all pickles of one session.

    Raises:
        TypeError: a secret was given as a value, or only a person could answer; says which.
    """
    for key, value in references(profile):
        _refuse_value(key, value)
        _refuse_prompt(key, value)
    for key, value in references_in(profile.machine, "machine"):
        _refuse_value(key, value)  # a prompt may stay: most schemes never ask for the vault's key
    machine = replace(profile.machine, vault=_absolute(profile.machine.vault))
    content = BytesIO()
    _ProfilePickler(content).dump(replace(profile, machine=machine))
    return {
        "version": __version__,
        "id": pickle_id,
        "scheme": profile.scheme,
        "profile": content.getvalue(),
    }


def is_of_this_version(state: PickledState) -> bool:
    """Whether this version of gatepass can open what :func:`dump_profile` returned."""
    return state.get("version") == __version__


def load_profile_of(state: PickledState, environ: Mapping[str, str]) -> Profile:
    """Load the profile, with the machine settings that the variables of this process say.

    Raises:
        ProfileError: another version of gatepass has made the state, or a variable is wrong.
        PluginError: the scheme belongs to a package that is not installed here.
    """
    if not is_of_this_version(state):
        raise _cannot_open(state)
    plugins.load_scheme(state["scheme"])
    try:
        profile: Profile = pickle.loads(state["profile"])  # noqa: S301 - as the pickle around it
    except Exception:  # noqa: BLE001 - a class that is not here, or whatever its own loading raises
        raise _cannot_open(state) from None
    return replace(profile, machine=_machine_here(profile.machine, environ))


def not_picklable(reason: str) -> TypeError:
    return TypeError(f"this session cannot be pickled: {reason}")


class _ProfilePickler(pickle.Pickler):
    """Leaves out where references were written, except the folder that a relative path needs."""

    def reducer_override(self, value: Any) -> Any:
        """Return how a reference is made again; other values as they say themselves."""
        if not isinstance(value, SecretRef):
            return NotImplemented
        needs_folder = any(_is_relative(source, text) for source, text in value.alternatives)
        folder = (value.base_dir or str(Path.cwd())) if needs_folder else None
        return SecretRef, (value.alternatives, value.layer, folder)


def _is_relative(source: str, text: str) -> bool:
    """Whether a reference means something else in another folder."""
    if source == "file":
        return not (text.startswith(("~", "$")) or Path(text).is_absolute())
    return source not in plugins.BUILT_IN[plugins.SECRETS]  # a third-party source may take paths


def _absolute(vault: Any) -> Any:
    is_relative = isinstance(vault, str) and not vault.startswith("~")
    return str(Path.cwd() / vault) if is_relative else vault


def _refuse_value(key: str, value: SecretRef | Secret) -> None:
    if isinstance(value, Secret):
        raise not_picklable(
            f"{field_of(key)} was given as a value, and a pickle holds no secret; give a "
            'reference, such as gatepass.ref("env:MI_PASSWORD")'
        )


def _refuse_prompt(key: str, value: SecretRef | Secret) -> None:
    if isinstance(value, SecretRef) and {source for source, _ in value.alternatives} == {"prompt"}:
        raise not_picklable(
            f"only a person can answer {field_of(key)} ({value}), and nobody is asked where a "
            "pickle is opened; give a list of references"
        )


def _machine_here(carried: MachineSettings, environ: Mapping[str, str]) -> MachineSettings:
    """Take settings of the machine from variables of this one, where it has any."""
    given = variables.layers_of_variables(environ).machine
    if not given:
        return carried
    here = machine_settings_of_variables(environ)
    return replace(carried, **{key: getattr(here, key) for key in given if "." not in key})


def _cannot_open(state: PickledState) -> ProfileError:
    return ProfileError(
        f"this session was pickled by gatepass {state.get('version', '(unknown)')}, and gatepass "
        f"{__version__} cannot open it",
        hint="install the same versions of gatepass, and of the packages that its profile needs, "
        "here and there",
    )
