"""Read all layers: the system's, the user's and the project's files, variables and arguments.

Which layer wins is decided by ``_config.merge``.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gatepass._config.files import FileBytes, UnreadFile
from gatepass._config.layer import (
    MACHINE_KEYS,
    PROFILE_NAME,
    TOP_KEYS,
    FileSeen,
    KeyLocation,
    Layer,
    Layers,
    plain_table,
)
from gatepass._config.locations import ConfigFile, Locations
from gatepass._config.search import Candidate, Found, empty_variables, find_files
from gatepass._config.suggest import unknown_name
from gatepass._config.toml import out_of_bounds, parse_toml
from gatepass._config.variables import machine_settings, read_variables
from gatepass._system.text import printable, quoted
from gatepass.errors import Problem, ProfileError
from gatepass.secrets import LayerKind


def read_layers(
    config_file: ConfigFile | None = None,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    locations: Locations | None = None,
) -> Layers:
    """Read every layer. Reads files; no secret, no network.

    Args:
        config_file: one file or several, in rising order of precedence, that replace the search;
            before the variable ``GATEPASS_CONFIG_FILE``.
        overrides: keys of the selected profile, above all else.
        environ: the environment variables; those of this process when not given.
        locations: where files are looked for; this process's when not given.

    Raises:
        ProfileError: a file is malformed, unreadable or misplaced; all problems of one file.
        UnsafePermissions: others may write to a file.
    """
    environ = os.environ if environ is None else environ
    found = find_files(config_file, environ, locations or Locations.of_this_process())
    return layers_of(found, overrides, environ)


def layers_of(
    found: Found, overrides: Mapping[str, Any] | None, environ: Mapping[str, str]
) -> Layers:
    """Parse the files that were found, and put variables and arguments above them.

    Args:
        found: the files, as they were read.
        overrides: keys of the selected profile, above all else.
        environ: the environment variables.

    Raises:
        ProfileError: a file is malformed or misplaced; all problems of one file.
    """
    untrusted: list[Layer] = []
    unread: list[UnreadFile] = []
    files: list[FileSeen] = []

    def parse(each: Candidate) -> Layer | None:
        skipped: Layer | UnreadFile | None = each.unread
        if each.file and each.verdict == "untrusted":
            skipped = _parse_untrusted(each, each.file)
        if isinstance(skipped, UnreadFile):
            unread.append(skipped)
            files.append(FileSeen(each.path, each.kind, "skipped", skipped.why))
        elif skipped:
            untrusted.append(skipped)
            files.append(FileSeen(each.path, each.kind, "skipped", "not trusted"))
        else:
            files.append(FileSeen(each.path, each.kind, "read" if each.file else "absent"))
        return parse_layer(each.file, each.kind) if each.file and not skipped else None

    own = tuple(filter(None, map(parse, found.own)))
    others = tuple(filter(None, map(parse, found.others)))
    file_layers = others if found.replaced_by else (*own, *others)
    variables, odd = read_variables(environ, file_layers, references_in=(*own, *file_layers))
    return Layers(
        file_layers=file_layers,
        variables=variables,
        arguments=_arguments(overrides),
        untrusted=tuple(untrusted),
        unread=tuple(unread),
        machine=machine_settings(own, environ),
        files=tuple(files),
        notices=(*map(_not_trusted, untrusted), *map(str, unread), *odd),
        wanted=environ.get("GATEPASS_PROFILE") or None,
        empty=empty_variables(environ),
        stray=_stray_file(found.locations, files),
        own=own,
        replaced_by=found.replaced_by,
        locations=found.locations,
    )


def _parse_untrusted(each: Candidate, file: FileBytes) -> "Layer | UnreadFile":
    """Parse a file that takes no part, only to see which names it holds."""
    excess = out_of_bounds(file)
    if excess:
        return UnreadFile(file.path, f"has {excess}", "remove it, or correct it")
    return parse_layer(file, each.kind, strict=False)


def _not_trusted(layer: Layer) -> str:
    return (
        f"{printable(layer.label)} is not trusted and was skipped; look at it with: "
        f"gatepass trust {quoted(layer.label)}"
    )


def _stray_file(locations: Locations, files: Iterable[FileSeen]) -> Path | None:
    """Return a ``profiles.toml`` in the working directory that nothing reads."""
    if locations.working is None:
        return None
    path = locations.working / "profiles.toml"
    is_there = os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises where it may not look
    return path if is_there and path not in {file.path for file in files} else None


def parse_layer(file: FileBytes, kind: LayerKind, *, strict: bool = True) -> Layer:
    """Turn a file's bytes into a layer and check its top level.

    Args:
        file: the file as read.
        kind: its kind.
        strict: whether unknown or misplaced top-level keys, and tables nested too deeply, are
            errors; a file that takes no part is parsed only to see which names it holds.

    Raises:
        ProfileError: it cannot be parsed, or has an unknown or misplaced key at the top level.
    """
    tables = parse_toml(file, strict=strict)
    layer = Layer(kind, str(file.path), tables, file.path.parent, file.data)
    problems = list(_check_top_level(layer)) if strict else []
    if problems:
        raise ProfileError(problems=problems)
    return layer


def _check_top_level(layer: Layer) -> Iterator[Problem]:
    allowed = (*TOP_KEYS, *MACHINE_KEYS) if layer.is_own else TOP_KEYS
    for key, value in layer.tables.items():
        location = KeyLocation(layer, (key,))
        if key in MACHINE_KEYS and not layer.is_own:
            yield location.problem(
                "a machine setting, which only the user's and the system's own file may hold",
                hint=f"move it there, or set GATEPASS_{key.upper()}",
            )
        elif key not in allowed:
            yield location.problem(unknown_name(key, allowed, "key"), hint=_as_profile(key, value))
        elif key == "profiles" and not (
            isinstance(value, dict) and all(isinstance(table, dict) for table in value.values())
        ):
            yield location.problem("holds a table for each profile: [profiles.NAME]")
        elif key == "default_profile" and not isinstance(value, str):
            yield location.problem("should be the name of a profile, in quotes")
        elif key == "root" and not isinstance(value, bool):
            yield location.problem("should be a boolean")


def _as_profile(key: str, value: object) -> str:
    """How a profile is written, where an unknown key of the top level looks like one or a part."""
    if isinstance(value, dict) and not {"url", "auth"}.isdisjoint(value):
        return f"a profile is written [profiles.{key if PROFILE_NAME.fullmatch(key) else 'NAME'}]"
    of_profile = key in {"url", "auth", "scheme", "user_name", "password"}
    return "a key of a profile: write   [profiles.NAME]   above it" * of_profile


def _arguments(overrides: Mapping[str, Any] | None) -> Layer:
    if overrides is not None and not isinstance(overrides, Mapping):
        raise ProfileError("overrides= takes a mapping of profile keys")
    return Layer("argument", "overrides", plain_table(overrides or {}))
