"""The tables of ``docs/explanation/benchmarks.md``, from the raw numbers.

The page holds them between ``<!-- benchmark: NAME -->`` and ``<!-- end -->``.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from benchmarks.measure import Spread, ratios

Part = Mapping[str, Any]

# What the rows of each group of ``cold`` are compared with.
BASES: Final[Mapping[str, str]] = {
    "ready": "bare",
    "request": "bare, one request",
    "oidc": "bare, a token",
    "command": "python -c 'import click'",
}
_PART: Final = re.compile(r"(<!-- benchmark: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_MIB: Final = 2**20


def written(page: str, results: Mapping[str, Part]) -> str:
    """Return the page with its tables made anew; those that were not measured stay."""
    made = tables(results)

    def replaced(match: "re.Match[str]") -> str:
        table = made.get(match[2])
        return f"{match[1]}\n{table}\n\n{match[3]}" if table else match[0]

    return _PART.sub(replaced, page)


def tables(results: Mapping[str, Part]) -> dict[str, str]:
    """Return all tables that can be made, by name."""
    found = {}
    for name, (part, make) in _TABLES.items():
        if part in results:
            found[name] = f"{make(results[part])}\n\n{_stamp(results[part])}"
    return found


def _stamp(part: Part) -> str:
    rounds = f"medians of {part['rounds']} rounds; " if part["rounds"] > 1 else ""
    versions = "".join(f"{version}; " for version in part["versions"])
    return (
        f"*{rounds}{versions}{part['date']}, Python {part['python']}, {part['system']}, "
        f"{part['machine']}, load {part['load']}*"
    )


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _group(name: str) -> Callable[[Part], str]:
    def make(part: Part) -> str:
        rows = [row for row in part["rows"] if row["group"] == name]
        base = next(row for row in rows if row["name"] == BASES[name])
        header = ("", "CPU, ms", "middle half", f"/ {base['name']}", "peak, MiB", "")
        return _table(header, (_cost(row, base) for row in rows))

    return make


def _cost(row: Part, base: Part) -> tuple[str, ...]:
    cpu = Spread.of([seconds * 1000 for seconds in row["cpu"]])
    peak = Spread.of(row["peak"]).middle / _MIB
    times = Spread.of(ratios(row["cpu"], base["cpu"])).middle
    return (
        row["name"],
        f"{cpu.middle:.0f}",
        f"{cpu.low:.0f} to {cpu.high:.0f}",
        f"{times:.2f}",
        f"{peak:.0f}",
        row["note"],
    )


def _start(part: Part) -> str:
    rows = {row["name"]: row for row in part["rows"]}
    header = ("", "compared with", "instructions", "times", "CPU, ms", "times", "")
    return _table(header, (_counted(row, rows[row["base"]]) for row in part["rows"]))


def _counted(row: Part, base: Part) -> tuple[str, ...]:
    count, other = row["instructions"], base["instructions"]
    return (
        row["name"],
        "" if row is base else base["name"],
        f"{count / 1e6:.0f} M" if count else "not counted",
        f"{count / other:.3f}" if count else "",
        f"{Spread.of(row['cpu']).middle * 1000:.0f}",
        f"{Spread.of(ratios(row['cpu'], base['cpu'])).middle:.2f}",
        row["note"],
    )


def _wire(part: Part) -> str:
    header = ("before the start", "who", "to the server", "to the provider", "outcome")
    rows = []
    for row in sorted(part["rows"], key=lambda row: row["state"].partition(",")[0]):
        asked = {name: count for name, count in row["provider"].items() if name != "authorize"}
        provider = ", ".join(f"{count} {name}" for name, count in asked.items())
        browser = " (and the browser's)" if "authorize" in row["provider"] else ""
        statuses = ", ".join(map(str, row["server"]))
        rows.append(
            (
                row["state"],
                row["name"],
                f"{len(row['server'])} ({statuses})" if statuses else "0",
                f"{sum(asked.values())}{f' ({provider})' if provider else ''}{browser}",
                row["outcome"],
            )
        )
    return _table(header, rows)


def _expiry(part: Part) -> str:
    header = (
        "the provider and its refresh tokens",
        "processes",
        "who",
        "token requests",
        "all requests to the provider",
        "processes that failed",
        "logins that a person must repeat",
    )
    return _table(
        header,
        (
            (
                row["provider"],
                str(row["processes"]),
                row["name"],
                str(row["token_requests"]),
                str(row["provider_requests"]),
                str(len(row["failed"])),
                str(row["forced_logins"]),
            )
            for row in part["rows"]
        ),
    )


def _steady(part: Part) -> str:
    header = ("scheme", "threads", "proxies", "bare, µs", "gatepass, µs", "/ bare", "middle half")
    rows = []
    for row in part["rows"]:
        for suffix, proxies in (("", "from the environment"), ("-no-proxy", "none")):
            bare, ours = (row["seconds"][f"{name}{suffix}"] for name in ("bare", "gatepass"))
            times = Spread.of(ratios(ours, bare))
            rows.append(
                (
                    row["way"],
                    str(row["threads"]),
                    proxies,
                    f"{Spread.of(bare).middle * 1e6:.0f}",
                    f"{Spread.of(ours).middle * 1e6:.0f}",
                    f"{times.middle:.2f}",
                    f"{times.low:.2f} to {times.high:.2f}",
                )
            )
    return _table(header, rows)


_GROWTH: Final = {
    "profiles": "profiles in one file: {}",
    "files": "files for one profile: {}",
    "parents": "profiles above it, by extends: {}",
}


def _growth(part: Part) -> str:
    names = ("tomllib", "from_profile", "gatepass profiles")
    header = ("", "bytes", *(f"{name}, ms" for name in names))
    return _table(
        header,
        (
            (
                _GROWTH[row["what"]].format(row["count"]),
                str(row["bytes"]),
                *(f"{Spread.of(row['cpu'][name]).middle * 1000:.0f}" for name in names),
            )
            for row in part["rows"]
        ),
    )


# Name on the page → part of the results, and how its table is made.
_TABLES: Final[Mapping[str, tuple[str, Callable[[Part], str]]]] = {
    **{f"cold-{name}": ("cold", _group(name)) for name in BASES},
    "start": ("start", _start),
    "wire": ("wire", _wire),
    "expiry": ("expiry", _expiry),
    "steady": ("steady", _steady),
    "growth": ("growth", _growth),
}
