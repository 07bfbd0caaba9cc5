"""What of a profile may travel in a pickle: references and settings, no secret."""

import dataclasses
from pathlib import Path
from typing import Any

from gatepass._profiles import Profile
from gatepass._redis_vault import RedisVault
from gatepass.secrets import Secret, SecretRef


def portable(profile: Profile) -> dict[str, Any]:
    """Return a profile as plain fields, fit for another process on this machine or another.

    It does not say where it was written. Relative paths of ``file:`` become absolute.

    Raises:
        TypeError: a secret was given as a value, or only a person could answer; says which.
    """
    for name, value in profile.references():
        field = name.removeprefix("auth.")
        if isinstance(value, Secret):
            raise TypeError(
                f"this session cannot be pickled: {field} was given as a value, and a pickle "
                'holds no secret; give a reference, such as gatepass.ref("env:MI_PASSWORD")'
            )
        if all(source == "prompt" for source, _ in value.alternatives):
            raise TypeError(
                f"this session cannot be pickled: only a person can answer {field} ({value}), and "
                "nobody is asked where a pickle is opened; give a list of references"
            )
    fields = {each.name: getattr(profile, each.name) for each in dataclasses.fields(profile)}
    fields["headers"] = dict(profile.headers)
    for name in ("auth", "proxy", "tls", "machine"):
        fields[name] = _moved(fields[name])
    del fields["written"]
    return fields


def restored(fields: dict[str, Any]) -> Profile:
    """Build the profile again."""
    return Profile(**fields)


def _moved(holder: Any) -> Any:
    """The same with references that mean the same elsewhere."""
    if holder is None:
        return None
    changes: dict[str, Any] = {}
    for each in dataclasses.fields(holder):
        value = getattr(holder, each.name)
        if isinstance(value, SecretRef):
            changes[each.name] = _absolute(value)
        elif isinstance(value, RedisVault):
            changes[each.name] = _moved(value)
    return dataclasses.replace(holder, **changes)


def _absolute(reference: SecretRef) -> SecretRef:
    base = Path(reference.base_dir or Path.cwd())
    alternatives = tuple(
        (source, str(base / text))
        if source == "file" and not text.startswith(("~", "$"))
        else (source, text)
        for source, text in reference.alternatives
    )
    return dataclasses.replace(reference, alternatives=alternatives, base_dir=None)
