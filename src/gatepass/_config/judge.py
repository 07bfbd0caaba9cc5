"""pydantic and pydantic-settings, imported where something has to be merged or checked.

They look for plug-ins of pydantic's own in all installed packages. Such a plug-in sees what is
validated, and one damaged package would be the end of every start, so none is loaded here.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from gatepass._config.toml import Table

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_SWITCH: Final = "PYDANTIC_DISABLE_PLUGINS"


@contextmanager
def without_plugins() -> Iterator[None]:
    """Keep pydantic from loading plug-ins for the classes that are made meanwhile."""
    if _SWITCH in os.environ:
        yield
        return
    os.environ[_SWITCH] = "__all__"  # pydantic reads it there alone
    try:
        yield
    finally:
        os.environ.pop(_SWITCH, None)


def merge(trees: Iterable[Table]) -> Table:
    """Merge tables key by key, the last one strongest."""
    with without_plugins():
        from gatepass._config.settings import LayeredSettings

    return LayeredSettings.merge(trees)


@cache
def adapter(kind: Any) -> "TypeAdapter[Any]":
    """Return what checks values against the type of a field."""
    with without_plugins():
        from pydantic import TypeAdapter

        return TypeAdapter(kind)
