"""The schemes and secret sources that are installed, by the names of their entry points.

The name in the entry point is the word in the profile: ``scheme = "ntlm"`` is the entry point
``ntlm`` of the group ``gatepass.auth``, and ``env:`` is ``env`` of ``gatepass.secrets``.

A built-in name always means the built-in. A name that two other packages claim means neither. Names
of built-ins are looked up in a table, so that most runs never scan the installed packages (3 to
50 ms). Beyond that a plug-in is trusted: it is code in the user's own process.
"""

import os
import sys
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from gatepass._system.text import pattern, printable
from gatepass._value import fields, has_fields
from gatepass.errors import GatepassError, PluginError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")

AUTH = "gatepass.auth"
SECRETS = "gatepass.secrets"

# The same lines stand in pyproject.toml as entry points; a test compares the two.
BUILT_IN: dict[str, dict[str, str]] = {
    AUTH: {
        "anonymous": "gatepass.auth.anonymous:Anonymous",
        "autologon": "gatepass.auth.autologon:Autologon",
        "basic": "gatepass.auth.basic:Basic",
        "bearer": "gatepass.auth.bearer:Bearer",
        "credentials": "gatepass.auth.credentials:Credentials",
        "ntlm": "gatepass.auth.ntlm:Ntlm",
        "oidc": "gatepass.auth.oidc:Oidc",
    },
    SECRETS: {
        "command": "gatepass.secrets.command:command",
        "env": "gatepass.secrets.env:env",
        "file": "gatepass.secrets.file:file",
        "keyring": "gatepass.secrets.keyring:keyring",
        "prompt": "gatepass.secrets.prompt:prompt",
    },
}


_USABLE: Final = pattern(r"[a-z][a-z0-9_-]*")


class _Scan(NamedTuple):
    """What other packages bring."""

    claims: "tuple[EntryPoint, ...]"
    unreadable: tuple[str, ...]  # the packages whose entry points cannot be read


def _scan() -> _Scan:
    """Scan the installed packages, again where a folder of them has changed."""
    return _scan_folders(tuple((folder, _time_of_change(folder)) for folder in sys.path))


def _time_of_change(folder: str) -> int | None:
    try:
        return os.stat(folder or ".").st_mtime_ns  # noqa: PTH116 - a Path costs more than the call
    except (OSError, ValueError):
        return None


@lru_cache(maxsize=2)
def _scan_folders(_folders: object) -> _Scan:
    """Read the entry points of all packages, each once; no other metadata is parsed."""
    from importlib.metadata import distributions, entry_points

    found: list[EntryPoint] = []
    unreadable = []
    try:
        of_all = entry_points()
        for group in BUILT_IN:
            found += of_all.select(group=group)
    except Exception:  # noqa: BLE001 - one damaged file among all, which may hold anything
        for each in distributions():
            try:
                found.extend(each.entry_points)
            except Exception:  # noqa: BLE001 - this is the one, or one of them
                unreadable.append(printable(str(each.name)))
    claims = {  # an editable install may list a package twice: the same claim counts once
        (_owner(entry), entry.group, entry.name, entry.value): entry
        for entry in found
        if entry.group in BUILT_IN and BUILT_IN[entry.group].get(entry.name) != entry.value
    }
    return _Scan(tuple(claims.values()), tuple(unreadable))


def _claims(group: str, name: str | None = None) -> "list[EntryPoint]":
    """The entry points of a group, or of one name in it, that other packages bring."""
    return [each for each in _scan().claims if each.group == group and name in {None, each.name}]


def _owner(entry: "EntryPoint") -> str:
    """The package of an entry point."""
    return printable((entry.dist.name if entry.dist else None) or entry.value)


def _owners(entries: "list[EntryPoint]") -> str:
    return ", ".join(sorted(map(_owner, entries)))


def is_known(group: str, name: str) -> bool:
    """Say whether a name can be loaded, without importing it. Scans packages for other names."""
    return name in BUILT_IN[group] or bool(_USABLE.fullmatch(name) and _claims(group, name))


def names(group: str) -> tuple[str, ...]:
    """List every name of a group, sorted. Scans the installed packages."""
    others = (entry.name for entry in _claims(group) if _USABLE.fullmatch(entry.name))
    return tuple(sorted({*BUILT_IN[group], *others}))


def load(group: str, name: str) -> Any:
    """Import what a name stands for.

    Args:
        group: ``AUTH`` or ``SECRETS``.
        name: the word in the profile.

    Raises:
        PluginError: no package, or more than one, claims the name, or its import failed.
    """
    target = BUILT_IN[group].get(name)
    if target is not None:
        module, _, attribute = target.partition(":")
        return getattr(import_module(module), attribute)
    claims = _claims(group, name) if _USABLE.fullmatch(name) else []
    if not claims:
        raise PluginError(
            f"no installed package provides {name!a}", hint=f"known are: {', '.join(names(group))}"
        )
    if len(claims) > 1:
        raise PluginError(
            f"{name!r} is claimed by more than one package: {_owners(claims)}",
            hint="uninstall all but one of them",
        )
    (claim,) = claims
    module = claim.value.partition(":")[0].strip()
    is_module = all(part.isidentifier() for part in module.split("."))
    hint = f'see why with:   python -c "import {module}"' if is_module else ""
    return call(group, name, "cannot be imported", claim.load, hint=hint)


def load_scheme(name: str) -> Any:
    """Import the class of a scheme, and see that a profile can be made of it.

    Raises:
        PluginError: as :func:`load`; or it is not what a scheme must be.
    """
    kind = load(AUTH, name)
    problem = "" if name in BUILT_IN[AUTH] else _problem_of(kind)
    if problem:
        raise plugin_error(AUTH, name, problem)
    return kind


def _problem_of(kind: Any) -> str:
    """Say why a class is no scheme; empty when it is one."""
    if not (isinstance(kind, type) and has_fields(kind)):
        return "is not a dataclass"
    if not callable(getattr(kind, "authenticator", None)):
        return "has no method authenticator"
    if "scheme" in {each.name for each in fields(kind)}:
        return "has a field called scheme, the key that names the scheme itself"
    return ""


def description_of(group: str, name: str) -> str:
    """Name a plug-in for people: ``the scheme 'x' of the package y (entry point y.z:X)``."""
    kind = {AUTH: "scheme", SECRETS: "source"}[group]
    for entry in _claims(group, name):
        value = printable(entry.value)
        return f"the {kind} {name!r} of the package {_owner(entry)} (entry point {value})"
    return f"the {kind} {name!r}"


def call(
    group: str,
    name: str,
    failing: str,
    function: Callable[[], T],
    *,
    hint: str = "",
    passing: tuple[type[Exception], ...] = (),
    holds_secret: Callable[[str], bool] | None = None,
) -> T:
    """Call what belongs to a name; turn an error of another package into ``PluginError``.

    Errors of built-ins pass as they are. Of another package's error only the type and the line are
    told, since its text may hold a secret.

    Args:
        group: ``AUTH`` or ``SECRETS``.
        name: the word in the profile.
        failing: what to say of it, such as ``cannot be imported``.
        function: what to call.
        hint: the next step; by default to its author.
        passing: errors that a plug-in may raise, beside :class:`GatepassError`.
        holds_secret: whether a text holds a secret; an error with such a text does not pass.

    Raises:
        PluginError: the plug-in failed.
    """
    try:
        return function()
    except Exception as error:
        passes = isinstance(error, (GatepassError, *passing))
        tells = passes and holds_secret is not None and holds_secret(f"{error}\n{vars(error)}")
        if name in BUILT_IN[group] or (passes and not tells):
            raise
        message = f"{failing}: {_type_and_line(error)}"
    # Not in the handler: no context of the error leads to the text of the first.
    raise plugin_error(group, name, message + ", with a secret in its words" * tells, hint)


def _type_and_line(error: Exception) -> str:
    """What its author needs to know of an error, without its text."""
    import traceback
    from pathlib import Path

    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    return f"{type(error).__name__} at {Path(frame.f_code.co_filename).name}:{line}"


def plugin_error(group: str, name: str, problem: str, hint: str = "") -> PluginError:
    """Return the error that says what is wrong with a plug-in."""
    owner = next(map(_owner, _claims(group, name)), name)
    return PluginError(
        f"{description_of(group, name)} {problem}",
        hint=hint or f"update or remove {owner}, or tell its author",
    )


def conflicts() -> tuple[str, ...]:
    """Describe what is wrong with the claims of other packages, one sentence each."""
    problems = [
        f"the entry points of the package {name} cannot be read, and are passed over; install it "
        "again"
        for name in _scan().unreadable
    ]
    for entry in _scan().claims:
        name, group = entry.name, entry.group
        claims = f"the package {_owner(entry)} claims the "
        if name in BUILT_IN[group]:
            problems.append(f"{claims}built-in name {name!r} of {group}; the built-in is used")
        elif not _USABLE.fullmatch(name):
            problems.append(
                f"{claims}name {name!a} of {group}, which is never used: a name begins with a-z "
                "and is made of a-z, 0-9, - and _"
            )
        elif len(_claims(group, name)) > 1:
            problems.append(
                f"the name {name!r} of {group} is claimed by more than one package: "
                f"{_owners(_claims(group, name))}"
            )
    return tuple(dict.fromkeys(problems))
