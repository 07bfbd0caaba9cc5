"""What of a session travels in a pickle: references and settings, no secret.

A pickle is opened where neither the profile's file nor its trust is known, so it brings the profile
that was checked already: plain fields, and the references with the kind of place that they were
written in, since that decides whether a command may run. The gate does not run again: who can
change a pickle runs code of his own in whoever opens it, before any check could.

Opening a pickle reads nothing and raises nothing. Pools open what they are sent outside of the
task: an error there ends the worker, and ``multiprocessing.Pool`` then waits for ever. So all that
can go wrong waits for the first use.
"""

import dataclasses
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any, Final
from urllib.parse import parse_qsl

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

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
from gatepass.secrets import Secret, SecretRef, may_be_secret

FORM: Final = 1  # of what follows; another number for each change that older versions cannot read
Parcel = dict[str, Any]

WORKER_HINT: Final = (
    "this session came out of a pickle, and looks for its secrets in the process that uses it"
)
_HOLDERS: Final = ("auth", "proxy", "tls", "machine")
_STAYS: Final = frozenset({"adapters", "auth", "cookies"})  # of a session's attributes
_PATHS: Final = ("verify", "cert")
_THERE: Final = "set it where the pickle is opened"


def located(error: GatepassError) -> None:
    """Name this process in front of an error's message, for those who read it elsewhere.

    What is missing here gets a further line for the hint, as the cause may not be evident there.
    """
    here = f"process {os.getpid()} on {socket.gethostname()}"
    if error.message.startswith(here):
        return
    error.message = f"{here}: {error.message}"
    error.args = (error.message,)
    if isinstance(error, SecretUnavailable | LoginRequired | VaultError):
        error.hint = "\n".join(filter(None, (error.hint, WORKER_HINT)))


# ---------------------------------------------------------------- the profile


def packed(profile: Profile, mark: str) -> Parcel:
    """Return a profile as plain fields, fit for another process on this machine or another.

    It does not say where it was written, unless a relative path starts there.

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
    return {"form": FORM, "made_by": __version__, "mark": mark, "profile": fields}


def unpacked(parcel: Parcel, environ: Mapping[str, str]) -> Profile:
    """Build the profile again, with the machine settings that the variables of this process say.

    Raises:
        ProfileError: another version of gatepass has made the parcel, or a variable is wrong.
        PluginError: the scheme belongs to a package that is not installed here.
    """
    if parcel.get("form") != FORM:
        raise _foreign(parcel)
    try:
        fields = dict(parcel["profile"])
        fields["auth"] = _made_again(fields["scheme"], fields["auth"])
        fields["proxy"] = fields["proxy"] and Proxy(**fields["proxy"])
        fields["tls"] = TlsSettings(**fields["tls"])
        fields["machine"] = _machine_here(MachineSettings(**fields["machine"]), environ)
        return Profile(**fields)
    except (KeyError, TypeError, ValueError):  # a key that one of the two does not know
        raise _foreign(parcel) from None


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


def _foreign(parcel: Parcel) -> ProfileError:
    return ProfileError(
        f"this session was pickled by gatepass {parcel.get('made_by', '(unknown)')}, and gatepass "
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
        raise _refused(
            f"{field} was given as a value, and a pickle holds no secret; give a reference, such "
            'as gatepass.ref("env:MI_PASSWORD")'
        )
    person = all(source == "prompt" for source, _ in value.alternatives)
    if person and not key.startswith("machine."):  # most schemes never ask for the vault's key
        raise _refused(
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
    return source not in plugins.BUILT_IN[plugins.SECRETS]  # of a stranger's nobody can tell


def _refused(reason: str) -> TypeError:
    return TypeError(f"this session cannot be pickled: {reason}")


# ---------------------------------------------------------------- what was set on the session


def settings(
    session: requests.Session, profile: Profile, adapters: Mapping[str, BaseAdapter]
) -> dict[str, Any]:
    """Return what was set on a session since it was built, as it travels.

    Cookies stay: the server gives others to who logs on there.

    Args:
        session: the session.
        profile: what it was built from.
        adapters: those that the caller has mounted.

    Raises:
        TypeError: a setting may hold a secret, or cannot be pickled; says which.
    """
    _refuse_secrets(session, profile)
    kept = {name: getattr(session, name) for name in session.__attrs__ if name not in _STAYS}
    kept["headers"] = dict(session.headers)
    for name in _PATHS:
        kept[name] = _absolute(kept[name])
    return {**kept, "adapters": dict(adapters)}


def settle(session: requests.Session, kept: Mapping[str, Any]) -> None:
    """Set on a session what :func:`settings` returned."""
    for name, value in kept.items():
        if name == "headers":
            session.headers = CaseInsensitiveDict(value)
        elif name == "adapters":
            for prefix, adapter in value.items():
                session.mount(prefix, adapter)
        else:
            setattr(session, name, value)


def _refuse_secrets(session: requests.Session, profile: Profile) -> None:
    if session.auth:
        raise _refused(f"its auth may hold a password; {_THERE}")
    for name, value in session.headers.items():
        if may_be_secret(str(name)) and value not in (None, profile.headers.get(name)):
            raise _refused(f"its header {name} may hold a secret; {_THERE}")
    for name in _names(session.params):
        if may_be_secret(name):
            raise _refused(f"its parameter {name} may hold a secret; {_THERE}")
    for name, proxy in session.proxies.items():
        if "@" in (proxy or ""):  # also without a scheme, as in user:password@proxy:3128
            raise _refused(f"its proxy for {name} holds a login; write it into the profile")
    _refuse_hooks(session)


def _refuse_hooks(session: requests.Session) -> None:
    for hook in (each for hooks in session.hooks.values() for each in _listed(hooks)):
        if isinstance(hook, partial):
            raise _refused(f"its hook holds arguments, which may be secrets; {_THERE}")
        if isinstance(hook, FunctionType) and not _is_portable(hook):
            raise _refused(
                f"its hook {hook.__qualname__} cannot be found by its name; make it a function of "
                f"a module, or {_THERE}"
            )


def _names(params: Any) -> Iterator[str]:
    """The names of parameters, in all forms that requests takes."""
    if isinstance(params, bytes):
        params = params.decode("latin-1")
    if isinstance(params, str):
        params = parse_qsl(params, keep_blank_values=True)
    for each in params or ():
        name = each[0] if isinstance(each, list | tuple) and each else each
        yield name.decode("latin-1") if isinstance(name, bytes) else str(name)


def _listed(hooks: Any) -> Any:
    return hooks if isinstance(hooks, list | tuple) else [hooks]


def _is_portable(function: FunctionType) -> bool:
    """Whether a function can be pickled; cloudpickle, where it is in use, takes any."""
    found: Any = sys.modules.get(function.__module__)
    for part in function.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is function or "cloudpickle" in sys.modules


def _absolute(paths: Any) -> Any:
    """The value of ``verify`` or ``cert``, with paths that mean the same in another folder."""
    if isinstance(paths, str):
        return str(Path.cwd() / paths)
    return tuple(map(_absolute, paths)) if isinstance(paths, list | tuple) else paths
