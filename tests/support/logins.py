"""What the tests of logins share: a home with a vault, and a browser without a window."""

import sys
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from gatepass.sandbox.provider import CLIENT_ID
from tests.support.home import Home

USERS = {"alice": "sesame"}
SERVER = "https://mi.example.com/mi"

_BROWSER = """\
import sys, urllib.request
with urllib.request.urlopen(sys.argv[1]) as page:
    page.read()
"""


@dataclass(frozen=True)
class Office:
    """A home whose vault is a folder and whose vault key is a file.

    Attributes:
        home: where the command runs.
        vault: the folder.
        key: the file.
    """

    home: Home
    vault: Path
    key: Path

    @classmethod
    def furnished(cls, home: Home, folder: Path) -> "Office":
        """Furnish a home; a person is there, and the browser is a program that follows links."""
        browser = folder / "browser.py"
        browser.write_text(_BROWSER)
        key, vault = folder / "vault.key", folder / "vault"
        assert home.run("secret", "new-key", str(key)).returncode == 0
        furnished = home.having(
            GATEPASS_VAULT=str(vault),
            GATEPASS_VAULT_KEY=f"file:{key}",
            GATEPASS_NO_INPUT="0",
            BROWSER=f"{quote(sys.executable)} {quote(str(browser))} %s",
        )
        return cls(furnished, vault, key)

    @property
    def empty_office(self) -> Home:
        """The same home where nobody is."""
        return self.home.having(GATEPASS_NO_INPUT="1")


def profile(issuer: str, more: str = "", name: str = "nightly") -> str:
    """Return a profile with a provider."""
    return (
        f'[profiles.{name}]\nurl = "{SERVER}"\nproxy = "none"\nretries = 0\n'
        f'[profiles.{name}.auth]\nscheme = "oidc"\nissuer = "{issuer}"\n'
        f'client_id = "{CLIENT_ID}"\n{more}'
    )


def log_in(office: Office, text: str) -> None:
    """Write the user's file, and log in to its profile nightly."""
    office.home.user(text)
    done = office.home.run("login", "nightly")
    assert done.returncode == 0, done.stderr
