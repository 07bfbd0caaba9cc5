"""The key of the vault: 32 random bytes behind a reference, written in base64url.

By default it lies in the keyring, where the first login makes it. On a computer without a keyring
a person makes a key file, with ``gatepass secret new-key``, and names it: ``vault_key =
"file:PATH"``. A key is never replaced: every record that it sealed would be lost.
"""

import base64
import os
import re
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from gatepass._system import files
from gatepass._system.text import printable, quoted
from gatepass.errors import SecretUnavailable, VaultError
from gatepass.secrets import Secret, SecretRef
from gatepass.secrets import keyring as store_of_the_system
from gatepass.secrets.keyring import Access

T = TypeVar("T")

SERVICE: Final = "gatepass"
ACCOUNT: Final = "vault-key"

_BYTES: Final = 32
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]{43}=?")  # 32 bytes; the padding may be left out
_ELSEWHERE: Final = (
    "on a computer without a keyring make a key file (gatepass secret new-key) and name it in "
    'your own profiles.toml: vault_key = "file:PATH"; or, which is all that a session made by '
    "keywords reads, set GATEPASS_VAULT_KEY=file:PATH"
)


@dataclass(frozen=True, slots=True)
class VaultKey:
    """Where the key is, and who may make it.

    Attributes:
        shown: the reference, for messages.
        read: returns the key as text, or None when there is none yet; raises ``VaultError``.
        make: makes a key, keeps it, and returns what is kept; None where only a person does.
        reference: the reference itself; None for a key that was given as a value.
    """

    shown: str
    read: Callable[[], Secret | None]
    make: Callable[[], Secret] | None = None
    reference: SecretRef | None = None


def keyring_key(access: Access) -> VaultKey:
    """Return the default: the key in the keyring, made at the first login.

    Asks the keyring only when the key is read, and again when it is made.

    Args:
        access: the way to a person who may unlock the keyring, and the machine setting.
    """

    def read() -> Secret | None:
        text = _ask(lambda: store_of_the_system.read(SERVICE, ACCOUNT, access))
        return None if text is None else Secret(text)

    def make() -> Secret:
        key = Secret(new_key_text())
        _ask(lambda: store_of_the_system.store(SERVICE, ACCOUNT, key.reveal(), access))
        kept = read()  # asked anew: what other processes will find is what counts
        if kept is None:
            raise VaultError("the keyring did not keep the vault's key", hint=_ELSEWHERE)
        return kept

    reference = SecretRef((("keyring", f"{SERVICE}/{ACCOUNT}"),))
    return VaultKey(str(reference), read, make, reference)


def referenced_key(
    shown: str,
    resolve: Callable[[], Secret],
    *,
    file: Path | None = None,
    reference: SecretRef | None = None,
) -> VaultKey:
    """Return a key that a person made and named by a reference.

    Args:
        shown: the reference, for messages.
        resolve: asks it; raises ``SecretUnavailable``. Called once for each vault.
        file: the key file, when the reference is one; refused when others can read it.
        reference: the reference itself; None for a key that was given as a value.
    """

    def read() -> Secret:
        if file is not None:
            check_key_file(file)
        return _ask(resolve)

    return VaultKey(shown, read, reference=reference)


def decode(text: Secret) -> bytes:
    """Return the 32 bytes that a key's text stands for.

    Raises:
        VaultError: it is not base64url of exactly 32 bytes; never repeats the text.
    """
    key = _bytes_of(text)
    if key is None:
        raise VaultError(
            "the vault's key is not base64url of 32 bytes (43 characters)",
            hint="look at what vault_key refers to; a new key is made by gatepass secret new-key",
        )
    return key


def new_key_text() -> str:
    """Return a new key from the system's random numbers, as text."""
    return base64.urlsafe_b64encode(os.urandom(_BYTES)).decode().rstrip("=")


def write_key_file(path: Path) -> None:
    """Make a key file that only its owner can read. Never replaces a file. Writes to disk.

    Raises:
        VaultError: a file of that name exists, or it cannot be written.
    """
    try:
        files.create(path, f"{new_key_text()}\n".encode())
    except FileExistsError:
        raise VaultError(
            f"{path} exists, and a key is never replaced: what it sealed would be lost",
            hint="use that key, or choose another name",
        ) from None
    except OSError as error:
        raise VaultError(f"cannot write {path}: {error.strerror}") from None


def check_key_file(path: Path) -> None:
    """Refuse a key file that others can read. Looks at the disk; says nothing when it is missing.

    As with ssh's keys, a group may read a file that belongs to another user: so do root, systemd
    and Kubernetes hand a key to a service.

    Raises:
        VaultError: others can read it; says how to change that.
    """
    if sys.platform == "win32":
        return
    try:
        status = path.stat()
    except OSError:
        return  # reading it will say why
    others = stat.S_IRWXG | stat.S_IRWXO if status.st_uid == os.geteuid() else stat.S_IRWXO
    if status.st_mode & others:
        raise VaultError(
            f"others can read the vault's key, {printable(str(path))}",
            hint=f"    chmod 600 {quoted(str(path))}\nwhoever has read it can open a copy of "
            "the vault: where that may have happened, make a new key and log in again",
        )


def _bytes_of(text: Secret) -> bytes | None:
    """The bytes, or None; it does not raise, because a traceback would lead to the text."""
    if not _BASE64URL.fullmatch(text.reveal()):
        return None
    bare = text.reveal().rstrip("=")
    key = base64.urlsafe_b64decode(f"{bare}=")
    # The last character holds two bits too many: of the four that mean the same, one is right.
    return key if base64.urlsafe_b64encode(key).decode().rstrip("=") == bare else None


def _ask(question: Callable[[], T]) -> T:
    try:
        return question()
    except SecretUnavailable as error:
        message, hint = error.message, error.hint
    # Raised out here, so that no context leads to frames that hold the key.
    hint = hint if _ELSEWHERE in hint else f"{hint}\n{_ELSEWHERE}".strip()
    raise VaultError(f"the vault's key cannot be read: {message}", hint=hint)
