"""What a file of profiles may do: ``gatepass trust`` shows it before a person trusts the file."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from gatepass._config import merge, tls_files
from gatepass._config.fields import RUN_FIELDS
from gatepass._config.layer import Layer, Layers
from gatepass._config.shown import HIDDEN, may_be_shown, without_login
from gatepass._net.urls import origin_of
from gatepass._system.text import printable
from gatepass.errors import GatepassError
from gatepass.secrets import SecretRef

# Secrets of the scheme that go to the identity provider, not to the server.
_OF_THE_PROVIDER = frozenset({"client_secret", "refresh_token", "client_assertion", "client_key"})


def abilities(tables: Mapping[str, object]) -> Iterable[str]:
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
        for key, value in _leaves(profile):
            if key[-1:] != ("description",):
                yield f"  {_told(key, value)}"


def summary(layers: Iterable[Layer]) -> Iterator[str]:
    """Say in a few lines where references would go, what would run, and which files count.

    Args:
        layers: the files that are merged, in rising order of precedence.
    """
    profiles = dict(_merged(tuple(layers)))
    goes: dict[str, dict[str, None]] = {}
    hosts: dict[str, None] = {}
    for profile in profiles.values():
        for reference, where in _destinations(profile):
            goes.setdefault(reference, {})[where] = None
        for key, value in _leaves(profile):
            if isinstance(value, str) and key[-1] in {"url", "issuer", "metadata_url", "proxy"}:
                hosts[shown_origin(value)] = None
    told = {where for found in goes.values() for where in found}
    for reference, found in goes.items():
        yield f"{reference} would go to {', '.join(found)}"
    others = [host for host in hosts if host and host not in told]
    if others:
        yield f"other servers: {', '.join(others)}"
    commands = [_command(value) for each in profiles.values() for _, value in _leaves(each)]
    yield from (f"runs {each}" for each in dict.fromkeys(filter(None, commands)))
    variables = [each for profile in profiles.values() for each in _run_variables(profile)]
    if variables:
        yield f"gatepass run gives to programs: {', '.join(dict.fromkeys(variables))}"
    paths = dict.fromkeys(path for each in profiles.values() for path in tls_files.tls_files(each))
    below = [printable(path) for path in paths if tls_files.is_below(path)]
    outside = [printable(path) for path in paths if not tls_files.is_below(path)]
    if below:
        yield f"trusted with it, as they are now: {', '.join(below)}"
    if outside:
        yield f"files outside of its folder, which may change: {', '.join(outside)}"


def shown_origin(url: str) -> str:
    """Return the origin of a URL; beside a host that is not ASCII, its name on the wire."""
    try:
        origin = printable(origin_of(url))
        host = urlsplit(url).hostname or ""
    except ValueError:
        return ""
    if host.isascii():
        return origin
    try:
        wire = host.encode("idna").decode()
    except UnicodeError:
        wire = ascii(host)[1:-1]
    return f"{origin} (that is {wire})"


def _merged(layers: tuple[Layer, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each profile with what it inherits; as it stands where it cannot be merged."""
    nothing = Layer("variable", "variables", {})
    together = Layers(layers, nothing, Layer("argument", "overrides", {}))
    for name in {name: None for layer in layers for name in layer.names()}:
        try:
            yield name, merge.merge_profile(together, name).table
        except GatepassError:
            yield from ((name, layer.profile(name) or {}) for layer in layers)


def _destinations(profile: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each reference of a profile, and to whom its secret would be sent."""
    auth = profile.get("auth")
    issuer = auth.get("issuer") if isinstance(auth, dict) else None
    provider = shown_origin(issuer) if isinstance(issuer, str) else ""
    for key, value in _leaves(profile):
        if _command(value):
            reference = f"what {_command(value)} prints"
        elif isinstance(value, str) and SecretRef.can_parse(value):
            reference = printable(value)
        else:
            continue
        if "tls" in key[:-1]:
            yield reference, "this computer alone, to open a key"
        elif "proxy" in key[:-1]:
            proxy = profile if key[0] == "proxy" else auth
            found = proxy["proxy"].get("url") if isinstance(proxy, dict) else ""
            yield reference, shown_origin(str(found)) or "the proxy"
        elif key[0] == "auth" and key[-1] in _OF_THE_PROVIDER:
            yield reference, provider or "the identity provider that the server names"
        else:
            yield reference, shown_origin(str(profile.get("url", ""))) or "the profile's server"


def _run_variables(profile: Mapping[str, Any]) -> Iterator[str]:
    run = profile.get("run")
    for name, field in run.items() if isinstance(run, dict) else ():
        yield f"{printable(name)} ({field if field in RUN_FIELDS else 'a field that there is not'})"


def _leaves(value: object, key: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    """Yield each value with its key; a command is one, an item of a list has the list's key."""
    if isinstance(value, dict) and not _command(value):
        for name, inner in value.items():
            yield from _leaves(inner, (*key, str(name)))
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, key)
    else:
        yield key, value


def _command(value: object) -> str:
    """Return what a table { command = ... } runs; empty for anything else."""
    if not isinstance(value, dict) or set(value) != {"command"}:
        return ""
    words = value["command"]  # a date is no word either
    if not isinstance(words, list):
        return HIDDEN  # it runs nothing, and may be anything
    return printable(json.dumps([without_login(str(word)) for word in words]))


def _told(key: tuple[str, ...], value: object) -> str:
    dotted = printable(".".join(key))
    if command := _command(value):
        return f"{dotted} runs a command: {command}"
    if isinstance(value, bool | int | float):
        return f"{dotted} = {json.dumps(value)}"
    if isinstance(value, str) and (SecretRef.can_parse(value) or may_be_shown(key, value)):
        shown = without_login(value)
        line = f"{dotted} = {printable(json.dumps(shown, ensure_ascii=False))}"
        is_odd = key[-1:] == ("url",) and (shown == HIDDEN or not value.isascii())
        return f"{line}: {shown_origin(value)}" if is_odd else line
    return f"{dotted}: a value that is not shown"
