"""Layers are merged by pydantic-settings, and by what they say alone."""

import pytest

from gatepass._config.settings import Layered


def test_the_upper_table_wins_key_by_key_and_the_lower_one_fills_the_gaps() -> None:
    lower = {"url": "a", "auth": {"scheme": "basic", "user_name": "alice"}, "retries": 1}
    upper = {"url": "b", "auth": {"user_name": "bob"}}

    assert Layered.over(lower, upper) == {
        "url": "b",
        "auth": {"scheme": "basic", "user_name": "bob"},
        "retries": 1,
    }


def test_no_variable_takes_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pydantic-settings would read the variable PROFILE as the field of that name."""
    monkeypatch.setenv("PROFILE", '{"retries": 9}')

    assert Layered.over({}, {"url": "a"}) == {"url": "a"}
