"""Entry-point name → object.

The name in the entry point is the word in the profile: ``scheme = "ntlm"`` is the entry point
``ntlm`` of the group ``gatepass.auth``, and ``env:`` is ``env`` of ``gatepass.secrets``.

Two rules keep passwords where they belong. A built-in name always means the built-in, whoever
else claims it; and a name that two other packages claim means neither. Built-in names are looked
up in a table, so that the usual case never scans the installed packages (3 to 50 ms).
"""

from collections import Counter
from importlib import import_module
from typing import TYPE_CHECKING, Any

from gatepass.errors import PluginError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

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


def _strangers(group: str) -> "list[EntryPoint]":
    """The entry points of a group that other packages bring, one for each claim."""
    from importlib.metadata import entry_points

    seen: set[tuple[str, str]] = set()
    found = []
    for entry in entry_points(group=group):
        # An editable install may list a distribution twice: the same claim counts once.
        claim = (entry.name, entry.value)
        if entry.value not in BUILT_IN[group].values() and claim not in seen:
            seen.add(claim)
            found.append(entry)
    return found


def _owner(entry: "EntryPoint") -> str:
    return entry.dist.name if entry.dist else entry.value


def is_known(group: str, name: str) -> bool:
    """Say whether a name can be loaded, without importing it. Scans packages for foreign names."""
    return name in BUILT_IN[group] or any(entry.name == name for entry in _strangers(group))


def names(group: str) -> tuple[str, ...]:
    """List every name of a group, built-in and foreign, sorted. Scans the installed packages."""
    return tuple(sorted({*BUILT_IN[group], *(entry.name for entry in _strangers(group))}))


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
    claims = [entry for entry in _strangers(group) if entry.name == name]
    if not claims:
        raise PluginError(
            f"no installed package provides {name!r}",
            hint=f"known are: {', '.join(names(group))}",
        )
    if len(claims) > 1:
        owners = ", ".join(sorted(map(_owner, claims)))
        raise PluginError(
            f"{name!r} is claimed by more than one package: {owners}",
            hint="uninstall all but one of them",
        )
    try:
        return claims[0].load()
    except Exception as error:  # a stranger's import can fail in any way
        raise PluginError(
            f"{name!r} of the package {_owner(claims[0])} cannot be imported: "
            f"{type(error).__name__}: {error}",
            hint=f"reinstall or remove {_owner(claims[0])}",
        ) from error


def conflicts() -> tuple[str, ...]:
    """Describe each name that strangers claim wrongly, one sentence each, for ``validate``."""
    complaints = []
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
            f"the name {name!r} of {group} is claimed by more than one package: "
            + ", ".join(sorted(_owner(entry) for entry in strangers if entry.name == name))
            for name, count in times.items()
            if count > 1 and name not in built_in
        ]
    return tuple(complaints)
