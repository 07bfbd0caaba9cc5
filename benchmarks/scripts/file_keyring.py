"""A keyring that keeps its entries in a JSON file: what the package keyring costs on its own.

The file's name is in the variable ``FILE_KEYRING``.
"""

import json
import os

from keyring.backend import KeyringBackend


class Keyring(KeyringBackend):
    """Entries by service and user name."""

    priority = 1

    def _entries(self):
        try:
            with open(os.environ["FILE_KEYRING"], encoding="utf-8") as file:  # noqa: PTH123 - light
                return json.load(file)
        except FileNotFoundError:
            return {}

    def _write(self, entries):
        with open(os.environ["FILE_KEYRING"], "w", encoding="utf-8") as file:  # noqa: PTH123 - light
            json.dump(entries, file)

    def get_password(self, service, username):
        """Return an entry; None when there is none."""
        return self._entries().get(f"{service}\n{username}")

    def set_password(self, service, username, password):
        """Store an entry."""
        self._write(self._entries() | {f"{service}\n{username}": password})

    def delete_password(self, service, username):
        """Remove an entry."""
        entries = self._entries()
        entries.pop(f"{service}\n{username}", None)
        self._write(entries)
