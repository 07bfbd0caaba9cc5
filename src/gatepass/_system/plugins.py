"""Entry-point name → object.

The name in the entry point is the word in the profile: ``scheme = "ntlm"`` is the entry point
``ntlm`` of the group ``gatepass.auth``, and ``env:`` is ``env`` of ``gatepass.secrets``.

Two rules keep passwords where they belong. A built-in name always means the built-in, whoever
else claims it; and a name that two other packages claim means neither. Built-in names are looked
up in a table, so that the usual case never scans the installed packages (3 to 50 ms).
"""

import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, TypeVar

from gatepass.errors import GatepassError, PluginError

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint

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


_MODULE: Final = re.compile(r"[A-Za-z0-9_.]+")
_USABLE: Final = re.compile(r"[a-z][a-z0-9_-]*")


def _strangers(group: str) -> "tuple[EntryPoint, ...]":
    """The entry points of a group that other packages bring, one for each claim."""
    return _scanned(group, tuple((folder, _changed(folder)) for folder in sys.path))


def _changed(folder: str) -> int | None:
    try:
        return os.stat(folder or ".").st_mtime_ns  # noqa: PTH116 - a Path costs more than the call
    except (OSError, ValueError):
        return None


@lru_cache(maxsize=len(BUILT_IN) + 2)  # one answer for each group, and the last one before it
def _scanned(group: str, _folders: object) -> "tuple[EntryPoint, ...]":
    """Scan the installed packages, again where a folder of them has changed."""
    seen: set[tuple[str, str, str]] = set()
    found = []
    for entry in _entry_points(group):
        # An editable install may list a distribution twice: the same claim counts once.
        claim = (_owner(entry), entry.name, entry.value)
        if BUILT_IN[group].get(entry.name) != entry.value and claim not in seen:
            seen.add(claim)
            found.append(entry)
    return tuple(found)


def _entry_points(group: str) -> "Iterable[EntryPoint]":
    """The entry points of a group; of a package whose own cannot be read, none."""
    from importlib.metadata import entry_points

    try:
        return entry_points(group=group)
    except Exception:  # noqa: BLE001 - one damaged file among all, which may hold anything
        readable = (_entries(each) or () for each in _distributions())
        return [entry for entries in readable for entry in entries if entry.group == group]


def _distributions() -> "Iterator[Distribution]":
    """The installed packages, each once: the first on the path counts."""
    from importlib.metadata import distributions

    seen: set[str] = set()
    for each in distributions():
        name = _name(each)
        if name not in seen:
            seen.add(name)
            yield each


def _name(distribution: "Distribution") -> str:
    try:
        return str(distribution.name)
    except Exception:  # noqa: BLE001 - as above
        return "(without a name)"


def _entries(distribution: "Distribution") -> "Iterable[EntryPoint] | None":
    """The entry points of a package; None where they cannot be read."""
    try:
        return distribution.entry_points
    except Exception:  # noqa: BLE001 - as above
        return None


def _owner(entry: "EntryPoint") -> str:
    """The package of an entry point; a name that could steer a terminal is written with escapes."""
    name = (entry.dist.name if entry.dist else None) or entry.value
    return _printable(name)


def _printable(name: str) -> str:
    return name if name.isprintable() else ascii(name)


def _claims(group: str, name: str) -> "list[EntryPoint]":
    return [entry for entry in _strangers(group) if entry.name == name and _USABLE.fullmatch(name)]


def _never_used(group: str, entry: "EntryPoint") -> str:
    return (
        f"the package {_owner(entry)} claims the name {entry.name!a} of {group}, which is "
        "never used: a name begins with a-z and is made of a-z, 0-9, - and _"
    )


def is_known(group: str, name: str) -> bool:
    """Say whether a name can be loaded, without importing it. Scans packages for foreign names."""
    return name in BUILT_IN[group] or bool(_claims(group, name))


def names(group: str) -> tuple[str, ...]:
    """List every name of a group, built-in and foreign, sorted. Scans the installed packages."""
    foreign = (entry.name for entry in _strangers(group) if _USABLE.fullmatch(entry.name))
    return tuple(sorted({*BUILT_IN[group], *foreign}))


def load(group: str, name: str) -> Any:
    """Import what a name stands for.

    Args:
        group: ``AUTH`` or ``SECRETS``.
        name: the word in the profile.

    Raises:
        PluginError: nobody, or more than one stranger, claims the name, or its import failed.
    """
    target = BUILT_IN[group].get(name)
    if target is not None:
        module, _, attribute = target.partition(":")
        return getattr(import_module(module), attribute)
    claims = _claims(group, name)
    if not claims:
        never = [_never_used(group, entry) for entry in _strangers(group) if entry.name == name]
        raise PluginError(
            *(never[:1] or [f"no installed package provides {name!r}"]),
            hint=f"known are: {', '.join(names(group))}",
        )
    if len(claims) > 1:
        owners = ", ".join(sorted(map(_owner, claims)))
        raise PluginError(
            f"{name!r} is claimed by more than one package: {owners}",
            hint="uninstall all but one of them",
        )
    (claim,) = claims
    module = claim.value.partition(":")[0].strip()
    # It is to be pasted into a shell, and a stranger wrote it.
    why = f'see why with:   python -c "import {module}"' if _MODULE.fullmatch(module) else ""
    return ask(group, name, "cannot be imported", claim.load, hint=why, words_of=ImportError)


def scheme(name: str) -> Any:
    """Import the class of a scheme, and see that a profile can be made of it.

    Raises:
        PluginError: as :func:`load`; or it is not what a scheme must be.
    """
    kind = load(AUTH, name)
    if name not in BUILT_IN[AUTH]:
        flaw = ask(AUTH, name, "cannot be used", lambda: _flaw(kind))
        if flaw:
            raise broken(AUTH, name, flaw)
    return kind


def _flaw(kind: Any) -> str:
    """Say why a stranger's class is no scheme; empty when it is one."""
    import dataclasses
    import typing

    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        return "is not a dataclass"
    if not callable(getattr(kind, "authenticator", None)):
        return "has no method authenticator"
    fields = {each.name for each in dataclasses.fields(kind) if each.init}
    if "scheme" in fields:
        return "has a field called scheme, the key that names the scheme itself"
    hints = typing.get_type_hints(kind, include_extras=True)
    if any(type(hint) is dataclasses.InitVar for hint in hints.values()):
        return "has an InitVar, which no key of a profile can fill"
    hash(tuple(hints[field] for field in fields))  # the gate keeps what it knows of each type
    return ""


def blame(group: str, name: str) -> str:
    """Name a stranger and what it is: ``the scheme 'x' of the package y (entry point y.z:X)``."""
    kind = {AUTH: "scheme", SECRETS: "source"}[group]
    for entry in _claims(group, name):
        value = entry.value if entry.value.isprintable() else ascii(entry.value)
        return f"the {kind} {name!r} of the package {_owner(entry)} (entry point {value})"
    return f"the {kind} {name!r}"


def ask(
    group: str,
    name: str,
    failing: str,
    call: Callable[[], T],
    *,
    hint: str = "",
    words_of: type[Exception] | tuple[()] = (),
    passing: tuple[type[Exception], ...] = (),
    tells: Callable[[str], bool] | None = None,
) -> T:
    """Call what belongs to a name; where a stranger fails in it, say who.

    Our own failures pass as they are. Of a stranger's only the kind is told: its words may hold a
    secret. Ctrl-C is nobody's failure.

    Args:
        group: ``AUTH`` or ``SECRETS``.
        name: the word in the profile.
        failing: what to say of it, such as ``cannot be imported``.
        call: what to call. A function, no ``with`` block: no frame of the error's traceback then
            holds the stranger's own error.
        hint: the next step; by default to its author.
        words_of: the errors whose words are told.
        passing: errors that a stranger may raise, beside :class:`GatepassError`.
        tells: whether a text holds a secret, and so may not pass even there.

    Raises:
        PluginError: the stranger failed.
    """
    try:
        return call()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if name in BUILT_IN[group]:
            raise
        passes = isinstance(error, (GatepassError, *passing))
        if passes and not (tells and tells(_text(error))):
            raise
        what = str(error) if isinstance(error, words_of) else _kind_and_place(error)
        what += ", with a secret in its words" * passes
    raise broken(group, name, f"{failing}: {what}", hint)


def _kind_and_place(error: BaseException) -> str:
    """What its author needs to know of an error, without its words."""
    import traceback
    from pathlib import Path

    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    return f"{type(error).__name__} at {Path(frame.f_code.co_filename).name}:{line}"


def _text(error: BaseException) -> str:
    """All that a person may get to see of an error."""
    try:
        return f"{error}\n{error!r}\n{vars(error)}"
    except Exception as other:  # noqa: BLE001 - of a stranger, whose __str__ may fail as well
        return type(other).__name__


def broken(group: str, name: str, what: str, hint: str = "") -> PluginError:
    """Return the error that says what is wrong with a stranger."""
    owner = next(map(_owner, _claims(group, name)), name)
    return PluginError(
        f"{blame(group, name)} {what}", hint=hint or f"update or remove {owner}, or tell its author"
    )


def conflicts() -> tuple[str, ...]:
    """Describe what is wrong with the claims of strangers, one sentence each, for ``validate``."""
    complaints = [
        f"the entry points of the package {_printable(_name(each))} cannot be read, and are passed "
        "over; install it again"
        for each in _distributions()
        if _entries(each) is None
    ]
    for group, built_in in BUILT_IN.items():
        strangers = _strangers(group)
        times = Counter(entry.name for entry in strangers)
        complaints += [
            f"the package {_owner(entry)} claims the built-in name {entry.name!r} of {group}; "
            "the built-in is used"
            for entry in strangers
            if entry.name in built_in
        ]
        complaints += [
            _never_used(group, entry) for entry in strangers if not _USABLE.fullmatch(entry.name)
        ]
        complaints += [
            f"the name {name!a} of {group} is claimed by more than one package: "
            + ", ".join(sorted(_owner(entry) for entry in strangers if entry.name == name))
            for name, count in times.items()
            if count > 1 and name not in built_in
        ]
    return tuple(complaints)
