"""The source `env:`."""

import pytest

from gatepass.errors import SecretUnavailable
from gatepass.secrets.env import env
from tests.support.secret_context import context


def test_a_variable_is_returned_as_it_is() -> None:
    assert env("MI_PASSWORD", context(environ={"MI_PASSWORD": " päss:€ "})) == " päss:€ "


@pytest.mark.parametrize(("environ", "state"), [({}, "not set"), ({"MI_PASSWORD": ""}, "empty")])
def test_an_empty_variable_counts_as_unset(environ: dict[str, str], state: str) -> None:
    with pytest.raises(SecretUnavailable, match=f"the variable MI_PASSWORD is {state}") as caught:
        env("MI_PASSWORD", context(environ=environ))
    assert "set MI_PASSWORD" in caught.value.hint


def test_only_the_variables_of_the_context_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MI_PASSWORD", "of this process")
    with pytest.raises(SecretUnavailable):
        env("MI_PASSWORD", context())
