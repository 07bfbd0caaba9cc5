"""What a start of gatepass costs, warm, cold and with many profiles, by instructions and by CPU.

A warm start finds what an earlier one has kept of the profile; a cold one has to check it. Peers
are compared in ``cold.py``; this part needs none, so that it can be measured anywhere.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from benchmarks import cold, growth, homes
from benchmarks.environments import OURS, Environment
from benchmarks.measure import Script, alternately, instructions, row, script, stamp

MANY: Final = 10_000
_NO_CACHE: Final = {"GATEPASS_CACHE": os.path.join(os.devnull, "none")}  # noqa: PTH118 - a text


def measured(environments: dict[str, Environment], rounds: int, many: int) -> dict[str, Any]:
    """Return the rows of this part.

    Args:
        environments: by name.
        rounds: that count, for CPU.
        many: how many profiles are many; 0 leaves them out, and counts no instructions.
    """
    with cold.world_of(environments) as world:
        pairs = list(_starts(world, many))
        scripts = [each for each, _ in pairs]
        costs = alternately(scripts, rounds)
        rows = [
            {
                **row(each, costs[each.name]),
                "base": base,
                "instructions": instructions(each) if many else None,
            }
            for each, base in pairs
        ]
        return {**stamp(environments, rounds), "rows": rows}


def _starts(world: cold.World, many: int) -> Iterator[tuple[Script, str]]:
    """Yield each start, and the name of what it is compared with."""
    _, bare, bare_keyring = cold.floor(world)
    ours, _, ours_keyring = cold.ours(world)
    yield bare, bare.name
    first = world.script(
        "gatepass, first start",
        OURS,
        ours.arguments,  # type: ignore[arg-type]
        lambda home: _furnish(world, home),
        "nothing kept: a new profile, or no folder that can be written",
    )
    yield replace(first[0], environ={**first[0].environ, **_NO_CACHE}), bare.name
    yield ours, bare.name
    keywords = script("gatepass_keywords", world.url)
    yield world.script("gatepass, keywords", OURS, keywords)[0], bare.name
    for count in (1, many) if many else ():
        yield _of_many(world, count), bare.name if count == 1 else _NAMED.format(1)
    yield bare_keyring, bare_keyring.name
    yield ours_keyring, bare_keyring.name
    token, stored, *_ = cold.stored_logins(world)
    yield token, token.name
    yield stored, token.name


_NAMED: Final = "gatepass, profiles in the file: {}"


def _of_many(world: cold.World, count: int) -> Script:
    name, paths = growth.many_profiles(world.folder, count)
    arguments = script("gatepass_files", name, *map(str, paths))
    return world.script(_NAMED.format(count), OURS, arguments)[0]


def _furnish(world: cold.World, home: Path) -> None:
    homes.with_variables(home, world.url)
