"""A base for frozen values that costs little to import.

``dataclasses`` writes and compiles code for each class, which took half of a start. Here four
methods serve all classes. What ``dataclasses`` looks for in a class is made when somebody asks:
its ``fields``, ``replace`` and ``asdict``, and pydantic, work with these values too.
"""

import functools
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, dataclass_transform

if TYPE_CHECKING:
    from dataclasses import replace
else:

    def replace(value: Any, /, **changes: Any) -> Any:
        """Return a copy of a value, or of somebody's dataclass, with other fields."""
        if isinstance(value, Value):
            return value.__replace__(**changes)
        import dataclasses

        return dataclasses.replace(value, **changes)


__all__ = ["MISSING", "Field", "Value", "asdict", "field", "fields", "has_fields", "replace"]


class _Missing:
    """The default of a field that must be given."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()


class Field:
    """One field: the words are those of ``dataclasses.field``."""

    __slots__ = ("compare", "default", "default_factory", "init", "kw_only", "name", "repr", "type")

    def __init__(
        self,
        *,
        default: Any = MISSING,
        default_factory: Any = MISSING,
        repr: bool = True,  # noqa: A002 - the word of dataclasses
        compare: bool = True,
        kw_only: bool = False,
        init: bool = True,
    ) -> None:
        self.name = ""
        self.type: Any = None
        self.default = default
        self.default_factory = default_factory
        self.repr = repr
        self.compare = compare
        self.kw_only = kw_only
        self.init = init

    @property
    def required(self) -> bool:
        """Whether it must be given."""
        return self.default is MISSING and self.default_factory is MISSING


def field(**words: Any) -> Any:
    """Describe a field where a default alone does not; ``repr=False`` keeps it from being shown."""
    return Field(**words)


class _FromDataclass:
    """An attribute that ``dataclasses`` and ``inspect`` look for, made when it is asked for."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: Any) -> Any:
        if owner.__opaque__:
            raise AttributeError(self._name)
        return getattr(_as_dataclass(owner), self._name)


@functools.cache
def _as_dataclass(kind: Any) -> Any:
    import dataclasses
    import inspect

    def described(each: Field) -> Any:
        words = {name: getattr(each, name) for name in ("repr", "compare", "kw_only")}
        if each.default_factory is not MISSING:
            return dataclasses.field(default_factory=each.default_factory, **words)
        if each.default is not MISSING:
            return dataclasses.field(default=each.default, **words)
        return dataclasses.field(**words)

    parts = [(each.name, each.type, described(each)) for each in fields(kind)]
    made: Any = dataclasses.make_dataclass(kind.__name__, parts, frozen=True)
    made.__signature__ = inspect.signature(made)
    return made


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class Value:
    """A frozen value: its annotations are its fields, as in a frozen dataclass.

    One of a class that is ``opaque`` stays whole in ``asdict``, and so shows what its repr does.
    """

    if TYPE_CHECKING:
        __opaque__: ClassVar[bool]
        __value_fields__: ClassVar[dict[str, Field]]
        __positional__: ClassVar[tuple[str, ...]]
    else:  # not annotated: they are no fields
        __opaque__ = False
        __value_fields__ = {}
        __positional__ = ()
        __dataclass_fields__ = _FromDataclass()
        __dataclass_params__ = _FromDataclass()
        __signature__ = _FromDataclass()

    def __init_subclass__(cls, *, opaque: bool = False, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        cls.__opaque__ = opaque
        found = dict(cls.__value_fields__)
        for name, kind in cls.__annotations__.items():
            if kind is ClassVar or getattr(kind, "__origin__", None) is ClassVar:
                continue
            given = cls.__dict__.get(name, MISSING)
            each = given if isinstance(given, Field) else Field(default=given)
            each.name, each.type = name, kind
            found[name] = each
            if each is given:
                if each.default is MISSING:
                    delattr(cls, name)
                else:
                    setattr(cls, name, each.default)
        cls.__value_fields__ = found
        cls.__positional__ = tuple(name for name, each in found.items() if not each.kw_only)

    def __init__(self, *positional: Any, **given: Any) -> None:
        kind = type(self)
        names = kind.__positional__[: len(positional)]
        if len(names) < len(positional) or not given.keys().isdisjoint(names):
            raise TypeError(f"{kind.__name__}() got too many arguments, or one twice")
        given.update(zip(names, positional, strict=True))
        values = self.__dict__
        for name, each in kind.__value_fields__.items():
            if name in given:
                values[name] = given.pop(name)
            elif each.default_factory is not MISSING:
                values[name] = each.default_factory()
            elif each.default is not MISSING:
                values[name] = each.default
            else:
                raise TypeError(f"{kind.__name__}() missing the argument {name!r}")
        if given:
            raise TypeError(f"{kind.__name__}() got an unexpected argument {next(iter(given))!r}")
        self.__post_init__()

    def __post_init__(self) -> None:
        """Check what the types cannot say."""

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"cannot assign to field {name!r}: make another with replace()")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"cannot delete field {name!r}")

    def _compared(self) -> tuple[Any, ...]:
        return tuple(
            getattr(self, name) for name, each in self.__value_fields__.items() if each.compare
        )

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self) or not isinstance(other, Value):
            return NotImplemented
        return self._compared() == other._compared()

    def __hash__(self) -> int:
        return hash(self._compared())

    def __repr__(self) -> str:
        shown = (
            f"{name}={getattr(self, name)!r}"
            for name, each in self.__value_fields__.items()
            if each.repr
        )
        return f"{type(self).__qualname__}({', '.join(shown)})"

    def __replace__(self, /, **changes: Any) -> Self:
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.init}
        return type(self)(**(values | changes))


def has_fields(kind: Any) -> bool:
    """Say whether this is a class of values, or somebody's dataclass; or an instance of one."""
    cls = kind if isinstance(kind, type) else type(kind)
    return issubclass(cls, Value) or hasattr(cls, "__dataclass_fields__")


def fields(kind: Any) -> tuple[Field, ...]:
    """Return the fields of a value or its class, or of somebody's dataclass."""
    cls = kind if isinstance(kind, type) else type(kind)
    if issubclass(cls, Value) and not isinstance(vars(cls).get("__dataclass_fields__"), dict):
        return tuple(cls.__value_fields__.values())
    import dataclasses

    found = []
    for each in dataclasses.fields(cls):
        own = Field(init=each.init, repr=each.repr, compare=each.compare)
        own.name, own.type = each.name, each.type
        if each.default is not dataclasses.MISSING:
            own.default = each.default
        if each.default_factory is not dataclasses.MISSING:
            own.default_factory = each.default_factory
        found.append(own)
    return tuple(found)


def asdict(value: Any) -> Any:
    """Return a value as a table, with the values in it; tuples and lists stay what they are."""
    if isinstance(value, Value) and not value.__opaque__:
        return {each.name: asdict(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, list | tuple):
        return type(value)(map(asdict, value))
    return {key: asdict(each) for key, each in value.items()} if isinstance(value, dict) else value
