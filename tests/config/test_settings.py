"""Layers are merged by pydantic-settings, and by what they say alone."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic_settings import PydanticBaseSettingsSource

from gatepass._config.layer import KeyLocation, Layer, leaves
from gatepass._config.merge import MergedProfile, ProfileLayer
from gatepass._config.settings import LayeredSettings

_names = st.sampled_from("abc") | st.text(st.characters(codec=None), max_size=2)
_values = st.integers() | st.booleans() | st.none() | st.text(max_size=2)
_tables = st.recursive(
    st.dictionaries(_names, _values, max_size=4),
    lambda inner: st.dictionaries(_names, inner | _values | st.lists(inner), max_size=4),
    max_leaves=10,
)


class Reversed(LayeredSettings):
    """The same with the weakest layer first."""

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: Any, *args: Any, **sources: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        found = super().settings_customise_sources(settings_cls, *args, **sources)
        return tuple(reversed(found))


def _by_hand(lower: dict[str, Any], upper: dict[str, Any]) -> dict[str, Any]:
    merged = dict(lower)
    for key, value in upper.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _by_hand(merged[key], value) if both else value
    return merged


def _parts(*tables: dict[str, Any]) -> list[ProfileLayer]:
    return [
        ProfileLayer(Layer("user", f"layer {number}", table), table, ())
        for number, table in enumerate(tables)
    ]


def _merged(settings: type[LayeredSettings], *tables: dict[str, Any]) -> MergedProfile:
    parts = _parts(*tables)
    return MergedProfile("p", settings.merge(part.tree() for part in parts), tuple(parts))


def _labels(merged: MergedProfile) -> dict[str, str]:
    return {".".join(key): place.layer.label for key, place in merged.locations.items()}


@given(st.lists(_tables, min_size=1, max_size=5))
@example([{"b": {"a": 1}}, {"b": False}, {"b": {}}])
@example([{"a": {}}, {"a": None}, {"a": {"b": 1}}])
@example([{"\ud800": 1}, {"\ud800": {"a": "\ud800"}}])
def test_layers_are_merged_key_by_key_and_each_value_keeps_its_place(
    tables: list[dict[str, Any]],
) -> None:
    """The place is that of the strongest layer that has the value, whatever the keys are."""
    merged = _merged(LayeredSettings, *tables)

    expected: dict[str, Any] = {}
    for table in tables:
        expected = _by_hand(expected, table)
    assert merged.table == expected
    for key, value in leaves(expected):
        if value != {}:
            place = merged.location(key)
            there: Any = place.layer.tables
            for name in key:
                there = there[name]
            assert there is value or there == value
            assert place == KeyLocation(place.layer, key)


def test_the_order_of_the_sources_is_the_precedence() -> None:
    lower = {"url": "a", "auth": {"scheme": "basic", "user_name": "alice"}, "retries": 1}
    upper = {"url": "b", "auth": {"user_name": "bob"}}

    merged = _merged(LayeredSettings, lower, upper)
    backwards = _merged(Reversed, lower, upper)

    assert merged.table == {
        "url": "b",
        "auth": {"scheme": "basic", "user_name": "bob"},
        "retries": 1,
    }
    assert _labels(merged)["auth.user_name"] == "layer 1"
    assert backwards.table == lower
    assert set(_labels(backwards).values()) == {"layer 0"}


def test_no_variable_takes_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pydantic-settings would read the variable PROFILE as the field of that name."""
    monkeypatch.setenv("PROFILE", '{"retries": 9}')

    assert _merged(LayeredSettings, {}, {"url": "a"}).table == {"url": "a"}
