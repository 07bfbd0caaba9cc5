"""For tests: contracts for third-party schemes and sources, and what pytest's fixtures give.

The fixtures ``gatepass_server``, ``gatepass_idp`` and ``gatepass_profiles`` are there as soon as
gatepass is installed; pytest finds them by its entry point. A package that brings a scheme or a
secret source proves it with a contract: ::

    from gatepass.testing import SchemeContract

    class TestApiKey(SchemeContract):
        scheme = "api-key"
        secrets = {"key": "k-123-456"}

Names are loaded when they are first used: pytest imports this package in each of its runs.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gatepass.testing._profiles import Profiles
    from gatepass.testing._schemes import ContractServer, SchemeContract
    from gatepass.testing._sources import SourceContract

__all__ = ["ContractServer", "Profiles", "SchemeContract", "SourceContract"]

_MODULE_OF = {
    "ContractServer": "_schemes",
    "Profiles": "_profiles",
    "SchemeContract": "_schemes",
    "SourceContract": "_sources",
}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used (PEP 562)."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
