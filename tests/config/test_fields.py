"""The keys that a table may hold, as the fields of a dataclass declare them."""

from dataclasses import dataclass, field

from gatepass._config.fields import fields_of, sorts_of, types_of
from gatepass.secrets import SecretField, TextField


@dataclass(frozen=True)
class Below:
    token: SecretField
    name: TextField | None = None


@dataclass(frozen=True)
class Scheme:
    url: str
    below: Below | None = None
    headers: dict[str, str] | None = None
    password: SecretField | None = None
    seen: list[str] = field(default_factory=list, init=False)


@dataclass(frozen=True)
class Nested:
    inner: "Nested | None" = None


def test_each_key_says_what_it_holds_also_in_the_tables_below() -> None:
    assert sorts_of(Scheme, ("auth",)) == {
        ("auth", "url"): "plain",
        ("auth", "below"): "plain",
        ("auth", "below", "token"): "secret",
        ("auth", "below", "name"): "text",
        ("auth", "headers"): "table",
        ("auth", "password"): "secret",
    }


def test_a_dataclass_that_holds_itself_comes_to_an_end() -> None:
    assert sorts_of(Nested) == {("inner",): "plain", ("inner", "inner"): "plain"}


def test_what_no_key_can_fill_is_no_key_and_what_has_a_default_may_be_missing() -> None:
    assert "seen" not in types_of(Scheme)
    assert [each.name for each in fields_of(Scheme) if each.required] == ["url"]
