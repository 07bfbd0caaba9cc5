"""Back ends of the keyring package that behave badly; chosen with PYTHON_KEYRING_BACKEND.

Never imported by the tests themselves: a back end takes part as soon as its class exists.
"""
# ruff: noqa: ARG002 - the methods and their arguments are those of KeyringBackend

import os
import threading

from keyring.backend import KeyringBackend
from keyring.backends import chainer, fail, null
from keyring.backends.Windows import WinVaultKeyring
from keyring.errors import (
    InitError,
    KeyringError,
    KeyringLocked,
    NoKeyringError,
    PasswordSetError,
)

SECRET = os.environ.get("BACKEND_SECRET", "")


class Memory(KeyringBackend):
    """A good one."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # keyring has no types there
        self.entries: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.entries[service, username]


class MyPlaintextKeyring(Memory):
    """One whose name tells."""


class MyFail(fail.Keyring):
    """No keyring, under another name."""


class MyNull(null.Keyring):
    """Nothing, under another name."""


class EmptyChain(chainer.ChainerBackend):
    """A chain without links."""

    priority = 10
    backends = ()


class Vault(Memory, WinVaultKeyring):
    """The Windows Credential Manager without Windows."""

    priority = 5


class HangsOnGet(Memory):
    """A D-Bus that never answers."""

    def get_password(self, service: str, username: str) -> str | None:
        threading.Event().wait()
        return super().get_password(service, username)


class CountsAndFails(Memory):
    """Fails, and notes each call in a file."""

    def get_password(self, service: str, username: str) -> str | None:
        with open(os.environ["BACKEND_CALLS"], "a", encoding="utf-8") as calls:  # noqa: PTH123
            calls.write(f"{service}/{username}\n")
        raise KeyringError("no answer")


class HangsAtChoice(Memory):
    """A D-Bus that never answers, asked before the first call."""

    def __init__(self) -> None:
        super().__init__()
        threading.Event().wait()


class ExplodesAtChoice(Memory):
    """Cannot be made."""

    def __init__(self) -> None:
        super().__init__()
        raise PanicError(f"while unpacking {SECRET}")


class Forgets(Memory):
    """Says that it kept the secret."""

    def set_password(self, service: str, username: str, password: str) -> None:
        pass


class Truncates(Memory):
    """Keeps the first line only, as pass does."""

    def set_password(self, service: str, username: str, password: str) -> None:
        super().set_password(service, username, password.partition("\n")[0])


class Clings(Memory):
    """Says that it removed the entry."""

    def delete_password(self, service: str, username: str) -> None:
        pass


class AnswersBytes(Memory):
    """Answers with what is not text."""

    def get_password(self, service: str, username: str) -> str | None:
        return SECRET.encode()  # type: ignore[return-value]


class PanicError(BaseException):
    """What an extension in Rust raises."""


class Panics(Memory):
    """Repeats the secret in an error that `except Exception` does not see."""

    def get_password(self, service: str, username: str) -> str | None:
        raise PanicError(f"while unpacking {SECRET}")


class RefusesToKeep(Memory):
    """Repeats the secret in one of keyring's own errors."""

    def set_password(self, service: str, username: str, password: str) -> None:
        raise PasswordSetError(f"cannot keep {password}")


class NotSetUp(Memory):
    """As gnome-keyring before anybody has ever logged in."""

    def get_password(self, service: str, username: str) -> str | None:
        raise InitError("Failed to create the collection: Prompt dismissed..")


class SaysNoKeyring(Memory):
    """Finds out late that there is none."""

    def get_password(self, service: str, username: str) -> str | None:
        raise NoKeyringError("No recommended backend was available.")


class WindowsOverSsh(Memory):
    """As the Windows Credential Manager in a network logon."""

    def get_password(self, service: str, username: str) -> str | None:
        error = OSError("A specified logon session does not exist")
        error.winerror = 1312  # type: ignore[attr-defined, unused-ignore]
        raise error


class MacOverSsh(Memory):
    """As the Keychain of macOS over SSH."""

    def get_password(self, service: str, username: str) -> str | None:
        raise KeyringError("Can't get password from keychain") from ValueError(
            -25308, "Unknown Error"
        )


class VaultHangs(HangsOnGet, WinVaultKeyring):
    """A Credential Manager that never answers."""

    priority = 5


class VaultOverSsh(WindowsOverSsh, WinVaultKeyring):
    """The Credential Manager in a network logon, asked without knowing."""

    priority = 5


class TakesNothing(Memory):
    """As the back ends of package feeds: no entry, and no way to store one."""

    def set_password(self, service: str, username: str, password: str) -> None:
        raise NotImplementedError

    def delete_password(self, service: str, username: str) -> None:
        raise NotImplementedError


class HoldsOlder(TakesNothing):
    """Has an older entry, and takes no new one."""

    def __init__(self) -> None:
        super().__init__()
        self.entries["a", "b"] = "older"

    def delete_password(self, service: str, username: str) -> None:
        del self.entries[service, username]


class ClingsToOlder(HoldsOlder):
    """Cannot delete it either."""

    def delete_password(self, service: str, username: str) -> None:
        raise NotImplementedError


class LockedLink(Memory):
    """A keyring whose dialog was closed."""

    def get_password(self, service: str, username: str) -> str | None:
        raise KeyringLocked("Failed to unlock the collection!")

    def set_password(self, service: str, username: str, password: str) -> None:
        raise KeyringLocked("Failed to unlock the collection!")


class Chain(chainer.ChainerBackend):
    """The back ends that BACKEND_CHAIN names, in that order."""

    priority = 10
    backends = tuple(globals()[name]() for name in os.environ.get("BACKEND_CHAIN", "").split())
