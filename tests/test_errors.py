"""Every error can be pickled, and comes back as it was."""

import importlib
import json
import pickle
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest
import requests

import gatepass
from gatepass._session import exceptions, pickling
from gatepass.auth._oidc.token_response import Retry
from gatepass.errors import (
    GatepassError,
    Problem,
    ProfileError,
)
from tests.support import worker_tasks


def reopened(content: bytes) -> Any:
    return pickle.loads(content)  # noqa: S301 - our own


def _all_kinds() -> list[type[GatepassError]]:
    for module in pkgutil.walk_packages(gatepass.__path__, "gatepass."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)

    def below(kind: type[GatepassError]) -> Iterator[type[GatepassError]]:
        yield kind
        for each in kind.__subclasses__():
            yield from below(each)

    kinds = dict.fromkeys(below(GatepassError))
    return [kind for kind in kinds if kind.__module__.startswith("gatepass.")]


def _made(kind: type[GatepassError]) -> GatepassError:
    if issubclass(kind, exceptions._RequestFailed):
        request = requests.Request("GET", "http://x/", headers={"Authorization": "canary"})
        response = requests.Response()
        response.status_code, response._content, response.url = 401, b"no", "http://x/"
        return kind("what", hint="next", request=request.prepare(), response=response)
    return kind("what", hint="next")


@pytest.mark.parametrize("kind", _all_kinds(), ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
def test_every_error_comes_back_as_it_was(kind: type[GatepassError], protocol: int) -> None:
    error = _made(kind)
    error.add_note("a note")

    content = pickle.dumps(error, protocol)
    again = reopened(content)

    assert type(again) is kind
    assert (str(again), again.message, again.hint) == (str(error), error.message, error.hint)
    assert (again.args, again.exit_code) == (error.args, error.exit_code)
    assert again.__notes__ == ["a note"]
    assert b"canary" not in content
    if isinstance(error, exceptions._RequestFailed):
        answer: Any = again.response  # type: ignore[attr-defined]
        assert (answer.status_code, answer.content) == (401, b"no")
    pickling.name_process(again)
    assert again.message == f"{worker_tasks.where()}: {error.message}"
    assert str(again).startswith(again.message)


def test_an_errors_own_attributes_travel_where_they_can() -> None:
    problem = Problem("p.toml:1:1", "profiles.x", "is wrong")
    errors = [
        ProfileError(problems=[problem]),
        Retry("later", seconds=3.0),
    ]

    profile, retry = reopened(pickle.dumps(errors))

    assert profile.problems == (problem,)
    assert retry.seconds == 3.0


class _Strange(GatepassError):
    """An error of another package, with a constructor of its own."""

    def __init__(self, code: int, *, retry: bool) -> None:
        super().__init__(f"code {code}", hint="ask")
        self.code, self.retry, self.lock = code, retry, json


def test_an_error_of_another_package_needs_nothing_to_be_pickled() -> None:
    again = reopened(pickle.dumps(_Strange(7, retry=True)))

    assert (str(again), again.code, again.retry, again.lock) == ("code 7\nask", 7, True, None)
