"""What may be shown of a profile's values: a reference as it is written, a secret never.

``explain``, ``gatepass show`` and ``gatepass trust`` use it.
"""

import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from gatepass._config.fields import RUN_FIELDS, Sort, Sorts, sorts_of
from gatepass._config.layer import leaves
from gatepass._config.profile import MachineSettings, Profile, ProfileKeys
from gatepass._config.toml import Key
from gatepass._net.urls import hide_userinfo
from gatepass._system import plugins
from gatepass._system.text import pattern
from gatepass._value import Value
from gatepass.auth import value_of
from gatepass.secrets import LayerKind, Secret, SecretRef
from gatepass.secrets._fields import may_be_secret

HIDDEN: Final = "(not shown)"
LITERAL: Final = "Secret(...)"


def table_of(profile: Profile) -> dict[str, Any]:
    """Return the merged table of a profile as it may be shown, fit for TOML and JSON.

    What variables gave as text has its right type here.
    """
    whole: dict[str, Any] = {}
    fields, merged = Fields.of_profile(profile), profile.merged
    if merged is None:
        return whole
    for key, value in leaves(merged.table):
        inner = whole
        for name in key[:-1]:
            inner = inner.setdefault(name, {})
        inner[key[-1]] = fields.in_effect(key, value, merged.location(key).layer.kind)
    return whole


class Fields(Value):
    """The keys of a profile or of the machine settings, and what may be shown of their values.

    Attributes:
        sorts: what each key holds.
        holder: the object with the checked values.
    """

    sorts: Sorts
    holder: Profile | MachineSettings

    @classmethod
    def of_profile(cls, profile: Profile) -> "Fields":
        sorts = sorts_of(ProfileKeys)
        del sorts["auth",]  # its keys are those of the scheme, and no others
        sorts["auth", "scheme"] = "plain"
        sorts |= sorts_of(type(profile.auth), ("auth",))
        return cls(sorts, profile)

    @classmethod
    def of_machine(cls, settings: MachineSettings) -> "Fields":
        return cls(sorts_of(MachineSettings), settings)

    def in_effect(self, key: Key, value: Any, layer: LayerKind) -> Any:
        """Return what may be shown of a written value that passed validation."""
        if isinstance(checked := self._checked(key), SecretRef):
            return written(checked.as_written())
        if layer == "variable":  # always text; the checked value has the field's type
            kinds = (bool, int, float, tuple, list, Secret, SecretRef)
            value = checked if isinstance(checked, kinds) else value
        return _shown(value, _sort(key, self.sorts), literal=layer == "argument", checked=True)

    def overridden(self, key: Key, value: Any, layer: LayerKind, *, any_scheme: bool) -> Any:
        """Return what may be shown of a value that was never checked.

        Args:
            key: its key.
            value: the value.
            layer: the kind of place that it stands in.
            any_scheme: whether it may belong to another scheme than the profile's: then any key
                of ``auth`` may hold a secret.
        """
        sort = _sort(key, self.sorts)
        if any_scheme and key[0] == "auth" and key != ("auth", "scheme"):
            sort = "secret"
        return _shown(value, sort, literal=layer == "argument", checked=False)

    def defaults(self, written: Iterable[Key]) -> Iterator[tuple[Key, Any]]:
        """Yield the keys that nobody wrote, with what may be shown of their values."""
        for key in self.sorts:
            value = self._checked(key)
            is_table = value is not None and any(other[:-1] == key for other in self.sorts)
            in_none = len(key) > 1 and self._checked(key[:-1]) is None
            if is_table or in_none or any(overlap(key, other) for other in written):
                continue
            full = isinstance(value, Mapping) and value
            items = {(*key, str(name)): each for name, each in value.items()} if full else None
            for each, inner in (items or {key: value}).items():
                sort = _sort(each, self.sorts)
                yield each, _shown(inner, sort, literal=False, checked=True)

    def _checked(self, key: Key) -> Any:
        """The checked value of a key; None where something else stands in its place."""
        value: Any = self.holder
        for name in ("scheme",) if key == ("auth", "scheme") else key:
            value = value.get(name) if isinstance(value, Mapping) else value_of(value, name)
        return value


def may_be_shown(key: Key, text: str) -> bool:
    """Say whether a string may be shown that stands in a file that was not checked.

    The key must be known, and hold no secret whichever of our schemes the profile has.
    """
    sort = _sort(key, _sorts_with_any_scheme())
    return sort == "plain" or _is_text_itself(text, sort)


@functools.cache
def _sorts_with_any_scheme() -> Sorts:
    found = sorts_of(ProfileKeys)
    found["auth", "scheme"] = "plain"
    for name in plugins.BUILT_IN[plugins.AUTH]:
        for key, sort in sorts_of(plugins.load_scheme(name), ("auth",)).items():
            if sort == "secret" or key not in found:
                found[key] = sort
    return found


def overlap(one: Key, other: Key) -> bool:
    """Whether two keys exclude each other: the same, or one a value and the other a table."""
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def _sort(key: Key, sorts: Sorts) -> Sort | None:
    """What a key holds; one in a table with free keys is a "table", an unknown one is None."""
    if key in sorts:
        sort = None if sorts[key] in {"table", "words"} else sorts[key]
    else:
        above = {sorts.get(key[:length]) for length in range(len(key))}
        free: tuple[Sort, ...] = ("secret", "words", "table")
        sort = next((each for each in free if each in above), None)
    # A header cannot be a reference, so some people write a secret there.
    return None if sort == "table" and any(map(may_be_secret, key[1:])) else sort


def _shown(value: Any, sort: Sort | None, *, literal: bool, checked: bool) -> Any:
    """What may be shown of a value. ``literal`` text was given in Python and is no reference."""
    literal = literal and isinstance(value, str)
    if isinstance(value, Secret) or (literal and sort == "secret"):
        return LITERAL
    if isinstance(value, SecretRef):
        return written(value.as_written())
    if value is None or value == {}:
        return value
    is_text = literal or (isinstance(value, str) and _is_text_itself(value, sort))
    if sort in {"secret", "text", "name", "words"} and not is_text:
        return written(value) if SecretRef.can_parse(value) else HIDDEN
    # The rules for a url keep userinfo out of it; a name may be any URL.
    checked = checked and sort != "name"
    return HIDDEN if sort is None else _plain(value, checked=checked)


def written(reference: Any) -> Any:
    """Return a reference as it is written; the arguments of a command without a login in them."""
    if isinstance(reference, list):
        return [written(each) for each in reference]
    if isinstance(reference, dict):
        return {"command": [without_login(each) for each in reference["command"]]}
    return reference


def without_login(text: str) -> str:
    """Return a text without the login of the URL that it may be; hidden where it may hold more."""
    rest = hide_userinfo(text)
    odd = rest.replace("//...@", "")
    return HIDDEN if "@" in odd and ":" in odd else rest


def _is_text_itself(text: str, sort: Sort | None) -> bool:
    """Whether a text in a field that takes references too is none; such as ``api://x``."""
    source, colon, _ = text.partition(":")
    if sort == "name":
        return not (colon and plugins.is_known(plugins.SECRETS, source))
    return text in RUN_FIELDS if sort == "words" else sort == "text" and not colon


_QUERY: Final = pattern(r"(?<=[a-z]://)([^?]*)\?.*", re.IGNORECASE | re.DOTALL)


def _plain(value: Any, *, checked: bool) -> Any:
    if isinstance(value, tuple):  # seconds, which validation makes floats
        return [int(each) if float(each).is_integer() else each for each in value]
    if isinstance(value, list):
        items = [_plain(each, checked=checked) for each in value]
        return HIDDEN if HIDDEN in items else items
    if isinstance(value, str) and not checked:
        return without_login(_QUERY.sub(r"\1?...", hide_userinfo(value)))
    return value if isinstance(value, str | bool | int | float) else HIDDEN
