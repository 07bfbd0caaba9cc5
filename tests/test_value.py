"""Values without generated code: they do what frozen dataclasses do, for whoever looks."""

import copy
import dataclasses
import inspect
import pickle
from typing import Any, ClassVar

import pytest
from pydantic import TypeAdapter

from gatepass._value import Value, asdict, field, fields, has_fields, replace

CANARY = "s3cret-canary"


class Point(Value):
    """Two numbers."""

    x: int
    y: int = 2
    names: list[str] = field(default_factory=list)
    key: str = field(default="", repr=False, compare=False)
    unit: str = field(default="m", kw_only=True)

    dimensions: ClassVar[int] = 2

    def __post_init__(self) -> None:
        if self.x < 0:
            raise ValueError("x is negative")


class Farther(Point):
    """One more."""

    z: int = 3


@dataclasses.dataclass(frozen=True)
class Twin:
    """The same, as dataclasses make it."""

    x: int
    y: int = 2
    names: list[str] = dataclasses.field(default_factory=list)
    key: str = dataclasses.field(default="", repr=False, compare=False)
    unit: str = dataclasses.field(default="m", kw_only=True)

    dimensions: ClassVar[int] = 2


@dataclasses.dataclass(frozen=True)
class OfSomebody(Point):
    """A dataclass of somebody above a value of ours."""

    w: int = dataclasses.field(default=4, init=False)


def test_its_fields_defaults_and_order_are_those_of_the_dataclass() -> None:
    def plain(kind: Any) -> list[tuple[Any, ...]]:
        words = ("name", "type", "init", "repr", "compare", "kw_only")
        return [tuple(getattr(each, word) for word in words) for each in dataclasses.fields(kind)]

    assert plain(Point) == plain(Twin)
    assert [each.name for each in fields(Point)] == [each.name for each in fields(Twin)]
    assert [each.required for each in fields(Point)] == [each.required for each in fields(Twin)]
    assert [each.name for each in fields(Farther)] == ["x", "y", "names", "key", "unit", "z"]
    assert [each.name for each in fields(OfSomebody)][-1] == "w"
    assert str(inspect.signature(Point)).partition(" ->")[0].replace("<factory>", "[]") == str(
        inspect.signature(Twin)
    ).partition(" ->")[0].replace("<factory>", "[]")


@pytest.mark.parametrize(
    ("positional", "named"),
    [
        ((), {}),
        ((1, 2, [], "", "m"), {}),
        ((1,), {"x": 2}),
        ((1,), {"nowhere": CANARY}),
        ((), {"y": 1, "nowhere": CANARY}),
    ],
)
def test_wrong_arguments_are_refused_without_their_values(
    positional: tuple[Any, ...], named: dict[str, Any]
) -> None:
    with pytest.raises(TypeError):
        Twin(*positional, **named)
    with pytest.raises(TypeError) as caught:
        Point(*positional, **named)
    assert CANARY not in str(caught.value)


def test_it_compares_hashes_and_shows_what_its_fields_say() -> None:
    one, other = Point(1, key=CANARY), Point(1)

    assert one == other
    assert one != Point(1, unit="km")
    assert Point(1) != Farther(1)
    assert Point(1) != Twin(1)
    assert repr(one) == repr(Twin(1, key=CANARY)).replace("Twin", "Point")
    assert hash(Pair("a")) == hash(Pair("a"))
    with pytest.raises(TypeError):
        hash(one)  # a list is in it


class Pair(Value):
    """What can be hashed."""

    left: str
    right: tuple[int, ...] = ()


def test_it_is_frozen_and_its_own_rules_hold_in_each_copy() -> None:
    point = Point(1, names=["a"])

    for change in ("x", "nowhere"):
        with pytest.raises(AttributeError):
            setattr(point, change, 2)
    with pytest.raises(AttributeError):
        del point.x
    assert replace(point, y=5) == Point(1, 5, ["a"])
    with pytest.raises(ValueError, match="negative"):
        replace(point, x=-1)
    with pytest.raises(TypeError):
        replace(point, nowhere=CANARY)  # type: ignore[call-arg]
    assert point.names is not Point(1).names


def test_copies_and_pickles_are_equal() -> None:
    point = Farther(1, names=["a"], unit="km", z=9)

    for again in (copy.copy(point), copy.deepcopy(point), pickle.loads(pickle.dumps(point))):  # noqa: S301
        assert again == point
        assert type(again) is Farther
    assert copy.deepcopy(point).names is not point.names


def test_dataclasses_and_pydantic_take_it_for_a_dataclass() -> None:
    point = Point(1, names=["a"])

    assert dataclasses.is_dataclass(point)
    assert dataclasses.asdict(point) == dataclasses.asdict(Twin(1, names=["a"]))
    nested = Pair("a", ({"b": [point]},))  # type: ignore[arg-type]
    assert asdict(nested) == dataclasses.asdict(nested)
    assert dataclasses.replace(point, y=5) == Point(1, 5, ["a"])
    assert TypeAdapter(Pair).validate_python({"left": "a", "right": (1,)}) == Pair("a", (1,))
    assert dataclasses.asdict(Farther(1))["z"] == 3
    assert has_fields(Point)
    assert has_fields(Twin(1))
    assert not has_fields(object())


def test_dataclasses_of_others_may_inherit_from_it() -> None:
    assert replace(OfSomebody(1), y=3) == OfSomebody(1, 3)
    assert OfSomebody(1).w == 4
