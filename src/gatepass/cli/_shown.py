"""Profiles and where they come from, as text: references, never secrets."""

import json
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from gatepass._asking import Answer, Probed
from gatepass._provenance import DEFAULT, ExplainedKey, Explanation, Overridden
from gatepass.cli._output import toml_escaped

_WIDTH: Final = 80  # columns of the narrowest terminal; a path that is longer stays in one piece


def inline(value: Any) -> str:
    """Return a value of TOML on one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_bare(k)} = {inline(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(inline, value)) + "]"
    if isinstance(value, bool | str):
        return toml_escaped(json.dumps(value, ensure_ascii=False))  # JSON's escapes are TOML's
    return str(value)


def _bare(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else inline(name)


# ---------------------------------------------------------------- where it comes from


def origins(told: Explanation, probed: Iterable[Probed]) -> Iterator[str]:
    """Yield lines that tell where each key of a profile comes from.

    Args:
        told: the explanation.
        probed: what became of its references; empty where nobody asked.
    """
    answers = {each.field: each for each in probed}
    yield f"profile {told.name}: {told.chosen}"
    for loser in told.passed_over:
        yield from _overridden(loser, named=True)
    yield ""
    yield from _keys(told.keys, answers)
    if told.unused:
        yield from ("", "written, but without any effect:")
        for loser in told.unused:
            yield from _overridden(loser, named=True)
    yield from ("", "machine settings:")
    yield from _keys(told.machine, answers)
    yield from ("", "files:")
    for file in told.files:
        yield from _labelled(file.state, f"{file.path} ({file.layer})")
        if file.why:
            yield from _labelled("", file.why)


def _keys(keys: Iterable[ExplainedKey], answers: Mapping[str, Probed]) -> Iterator[str]:
    """The keys that somebody wrote, then those that nobody did, in short."""
    plain = []
    for key in keys:
        if key.origin == DEFAULT and not key.overrode:
            plain.append(key)
            continue
        yield from _assignment(key.key, key.value)
        yield from _labelled("from", key.origin)
        for loser in key.overrode:
            yield from _overridden(loser, named=loser.key != key.key)
        if key.key in answers:
            yield from _probed(answers[key.key])
    for key in plain:
        if key.value is not None:
            yield f"{key.key} = {inline(key.value)}  # {DEFAULT}"
    unset = ", ".join(key.key for key in plain if key.value is None)
    if unset:
        yield from textwrap.wrap(f"# not set: {unset}", _WIDTH, subsequent_indent="#   ")


def _assignment(key: str, value: Any) -> Iterator[str]:
    if value is None:
        yield f"# not set: {key}"
        return
    line = f"{key} = {inline(value)}"
    if len(line) <= _WIDTH or not isinstance(value, list):
        yield line
        return
    yield f"{key} = ["
    for each in value:
        yield f"    {inline(each)},"
    yield "]"


def _overridden(loser: Overridden, *, named: bool) -> Iterator[str]:
    name = f"{loser.key} = " * named
    yield from _labelled("over", f"{name}{inline(loser.value)}")
    yield from _labelled("at", loser.origin)
    yield from _labelled("why", loser.why)


def _probed(probed: Probed) -> Iterator[str]:
    for answer in probed.answers:
        mark = ">" if answer.reference == probed.used else "-"
        yield from _labelled(mark, f"{answer.reference} ({_outcome(answer)})")
    if probed.used is None:
        end = "none would answer here" if probed.certain else "none is known to answer here"
        yield from _labelled("", end)
    elif not probed.certain:
        yield from _labelled("", "unless one before it answers, which was not asked")


def _outcome(answer: Answer) -> str:
    words = "would ask a person" if answer.state == "asks a person" else answer.state
    return f"{words}: {answer.note}" if answer.note else words


def _labelled(label: str, text: str) -> Iterator[str]:
    """Lines behind a label, which stands right-aligned; a text without blanks is never broken."""
    indent = " " * 9
    lines = textwrap.wrap(
        text, _WIDTH - len(indent), break_long_words=False, break_on_hyphens=False
    )
    for number, line in enumerate(lines or [""]):
        yield f"{label:>8} {line}" if number == 0 else f"{indent}{line}"
