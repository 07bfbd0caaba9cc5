"""The key of the vault: 32 random bytes in base64url, which a secret reference names.

By default it is in the keyring, where the first login makes it. On a computer without a keyring a
person makes a key file with ``gatepass secret new-key``, and sets ``vault_key = "file:PATH"``. A
key is never replaced: every record that it encrypted would be lost.
"""

import base64
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from gatepass._system import files
from gatepass._system.text import pattern, printable, quoted
from gatepass._value import Value
from gatepass.errors import SecretUnavailable, VaultError
from gatepass.secrets import Secret, SecretRef, keyring
from gatepass.secrets._keyring_backend import INSTEAD
from gatepass.secrets.keyring import Access

T = TypeVar("T")

SERVICE: Final = "gatepass"
ACCOUNT: Final = "vault-key"

_BYTES: Final = 32
_BASE64URL: Final = pattern(r"[A-Za-z0-9_-]{43}=?")  # 32 bytes; the padding may be left out
_KEY_FILE: Final = (
    "make a key file (gatepass secret new-key) and name it in your own profiles.toml: "
    'vault_key = "file:PATH"; or, which is all that a session made by keywords reads, set '
    "GATEPASS_VAULT_KEY=file:PATH"
)
_ELSEWHERE: Final = f"on a computer without a keyring {_KEY_FILE}"


class VaultKey(Value):
    """How to read the key, and how to make it.

    Attributes:
        shown: the reference, for messages.
        read: returns the key as text, or None when there is none yet; raises ``VaultError``.
        make: makes and stores a key, and returns what is stored; None when only a person may.
        reference: the reference itself; None for a key that was given as a value.
    """

    shown: str
    read: Callable[[], Secret | None]
    make: Callable[[], Secret] | None = None
    reference: SecretRef | None = None


def keyring_key(access: Access) -> VaultKey:
    """Return the default key: in the keyring, made by the first login. Reads nothing yet.

    Args:
        access: the way to a person who may unlock the keyring, and the machine setting.
    """

    def read() -> Secret | None:
        text = _ask(lambda: keyring.read(SERVICE, ACCOUNT, access))
        return None if text is None else Secret(text)

    def make() -> Secret:
        key = Secret(new_key_text())
        _ask(lambda: keyring.store(SERVICE, ACCOUNT, key.reveal(), access))
        kept = read()  # what is used must be what other processes will read
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
    """Return a key that a person has made and named by a reference. Reads nothing yet.

    Args:
        shown: the reference, for messages.
        resolve: resolves the reference; raises ``SecretUnavailable``. Called once for each vault.
        file: the key file, when the reference names one; refused when others can read it.
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
            f"{path} exists, and a key is never replaced: what it encrypted would be lost",
            hint="use that key, or choose another name",
        ) from None
    except OSError as error:
        hint = f"{files.WRITABLE}; or choose another path"
        raise VaultError(f"cannot write {path}: {error.strerror}", hint=hint) from None


def check_key_file(path: Path) -> None:
    """Refuse a key file that others can read; a missing one passes. Looks at the disk.

    As with ssh's keys, a group may read a file that belongs to another user: that is how root,
    systemd and Kubernetes give a key to a service.

    Raises:
        VaultError: others can read it; says how to change that.
    """
    if sys.platform == "win32":
        return
    try:
        status = path.stat()
    except OSError:
        return  # reading it raises an error that says why
    others = stat.S_IRWXG | stat.S_IRWXO if status.st_uid == os.geteuid() else stat.S_IRWXO
    if status.st_mode & others:
        raise VaultError(
            f"others can read the vault's key, {printable(str(path))}",
            hint=f"{_way_to_close(path, status)}\nanyone who has read it can decrypt a copy of "
            "the vault: where that may have happened, make a new key and log in again",
        )


def _way_to_close(path: Path, status: os.stat_result) -> str:
    """Say how a key is made private where it lies: a container cannot change what is mounted."""
    if sys.platform == "win32":
        return ""  # nobody asks: the modes of files say nothing there
    if status.st_uid == os.geteuid() and not os.statvfs(path).f_flag & os.ST_RDONLY:
        return f"    chmod 600 {quoted(str(path))}"
    whose = "lies on what is mounted read-only here"
    if status.st_uid != os.geteuid():
        whose = f"belongs to {'root' if status.st_uid == 0 else f'user {status.st_uid}'}"
    return (
        f"it {whose}, so its mode is set where the file comes from: 0440 with your group "
        "(Kubernetes: defaultMode: 0440 and fsGroup), or 0400 and owned by you (Docker: uid and "
        "mode of the secret)"
    )


def _bytes_of(text: Secret) -> bytes | None:
    """Return the bytes, or None: the frames of a traceback would hold the text."""
    if not _BASE64URL.fullmatch(text.reveal()):
        return None
    bare = text.reveal().rstrip("=")
    key = base64.urlsafe_b64decode(f"{bare}=")
    # The last character has two bits too many; of the four that decode alike only one is valid.
    return key if base64.urlsafe_b64encode(key).decode().rstrip("=") == bare else None


def _ask(question: Callable[[], T]) -> T:
    try:
        return question()
    except SecretUnavailable as error:
        message, hint = error.message, error.hint
    # Raised outside of the handler, so that __context__ leads to no frame with the key.
    hint = hint.replace(INSTEAD, _KEY_FILE)  # one way out, not two
    hint = hint if _KEY_FILE in hint else f"{hint}\n{_ELSEWHERE}".strip()
    raise VaultError(f"the vault's key cannot be read: {message}", hint=hint)
