"""A keyring for one test: a file in the test's own folder, which its subprocesses find too.

The keyring package loads it by its name, from ``PYTHON_KEYRING_BACKEND``, and tells it the file by
``KEYRING_PROPERTY_FILE``, as it does for every back end.
"""

import json
from pathlib import Path
from threading import Lock

from keyring.backend import KeyringBackend
from keyring.errors import KeyringError, PasswordDeleteError

from gatepass._system.files import replace

_ONE_AT_A_TIME = Lock()


class PrivateKeyring(KeyringBackend):
    """Keeps the entries of one test."""

    priority = -1  # never chosen by itself
    file = ""  # set by KEYRING_PROPERTY_FILE

    def get_password(self, service: str, username: str) -> str | None:
        """Return an entry; None where there is none."""
        return self._entries().get(service, {}).get(username)

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep an entry."""
        with _ONE_AT_A_TIME:
            entries = self._entries()
            entries.setdefault(service, {})[username] = password
            self._write(entries)

    def delete_password(self, service: str, username: str) -> None:
        """Forget an entry.

        Raises:
            PasswordDeleteError: there is none.
        """
        with _ONE_AT_A_TIME:
            entries = self._entries()
            if entries.get(service, {}).pop(username, None) is None:
                raise PasswordDeleteError(f"no entry {username} of {service}")
            self._write(entries)

    def _entries(self) -> dict[str, dict[str, str]]:
        try:
            content = self._path().read_text(encoding="utf-8")
        except FileNotFoundError:
            content = ""
        return dict(json.loads(content or "{}"))

    def _path(self) -> Path:
        if not self.file:
            raise KeyringError(
                "this keyring belongs to a test, and KEYRING_PROPERTY_FILE is not set"
            )
        return Path(self.file)

    def _write(self, entries: dict[str, dict[str, str]]) -> None:
        """Replace the file in one step: another process may be reading."""
        replace(self._path(), json.dumps(entries).encode())
