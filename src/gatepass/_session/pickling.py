"""The profile of a session as a pickle carries it: plain fields and references, no secret.

The process that opens a pickle knows neither the profile's file nor whether it is trusted, so the
pickle carries the checked profile. Each reference keeps the kind of layer that it was written in,
which decides whether a command may run. The profile is not validated again: a person who can change
a pickle can run any code in the process that opens it.

Opening a pickle reads nothing and raises nothing. Pools open what they are sent outside of the
task: an error there ends the worker, and ``multiprocessing.Pool`` then waits for ever. So errors
are raised at the first use.
"""

import dataclasses
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from gatepass._config import validate, variables
from gatepass._config.fields import dataclass_in, types_of
from gatepass._config.profile import MachineSettings, Profile
from gatepass._net.proxy import Proxy
from gatepass._net.tls import TlsSettings
from gatepass._system import plugins
from gatepass._version import __version__
from gatepass.auth import field_of
from gatepass.errors import (
    GatepassError,
    LoginRequired,
    ProfileError,
    SecretUnavailable,
    VaultError,
)
from gatepass.secrets import Secret, SecretRef

FORMAT: Final = 1  # to be raised with each change of the state that older versions cannot read
PickledState = dict[str, Any]

WORKER_HINT: Final = (
    "this session came out of a pickle, and looks for its secrets in the process that uses it"
)
_HOLDERS: Final = ("auth", "proxy", "tls", "machine")


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


# ---------------------------------------------------------------- the profile


def dump_profile(profile: Profile, mark: str) -> PickledState:
    """Return a profile as plain fields, fit for another process on this machine or another.

    The places in files where it was written are left out, except folders in which relative paths
    start.

    Args:
        profile: what the session was built from.
        mark: the same for all pickles of one session.

    Raises:
        TypeError: a secret was given as a value, or only a person could answer; says which.
    """
    fields = {
        each.name: getattr(profile, each.name)
        for each in dataclasses.fields(profile)
        if each.name not in {"merged", *_HOLDERS}
    }
    fields["headers"] = dict(profile.headers)
    for name in _HOLDERS:
        holder = getattr(profile, name)
        fields[name] = None if holder is None else _plain(holder, name)
    return {"form": FORMAT, "made_by": __version__, "mark": mark, "profile": fields}


def load_profile_of(state: PickledState, environ: Mapping[str, str]) -> Profile:
    """Build the profile again, with the machine settings that the variables of this process say.

    Raises:
        ProfileError: another version of gatepass has made the state, or a variable is wrong.
        PluginError: the scheme belongs to a package that is not installed here.
    """
    if state.get("form") != FORMAT:
        raise _foreign(state)
    try:
        fields = dict(state["profile"])
        fields["auth"] = _made_again(fields["scheme"], fields["auth"])
        fields["proxy"] = fields["proxy"] and Proxy(**fields["proxy"])
        fields["tls"] = TlsSettings(**fields["tls"])
        fields["machine"] = _machine_here(MachineSettings(**fields["machine"]), environ)
        return Profile(**fields)
    except (KeyError, TypeError, ValueError):  # a key that one of the two does not know
        raise _foreign(state) from None


def _made_again(name: str, fields: Mapping[str, Any]) -> Any:
    def made() -> Any:
        kind = plugins.load_scheme(name)
        tables = {key: dataclass_in(hint) for key, hint in types_of(kind).items()}
        again = {
            key: tables[key](**fields[key])
            for key in ("proxy", "tls")
            if tables.get(key) in {Proxy, TlsSettings} and fields.get(key) is not None
        }
        return kind(**{**fields, **again})

    wrong = (TypeError, ValueError)  # a key that one of the two does not know
    return plugins.call(plugins.AUTH, name, "cannot be made again", made, passing=wrong)


def _machine_here(carried: MachineSettings, environ: Mapping[str, str]) -> MachineSettings:
    """Take settings of the machine from variables of this one, where it has any."""
    layers = variables.layers_of_variables(environ)
    if not layers.machine:
        return carried
    here = validate.validate_machine_settings(layers)
    return dataclasses.replace(carried, **{key: getattr(here, key) for key in layers.machine})


def _foreign(state: PickledState) -> ProfileError:
    return ProfileError(
        f"this session was pickled by gatepass {state.get('made_by', '(unknown)')}, and gatepass "
        f"{__version__} cannot open it",
        hint="install the same versions of gatepass, and of the packages that its profile needs, "
        "here and there",
    )


def _plain(holder: Any, above: str) -> dict[str, Any]:
    """The fields of a dataclass, without what belongs to this process."""
    plain = {
        each.name: _portable(getattr(holder, each.name), f"{above}.{each.name}")
        for each in dataclasses.fields(holder)
        if each.init
    }
    vault = plain.get("vault") if above == "machine" else None
    if isinstance(vault, str) and not vault.startswith("~"):
        plain["vault"] = str(Path.cwd() / vault)
    return plain


def _portable(value: Any, key: str) -> Any:
    """A value, and all that a scheme of another package may have put into it."""
    if isinstance(value, Secret | SecretRef):
        return _reference(value, key)
    if isinstance(value, dict):
        return {name: _portable(each, f"{key}.{name}") for name, each in value.items()}
    if type(value) in {list, tuple}:
        return type(value)(_portable(each, key) for each in value)
    if key in {"auth.proxy", "auth.tls"} and isinstance(value, Proxy | TlsSettings):
        return _plain(value, key)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.replace(value, **_plain(value, key))
    return value


def _reference(value: Secret | SecretRef, key: str) -> SecretRef:
    field = field_of(key)
    if isinstance(value, Secret):
        raise not_picklable(
            f"{field} was given as a value, and a pickle holds no secret; give a reference, such "
            'as gatepass.ref("env:MI_PASSWORD")'
        )
    person = all(source == "prompt" for source, _ in value.alternatives)
    if person and not key.startswith("machine."):  # most schemes never ask for the vault's key
        raise not_picklable(
            f"only a person can answer {field} ({value}), and nobody is asked where a pickle is "
            "opened; give a list of references"
        )
    if not any(_starts_somewhere(source, text) for source, text in value.alternatives):
        return dataclasses.replace(value, base_dir=None)
    return dataclasses.replace(value, base_dir=value.base_dir or str(Path.cwd()))


def _starts_somewhere(source: str, text: str) -> bool:
    """Whether a reference means something else in another folder."""
    if source == "file":
        return not (text.startswith(("~", "$")) or Path(text).is_absolute())
    return source not in plugins.BUILT_IN[plugins.SECRETS]  # a third-party source may take paths


def not_picklable(reason: str) -> TypeError:
    return TypeError(f"this session cannot be pickled: {reason}")
