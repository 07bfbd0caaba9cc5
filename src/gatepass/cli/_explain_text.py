"""An explanation of a profile as text, for ``gatepass show --origin``."""

import json
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from gatepass._config.explain import DEFAULT, ExplainedKey, Explanation, Overridden
from gatepass._config.shown import HIDDEN, LITERAL
from gatepass._session.probe import Answer, Probed
from gatepass.cli._output import toml_escaped

_WIDTH: Final = 80  # columns of the narrowest terminal; a path that is longer stays in one piece
_INDENT: Final = " " * 9


def lines_of(explanation: Explanation, probed: Iterable[Probed]) -> Iterator[str]:
    """Yield the lines of an explanation.

    Args:
        explanation: the explanation.
        probed: what became of the profile's references; empty where none was asked.
    """
    answers = {each.field: each for each in probed}
    yield from _wrapped(f"profile {explanation.name}: {explanation.chosen}", "    ")
    yield ""
    yield from _keys(explanation.keys, answers)
    if explanation.unused:
        yield from ("", "written, but without any effect:")
        for overridden in explanation.unused:
            yield from _assignment(overridden.key, overridden.value)
            yield from _places(overridden, "")
    yield from ("", "machine settings:")
    yield from _keys(explanation.machine, answers)
    yield from ("", "files:")
    for file in explanation.files:
        yield f"{file.state:>11} {file.path} ({file.layer})"
        yield from _labelled("", file.why)


def _keys(keys: Iterable[ExplainedKey], answers: Mapping[str, Probed]) -> Iterator[str]:
    """The keys that somebody wrote, then the defaults in short."""
    defaults = []
    for key in keys:
        if key.location == DEFAULT and not key.overrode:
            defaults.append(key)
            continue
        yield from _assignment(key.key, key.value)
        yield f"{'from':>8} {key.location}"
        for overridden in key.overrode:
            name = f"{overridden.key} = " if overridden.key != key.key else ""
            yield from _value(f"{'over':>8} {name}", overridden.value, _INDENT)
            yield from _places(overridden, key.location)
        for field, probed in answers.items():
            if field == key.key or field.startswith(f"{key.key}["):  # one of a list
                yield from _probed(probed)
    for key in defaults:
        if key.value is not None:
            yield f"{key.key} = {_text(key.value)}  # {DEFAULT}"
    unset = ", ".join(key.key for key in defaults if key.value is None)
    if unset:
        yield from _wrapped(f"# not set: {unset}", "#   ")


def _assignment(key: str, value: Any) -> Iterator[str]:
    if value is None:
        yield f"# not set: {key}"
    else:
        yield from _value(f"{key} = ", value, "")


def _value(start: str, value: Any, indent: str) -> Iterator[str]:
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


def inline(value: Any) -> str:
    """Return a value of TOML on one line."""
    if isinstance(value, dict):
        items = ", ".join(f"{_bare(name)} = {inline(each)}" for name, each in value.items())
        return f"{{ {items} }}" if items else "{}"
    if isinstance(value, list):
        return "[" + ", ".join(map(inline, value)) + "]"
    if isinstance(value, bool | str):
        return toml_escaped(json.dumps(value, ensure_ascii=False))  # JSON's escapes are TOML's
    return str(value)


def _bare(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else inline(name)


def _places(overridden: Overridden, location: str) -> Iterator[str]:
    """Where a value stands that is overridden; by what, unless it is the location just named."""
    yield f"{'at':>8} {overridden.location}"
    if overridden.by != location:
        yield f"{'by':>8} {overridden.by}"
    yield from _labelled("why", overridden.why)


def _probed(probed: Probed) -> Iterator[str]:
    for answer in probed.answers:
        mark = ">" if answer.state in {"answers", "asks a person"} else "-"
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
    """Words behind a label, which stands right-aligned, on as many lines as they need."""
    return _wrapped(text, _INDENT, first=f"{label:>8} ")


def _wrapped(text: str, indent: str, first: str = "") -> Iterator[str]:
    yield from textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
