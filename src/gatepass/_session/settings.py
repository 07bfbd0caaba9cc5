"""The settings that a caller changed on a session, as a copy or a pickle of it carries them."""

import copy
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

import requests
from requests.adapters import BaseAdapter

from gatepass._config.profile import Profile
from gatepass._session.pickling import not_picklable
from gatepass.secrets import may_be_secret

_STAYS: Final = frozenset({"adapters", "auth", "cookies"})  # attributes that no pickle carries
_PATHS: Final = ("verify", "cert")
_SET_THERE: Final = "set it where the pickle is opened"


def copy_setting(value: Any) -> Any:
    """Return a copy of a setting that shares no table or list with it."""
    if isinstance(value, dict):
        return {
            name: list(each) if isinstance(each, list) else each for name, each in value.items()
        }
    own = getattr(value, "copy", None)  # headers and cookies; copy.copy would share their tables
    return own() if callable(own) else copy.copy(value)


def dump_settings(
    session: requests.Session, profile: Profile, adapters: Mapping[str, BaseAdapter]
) -> dict[str, Any]:
    """Return the settings of a session as a pickle carries them.

    Cookies are left out: the server gives others to the worker that logs on.

    Args:
        session: the session.
        profile: what it was built from.
        adapters: those that the caller has mounted.

    Raises:
        TypeError: a setting may hold a secret, or cannot be pickled; says which.
    """
    _refuse_secrets(session, profile)
    _refuse_hooks(session)
    kept = {name: getattr(session, name) for name in session.__attrs__ if name not in _STAYS}
    for name in _PATHS:
        kept[name] = _absolute(kept[name])
    return {**kept, "adapters": dict(adapters)}


def load_settings(session: requests.Session, kept: Mapping[str, Any]) -> None:
    """Set on a session what :func:`dump_settings` returned."""
    for name, value in kept.items():
        if name != "adapters":
            setattr(session, name, value)
    for prefix, adapter in kept["adapters"].items():
        session.mount(prefix, adapter)


def _refuse_secrets(session: requests.Session, profile: Profile) -> None:
    if session.auth:
        raise not_picklable(f"its auth may hold a password; {_SET_THERE}")
    for name, value in session.headers.items():
        if may_be_secret(str(name)) and value not in (None, profile.headers.get(name)):
            raise not_picklable(f"its header {name} may hold a secret; {_SET_THERE}")
    for name in _names(session.params):
        if may_be_secret(name):
            raise not_picklable(f"its parameter {name} may hold a secret; {_SET_THERE}")
    for name, proxy in session.proxies.items():
        if "@" in (proxy or ""):  # also without a scheme, as in user:password@proxy:3128
            raise not_picklable(f"its proxy for {name} holds a login; write it into the profile")


def _names(params: Any) -> list[str]:
    """The names of parameters, in all forms that requests takes."""
    if isinstance(params, bytes):
        params = params.decode("latin-1")
    query = params if isinstance(params, str) else urlencode(params or {}, doseq=True)
    return [name for name, _ in parse_qsl(query, keep_blank_values=True)]


def _refuse_hooks(session: requests.Session) -> None:
    for hooks in session.hooks.values():
        for hook in hooks if isinstance(hooks, list | tuple) else [hooks]:
            if isinstance(hook, partial):
                raise not_picklable(f"its hook holds arguments, which may be secrets; {_SET_THERE}")
            if isinstance(hook, FunctionType) and not _is_portable(hook):
                raise not_picklable(
                    f"its hook {hook.__qualname__} cannot be found by its name; make it a function "
                    f"of a module, or {_SET_THERE}"
                )


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
