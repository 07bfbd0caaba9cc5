"""``acmevault:SHELF/NAME``: a secret from the file that ACME's tools keep."""

import json
from pathlib import Path

from gatepass import SecretContext, SecretUnavailable


def acmevault(text: str, context: SecretContext) -> str:
    """Return the secret of that name.

    The file is ``~/.acme-vault.json``, or what the variable ``ACME_VAULT`` names.
    """
    path = vault_of(context)
    try:
        shelves = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SecretUnavailable(
            f"cannot read {path}: {error.strerror}",
            hint="open it with: acme vault open",
        ) from None
    except ValueError:  # its text may hold a secret: from None
        hint = "acme vault repair"
        raise SecretUnavailable(f"{path} is damaged", hint=hint) from None
    shelf, _, name = text.rpartition("/")
    try:
        return str(shelves[shelf][name])
    except (KeyError, TypeError):
        raise SecretUnavailable(
            f"there is no {text} in {path}", hint=f"put it there: acme vault put {text}"
        ) from None


def vault_of(context: SecretContext) -> Path:
    """Return the user's vault. Touches nothing."""
    return Path(context.environ.get("ACME_VAULT") or Path.home() / ".acme-vault.json")
