"""The surroundings of a run; made at the top, and handed down to sources, schemes and the vault."""

import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Self

from gatepass._system.terminal import Terminal
from gatepass._value import Value, field, replace

SHARED: Final[dict[Any, Any]] = {}
"""What the runs of this process share; see :attr:`RunContext.shared`."""


class RunContext(Value):
    """What a run takes from its process: variables, a way to a person, and a clock.

    Attributes:
        environ: the environment variables.
        terminal: the way to a person.
        clock: the wall clock, in seconds since 1970.
        shared: what the runs of this process know of passwords that servers have judged; it is
            never written anywhere.
        keeps_logins: whether a login that a person makes for a named profile is stored.
    """

    environ: Mapping[str, str] = field(repr=False)  # variables hold passwords
    terminal: Terminal
    clock: Callable[[], float] = field(default=time.time, kw_only=True, repr=False)
    shared: dict[Any, Any] = field(default_factory=lambda: SHARED, kw_only=True, repr=False)
    keeps_logins: bool = field(default=False, kw_only=True)

    @classmethod
    def of(
        cls,
        environ: Mapping[str, str] | None = None,
        interactive: bool | None = None,
        terminal: Terminal | None = None,
    ) -> "RunContext":
        """Return a context from the arguments that public functions take.

        Args:
            environ: the environment variables; ``os.environ`` when not given.
            interactive: whether a person may be asked; None looks.
            terminal: the way to a person; made from the other two when not given.
        """
        environ = os.environ if environ is None else environ
        return RunContext(environ, terminal or Terminal(environ, interactive=interactive))

    def without_person(self) -> Self:
        """Return the same context with a terminal on which nobody is asked."""
        return replace(self, terminal=Terminal(self.environ, interactive=False))
