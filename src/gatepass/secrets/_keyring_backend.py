"""What a back end of the keyring package is: its name, whether it is good enough, or locked.

Used by the source ``keyring:``. By name, because importing the back ends to compare would load
every other one.
"""

import sys
from typing import TYPE_CHECKING, Final, Literal

from gatepass.errors import SecretUnavailable

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

LockState = Literal["unlocked", "locked", "unknown"]
"""Whether an entry can be read without a dialog."""

_FAIL: Final = "keyring.backends.fail.Keyring"
_NULL: Final = "keyring.backends.null.Keyring"
CHAIN: Final = "keyring.backends.chainer.ChainerBackend"
WINDOWS: Final = "keyring.backends.Windows.WinVaultKeyring"
FREEDESKTOP: Final = "keyring.backends.SecretService.Keyring"
MACOS: Final = "keyring.backends.macOS.Keyring"
_PLAIN_FILE: Final = "keyrings.alt.file.PlaintextKeyring"
_UNLOCKED: Final = 1  # kSecUnlockStateStatus of macOS' SecKeychain.h

INSTEAD: Final = "use env:NAME or file:PATH instead"
WITHOUT: Final = f"on a computer without a keyring {INSTEAD}"
UNLOCK: Final = (
    "log in to the desktop with your password, which unlocks it; where nobody does that (SSH, "
    f"cron, a server) {INSTEAD}"
)


def refusal_of(backend: "KeyringBackend", *, allow_insecure: bool) -> SecretUnavailable | None:
    """Why a back end is not used; None when it is good enough."""
    ancestors = ancestors_of(backend)
    if ancestors & {_FAIL, CHAIN}:  # a chain is only left over where it has no links
        return no_keyring()
    if _NULL in ancestors:
        return SecretUnavailable(
            f"the keyring package is switched off ({_NULL} keeps nothing)",
            hint="to use it, remove that name from PYTHON_KEYRING_BACKEND or keyringrc.cfg; "
            + WITHOUT,
        )
    if allow_insecure or not any(map(_is_plain, ancestors)):
        return None
    return SecretUnavailable(
        f"the keyring package chose {name_of(backend)}, which keeps plain text or is otherwise not "
        "recommended by its own authors",
        hint=f"{WITHOUT}; to use it all the same set allow_insecure_keyring = true in your own "
        "profiles.toml",
    )


def _is_plain(name: str) -> bool:
    """Whether a back end of that name keeps plain text, or what is easily turned into it.

    keyrings.alt is refused as a whole: its authors collect there what they do not recommend.
    """
    return name.startswith("keyrings.alt.") or "plaintext" in name.lower()


def no_keyring(platform: str = sys.platform) -> SecretUnavailable:
    linux = "without a desktop and its D-Bus (cron, a service, SSH) there is none on Linux: "
    return SecretUnavailable(
        "this computer has no keyring that the keyring package can use",
        hint=f"{linux if platform == 'linux' else ''}{INSTEAD}; `keyring --list-backends` shows "
        "what was looked for",
    )


def ancestors_of(backend: "KeyringBackend") -> set[str]:
    """The full names of a back end's class and of those that it is derived from.

    By name, because importing them to compare would load every other back end.
    """
    return {f"{kind.__module__}.{kind.__qualname__}" for kind in type(backend).__mro__}


def name_of(backend: "KeyringBackend") -> str:
    return f"{type(backend).__module__}.{type(backend).__qualname__}"


def lock_state_of(backend: "KeyringBackend") -> LockState:
    ancestors = ancestors_of(backend)
    if FREEDESKTOP in ancestors:
        return "locked" if _collection_is_locked(backend) else "unlocked"
    if MACOS in ancestors:
        return "locked" if _keychain_is_locked() else "unlocked"
    return "unlocked" if ancestors & {WINDOWS, _PLAIN_FILE} else "unknown"


def _collection_is_locked(backend: "KeyringBackend") -> bool:
    """Look at the collection that the back end would open; its own method would unlock it."""
    from contextlib import closing

    import secretstorage
    from secretstorage.collection import DEFAULT_COLLECTION

    path = getattr(backend, "preferred_collection", DEFAULT_COLLECTION)
    with closing(secretstorage.dbus_init()) as bus:
        try:
            return bool(secretstorage.Collection(bus, path).is_locked())
        except secretstorage.ItemNotFoundException:
            raise SecretUnavailable("the keyring has not been set up", hint=UNLOCK) from None


def _keychain_is_locked() -> bool:
    """Ask macOS for the state of the default keychain (SecKeychainGetStatus of SecKeychain.h)."""
    import ctypes

    security = ctypes.CDLL("/System/Library/Frameworks/Security.framework/Security")
    status = ctypes.c_uint32()
    failed = security.SecKeychainGetStatus(None, ctypes.byref(status))
    return bool(failed) or not status.value & _UNLOCKED
