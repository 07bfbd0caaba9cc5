"""Say what was probably meant by a name that does not exist."""

import heapq
from collections.abc import Iterable, Sequence
from typing import Final

from gatepass._config.layer import PROFILE_NAME

_MOST_NAMES: Final = 50
_TOO_MANY: Final = 500
_FEW_NAMES: Final = 10
_FEW_LETTERS: Final = 2


def unknown_name(word: str, allowed: Iterable[str], kind: str) -> str:
    """Return the sentence about a word that is not one of those allowed, with a guess."""
    choices = sorted(allowed)
    listed = shown_names(choices) or "none"
    return f"unknown {kind}{guess_name(word, choices)} (allowed here: {listed})"


def unknown_profile(word: str, names: Iterable[str]) -> str:
    """Return the sentence about a name that no profile has; offers those that can be selected."""
    return unknown_name(word, filter(PROFILE_NAME.fullmatch, names), "profile")


def guess_name(word: str, choices: Sequence[str]) -> str:
    """Say which of the choices may have been meant, in words that follow a sentence."""
    near = nearest(word, choices)
    return f'; did you mean "{near}"?' if near else ""


def nearest(word: str, choices: Sequence[str]) -> str:
    """Return the choice that may have been meant; empty where none is near.

    Of many, the few that begin alike, are about as long and have most letters in common are
    compared; of very many, none: a file may hold thousands of profiles, each with a wrong
    ``extends``, and comparing all with all would take minutes.
    """
    if len(choices) > _TOO_MANY:
        return ""
    if len(choices) > _MOST_NAMES:
        letters = set(word)
        alike = (
            each
            for each in choices
            if each[:1] == word[:1] and abs(len(each) - len(word)) <= _FEW_LETTERS
        )
        choices = heapq.nsmallest(_FEW_NAMES, alike, key=lambda each: len(letters ^ set(each)))
    from difflib import get_close_matches

    return next(iter(get_close_matches(word, choices, n=1)), "")


def shown_names(names: Sequence[str]) -> str:
    """List names, and of very many the first."""
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
