"""Schemes and secret sources: one of each that is good, and others that break one promise each.

``tests/testing`` holds them to the contracts for plug-in authors.
"""

import getpass
import logging
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import requests

from gatepass import (
    AuthContext,
    SchemeBase,
    SecretContext,
    SecretField,
    SecretUnavailable,
)
from gatepass.errors import GatepassError
from gatepass.secrets import Secret, TextField

Request = requests.PreparedRequest
Auth = Callable[[Request], Request]

# ---------------------------------------------------------------- schemes


@dataclass(frozen=True)
class Good(SchemeBase):
    """A key in a header.

    Attributes:
        key: a reference.
        header: the header's name.
    """

    key: SecretField
    header: str = "X-Api-Key"

    answers: ClassVar[frozenset[str]] = frozenset({"apikey"})

    def authenticator(self, context: AuthContext) -> Auth:
        return self.auth(context.resolve(key=self.key)["key"])

    def auth(self, key: Secret) -> Auth:
        def add_header(request: Request) -> Request:
            request.headers[self.header] = key.reveal()
            return request

        return add_header

    def auth_with(self, hook: Callable[..., requests.Response], key: Secret) -> Auth:
        """The same, with a hook that sees the answer."""

        def add_header(request: Request) -> Request:
            request.headers[self.header] = key.reveal()
            request.register_hook("response", hook)  # type: ignore[no-untyped-call]
            return request

        return add_header


@dataclass
class NotFrozen(SchemeBase):
    """A key in a header.

    Attributes:
        key: a reference.
    """

    key: SecretField

    def authenticator(self, context: AuthContext) -> Auth:
        return Good(self.key).authenticator(context)


@dataclass(frozen=True)
class UpperCase(Good):
    __doc__ = Good.__doc__
    answers: ClassVar[frozenset[str]] = frozenset({"ApiKey"})


@dataclass(frozen=True)
class AnyType(Good):
    __doc__ = Good.__doc__
    header: Any = "X-Api-Key"


@dataclass(frozen=True)
class Undescribed(Good):
    """A key in a header."""


@dataclass(frozen=True)
class TakesLiterals(SchemeBase):
    """A key in a header.

    Attributes:
        key: plain or a reference.
    """

    key: TextField

    def authenticator(self, context: AuthContext) -> Auth:
        return Good(Secret("")).auth(context.resolve(key=self.key)["key"])


@dataclass(frozen=True)
class ConnectsEarly(Good):
    __doc__ = Good.__doc__

    def authenticator(self, context: AuthContext) -> Auth:
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname()).close()
        return super().authenticator(context)


@dataclass(frozen=True)
class LooksUpEarly(Good):
    __doc__ = Good.__doc__

    def authenticator(self, context: AuthContext) -> Auth:
        socket.getaddrinfo("localhost", 443)
        return super().authenticator(context)


@dataclass(frozen=True)
class TellsOneByOne(SchemeBase):
    """A key in two halves.

    Attributes:
        key: a reference.
        more: a reference.
    """

    key: SecretField
    more: SecretField

    def authenticator(self, context: AuthContext) -> Auth:
        key = context.resolve(key=self.key)["key"]
        context.resolve(more=self.more)
        return Good(key).auth(key)


@dataclass(frozen=True)
class ResolvesLate(Good):
    __doc__ = Good.__doc__

    def authenticator(self, context: AuthContext) -> Auth:
        def add_header(request: Request) -> Request:
            return self.auth(context.resolve(key=self.key)["key"])(request)

        return add_header


@dataclass(frozen=True)
class SendsNothing(Good):
    __doc__ = Good.__doc__

    def auth(self, key: Secret) -> Auth:  # noqa: ARG002 - that is what it breaks
        return lambda request: request


@dataclass(frozen=True)
class DeniesThatItSends(Good):
    __doc__ = Good.__doc__
    sends_credentials: ClassVar[bool] = False


@dataclass(frozen=True)
class FollowsRedirects(Good):
    __doc__ = Good.__doc__

    def auth(self, key: Secret) -> Auth:
        def follow(answer: requests.Response, **_: Any) -> requests.Response:
            if answer.is_redirect:
                where = answer.headers["Location"]
                requests.get(where, headers={self.header: key.reveal()}, timeout=60)
            return answer

        return self.auth_with(follow, key)


@dataclass(frozen=True)
class TriesAgain(Good):
    __doc__ = Good.__doc__

    def auth(self, key: Secret) -> Auth:
        def again(answer: requests.Response, **kwargs: Any) -> requests.Response:
            if answer.status_code != requests.codes.unauthorized:
                return answer
            _ = answer.content
            second: requests.Response = answer.connection.send(answer.request, **kwargs)
            return second

        return self.auth_with(again, key)


@dataclass(frozen=True)
class HidesItsAttempt(Good):
    __doc__ = Good.__doc__

    def auth(self, key: Secret) -> Auth:
        def tidy(answer: requests.Response, **_: Any) -> requests.Response:
            answer.request = answer.request.copy()
            answer.request.headers.pop(self.header)
            return answer

        return self.auth_with(tidy, key)


@dataclass(frozen=True)
class BelongsToOneThread(Good):
    __doc__ = Good.__doc__

    def auth(self, key: Secret) -> Auth:
        mine = threading.local()
        mine.key = key.reveal()

        def add_header(request: Request) -> Request:
            request.headers[self.header] = mine.key
            return request

        return add_header


class _Printing:
    def __init__(self, header: str, key: str) -> None:
        self.header, self.key = header, key

    def __repr__(self) -> str:
        return f"Printing({self.header}, {self.key})"

    def __call__(self, request: Request) -> Request:
        request.headers[self.header] = self.key
        return request


@dataclass(frozen=True)
class Prints(Good):
    __doc__ = Good.__doc__

    def auth(self, key: Secret) -> Auth:
        return _Printing(self.header, key.reveal())


@dataclass(frozen=True)
class RepeatsInErrors(Good):
    __doc__ = Good.__doc__

    def auth(self, key: Secret) -> Auth:
        if not key.reveal().isprintable():
            raise GatepassError(f"the key {key.reveal()!r} cannot be sent", hint="another one")
        return super().auth(key)


@dataclass(frozen=True)
class RaisesAnything(Good):
    __doc__ = Good.__doc__

    def auth(self, key: Secret) -> Auth:
        if not key.reveal().isprintable():
            raise KeyError("key")
        return super().auth(key)


@dataclass(frozen=True)
class Logs(Good):
    __doc__ = Good.__doc__

    def auth(self, key: Secret) -> Auth:
        def add_header(request: Request) -> Request:
            request.headers[self.header] = key.reveal()
            logging.getLogger("plugin").debug("headers: %s", request.headers)
            return request

        return add_header


@dataclass(frozen=True)
class CannotTravel(Good):
    """A key in a header.

    Attributes:
        key: a reference.
        header: the header's name.
        lock: in the wrong place.
    """

    lock: Any = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class TravelsWithTheSecret(Good):
    __doc__ = Good.__doc__

    def __getstate__(self) -> dict[str, Any]:
        key = self.key.reveal() if isinstance(self.key, Secret) else self.key
        return {**vars(self), "key": key}


# ---------------------------------------------------------------- sources

WHERE = "SHELF"


def _path(text: str, context: SecretContext) -> Path:
    return Path(context.environ[WHERE], text)


def _missing(text: str) -> SecretUnavailable:
    return SecretUnavailable(f"the shelf has no {text}", hint=f"put it there: shelf add {text}")


def good(text: str, context: SecretContext) -> str:
    path = _path(text, context)
    if not path.exists():
        raise _missing(text)
    return path.read_text(encoding="utf-8")


def answers_bytes(text: str, context: SecretContext) -> Any:
    return good(text, context).encode()


def strips_odd_characters(text: str, context: SecretContext) -> str:
    return good(text, context).encode("ascii", "ignore").decode()


def raises_os_errors(text: str, context: SecretContext) -> str:
    return _path(text, context).read_text(encoding="utf-8")


def gives_no_advice(text: str, context: SecretContext) -> str:
    try:
        return good(text, context)
    except SecretUnavailable as error:
        raise SecretUnavailable(error.message) from None


def answers_none(text: str, context: SecretContext) -> Any:
    try:
        return good(text, context)
    except SecretUnavailable:
        if (Path(context.environ[WHERE]) / "mi").exists():
            raise
        return None


def has_a_default(text: str, context: SecretContext) -> str:
    return good(text, context) or "changeme"


def lists_what_there_is(text: str, context: SecretContext) -> str:
    try:
        return good(text, context)
    except SecretUnavailable as error:
        there = {each.name: each.read_text() for each in Path(context.environ[WHERE]).iterdir()}
        raise SecretUnavailable(f"{error.message}, only {there}", hint=error.hint) from None


def logs(text: str, context: SecretContext) -> str:
    secret = good(text, context)
    logging.getLogger("plugin").debug("%s is %s", text, secret)
    return secret


def asks_by_input(text: str, context: SecretContext) -> str:
    with suppress(Exception):
        input("may I? ")
    return good(text, context)


def asks_the_terminal(text: str, context: SecretContext) -> str:
    with suppress(Exception):
        getpass.getpass()
    return good(text, context)


def asks_past_the_terminal(text: str, context: SecretContext) -> str:
    with suppress(Exception):
        context.terminal._read_hidden(text)
    return good(text, context)


_asked: set[str] = set()


def answers_only_once(text: str, context: SecretContext) -> str:
    secret, before = good(text, context), context.environ[WHERE] in _asked
    _asked.add(context.environ[WHERE])
    return "" if before else secret


def waits_for_ever(text: str, context: SecretContext) -> str:
    try:
        return good(text, context)
    except SecretUnavailable:
        if not text.endswith("none"):
            threading.Event().wait()
        raise
