"""What every command gets: the variables, the places, the way to a person; and how it reads."""

import os
import sys
import warnings
from functools import cached_property
from typing import TYPE_CHECKING

from gatepass._system.context import RunContext
from gatepass._system.terminal import Terminal
from gatepass._value import field
from gatepass.errors import GatepassWarning, ProfileError, UntrustedFile

if TYPE_CHECKING:  # not every command reads files
    from gatepass._config.layer import Layers
    from gatepass._config.locations import Locations
    from gatepass._config.profile import Profile


class Context(RunContext):
    """The surroundings of one run.

    Attributes:
        places: where files are looked for; None is where this process does.
        keeps_logins: true: a person who logs in for a verb does so for later runs too.
        config_files: the values of ``--config-file``; none follows the variable, then the search.
        named: the profile that ``-p`` names.
    """

    places: "Locations | None" = field(default=None)
    keeps_logins: bool = field(default=True, kw_only=True)
    config_files: tuple[str, ...] = ()
    named: str | None = None

    @classmethod
    def of_this_process(cls) -> "Context":
        """Return the context as this process finds it."""
        return cls(os.environ, Terminal(os.environ))

    @cached_property
    def locations(self) -> "Locations":
        """Where files are looked for."""
        from gatepass._config.locations import Locations

        return self.places or Locations.of_this_process()

    def read(self) -> "Layers":
        """Read all files and variables.

        Raises:
            ProfileError: a file is not usable.
        """
        from gatepass._config.layers import read_layers

        return read_layers(self.config_files or None, None, self.environ, self.locations)

    def profile(self, name: str | None) -> "Profile":
        """Return a profile, checked; the selected one without a name. Reads no secret.

        Raises:
            ProfileError: there is none of that name, or it is not usable.
        """
        from gatepass._config.load import load_profile

        return load_profile(
            name,
            config_file=self.config_files or None,
            environ=self.environ,
            locations=self.locations,
        )

    def layers(self, name: str | None = None, *, everything: bool = True) -> "Layers":
        """Read them, and warn of what is odd about them.

        Raises:
            ProfileError: a file is not usable; or, unless it is about everything, the file that
                defines the named or selected profile is not trusted.
        """
        from gatepass._config.layer import refuse_untrusted
        from gatepass._config.selection import select_name

        layers, told = self.read(), ""
        try:
            if not everything:
                refuse_untrusted(layers, select_name(layers, name))
        except UntrustedFile as error:
            told = error.message
            raise
        except ProfileError:
            pass  # who needs the profile tells it
        finally:
            for notice in layers.notices_beside(told):
                warnings.warn(notice, GatepassWarning, stacklevel=2)
        return layers

    def why_not_ask(self) -> str | None:
        """Return None when a person can answer a visible question here, else the reason."""
        reason = self.terminal.why_not_ask()
        if reason is None and not (sys.stdin is not None and sys.stdin.isatty()):
            # The answers would come out of a pipe, and nobody would have seen the questions.
            return "standard input is not a terminal"
        return reason
