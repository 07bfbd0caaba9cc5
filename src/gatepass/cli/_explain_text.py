"""Profiles and where they come from, as text: references, never secrets."""

import json
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from gatepass._config.explain import DEFAULT, HIDDEN, LITERAL, ExplainedKey, Explanation, Overridden
from gatepass._session.probe import Answer, Probed
from gatepass.cli._output import toml_escaped

_WIDTH: Final = 80  # columns of the narrowest terminal; a path that is longer stays in one piece


def inline(value: Any) -> str:
    """Return a value of TOML on one line."""
    if isinstance(value, dict):
        return (
            "{}"
            if not value
            else "{ " + ", ".join(f"{_bare(k)} = {inline(v)}" for k, v in value.items()) + " }"
        )
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
    yield from textwrap.wrap(
        f"profile {told.name}: {told.chosen}",
        _WIDTH,
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    for loser in told.passed_over:
        yield from _overridden(loser, "", told.passed_over[0].by)
    yield ""
    yield from _keys(told.keys, answers)
    if told.unused:
        yield from ("", "written, but without any effect:")
        for loser in told.unused:
            yield from _assignment(loser.key, loser.value)
            yield from _lost(loser, "")
    yield from ("", "machine settings:")
    yield from _keys(told.machine, answers)
    yield from ("", "files:")
    for file in told.files:
        yield f"{file.state:>11} {file.path} ({file.layer})"
        yield from _words("", file.why)


def _keys(keys: Iterable[ExplainedKey], answers: Mapping[str, Probed]) -> Iterator[str]:
    """The keys that somebody wrote, then those that nobody did, in short."""
    plain = []
    for key in keys:
        if key.origin == DEFAULT and not key.overrode:
            plain.append(key)
            continue
        yield from _assignment(key.key, key.value)
        yield f"{'from':>8} {key.origin}"
        for loser in key.overrode:
            yield from _overridden(loser, key.key, key.origin)
        for name, probed in answers.items():
            if name == key.key or name.startswith(f"{key.key}["):  # of a list, each has its own
                yield from _probed(probed)
    for key in plain:
        if key.value is not None:
            yield f"{key.key} = {_text(key.value)}  # {DEFAULT}"
    unset = ", ".join(key.key for key in plain if key.value is None)
    yield from textwrap.wrap(f"# not set: {unset}" * bool(unset), _WIDTH, subsequent_indent="#   ")


def _assignment(key: str, value: Any) -> Iterator[str]:
    if value is None:
        yield f"# not set: {key}"
    else:
        yield from _fitting(f"{key} = ", value, "")


def _fitting(start: str, value: Any, indent: str) -> Iterator[str]:
    """A value on one line; a list that is longer, on several."""
    line = f"{start}{_text(value)}"
    if len(line) <= _WIDTH or not isinstance(value, list):
        yield line
        return
    yield f"{start}["
    for each in value:
        yield f"{indent}    {inline(each)},"
    yield f"{indent}]"


def _text(value: Any) -> str:
    return value if value in (HIDDEN, LITERAL) else inline(value)


def _overridden(loser: Overridden, key: str, origin: str) -> Iterator[str]:
    """What lost; its key and the winner's place only where they are not those above it."""
    name = f"{loser.key} = " * (loser.key != key)
    yield from _fitting(f"{'over':>8} {name}", loser.value, _INDENT)
    yield from _lost(loser, origin)


def _lost(loser: Overridden, origin: str) -> Iterator[str]:
    yield f"{'at':>8} {loser.origin}"
    if loser.by != origin:
        yield f"{'by':>8} {loser.by}"
    yield from _words("why", loser.why)


def _probed(probed: Probed) -> Iterator[str]:
    for answer in probed.answers:
        mark = ">" if answer.state in {"answers", "asks a person"} else "-"
        yield from _words(mark, f"{answer.reference} ({_outcome(answer)})")
    if probed.used is None:
        end = "none would answer here" if probed.certain else "none is known to answer here"
        yield from _words("", end)
    elif not probed.certain:
        yield from _words("", "unless one before it answers, which was not asked")


def _outcome(answer: Answer) -> str:
    words = "would ask a person" if answer.state == "asks a person" else answer.state
    return f"{words}: {answer.note}" if answer.note else words


def _words(label: str, text: str) -> Iterator[str]:
    """Words behind a label, which stands right-aligned, on as many lines as they need."""
    lines = textwrap.wrap(
        text, _WIDTH - len(_INDENT), break_long_words=False, break_on_hyphens=False
    )
    for number, line in enumerate(lines):
        yield f"{label:>8} {line}" if number == 0 else f"{_INDENT}{line}"


_INDENT: Final = " " * 9
