"""A server and an identity provider of the sandbox, and clients that log on there.

Each client lives in a home folder of its own. What it asks for is not guessed but read from the
records of both servers.
"""

import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks import homes
from benchmarks.environments import OAC, OURS, Environment
from benchmarks.measure import SCRIPTS, Failed, Script, script
from gatepass.sandbox import IdentityProvider, Server

OAC_SERVICE: Final = "ansys-openapi-common-oidc"
HOUR: Final = 3600
_SECONDS: Final = 300


@dataclass
class Clock:
    """The provider's clock.

    Attributes:
        back: seconds that it is behind.
    """

    back: float = 0.0

    def __call__(self) -> float:
        """Return the wall time in seconds."""
        return time.time() - self.back


@dataclass(frozen=True)
class Office:
    """A server, its provider, and where the clients live.

    Attributes:
        server: takes the provider's tokens.
        provider: knows alice, who is logged on in every browser.
        clock: the provider's.
        folder: for the homes.
    """

    server: Server
    provider: IdentityProvider
    clock: Clock
    folder: Path
    _homes: list[Path] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The server's, as a person writes it into a profile."""
        return self.server.url.rstrip("/")

    def home(self) -> Path:
        """Return a new, empty home folder."""
        home = self.folder / f"home{len(self._homes)}"
        home.mkdir()
        self._homes.append(home)
        return home

    def token(self) -> str:
        """Return the refresh token of a new login."""
        token: str = self.provider.issue()["refresh_token"]
        return token

    # --- gatepass ---

    def ours(self, environments: dict[str, Environment], *, in_keyring: bool = False) -> Script:
        """Return the script of gatepass, in a home where nobody has logged in yet."""
        home = self.home()
        homes.with_oidc(home, self.url)
        environ = homes.file_keyring(home) if in_keyring else homes.vault_key(home)
        arguments = script("gatepass_oidc", "prod", homes.PATH)
        return Script("gatepass", environments[OURS], arguments, home, environ)

    def store(self, client: Script, *, seconds_ago: float = 0.0) -> None:
        """Log gatepass in, by a browser, so many seconds ago, and store the login in the vault."""
        arguments = script("gatepass_store", "prod", str(seconds_ago))
        environ = {**client.environ, **browser()}
        self.clock.back = seconds_ago
        run(Script("gatepass store", client.python, arguments, client.home, environ))
        self.clock.back = 0.0

    # --- ansys-openapi-common ---

    def theirs(self, environments: dict[str, Environment], way: str) -> Script:
        """Return the script of ansys-openapi-common: way ``login``, ``stored`` or ``refresh``.

        The keyring holds a token for the second way, a variable for the third.
        """
        home = self.home()
        environ = homes.file_keyring(home)
        python = environments[OAC]
        if way == "stored":
            arguments = script("keyring_set", OAC_SERVICE, self.url)
            entry = {**environ, "SECRET": self.token()}
            run(Script("keyring", python, arguments, home, entry))
        if way == "refresh":
            environ["TOKEN"] = self.token()
        arguments = script("openapi_common_oidc", way, self.url, homes.PATH)
        return Script(OAC, python, arguments, home, environ)


def browser() -> dict[str, str]:
    """Return the variables of somebody with a browser in which they are logged on already."""
    # In the background, as browsers do: some clients do not listen before the command returns.
    words = (sys.executable, str(SCRIPTS / "browser.py"))
    return {"BROWSER": f"{shlex.join(words)} %s &"}


def run(asked: Script) -> None:
    """Run a script to its end.

    Raises:
        Failed: it ended with another code than 0.
        subprocess.TimeoutExpired: it did not end.
    """
    done = subprocess.run(
        asked.argv,
        env=asked.variables(),
        cwd=asked.home / asked.folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )
    if done.returncode:
        raise Failed(asked.name, done.returncode, done.stderr)


@contextmanager
def office(folder: Path, *, rotation: bool = True) -> Iterator[Office]:
    """Start both servers for the time of the block.

    Args:
        folder: for homes; empty.
        rotation: whether the provider replaces refresh tokens, and ends a login when one comes
            again; else it keeps them.
    """
    clock = Clock()
    provider = IdentityProvider(
        users={"alice": homes.PASSWORD},
        auto_login="alice",
        access_token_seconds=HOUR,
        clock=clock,
        rotation=rotation,
    )
    with provider, Server(mode="oidc", provider=provider) as server:
        yield Office(server, provider, clock, folder)
