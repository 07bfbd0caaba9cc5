"""``gatepass profiles`` and ``show``: looking at profiles. No secret, no network."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import click

from gatepass._config import merge, selection
from gatepass._config.layer import Layer, Layers
from gatepass._config.profile import MachineSettings, Profile
from gatepass._config.toml import Key
from gatepass._net import urls
from gatepass._system import plugins
from gatepass._system.text import pattern
from gatepass.cli import _output
from gatepass.cli._context import Context
from gatepass.cli._options import config_file_option, json_option, name_argument, verb
from gatepass.cli._problems import broken, complaints_of, problems_in, similar_names, where_looked
from gatepass.errors import GatepassError, Problem

# ---------------------------------------------------------------- profiles


@verb("gatepass profiles", "gatepass profiles --check")
@click.option("--check", is_flag=True, help="Check each profile, and tell which are broken.")
@config_file_option
@json_option
def profiles(context: Context, check: bool, as_json: bool) -> None:
    """List all profiles, also those that are not trusted.

    They are shown as they are written; --check checks them. Where each is defined, --json tells.
    """
    with _no_collection():
        layers = context.layers()
        default, why = _default(layers)
        entries = _entries(layers, default, why, check=check)
    if as_json:
        _output.json(entries)
        return
    if not entries:
        _tell_where(layers)
        return
    _output.table(
        ("", "NAME", "URL", "SCHEME", "STATE", "DESCRIPTION"),
        [*map(_row_of, entries)],
        narrow=lambda row: (*row[:2], _host_of(row[2]), *row[3:5]),
    )
    _output.finish()  # what is said about a row comes after it, also in a log
    for entry in entries:
        if entry.get("problem"):
            _output.tell(broken(entry["name"]))
    _output.tell(f"* default: {why}" if default else f"no default: {why}")


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep the garbage collector from looking at thousands of tables, which all stay."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


_Entry = dict[str, Any]  # as --json prints it


def _row_of(entry: _Entry) -> tuple[str, ...]:
    """The cells of a profile in the table."""
    states = {"protected": entry["protected"], "broken": bool(entry.get("problem"))}
    state = ", ".join(name for name, holds in states.items() if holds)
    return (
        "*" if entry["default"] else "",
        entry["name"],
        entry["url"] or "",
        entry["scheme"] or "",
        state if entry["trusted"] else "not trusted",
        entry["description"],
    )


def _entries(layers: Layers, default: str | None, why: str, *, check: bool) -> list[_Entry]:
    untrusted = {name for layer in layers.untrusted for name in layer.names()}
    similar = {each.profile: each.problem for each in similar_names(layers)}
    entries = []
    for name in sorted(untrusted.union(layers.all_names)):
        if name in untrusted:
            entries.append(_untrusted_entry(layers, name))
            continue
        entry = _entry(layers, name, similar.get(name), check=check)
        if name == default:
            entry |= {"default": True, "default_because": why}
        entries.append(entry)
    return entries


def _entry(layers: Layers, name: str, similar: Problem | None, *, check: bool) -> _Entry:
    problems: tuple[Problem, ...] = ()
    value_of: Callable[[Key], Any] = partial(merge.strongest, ())
    try:
        value_of = merge.reader_of(layers, name)
    except GatepassError as error:
        problems = problems_in(error)
    if check:
        _, problems = complaints_of(layers, name, MachineSettings())
    if similar is not None:
        problems = (*problems, similar)
    description = value_of(("description",))
    found = [layer for layer in layers.group_of(name) if name in layer.names()]
    entry: _Entry = {
        "name": name,
        "url": _harmless_url(value_of(("url",))),
        "scheme": _known_scheme(value_of(("auth", "scheme"))),
        "description": description if isinstance(description, str) else "",
        "protected": str(value_of(("protected",))).lower() not in _NOT_PROTECTED,
        "default": False,
        "default_because": None,
        "trusted": True,
    }
    if check or problems:
        entry["problem"] = str(problems[0]).split("\n")[0] if problems else None
    entry["defined_in"] = _places_of(found or [layers.variables])
    return entry


# False as a file says it, or as variables may.
_NOT_PROTECTED: Final = frozenset({"none", "false", "f", "no", "n", "off", "0"})


def _untrusted_entry(layers: Layers, name: str) -> _Entry:
    found = [layer for layer in layers.untrusted if name in layer.names()]
    table = found[-1].profile(name) or {}
    auth = table.get("auth")
    return {
        "name": name,
        "url": _harmless_url(table.get("url")),
        "scheme": _known_scheme(auth.get("scheme") if isinstance(auth, dict) else None),
        "description": "",
        "protected": False,
        "default": False,
        "default_because": None,
        "trusted": False,
        "defined_in": _places_of(found),
    }


def _places_of(found: list[Layer]) -> list[dict[str, str]]:
    return [{"layer": layer.kind, "place": layer.label} for layer in found]


def _harmless_url(url: object) -> str | None:
    """The URL of a profile that was not checked: nothing that may hold a password."""
    return url if isinstance(url, str) and _WITHOUT_LOGIN.fullmatch(url) else None


_WITHOUT_LOGIN: Final = pattern(r"(?i)https?://[^@?#\s]+")


def _host_of(url: str) -> str:
    """The URL without its path, for a narrow table; as it is where it has no origin."""
    try:
        return f"{urls.origin_of(url)}/..." if "://" in url else url
    except ValueError:
        return url


def _known_scheme(scheme: object) -> str | None:
    known = isinstance(scheme, str) and plugins.is_known(plugins.AUTH, scheme)
    return str(scheme) if known else None


def _default(layers: Layers) -> tuple[str | None, str]:
    """The profile that is taken when none is named, and why; or None, and why not."""
    try:
        name = selection.select_name(layers, None)
    except GatepassError as error:
        return None, error.message
    from gatepass._config.explain import why_chosen

    return name, why_chosen(layers, None)


def _tell_where(layers: Layers) -> None:
    """Tell which files were looked for, where none of them holds a profile."""
    _output.say("no profiles; looked for:")
    for line in where_looked(layers):
        _output.tell(f"  {line}")
    _output.say("make one with: gatepass init")


# ---------------------------------------------------------------- show


@verb("gatepass show prod --origin", "gatepass show prod --origin --resolve")
@name_argument
@click.option(
    "--origin", is_flag=True, help="Tell for each key where it was written, and what that overrode."
)
@click.option(
    "--resolve",
    is_flag=True,
    help="With --origin: ask each reference which alternative would be used here. "
    "Asks no person; runs the commands that a session would run.",
)
@config_file_option
@json_option
def show(context: Context, *, name: str | None, origin: bool, resolve: bool, as_json: bool) -> None:
    """Print one profile, merged from all files and variables.

    Without NAME it is the default profile. References are shown, secrets never.
    """
    if resolve and not origin:
        raise click.UsageError("--resolve goes with --origin")
    profile = context.profile(name)
    if origin:
        _print_explanation(context, profile, resolve=resolve, as_json=as_json)
        return
    from gatepass._config.shown import table_of

    table = table_of(profile)
    if as_json:
        _output.json({"name": profile.name, "profile": table})
    else:
        import tomli_w

        _output.toml(tomli_w.dumps({"profiles": {profile.name: table}}))


def _print_explanation(context: Context, profile: Profile, *, resolve: bool, as_json: bool) -> None:
    from gatepass._config.explain import explain
    from gatepass._session.probe import Prober
    from gatepass._value import asdict
    from gatepass.cli import _explain_text

    explanation = explain(profile)
    with _output.waiting_for("asking each reference (a keyring 5 s, a command 30 s at most) ..."):
        probed = list(Prober(context, run_commands=True).probed(profile)) if resolve else []
    if as_json:
        whole = asdict(explanation)
        if resolve:
            whole["references"] = [asdict(each) for each in probed]
        _output.json(whole)
        return
    for line in _explain_text.lines_of(explanation, probed):
        _output.data(line)
