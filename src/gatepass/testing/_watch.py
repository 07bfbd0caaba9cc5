"""What the contracts observe with: connections, questions to a person, secrets, a deadline.

Python tells an audit hook (PEP 578) about each connection and each question at the terminal, so
nothing has to be replaced by a stand-in. Such a hook cannot be taken away again; ours is set at the
first use and does nothing outside of ``watching``. Code in C that connects by itself (a Kerberos
library) is not seen.
"""

import base64
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, NoReturn, TypeVar
from urllib.parse import quote

import pytest

from gatepass._system.deadline import DeadlineExceeded, run_with_deadline

T = TypeVar("T")

_CONSOLES: Final = frozenset({"/dev/tty", "CON", "CONIN$"})
_FEWEST: Final = 8  # characters that do not come about by chance


@dataclass
class Watch:
    """What happened in this process while it was watched, in all threads.

    Attributes:
        connections: to where a connection was opened, or whose address was looked up.
        questions: what would have asked a person; each was stopped.
    """

    connections: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)


_watching: list[Watch] = []


class AskedError(Exception):
    """Raised in place of a question to a person."""


@contextmanager
def watching() -> Iterator[Watch]:
    """Watch connections and questions until the block ends."""
    _install()
    watch = Watch()
    _watching.append(watch)
    try:
        yield watch
    finally:
        _watching.remove(watch)


@cache
def _install() -> None:
    sys.addaudithook(_hook)


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if not _watching:
        return
    if event == "socket.connect" and isinstance(args[1], tuple):  # not a path: D-Bus stays here
        _note_connection(f"{args[1][0]}:{args[1][1]}")
    elif event == "socket.getaddrinfo":
        _note_connection(f"{args[0]}:{args[1]}")
    elif event == "builtins.input":
        _stop("input")
    elif event == "open" and args[0] in _CONSOLES:
        _stop(str(args[0]))


def _note_connection(where: str) -> None:
    for watch in _watching:
        watch.connections.append(where)


def _stop(what: str) -> NoReturn:
    for watch in _watching:
        watch.questions.append(what)
    raise AskedError(f"{what} was used in a run without a person")


def fail(message: str) -> NoReturn:
    """End a check with what to do, and without a traceback through this package."""
    pytest.fail(message, pytrace=False)


def in_time(work: Callable[[], T], seconds: float) -> T:
    """Do the work in a thread of its own and return what it returns.

    Raises:
        BaseException: what the work raised.
    """
    try:
        return run_with_deadline(work, seconds, "gatepass-contract")
    except DeadlineExceeded:
        fail(
            f"it did not answer within {seconds:g} s: give what it waits for a deadline, and raise "
            "gatepass.SecretUnavailable when that is over; a batch job must not wait for ever"
        )


def shows(text: str | bytes, secrets: Iterable[str]) -> bool:
    """Say whether a text holds one of the secrets: as it is, escaped, or in base64 or hex."""
    content = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return any(form in content for secret in secrets for form in _forms(secret))


def _forms(secret: str) -> set[bytes]:
    if len(secret) < _FEWEST:
        raise ValueError(f"give secrets of {_FEWEST} characters or more: others show by chance")
    plain = secret.encode()
    written = {secret, quote(secret, safe=""), json.dumps(secret)[1:-1], repr(secret)[1:-1]}
    forms = {each.encode() for each in written} | {plain.hex().encode()}
    for before in range(3):  # base64 of the secret somewhere inside of a longer text
        whole = base64.b64encode(bytes(before) + plain)
        inner = whole[(before * 8 + 5) // 6 : -4]
        forms |= {inner, inner.translate(bytes.maketrans(b"+/", b"-_"))}
    return forms
