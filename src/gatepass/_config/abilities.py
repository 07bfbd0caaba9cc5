"""What a file of profiles may do: ``gatepass trust`` shows it before a person trusts the file."""

import json
from collections.abc import Iterable

from gatepass._config.shown import may_be_shown
from gatepass._net.urls import hide_userinfo
from gatepass._system import plugins
from gatepass._system.text import printable


def abilities(tables: dict[str, object]) -> Iterable[str]:
    """Describe what a file of profiles may do, one line each, before a person trusts it.

    Names servers, issuers, references, commands, TLS files, proxies and plain http. A string
    that is neither a reference nor in a field without secrets is not shown: it may be one.

    Args:
        tables: the parsed file.
    """
    default = tables.get("default_profile")
    if default is not None:
        yield f"chooses the default profile: {printable(str(default))}"
    profiles = tables.get("profiles")
    for name, profile in profiles.items() if isinstance(profiles, dict) else ():
        yield f"profile {printable(str(name))}:"
        for line in _abilities_of(profile, ()):
            yield f"  {line}"


def _abilities_of(value: object, key: tuple[str, ...]) -> Iterable[str]:
    if isinstance(value, dict):
        if set(value) == {"command"}:
            yield f"{_dotted(key)} runs a command: {printable(json.dumps(value['command']))}"
            return
        for name, inner in value.items():
            yield from _abilities_of(inner, (*key, str(name)))
    elif isinstance(value, list):
        for inner in value:
            yield from _abilities_of(inner, key)
    elif isinstance(value, bool | int | float):
        yield f"{_dotted(key)} = {json.dumps(value)}"
    elif isinstance(value, str) and _is_reference(value):
        yield _assignment(key, value)
    elif key[-1:] == ("description",):
        return
    elif isinstance(value, str) and may_be_shown(key, value):
        yield _assignment(key, value)
    else:
        yield f"{_dotted(key)}: a value that is not shown"


def _assignment(key: tuple[str, ...], text: str) -> str:
    shown = json.dumps(hide_userinfo(text), ensure_ascii=False)
    return f"{_dotted(key)} = {printable(shown)}"


def _dotted(key: tuple[str, ...]) -> str:
    return printable(".".join(key))


def _is_reference(text: str) -> bool:
    source, colon, _ = text.partition(":")
    return bool(colon) and plugins.is_known(plugins.SECRETS, source)
